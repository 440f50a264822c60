package cli_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/cli"
	"github.com/keepwell/keepwell/internal/mask/masktest"
	"github.com/keepwell/keepwell/internal/present"
)

var update = flag.Bool("update", false, "write the golden files anew")

// run is one command line in this process.
func run(in string, args ...string) (exit int, out, errs string) {
	var o, e bytes.Buffer
	exit = cli.Main(args, strings.NewReader(in), &o, &e)
	return exit, o.String(), e.String()
}

// golden are texts whose whole explanation is written down in both languages.
var golden = map[keepwell.Code]string{
	"net/refused":           `go: example.com/widget@v1.2.0: Get "https://goproxy.example.org/example.com/widget/@v/v1.2.0.mod": dial tcp 203.0.113.7:443: connect: connection refused` + "\n",
	"net/dns":               `go: example.com/widget@v1.2.0: Get "https://goproxy.example.org/example.com/widget/@v/list": dial tcp: lookup goproxy.example.org on 10.0.0.2:53: no such host` + "\n",
	"tls/unknown-authority": "Cloning into 'widget'...\nfatal: unable to access 'https://git.example.com/team/widget/': SSL certificate problem: self-signed certificate in certificate chain\n",
	"sum/go-sum-mismatch": "verifying example.com/widget@v1.2.0: checksum mismatch\n\tdownloaded: h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\tgo.sum:     h1:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB=\n\n" +
		"SECURITY ERROR\nThis download does NOT match an earlier download recorded in go.sum.\n",
	"proxy/unauthorized": "npm error code E401\nnpm error 401 Unauthorized - GET https://npm.example.org/@scope%2fwidget\n",
	"auth/git-prompt": "go: git.example.com/team/widget@v1.0.0: invalid version: git ls-remote -q --end-of-options origin in /home/bob/go/pkg/mod/cache/vcs/0123456789ab: exit status 128:\n" +
		"\tfatal: could not read Username for 'https://git.example.com': terminal prompts disabled\n",
}

// TestGolden compares whole outputs; `go test ./internal/cli -update` writes them
// anew, and the difference is for a reader's eyes.
func TestGolden(t *testing.T) {
	t.Parallel()
	for code, text := range golden {
		for _, lang := range []string{"en", "zh"} {
			name := filepath.Join("testdata", "golden", strings.ReplaceAll(string(code), "/", "-")+"."+lang+".txt")
			t.Run(string(code)+"/"+lang, func(t *testing.T) {
				t.Parallel()
				exit, out, errs := run(text, "explain", "--color", "never", "--lang", lang)
				if exit != 3 || errs != "" || !strings.Contains(out, " "+string(code)) {
					t.Fatalf("exit code %d, %q\n%s", exit, errs, out)
				}
				if *update {
					if err := os.WriteFile(name, []byte(out), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), out); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			})
		}
	}
}

// joined undoes the wrapping of text, which could hide a secret from a search.
func joined(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '^' {
			return -1
		}
		return r
	}, s)
}

// TestNoSecretLeaves runs the whole program on texts with secrets, in every format
// and language.
func TestNoSecretLeaves(t *testing.T) {
	t.Parallel()
	cases := 110 // in each language and format
	if testing.Short() {
		cases = 15
	}
	for _, lang := range []string{"en", "zh"} {
		t.Run(lang, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(3, uint64(len(lang))))
			explained := 0
			for range cases {
				p := masktest.Plant(r)
				for _, format := range present.Formats() {
					exit, out, errs := run(p.Text, "explain", "--lang", lang, "--format", string(format), "--color", "never")
					if exit != 0 && exit != 3 {
						t.Fatalf("exit code %d, %s for\n%s", exit, errs, p.Text)
					}
					if format == present.Text && exit == 3 {
						explained++
					}
					all := joined(out + errs)
					for _, s := range p.Secrets {
						if strings.Contains(all, s) {
							t.Fatalf("%s in %s: %q leaves by\n%s\nof\n%s", p.Kind, format, s, out, p.Text)
						}
					}
				}
			}
			if explained < cases*2/3 { // else the test looks at nothing
				t.Errorf("only %d of %d texts were explained", explained, cases)
			}
		})
	}
}

// TestEveryFormatFindsTheSame: the formats are views of one stream.
func TestEveryFormatFindsTheSame(t *testing.T) {
	t.Parallel()
	for code, text := range golden {
		for _, format := range present.Formats() {
			exit, out, errs := run(text, "explain", "--format", string(format), "--lang", "en")
			want := 3
			if format.Machine() {
				want = 0
			}
			if exit != want || errs != "" || !strings.Contains(out, string(code)) {
				t.Errorf("%s in %s: exit code %d, want %d; %s\n%s", code, format, exit, want, errs, out)
			}
		}
	}
}

// full fails every write, as a full disk does.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestFailureToWriteIsNoUsageError(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"explain", "--lang", "en"}, {"faults", "--lang", "en"}, {"faults", "net/dns", "--lang", "en"}} {
		var errs bytes.Buffer
		if exit := cli.Main(args, strings.NewReader("go: x"), full{}, &errs); exit != 1 || !strings.Contains(errs.String(), "writing the result") {
			t.Errorf("%v: exit code %d, %s", args, exit, errs.String())
		}
	}
}

// FuzzExplain feeds the whole program: it never panics, its exit code is one of the
// three that a text can bring about, and JSON is JSON.
func FuzzExplain(f *testing.F) {
	r := rand.New(rand.NewPCG(8, 8))
	for i := range 24 {
		f.Add([]byte(masktest.Plant(r).Text), uint8(i))
	}
	for _, text := range golden {
		f.Add([]byte(text), uint8(1))
	}
	for _, s := range []string{
		"", "\n", "\x00", "\xff\xfe", "\xff\xfeg\x00o\x00:\x00", "\ufeff", "\x1b]8;;", "server response:", "panic: x\n\ngoroutine 1 [running]:", "npm ERR!\n\nnpm ERR!",
		"go: \x1b[31mexample.com/widget@v1.2.0: EOF", "msg=\"go: x: EOF\\n\\ty\\nz\"", "\xd6\xc2\xc3\xfc\xb4\xed\xce\xf3: fatal: unable to access", "::error::go: x@v1: EOF",
	} {
		f.Add([]byte(s), uint8(0))
	}
	formats := present.Formats()
	f.Fuzz(func(t *testing.T, text []byte, how uint8) {
		format := formats[int(how)%len(formats)]
		lang := []string{"en", "zh"}[int(how)/len(formats)%2]
		exit, out, errs := run(string(text), "explain", "--format", string(format), "--lang", lang)
		if exit != 0 && exit != 1 && exit != 3 || exit == 1 != (errs != "") {
			t.Errorf("exit code %d, %s", exit, errs)
		}
		if !utf8.ValidString(out) || strings.ContainsAny(out, "\x00\x07\x1b") {
			t.Errorf("%s acts: %q", format, out)
		}
		if exit == 1 {
			return
		}
		switch format {
		case present.JSON, present.SARIF:
			if !json.Valid([]byte(out)) {
				t.Errorf("%s is no JSON: %s", format, out)
			}
		case present.JSONL:
			for line := range strings.Lines(out) {
				if !json.Valid([]byte(line)) {
					t.Errorf("no JSON: %s", line)
				}
			}
		}
	})
}
