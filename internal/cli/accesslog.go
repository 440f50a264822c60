package cli

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"
)

// accessLog writes records as slog's JSON handler does, flat ones only, in less time:
// one is written for every request, and most requests cost little else.
type accessLog struct {
	w       io.Writer
	buffers *sync.Pool // of *[]byte
}

func newAccessLog(w io.Writer) accessLog {
	return accessLog{w, &sync.Pool{New: func() any { return new([]byte) }}}
}

// Enabled is always so.
func (accessLog) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs and WithGroup leave what the service never uses to slog.
func (l accessLog) WithAttrs(a []slog.Attr) slog.Handler {
	return slog.NewJSONHandler(l.w, nil).WithAttrs(a)
}

// WithGroup is like WithAttrs.
func (l accessLog) WithGroup(name string) slog.Handler {
	return slog.NewJSONHandler(l.w, nil).WithGroup(name)
}

// Handle writes one line.
func (l accessLog) Handle(_ context.Context, r slog.Record) error {
	at, ok := l.buffers.Get().(*[]byte)
	if !ok {
		at = new([]byte)
	}
	b := (*at)[:0]
	b = append(b, `{"time":"`...)
	b = r.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","level":"`...)
	b = append(b, r.Level.String()...)
	b = append(b, `","msg":`...)
	b = appendJSON(b, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		b = append(b, ',')
		b = appendJSON(b, a.Key)
		b = append(b, ':')
		b = appendValue(b, a.Value.Resolve())
		return true
	})
	b = append(b, "}\n"...)
	_, err := l.w.Write(b)
	*at = b
	l.buffers.Put(at)
	return err
}

func appendValue(b []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindString:
		return appendJSON(b, v.String())
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10)
	case slog.KindDuration:
		return strconv.AppendInt(b, int64(v.Duration()), 10)
	}
	data, err := json.Marshal(v.Any())
	if err != nil {
		return appendJSON(b, "!ERROR:"+err.Error())
	}
	return append(b, data...)
}

// appendJSON adds a string; most need no escapes.
func appendJSON(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			data, err := json.Marshal(s)
			if err != nil {
				data = []byte(`""`)
			}
			return append(b, data...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
