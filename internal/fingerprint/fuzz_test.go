package fingerprint_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/fingerprint"
)

// FuzzParseSources: the loader never panics, and what it accepts is a library that
// works: its expressions compile, and its filter finds what its entries match.
func FuzzParseSources(f *testing.F) {
	names, err := filepath.Glob("library/*.yaml")
	if err != nil || len(names) == 0 {
		f.Fatalf("no library: %v", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:min(len(data), 4000)]) // cut somewhere: mostly broken YAML
		if at := bytes.Index(data, []byte("\n- id: ")); at >= 0 {
			if end := bytes.Index(data[at+1:], []byte("\n- id: ")); end >= 0 {
				f.Add(data[at+1:][:end+1])
			}
		}
	}
	for _, s := range []string{
		"", "- {}", "[]", "- id: x\n  code: net/dns\n  anchors: [abcd]\n  confidence: 1\n  match: [abcd, xABCDx]\n",
		"- id: x\n  code: a/b\n  anchors: [\"\\xff\\xfe\\xfd\\xfc\"]\n  pattern: '(?P<host>\\w+)(?P<host>x)'\n  unless: ['(']\n  confidence: .nan\n  match: [a, b]\n",
		"- id: x\n  code: net/dns\n  anchors: [abcd]\n  confidence: .nan\n  match: [abcd, xabcdx]\n", "- &a {id: x, anchors: [*a]}", "- id: x\n  code: none/other\n  anchors: [一二三四]\n  over: ['net/*']\n  tier: weak\n  where: remote\n  needs: [go, npm]\n  confidence: 0.5\n  match: [一二三四, 'x 一二三四']\n",
		"- anchors: [ÀÉÎÕ]\n  id: a\n  code: a/b\n  confidence: 1\n  match: [x, y]\n", "%YAML 9.9\n---\n- id: !!binary x",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		sources, err := fingerprint.ParseSources(data)
		if err != nil {
			return
		}
		var entries []fingerprint.Entry
		for _, s := range sources {
			e, err := s.Entry()
			if err != nil {
				t.Fatalf("ParseSources accepts what Entry refuses: %v", err)
			}
			if !(e.Confidence > 0 && e.Confidence <= 1) {
				t.Errorf("confidence %v", e.Confidence)
			}
			entries = append(entries, e)
		}
		lib := fingerprint.New(entries)
		for _, s := range sources {
			for _, text := range s.Match {
				lower := strings.ToLower(text)
				if len(lower) != len(text) {
					continue // callers fold ASCII only
				}
				for _, where := range []fingerprint.Where{fingerprint.Local, fingerprint.Remote} {
					hits := lib.Match(text, lower, where, func() fingerprint.Needs { return ^fingerprint.Needs(0) })
					if len(hits) > 0 && lib.Find([]byte(lower)) < 0 {
						t.Errorf("%s matches %q, but the filter does not see it", hits[0].Entry.ID, text)
					}
					for _, h := range hits {
						if h.Span.Start < 0 || h.Span.Start > h.Span.End || h.Span.End > len(text) {
							t.Errorf("%s: span %v of %d bytes", h.Entry.ID, h.Span, len(text))
						}
					}
				}
			}
		}
	})
}
