package modproxy

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	states "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Spans name servers, kinds of files and outcomes. The names of modules that have a
// list of their own are left out, and so is what upstreams say of them: who reads
// traces need not be whom the names may be told to.

// startSpan begins the span of a request, under the client's where it sends one.
func (s *Service) startSpan(r *http.Request, kind string) (*http.Request, trace.Span) {
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := s.o.Tracer.Start(ctx, r.Method+" "+kind, trace.WithSpanKind(trace.SpanKindServer))
	if !span.IsRecording() {
		return r.WithContext(ctx), span
	}
	span.SetAttributes(attribute.String("http.request.method", r.Method), attribute.String("keepwell.kind", kind))
	if a, err := parse(r.URL.Path); err == nil && s.p.public(a) {
		span.SetAttributes(attribute.String("url.path", shown(r.URL.Path)))
	}
	return r.WithContext(ctx), span
}

// public tells files whose name may be told beside the module's upstreams.
func (p *Proxy) public(a ask) bool {
	if a.module == "" {
		return true
	}
	_, own := p.upstreamsFor(a.module)
	return !own
}

// endRequest ends the span of a request.
func endRequest(span trace.Span, rec *recorder) {
	span.SetAttributes(attribute.Int("http.response.status_code", rec.status), attribute.Int64("http.response.body.size", rec.n))
	if rec.outcome.cache != "" {
		span.SetAttributes(attribute.String("keepwell.cache", rec.outcome.cache))
	}
	if rec.status >= http.StatusInternalServerError {
		span.SetStatus(states.Error, "")
	}
	span.End()
}

// traced is the proxy's own context with the trace of another.
func (p *Proxy) traced(from context.Context) context.Context {
	if p.Tracer == nil {
		return p.ctx
	}
	return trace.ContextWithSpanContext(p.ctx, trace.SpanContextFromContext(from))
}

func untraced(error) {}

// span begins a span for a part of a request; end ends it.
func (p *Proxy) span(ctx context.Context, name string) (within context.Context, end func(error)) {
	if p.Tracer == nil {
		return ctx, untraced
	}
	ctx, span := p.Tracer.Start(ctx, name)
	return ctx, func(err error) {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			span.SetStatus(states.Error, "")
		}
		span.End()
	}
}

// askSpan begins the span of one attempt at an upstream.
func (p *Proxy) askSpan(ctx context.Context, u *Upstream, a ask) (within context.Context, end func(error)) {
	if p.Tracer == nil {
		return ctx, untraced
	}
	ctx, span := p.Tracer.Start(ctx, "ask upstream", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("server.address", u.Name), attribute.String("keepwell.kind", string(a.kind))))
	return ctx, func(err error) {
		defer span.End()
		if err == nil {
			span.SetAttributes(attribute.String("keepwell.outcome", "ok"))
			return
		}
		cut := ctx.Err() != nil
		t := asTrouble(ctx, u, err)
		outcome := t.how.String()
		if cut {
			outcome = "cut"
		}
		span.SetAttributes(attribute.String("keepwell.outcome", outcome))
		if t.why.Status != 0 {
			span.SetAttributes(attribute.Int("http.response.status_code", t.why.Status))
		}
		if cut || t.how == absent {
			return
		}
		said := ""
		if p.public(a) {
			said = clean(p.hide(t.said))
		}
		span.SetStatus(states.Error, said)
	}
}

// String is a word for traces.
func (h how) String() string {
	return strings.Fields("broken absent refused limited bad slow")[h]
}
