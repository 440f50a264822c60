package diagnose

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/fingerprint"
)

func librarySources(t *testing.T) []fingerprint.Source {
	t.Helper()
	sources, err := fingerprint.ReadSources(os.DirFS("../fingerprint/library"))
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

// libraryOf compiles sources, so that the tests look at the library as it is
// written, whether or not the generated tables are up to date.
func libraryOf(t *testing.T, sources []fingerprint.Source) *fingerprint.Library {
	t.Helper()
	entries := make([]fingerprint.Entry, len(sources))
	for i, s := range sources {
		e, err := s.Entry()
		if err != nil {
			t.Fatal(err)
		}
		entries[i] = e
	}
	return fingerprint.New(entries)
}

// diagnosisOf returns the codes of the findings for text, root cause first.
func diagnosisOf(t *testing.T, lib *fingerprint.Library, text string) []keepwell.Code {
	t.Helper()
	findings, _, err := Read(context.Background(), strings.NewReader(text), lib, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	codes := make([]keepwell.Code, len(findings))
	for i, f := range findings {
		codes[i] = f.Code
	}
	return codes
}

func firstOf(codes []keepwell.Code) keepwell.Code {
	if len(codes) == 0 {
		return keepwell.None
	}
	return codes[0]
}

// TestLibraryMatches runs every text of the library through the whole diagnosis:
// alone, it must give the code of the entry it stands in.
func TestLibraryMatches(t *testing.T) {
	t.Parallel()
	sources := librarySources(t)
	lib := libraryOf(t, sources)
	for _, s := range sources {
		for i, text := range s.Match {
			if codes := diagnosisOf(t, lib, text); firstOf(codes) != s.Code {
				t.Errorf("%s, match %d: diagnosed as %v, want %s\n%s", s.ID, i, codes, s.Code, text)
			}
		}
	}
}

// TestLibraryRejects runs the texts in which an entry must not decide.
func TestLibraryRejects(t *testing.T) {
	t.Parallel()
	sources := librarySources(t)
	lib := libraryOf(t, sources)
	for _, s := range sources {
		for i, text := range s.Reject {
			if codes := diagnosisOf(t, lib, text); firstOf(codes) == s.Code {
				t.Errorf("%s, reject %d: diagnosed as %v\n%s", s.ID, i, codes, text)
			}
		}
	}
}

// TestLibraryNeighbours looks, for each entry, for the text of another code that
// reads most like its own: it must be diagnosed as that other code.
func TestLibraryNeighbours(t *testing.T) {
	t.Parallel()
	sources := librarySources(t)
	lib := libraryOf(t, sources)
	type sample struct {
		id    string
		code  keepwell.Code
		text  string
		words map[string]bool
	}
	var samples []sample
	for _, s := range sources {
		for _, text := range s.Match {
			samples = append(samples, sample{s.ID, s.Code, text, wordsOf(text)})
		}
	}
	codes := map[string][]keepwell.Code{}
	for _, s := range sources {
		own := map[string]bool{}
		for _, text := range s.Match {
			for w := range wordsOf(text) {
				own[w] = true
			}
		}
		others := slices.DeleteFunc(slices.Clone(samples), func(o sample) bool { return o.code == s.Code })
		near := slices.MaxFunc(others, func(a, b sample) int { return cmp.Compare(jaccard(own, a.words), jaccard(own, b.words)) })
		got, known := codes[near.text]
		if !known {
			got = diagnosisOf(t, lib, near.text)
			codes[near.text] = got
		}
		if firstOf(got) != near.code {
			t.Errorf("%s has the neighbour %s: diagnosed as %v, want %s\n%s", s.ID, near.id, got, near.code, near.text)
		}
	}
}

// TestLibraryFresh fails while the generated tables are older than the library.
func TestLibraryFresh(t *testing.T) {
	t.Parallel()
	want, err := fingerprint.Generate(librarySources(t))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../fingerprint/library_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n")), want) {
		t.Error("library_gen.go is older than library/*.yaml: run go generate ./internal/fingerprint")
	}
}

var word = regexp.MustCompile(`[A-Za-z_]{3,}`)

func wordsOf(text string) map[string]bool {
	words := map[string]bool{}
	for _, w := range word.FindAllString(strings.ToLower(text), -1) {
		words[w] = true
	}
	return words
}

// jaccard is the share of words that two sets have in common.
func jaccard(a, b map[string]bool) float64 {
	both := 0
	for w := range a {
		if b[w] {
			both++
		}
	}
	return float64(both) / float64(max(1, len(a)+len(b)-both))
}
