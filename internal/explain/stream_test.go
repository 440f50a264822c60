package explain_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell/internal/diagnose"
	"github.com/keepwell/keepwell/internal/explain"
	"github.com/keepwell/keepwell/internal/fingerprint"
)

// planted are errors that have nothing to do with one another, so that none is
// another's consequence. %d makes each occurrence another module.
var planted = []string{
	"go: example.com/widget@v1.2.%d: Get \"https://refused.example.org/example.com/widget/@v/v1.2.0.mod\": dial tcp 203.0.113.7:443: connect: connection refused",
	"go: example.com/shop@v1.%d.0 requires\n\texample.com/gadget@v1.0.0: reading https://broken.example.org/example.com/gadget/@v/v1.0.0.zip: 502 Bad Gateway\n\tserver response: upstream is away",
	"go: example.com/widget@v1.%d.1: Get \"https://stale.example.org/example.com/widget/@v/list\": tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-01-01T12:00:00Z is after 2025-01-01T00:00:00Z",
	"verifying example.com/gear@v0.%d.0: checksum mismatch\n\tdownloaded: h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\tgo.sum:     h1:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB=\n\nSECURITY ERROR\nThis download does NOT match an earlier download recorded in go.sum.",
	"fatal: unable to access 'https://git.example.com/team/widget%d/': SSL certificate problem: self-signed certificate in certificate chain",
	"fatal: could not read Username for 'https://git%d.example.net': terminal prompts disabled",
}

// log builds a long text and remembers what was planted where.
type log struct {
	b     bytes.Buffer
	eol   string
	alone []string // the errors, as a text of their own
}

var words = strings.Fields("alpha beta gamma delta compile link step unit case okay done took cached layer copy")

func (l *log) noise(r *rand.Rand, size int) {
	for end := l.b.Len() + size; l.b.Len() < end; {
		l.b.WriteString("INFO ") // a line of its own: without a mark it would belong to the error before it
		for range 1 + r.IntN(12) {
			l.b.WriteString(words[r.IntN(len(words))])
			l.b.WriteByte(' ')
		}
		fmt.Fprintf(&l.b, "%d%s", r.IntN(1000), l.eol)
	}
}

// noiseUntil ends the noise exactly where at is, so that what follows lies across
// a place where the reader cuts.
func (l *log) noiseUntil(r *rand.Rand, at int) {
	l.noise(r, max(0, at-l.b.Len()-2000))
	if gap := at - l.b.Len() - len(l.eol); gap > 0 {
		l.b.WriteString("INFO " + strings.Repeat("-", max(0, gap-5)) + l.eol)
	}
}

func (l *log) longLine(size int) {
	l.b.WriteString("INFO " + strings.Repeat("0123456789 alpha;", size/17) + l.eol)
}

func (l *log) plant(r *rand.Rand, last bool) {
	e := planted[r.IntN(len(planted))]
	e = fmt.Sprintf(e, r.IntN(3))
	l.alone = append(l.alone, e)
	if !last {
		e += "\n"
	}
	l.b.WriteString(strings.ReplaceAll(e, "\n", l.eol))
}

type found struct {
	Code, Host string
	Count      int
	Text       string
}

func findingsOf(t *testing.T, r io.Reader) (all []found, lines []int, n int64) {
	t.Helper()
	findings, target, err := diagnose.Read(t.Context(), r, fingerprint.Default(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		all = append(all, found{string(f.Code), f.Facts["host"], f.Count, f.Evidence[0].Text})
		lines = append(lines, f.Evidence[0].Line)
	}
	return all, lines, target.Lines
}

// TestStreamingFindsWhatStandsAlone: errors in a long noise are found as they are
// without it, wherever the chunks are cut, and at their lines.
func TestStreamingFindsWhatStandsAlone(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	shapes := []struct {
		name  string
		build func(l *log, r *rand.Rand)
	}{
		{"scattered", func(l *log, r *rand.Rand) {
			for range 1 + r.IntN(6) {
				l.noise(r, 30_000+r.IntN(400_000))
				l.plant(r, false)
			}
			l.noise(r, 100_000)
		}},
		{"across the borders of chunks", func(l *log, r *rand.Rand) {
			for _, border := range []int{64<<10 + 1, mib + 64<<10 + 1, 2*mib + 64<<10 + 1} {
				l.noiseUntil(r, border-1-r.IntN(300))
				l.plant(r, false)
			}
			l.noise(r, 50_000)
		}},
		{"around lines of 3 MiB", func(l *log, r *rand.Rand) {
			l.plant(r, false)
			l.longLine(3 * mib)
			l.plant(r, false)
			l.noise(r, r.IntN(20_000))
			l.longLine(3 * mib)
			l.plant(r, false)
		}},
		{"close together", func(l *log, r *rand.Rand) {
			l.noise(r, 200_000)
			for range 5 {
				l.plant(r, false)
				l.noise(r, r.IntN(12_000))
			}
			l.noise(r, mib)
		}},
		{"at the end without newline", func(l *log, r *rand.Rand) {
			l.noise(r, 64<<10+r.IntN(mib))
			l.plant(r, false)
			l.noise(r, r.IntN(30_000))
			l.plant(r, true)
		}},
		{"first thing", func(l *log, r *rand.Rand) {
			l.plant(r, false)
			l.noise(r, mib+r.IntN(1000))
		}},
	}
	seeds := uint64(3)
	if testing.Short() {
		seeds = 1
	}
	for _, shape := range shapes {
		for _, eol := range []string{"\n", "\r\n"} {
			for seed := range seeds {
				t.Run(fmt.Sprintf("%s/%q/%d", shape.name, eol, seed), func(t *testing.T) {
					t.Parallel()
					l := &log{eol: eol}
					shape.build(l, rand.New(rand.NewPCG(seed, 6)))
					text := l.b.String()
					want, _, _ := findingsOf(t, strings.NewReader(strings.Join(l.alone, "\nINFO\n")))
					got, lines, n := findingsOf(t, strings.NewReader(text))
					if diff := cmp.Diff(want, got); diff != "" {
						t.Fatalf("findings (-alone +in noise):\n%s", diff)
					}
					all := strings.Split(text, eol)
					for i, f := range got {
						first, _, _ := strings.Cut(f.Text, "\n")
						if at := all[lines[i]-1]; !strings.Contains(at, first) {
							t.Errorf("%s is said to stand on line %d, which is %.200q", f.Code, lines[i], at)
						}
					}
					if want := int64(strings.Count(text, "\n")); n != want && n != want+1 {
						t.Errorf("%d lines counted, want %d", n, want)
					}
				})
			}
		}
	}
}

// TestErrorsInsideAVeryLongLine: a log shipper that puts a whole build on one line
// must not hide its errors, nor have them counted twice.
func TestErrorsInsideAVeryLongLine(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 3))
		var text strings.Builder
		want := map[found]bool{}
		for i := range 1 + r.IntN(4) {
			text.WriteString(strings.Repeat("0123456789 alpha;", (20_000+r.IntN(1_500_000))/17))
			host := fmt.Sprintf("refused%d.example.org", i)
			fmt.Fprintf(&text, ` go: example.com/widget@v1.2.0: Get "https://%s/example.com/widget/@v/list": dial tcp 203.0.113.7:443: connect: connection refused `, host)
			want[found{Code: "net/refused", Host: host, Count: 1}] = true
		}
		text.WriteString(strings.Repeat("0123456789 alpha;", (70_000+r.IntN(1_500_000))/17))
		all, lines, n := findingsOf(t, strings.NewReader(text.String()))
		got := map[found]bool{}
		for _, f := range all {
			f.Text = ""
			got[f] = true
		}
		if diff := cmp.Diff(want, got); diff != "" || lines[0] != 1 || n != 1 {
			t.Errorf("seed %d: at lines %v of %d (-want +got):\n%s", seed, lines, n, diff)
		}
	}
}

// endless makes size bytes of a build's noise with an error here and there.
type endless struct {
	size, made int
	block      []byte
	peak       *uint64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.made >= e.size {
		return 0, io.EOF
	}
	n := copy(p, e.block[e.made%len(e.block):])
	e.made += n
	if e.made%(8<<20) < n {
		var m runtime.MemStats
		runtime.GC() // what lives is asked for, not what the collector has not yet taken
		runtime.ReadMemStats(&m)
		*e.peak = max(*e.peak, m.HeapAlloc)
	}
	return n, nil
}

// TestMemoryIsBounded is not parallel: it measures the heap of the whole process.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() { // minutes under the race detector, which has nothing to find here
		t.Skip("reads 300 MiB")
	}
	l := &log{eol: "\n"}
	r := rand.New(rand.NewPCG(9, 9))
	for range 4 {
		l.noise(r, 500_000)
		l.plant(r, false)
	}
	l.longLine(3 << 20)
	for _, c := range []struct {
		story string
		block []byte
		size  int
	}{
		{"many lines", l.b.Bytes(), 200 << 20},
		{"one line without end", bytes.Repeat([]byte("alpha beta;"), 1<<20/11), 64 << 20},
		{"one line full of errors", bytes.Repeat([]byte("go: dial tcp 203.0.113.7:443: connect: connection refused; "), 1<<20/60), 64 << 20},
	} {
		var peak uint64
		findings, target, err := diagnose.Read(t.Context(), &endless{size: c.size, block: c.block, peak: &peak}, fingerprint.Default(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if most := uint64(64 << 20); peak == 0 || peak > most {
			t.Errorf("%s: the heap grew to %d MiB, want at most %d", c.story, peak>>20, most>>20)
		}
		if target.Bytes < int64(c.size) || len(findings) == 0 && c.story == "many lines" {
			t.Errorf("%s: %d bytes, %d findings", c.story, target.Bytes, len(findings))
		}
	}
}

func TestReadStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	read := 0
	opts := explain.Options{Progress: func(n int64) {
		if read++; read == 3 {
			cancel()
		}
	}}
	block := bytes.Repeat([]byte("alpha beta\n"), 1000)
	var peak uint64
	_, err := explain.Read(ctx, &endless{size: 1 << 30, block: block, peak: &peak}, fingerprint.Default(), opts, func(*explain.Statement) {})
	if !errors.Is(err, context.Canceled) || read > 4 {
		t.Errorf("Read = %v after %d reads", err, read)
	}
}
