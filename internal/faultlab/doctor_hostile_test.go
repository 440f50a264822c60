//go:build unix

package faultlab

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
)

// The most that a hostile server may take out of doctor: its own memory, what its
// tools fetch, and the document.
const (
	mostMemory   = 128 << 20
	mostFetched  = 1 << 30
	mostDocument = 2 << 20
)

// TestDoctorHostile gives doctor what was made to harm it.
func TestDoctorHostile(t *testing.T) {
	bin, cache := buildKeepwell(t), t.TempDir()
	waits := func(h hostile) (string, bool) {
		return h.name, strings.Contains(h.name, "endless") || strings.HasSuffix(h.name, "-pipe") || strings.HasPrefix(h.name, "vanity")
	}
	inPools(t, hostileCases(), waits, func(t *testing.T, _ int, h hostile) {
		if h.tool != "" {
			need(t, Scenario{Tool: h.tool})
		}
		l := Open(t, cache)
		h.setUp(l)
		checkHostile(t, h, l, bin)
	})
}

func checkHostile(t *testing.T, h hostile, l *Lab, bin string) {
	before := l.fingerprints()
	v := l.keepwell(t.Context(), bin, append([]string{"doctor", "--json"}, h.args...)...)
	t.Logf("%v, %d MiB, %d MiB sent, exit code %d, %d bytes", v.took.Round(time.Millisecond), v.peak>>20, l.sent.Load()>>20, v.exit, len(v.out))
	switch {
	case v.exit < 0:
		t.Errorf("doctor did not end by itself\n%s", v.stderr)
	case v.exit == 2 && v.out == "": // a question that is refused
		if !strings.Contains(v.stderr, "hint:") {
			t.Errorf("a refusal without a hint: %s", v.stderr)
		}
	case v.exit != 0:
		t.Errorf("exit code %d\n%s", v.exit, v.stderr)
	default:
		if err := json.Unmarshal([]byte(v.out), &v.doc); err != nil {
			t.Errorf("doctor's JSON: %v\n%.2000s", err, v.out)
		}
		if v.first(false) == "" && !h.silent {
			t.Errorf("doctor says nothing is wrong\n%.2000s", v.out)
		}
		t.Log(v.codes())
	}
	if v.peak > mostMemory || l.sent.Load() > mostFetched || len(v.out) > mostDocument {
		t.Errorf("doctor held %d MiB, fetched %d MiB, printed %d bytes", v.peak>>20, l.sent.Load()>>20, len(v.out))
	}
	checkText(t, v.out+v.stderr)
	checkText(t, l.text(t.Context(), bin, h.args))
	list := slices.DeleteFunc(changed(before, l.fingerprints()), func(c string) bool {
		return strings.HasPrefix(c, "new: home/go") // go's own locks in the module cache
	})
	if len(list) > 0 {
		t.Errorf("doctor changed the machine: %.2000s", list)
	}
	if _, err := os.Lstat(filepath.Join(l.Work, "owned")); err == nil {
		t.Error("a word of the question was run by a shell")
	}
	for _, host := range l.Strays() {
		if strings.HasPrefix(host, "169.254.") || strings.Contains(host, "metadata") || strings.Contains(host, "evil") {
			t.Errorf("doctor asked %s", host)
		}
	}
}

// text is what a person sees.
func (l *Lab) text(ctx context.Context, bin string, args []string) string {
	v := l.keepwell(ctx, bin, append([]string{"doctor", "--timeout", "3s"}, args...)...)
	return v.out + v.stderr
}

// checkText holds output to printable text.
func checkText(t *testing.T, out string) {
	t.Helper()
	for _, r := range out {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			t.Errorf("the output holds the control character %U:\n%.2000q", r, out)
			return
		}
	}
}
