package otlp

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// receiver decodes what comes, as the protocol's JSON form has it.
type receiver struct {
	mu      sync.Mutex
	status  []int // answers before 200
	headers http.Header
	path    string
	got     []document
	failed  []error
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.headers, r.path = req.Header, req.URL.Path
	if len(r.status) > 0 {
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(r.status[0])
		r.status = r.status[1:]
		return
	}
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			r.failed = append(r.failed, err)
			return
		}
		body = z
	}
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	var d document
	if err := dec.Decode(&d); err != nil {
		r.failed = append(r.failed, err)
	}
	r.got = append(r.got, d)
}

func TestSpansArrive(t *testing.T) {
	t.Parallel()
	for name, env := range map[string]map[string]string{
		"plain":    {},
		"gzip":     {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"},
		"repeated": {"busy": "503"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &receiver{}
			if env["busy"] != "" {
				r.status = []int{503, 429}
			}
			s := httptest.NewServer(r)
			defer s.Close()
			ctx := context.Background()
			p, err := Start(ctx, Options{Name: "keepwell-proxy", Version: "v9", Getenv: func(k string) string {
				switch k {
				case "OTEL_EXPORTER_OTLP_ENDPOINT":
					return s.URL + "/"
				case "OTEL_EXPORTER_OTLP_HEADERS":
					return "authorization=Bearer%20abc, x-team = a"
				}
				return env[k]
			}})
			if err != nil || p == nil {
				t.Fatal(err)
			}
			tracer := p.Tracer("scope")
			ctx, parent := tracer.Start(ctx, "parent", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attribute.Int64("n", 1<<60), attribute.String("s", `"quoted"`), attribute.Bool("b", true)))
			_, child := tracer.Start(ctx, "child")
			child.SetStatus(codes.Error, "it broke")
			child.End()
			parent.End()
			if err := p.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
			if len(r.failed) > 0 || len(r.got) != 1 || r.path != "/v1/traces" || r.headers.Get("Authorization") != "Bearer abc" || r.headers.Get("X-Team") != "a" {
				t.Fatalf("%v %v %q %v", r.failed, r.got, r.path, r.headers)
			}
			of := r.got[0].ResourceSpans[0]
			about, _ := json.Marshal(of.Resource)
			for _, want := range []string{`{"key":"service.name","value":{"stringValue":"keepwell-proxy"}}`, `{"key":"service.version","value":{"stringValue":"v9"}}`} {
				if !strings.Contains(string(about), want) {
					t.Errorf("no %s in %s", want, about)
				}
			}
			spans := of.ScopeSpans[0].Spans
			if len(spans) != 2 || spans[0].Name != "child" || spans[0].ParentID != spans[1].SpanID || spans[0].TraceID != spans[1].TraceID || len(spans[0].TraceID) != 32 ||
				spans[0].Status != (status{"it broke", 2}) || spans[1].Kind != 2 || spans[1].ParentID != "" || len(spans[1].Start) != 19 {
				t.Errorf("%+v", spans)
			}
			attrs, _ := json.Marshal(spans[1].Attributes)
			if want := `[{"key":"n","value":{"intValue":"1152921504606846976"}},{"key":"s","value":{"stringValue":"\"quoted\""}},{"key":"b","value":{"boolValue":true}}]`; string(attrs) != want {
				t.Errorf("%s", attrs)
			}
		})
	}
}

func TestWhenNotWanted(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		env      map[string]string
		endpoint string
		on, bad  bool
	}{
		"nothing set":      {},
		"set":              {env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/x"}, on: true},
		"disabled":         {env: map[string]string{"OTEL_SDK_DISABLED": "true"}, endpoint: "http://127.0.0.1:1"},
		"another exporter": {env: map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}},
		"grpc":             {env: map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, bad: true},
		"no URL":           {endpoint: "127.0.0.1:4318", bad: true},
		"a flag":           {endpoint: "http://127.0.0.1:1", on: true},
	} {
		p, err := Start(context.Background(), Options{Endpoint: x.endpoint, Getenv: func(k string) string { return x.env[k] }})
		if (p != nil) != x.on || (err != nil) != x.bad {
			t.Errorf("%s: %v %v", name, p, err)
		}
		if p != nil {
			_ = p.Shutdown(context.Background())
		}
	}
}

// TestRefusedBatchIsTold, and not sent again.
func TestRefusedBatchIsTold(t *testing.T) {
	t.Parallel()
	r := &receiver{status: []int{400, 400}}
	s := httptest.NewServer(r)
	defer s.Close()
	e, err := newExporter(Options{Endpoint: s.URL, Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.ExportSpans(context.Background(), nil); err == nil || !strings.Contains(err.Error(), "400") || len(r.status) != 1 {
		t.Errorf("%v, %d left", err, len(r.status))
	}
	if err := e.Shutdown(context.Background()); err != nil && !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}
