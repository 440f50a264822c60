package otlp

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// The JSON form of opentelemetry.proto.collector.trace.v1: names in camel case, ids in
// hex, 64-bit numbers as strings.
type (
	document struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   attributed   `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	attributed struct {
		Attributes []keyValue `json:"attributes,omitempty"`
	}
	scopeSpans struct {
		Scope scope  `json:"scope"`
		Spans []span `json:"spans"`
	}
	scope struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
	}
	span struct {
		TraceID    string     `json:"traceId"`
		SpanID     string     `json:"spanId"`
		ParentID   string     `json:"parentSpanId,omitempty"`
		TraceState string     `json:"traceState,omitempty"`
		Name       string     `json:"name"`
		Kind       int        `json:"kind"`
		Start      string     `json:"startTimeUnixNano"`
		End        string     `json:"endTimeUnixNano"`
		Attributes []keyValue `json:"attributes,omitempty"`
		Dropped    int        `json:"droppedAttributesCount,omitempty"`
		Events     []event    `json:"events,omitempty"`
		Status     status     `json:"status"`
	}
	event struct {
		Time       string     `json:"timeUnixNano"`
		Name       string     `json:"name"`
		Attributes []keyValue `json:"attributes,omitempty"`
	}
	status struct {
		Message string `json:"message,omitempty"`
		Code    int    `json:"code,omitempty"`
	}
	keyValue struct {
		Key   string         `json:"key"`
		Value map[string]any `json:"value"`
	}
)

// Codes of a status in the protocol, which are not those of the library.
const (
	statusOK    = 1
	statusError = 2
)

func documentOf(spans []sdk.ReadOnlySpan) document {
	var d document
	at := map[string]int{} // scopes by name: all spans have one resource
	for _, s := range spans {
		if len(d.ResourceSpans) == 0 {
			d.ResourceSpans = []resourceSpans{{Resource: attributed{keyValues(s.Resource().Attributes())}}}
		}
		of := s.InstrumentationScope()
		all := &d.ResourceSpans[0].ScopeSpans
		i, ok := at[of.Name]
		if !ok {
			i = len(*all)
			at[of.Name] = i
			*all = append(*all, scopeSpans{Scope: scope{of.Name, of.Version}})
		}
		(*all)[i].Spans = append((*all)[i].Spans, spanOf(s))
	}
	return d
}

func spanOf(s sdk.ReadOnlySpan) span {
	is := s.SpanContext()
	out := span{
		TraceID: is.TraceID().String(), SpanID: is.SpanID().String(), TraceState: is.TraceState().String(), Name: s.Name(), Kind: int(s.SpanKind()),
		Start: nanos(s.StartTime()), End: nanos(s.EndTime()), Attributes: keyValues(s.Attributes()), Dropped: s.DroppedAttributes(),
	}
	if s.Parent().SpanID().IsValid() {
		out.ParentID = s.Parent().SpanID().String()
	}
	for _, e := range s.Events() {
		out.Events = append(out.Events, event{nanos(e.Time), e.Name, keyValues(e.Attributes)})
	}
	switch st := s.Status(); st.Code {
	case codes.Error:
		out.Status = status{st.Description, statusError}
	case codes.Ok:
		out.Status = status{Code: statusOK}
	case codes.Unset:
	}
	return out
}

func nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

func keyValues(list []attribute.KeyValue) []keyValue {
	out := make([]keyValue, 0, len(list))
	for _, a := range list {
		out = append(out, keyValue{string(a.Key), value(a.Value)})
	}
	return out
}

func value(v attribute.Value) map[string]any {
	switch v.Type() {
	case attribute.BOOL:
		return map[string]any{"boolValue": v.AsBool()}
	case attribute.INT64:
		return map[string]any{"intValue": strconv.FormatInt(v.AsInt64(), 10)}
	case attribute.FLOAT64:
		return map[string]any{"doubleValue": v.AsFloat64()}
	case attribute.STRING:
		return map[string]any{"stringValue": v.AsString()}
	default: // lists, of which keepwell makes none
		return map[string]any{"stringValue": v.String()}
	}
}
