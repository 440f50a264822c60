//go:build unix

package faultlab

import (
	"archive/zip"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestDoctorCanaries gives a user secrets of all kinds and servers that answer in
// every bad way: no secret may come to a server that it is not for, go over plain
// HTTP, or show in what doctor prints or keeps.
func TestDoctorCanaries(t *testing.T) {
	need(t, Scenario{Tool: "git", Needs: []string{"npm", "python3"}})
	bin, cache := buildKeepwell(t), t.TempDir()
	var mu sync.Mutex
	var home []string
	t.Run("modes", func(t *testing.T) {
		inPools(t, canaryModes(), func(m canaryMode) (string, bool) { return m.name, false }, func(t *testing.T, _ int, mode canaryMode) {
			seen := tryCanaries(t, mode, bin, cache)
			mu.Lock()
			defer mu.Unlock()
			home = append(home, seen...)
		})
	})
	slices.Sort(home)
	home = slices.Compact(home)
	t.Logf("came to the server that they are for: %v", home)
	if runsAll() && len(home) < 3 {
		t.Errorf("only %v came to their servers: the lab proves nothing", home)
	}
}

func tryCanaries(t *testing.T, mode canaryMode, bin, cache string) (home []string) {
	l := Open(t, cache)
	o := l.canaryLab(t.Context(), mode)
	for i, words := range canaryQuestions() {
		for j, format := range []string{"json", "text", "jsonl", "sarif", "github", "junit"} {
			if (i+j+len(mode.name))%6 != 0 && i > 0 { // each question in another format, the first in all
				continue
			}
			v := l.keepwell(t.Context(), bin, append([]string{"doctor", "--format", format, "--lang", []string{"en", "zh"}[i%2]}, words...)...)
			checkSecrets(t, "doctor --format "+format+" "+strings.Join(words, " "), v.out+v.stderr)
		}
	}
	l.tryBundle(bin)
	v := l.keepwell(t.Context(), bin, "doctor", "--fix", "--yes")
	checkSecrets(t, "doctor --fix --yes", v.out+v.stderr)
	l.checkState()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, leak := range slices.Compact(slices.Sorted(slices.Values(o.leaks))) {
		t.Errorf("a secret went astray: %s", leak)
	}
	return o.seen
}

// checkSecrets fails where a text holds a canary, as it is or in Base64.
func checkSecrets(t testing.TB, what, text string) {
	t.Helper()
	for canary := range canaries() {
		for _, form := range []string{canary, base64.StdEncoding.EncodeToString([]byte("user:" + canary))} {
			if at := strings.Index(text, form); at >= 0 {
				t.Errorf("%s shows %s: …%s…", what, canary, text[max(0, at-200):min(len(text), at+100)])
			}
		}
	}
}

// tryBundle looks into the bug report, where this keepwell makes one.
func (l *Lab) tryBundle(bin string) {
	l.T.Helper()
	file := filepath.Join(l.Dir, "tmp", "bundle.zip")
	v := l.keepwell(l.T.Context(), bin, "doctor", "--bundle", file)
	checkSecrets(l.T, "doctor --bundle", v.out+v.stderr)
	if v.exit == 2 && strings.Contains(v.stderr, "unknown flag") {
		l.T.Log("this keepwell makes no bundles yet")
		return
	}
	z, err := zip.OpenReader(file)
	if err != nil {
		l.T.Errorf("the bundle: %v", err)
		return
	}
	defer z.Close()
	for _, f := range z.File {
		r, err := f.Open()
		l.check(err)
		data, err := io.ReadAll(r)
		l.check(err)
		checkSecrets(l.T, "the bundle's "+f.Name, string(data))
	}
}

// checkState looks through what keepwell keeps. The bytes for undo may hold a secret:
// they are the user's own file, and only he may read them.
func (l *Lab) checkState() {
	l.T.Helper()
	err := filepath.WalkDir(l.stateDir(), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm() == 0o600 && filepath.Base(filepath.Dir(name)) == "undo" {
			return nil
		}
		data, err := os.ReadFile(name)
		checkSecrets(l.T, name, string(data))
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.T.Error(err)
	}
}
