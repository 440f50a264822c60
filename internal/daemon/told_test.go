package daemon_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/keepwell/keepwell/internal/daemon"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

// safe is a log that is read while it is written.
type safe struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *safe) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// TestRunsAreLogged: one line each when a run begins and when it ended, in which foreign
// text changes nothing but its own place.
func TestRunsAreLogged(t *testing.T) {
	t.Parallel()
	dir, log := t.TempDir(), &safe{}
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("name: a\ntrigger: redis_memory_high\nmode: active\nactions: [wait: 1s]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := daemon.New(t.Context(), daemon.Options{Log: slog.New(slog.NewTextHandler(log, nil)), Source: daemon.Source{
		File: configured(t, "playbooks: {dir: '"+dir+"', hold: 0s}\n"), Flags: map[string]string{"listen": "127.0.0.1:0", "data": t.TempDir()},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	const foreign = `x state=done\u202e password=hunter2hunter2 ` + "`"
	status, text := post(t, "http://"+d.Addr().String()+"/hooks/alertmanager", strings.ReplaceAll(payload(1), "cache-0", foreign))
	if status != 202 {
		t.Fatal(status, text)
	}
	statetest.Until(t, "the run is in the log", func() bool { return strings.Contains(log.String(), `msg="a run ended"`) }, func() any { return log.String() })
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, `msg="a run `) {
			if strings.Count(line, " asset=\"") != 1 || !strings.Contains(line, " run=1 playbook=a mode=active incident=1 ") || strings.ContainsAny(line, "\u202e") || strings.Contains(line, "hunter2") {
				t.Errorf("%s", line)
			}
			if ended := strings.Contains(line, "ended"); ended != strings.HasSuffix(strings.TrimSpace(line), "\" state=done") {
				t.Errorf("%s", line)
			}
		}
	}
	for _, word := range []string{"began", "ended"} {
		if n := strings.Count(log.String(), `level=INFO msg="a run `+word+`"`); n != 1 {
			t.Errorf("%d times %s: %s", n, word, log.String())
		}
	}
}
