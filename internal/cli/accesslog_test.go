package cli

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestAccessLogReadsAsSlogs holds the lines to those of slog's own handler.
func TestAccessLogReadsAsSlogs(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 60700, time.FixedZone("", 3600))
	var ours, theirs bytes.Buffer
	for _, h := range []slog.Handler{newAccessLog(&ours), slog.NewJSONHandler(&theirs, nil)} {
		for _, path := range []string{"/example.com/widget/@v/v1.0.0.zip", "quote\" back\\ <tag> \x01\n\x7f 模块 \xff", ""} {
			r := slog.NewRecord(at, slog.LevelInfo, "request", 0)
			r.AddAttrs(slog.String("path", path), slog.Int("status", 200), slog.Int64("bytes", -1), slog.Duration("took", 1234*time.Microsecond),
				slog.Bool("cached", true), slog.Any("list", []string{"a"}))
			if err := h.Handle(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.WithAttrs([]slog.Attr{slog.String("a", "b")}).WithGroup("g").Handle(t.Context(), slog.NewRecord(at, slog.LevelWarn, "m", 0)); err != nil {
			t.Fatal(err)
		}
	}
	read := func(s string) (all []map[string]any) {
		for line := range strings.Lines(s) {
			var m map[string]any
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			all = append(all, m)
		}
		return all
	}
	if diff := cmp.Diff(read(theirs.String()), read(ours.String())); diff != "" {
		t.Error(diff)
	}
	if n := strings.Count(ours.String(), "\n"); n != 4 {
		t.Errorf("%d lines", n)
	}
}
