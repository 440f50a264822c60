package explain_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/explain"
	"github.com/keepwell/keepwell/internal/mask/masktest"
	"github.com/keepwell/keepwell/internal/normalise"
)

func split(text string) []*explain.Statement {
	var all []*explain.Statement
	explain.Split(normalise.Lines(text, 1), func(s *explain.Statement) { all = append(all, s) })
	return all
}

func texts(all []*explain.Statement) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = s.Text
	}
	return out
}

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		story, in string
		want      []string
	}{
		{
			"a chain stays together",
			"go: example.com/shop@v1.0.0 requires\n\texample.com/widget@v1.2.0: reading https://goproxy.cn/x: 404 Not Found\n\tserver response: not found\ngo: example.com/other@v1.0.0: EOF\n",
			[]string{"go: example.com/shop@v1.0.0 requires\n\texample.com/widget@v1.2.0: reading https://goproxy.cn/x: 404 Not Found\n\tserver response: not found", "go: example.com/other@v1.0.0: EOF"},
		},
		{
			"progress and commands are no part of an error",
			"$ go mod download\ngo: downloading example.com/widget v1.2.0\ngo: example.com/widget@v1.2.0: EOF\n",
			[]string{"$ go mod download", "go: example.com/widget@v1.2.0: EOF"},
		},
		{
			"a reason behind a blank line belongs to the error",
			"verifying example.com/widget@v1.2.0: checksum mismatch\n\tdownloaded: h1:x\n\nSECURITY ERROR\nThis download does NOT match.\n",
			[]string{"verifying example.com/widget@v1.2.0: checksum mismatch\n\tdownloaded: h1:x\nSECURITY ERROR\nThis download does NOT match."},
		},
		{
			"npm's block is one statement",
			"npm warn deprecated x\nnpm error code E404\nnpm error\nnpm error 404 Not Found\n",
			[]string{"deprecated x", "code E404\n404 Not Found"},
		},
		{"nothing", "\n\n", []string{}},
	} {
		if diff := cmp.Diff(c.want, texts(split(c.in))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.story, diff)
		}
	}
}

func TestServersAnswerIsTakenApart(t *testing.T) {
	t.Parallel()
	all := split("go: example.com/widget@v1.2.0: reading https://goproxy.cn/x: 404 Not Found\n\tserver response:\n\tnot found: example.com/widget@v1.2.0: dial tcp: i/o timeout\n")
	if len(all) != 1 {
		t.Fatalf("%d statements", len(all))
	}
	if s := all[0]; strings.Contains(s.Local, "i/o timeout") || !strings.Contains(s.Remote, "i/o timeout") || !strings.Contains(s.Text, "i/o timeout") {
		t.Errorf("local %q, remote %q", s.Local, s.Remote)
	}
}

// hardWrap cuts lines as a window of the given width does; Chinese takes two cells.
func hardWrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for _, r := range text {
		n := 1
		if r >= 0x2e80 {
			n = 2
		}
		if column+n > width {
			b.WriteByte('\n')
			column = 0
		}
		b.WriteRune(r)
		if column += n; r == '\n' {
			column = 0
		}
	}
	return b.String()
}

const timeout = `go: example.com/widget@v1.2.0: Get "https://goproxy.example.org/example.com/widget/@v/v1.2.0.info": dial tcp 203.0.113.7:443: connectex: A connection attempt failed because the connected party did not properly respond after a period of time.`

func TestUnwrap(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		story, in, want string // want "": nothing to join
	}{
		{"cmd.exe at 80 columns", hardWrap(timeout, 80), timeout},
		{"cmd.exe at 120 columns", hardWrap(timeout, 120), timeout},
		{"cmd.exe at 80 columns in Chinese", hardWrap("致命错误："+timeout, 80), "致命错误：" + timeout},
		{"a wide character that had no room", hardWrap("x"+strings.Repeat("连接失败", 30), 80), "x" + strings.Repeat("连接失败", 30)},
		{
			"a mailer's wrap at words",
			"go: example.com/widget@v1.2.0: reading the list of versions from\ngoproxy.example.org: dial tcp 203.0.113.7:443: connectex: A connection\nattempt failed",
			"go: example.com/widget@v1.2.0: reading the list of versions from goproxy.example.org: dial tcp 203.0.113.7:443: connectex: A connection attempt failed",
		},
		{"a tab begins a line of its own", hardWrap(timeout, 80) + "\n\tnot found", timeout + "\n\tnot found"},
		{"one line", timeout, ""},
		{"short lines", "go: a\n\tb\n\tc", ""},
		{"lines of their own", "go: example.com/widget@v1.2.0 requires a thing\n\tx: no", ""},
	} {
		t.Run(c.story, func(t *testing.T) {
			t.Parallel()
			all := split(c.in)
			if len(all) != 1 {
				t.Fatalf("%d statements: %q", len(all), texts(all))
			}
			got, ok := all[0].Unwrap()
			if ok != (c.want != "") {
				t.Fatalf("Unwrap = %v", ok)
			}
			if ok {
				if diff := cmp.Diff(c.want, got.Text); diff != "" || !got.Wrapped {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestFacts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		story, in string
		want      keepwell.Facts
	}{
		{
			"a download", `go: example.com/widget@v1.2.0: Get "https://goproxy.example.org/example.com/!acme/widget/@v/v1.2.0+incompatible.info": dial tcp 203.0.113.7:443: i/o timeout`,
			keepwell.Facts{
				"module": "example.com/Acme/widget", "version": "v1.2.0+incompatible", "host": "goproxy.example.org", "proxy": "goproxy.example.org",
				"url":     "https://goproxy.example.org/example.com/!acme/widget/@v/v1.2.0+incompatible.info",
				"address": "203.0.113.7", "port": "443", "phase": "dial",
			},
		},
		{
			"a lookup", `go: example.com/widget@v1.2.0: Get "https://goproxy.cn/example.com/widget/@v/list": dial tcp: lookup goproxy.cn on 10.0.0.2:53: no such host`,
			keepwell.Facts{
				"module": "example.com/widget", "version": "v1.2.0", "host": "goproxy.cn", "proxy": "goproxy.cn",
				"url": "https://goproxy.cn/example.com/widget/@v/list", "phase": "lookup",
			},
		},
		{
			"no secret gets in", `go: example.com/widget@v1.2.0: Get "https://bob:hunter2@goproxy.example.org/example.com/widget/@v/list?token=abc": EOF`,
			keepwell.Facts{
				"module": "example.com/widget", "version": "v1.2.0", "host": "goproxy.example.org", "proxy": "goproxy.example.org",
				"url": "https://goproxy.example.org/example.com/widget/@v/list",
			},
		},
		{
			"an IPv6 address", `fatal: unable to access 'https://git.example.com/x/': dial tcp [2001:db8::7]:443: connect: connection refused`,
			keepwell.Facts{"host": "git.example.com", "url": "https://git.example.com/x/", "address": "2001:db8::7", "port": "443", "phase": "dial"},
		},
		{
			"a server as ssh names it", "git@git.example.com: Permission denied (publickey).\nfatal: Could not read from remote repository.",
			keepwell.Facts{"host": "git.example.com"},
		},
		{
			"versions", "go: example.com/widget@v1.2.0 requires go >= 1.25.0 (running go 1.24.1)",
			keepwell.Facts{"module": "example.com/widget", "version": "v1.2.0", "goversion": "1.25.0", "running": "1.24.1"},
		},
	} {
		t.Run(c.story, func(t *testing.T) {
			t.Parallel()
			s := split(c.in)[0]
			got := s.Facts(keepwell.Span{End: len(s.Text)})
			delete(got, "scope") // follows from the module
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLongAnswerIsCutBetweenCharacters: what a server says at length is cut to a
// fact without breaking a character, and masked before it is cut.
func TestLongAnswerIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for pad := range 4 {
		in := "go: example.com/widget@v1.2.0: reading https://goproxy.cn/x: 403 Forbidden\n\tserver response: " + strings.Repeat("x", pad) + strings.Repeat("拒绝访问", 30)
		s := split(in)[0]
		if got := s.Facts(keepwell.Span{End: len(s.Text)})["server"]; !utf8.ValidString(got) || len(got) > 310 {
			t.Errorf("server = %q", got)
		}
	}
	in := "go: example.com/widget@v1.2.0: reading https://goproxy.cn/x: 403 Forbidden\n\tserver response: " + strings.Repeat("x ", 140) + "ghp_abcdefghijklmnopqrstuvwxyz0123456789"
	s := split(in)[0]
	if got := s.Facts(keepwell.Span{End: len(s.Text)})["server"]; strings.Contains(got, "abcdef") {
		t.Errorf("the cut broke the mask: %q", got)
	}
}

func seeds(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 20 {
		f.Add(masktest.Plant(r).Text)
	}
	for _, s := range append(append([]string{}, planted...), timeout, hardWrap(timeout, 80), "", "\n", "\t", "go: ", "server response:", "requires\n", "#1 \n|\n| x",
		"npm ERR!\nnpm ERR! x\n\nnpm ERR! y", "not found: \n go: x", "$ curl x\nnot found: y", "http://[::1", "https://\x00", "a.bc/d@v", "dial tcp [::]:1", "https:/x.y/@v/v1.zip",
		"requires go >= 1.25rc1", "get \"x\": Get y:", "╰─▶ x\n  × y", "lookup a on [::1]:53:", "https://x/!!/@v/v1.info", "https://x/a.b/!A/@latest") {
		f.Add(s)
	}
}

// FuzzSplit: every line that says something stands in exactly one statement, in
// order, and a statement is bounded.
func FuzzSplit(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		last := 0
		for _, s := range split(normalise.UTF8.Decode([]byte(text))) {
			if len(s.Lines) == 0 || s.Text == "" && s.Local == "" && s.Remote == "" && s.Lines[0].Text != "" {
				t.Errorf("an empty statement: %+v", s)
			}
			size := 0
			for _, l := range s.Lines {
				if l.N < last {
					t.Errorf("line %d stands behind line %d", l.N, last)
				}
				last = l.N
				size = max(size, len(l.Text))
			}
			if len(s.Lines) > 80 || len(s.Text) > 24<<10+2*size+80 {
				t.Errorf("a statement of %d lines and %d bytes", len(s.Lines), len(s.Text))
			}
			s.OfProgram()
			if u, ok := s.Unwrap(); ok && (!u.Wrapped || len(u.Lines) >= len(s.Lines)) {
				t.Errorf("Unwrap joined nothing: %q", u.Text)
			}
		}
	})
}

// FuzzFacts: facts are never empty, are text, and each is legal or at least
// harmless where it is shown.
func FuzzFacts(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range split(normalise.UTF8.Decode([]byte(text))) {
			for _, span := range []keepwell.Span{{}, {End: len(s.Text)}, {Start: len(s.Text) / 2, End: len(s.Text) / 2}} {
				for name, value := range s.Facts(span) {
					if value == "" || !utf8.ValidString(value) || strings.ContainsAny(value, "\x00\x1b\n\r") {
						t.Errorf("fact %s = %q", name, value)
					}
				}
			}
		}
	})
}
