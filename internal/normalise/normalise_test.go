package normalise_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"github.com/keepwell/keepwell/internal/normalise"
)

const refused = `go: example.com/widget@v1.2.0: Get "https://goproxy.example.org/example.com/widget/@v/v1.2.0.mod": dial tcp 203.0.113.7:443: connect: connection refused`

func utf16(t testing.TB, order unicode.Endianness, bom unicode.BOMPolicy, text string) []byte {
	t.Helper()
	out, err := unicode.UTF16(order, bom).NewEncoder().Bytes([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func gbk(t testing.TB, text string) []byte {
	t.Helper()
	out, err := simplifiedchinese.GBK.NewEncoder().Bytes([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestOpenTellsTheEncoding(t *testing.T) {
	t.Parallel()
	chinese := "致命错误：无法访问 'https://git.example.com/team/widget/'：连接被拒绝\n" + refused + "\n"
	long := strings.Repeat("正在下载依赖，请稍候……\n", 6000) // beyond what is sniffed, cut inside a character
	for _, c := range []struct {
		story string
		in    []byte
		want  normalise.Encoding
		text  string // as decoded; "" is the input itself
		err   error
	}{
		{story: "ASCII", in: []byte(refused), want: normalise.UTF8},
		{story: "UTF-8", in: []byte(chinese), want: normalise.UTF8},
		{story: "UTF-8 with BOM", in: []byte("\ufeff" + chinese), want: normalise.UTF8, text: chinese},
		{story: "long UTF-8", in: []byte("x" + long), want: normalise.UTF8},
		{story: "UTF-16 of PowerShell", in: utf16(t, unicode.LittleEndian, unicode.UseBOM, chinese), want: normalise.UTF16LE, text: chinese},
		{story: "UTF-16 big-endian", in: utf16(t, unicode.BigEndian, unicode.UseBOM, chinese), want: normalise.UTF16BE, text: chinese},
		{story: "UTF-16 that lost its BOM", in: utf16(t, unicode.LittleEndian, unicode.IgnoreBOM, refused), want: normalise.UTF16LE, text: refused},
		{story: "UTF-16 big-endian that lost its BOM", in: utf16(t, unicode.BigEndian, unicode.IgnoreBOM, refused), want: normalise.UTF16BE, text: refused},
		{story: "GBK", in: gbk(t, chinese), want: normalise.GBK, text: chinese},
		{story: "long GBK", in: gbk(t, "x"+long), want: normalise.GBK, text: "x" + long},
		{story: "stray Latin-1", in: []byte("caf\xe9 " + refused), want: normalise.UTF8, text: "caf\ufffd " + refused},
		{story: "a stray NUL", in: []byte("a\x00" + refused), want: normalise.UTF8},
		{story: "blank", in: []byte("\n"), want: normalise.UTF8},
		{story: "empty", in: nil, err: normalise.ErrEmpty},
		{story: "ELF", in: []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00"), err: normalise.ErrBinary},
		{story: "gzip", in: append([]byte{0x1f, 0x8b, 8, 0}, bytes.Repeat([]byte{0xe1, 3, 0x91, 0x0f, 2, 0xff, 0x10}, 40)...), err: normalise.ErrBinary},
		{story: "PNG", in: append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), make([]byte, 64)...), err: normalise.ErrBinary},
	} {
		t.Run(c.story, func(t *testing.T) {
			t.Parallel()
			r, enc, err := normalise.Open(iotest.HalfReader(bytes.NewReader(c.in)))
			if !errors.Is(err, c.err) || enc != c.want {
				t.Fatalf("Open = %q, %v; want %q, %v", enc, err, c.want, c.err)
			}
			if err != nil {
				return
			}
			raw, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			want := c.text
			if want == "" {
				want = string(c.in)
			}
			if diff := cmp.Diff(want, enc.Decode(raw)); diff != "" {
				t.Errorf("text (-want +got):\n%.2000s", diff)
			}
		})
	}
}

func TestOpenReportsAFailingReader(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is gone")
	if _, _, err := normalise.Open(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("Open = %v, want %v", err, broken)
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ story, in, want string }{
		{"colours", "\x1b[1;31mfatal:\x1b[0m no", "fatal: no"},
		{"colours with colons", "\x1b[38:5:196mfatal\x1b[m", "fatal"},
		{"colours in caret notation", "^[[31mfatal^[[0m", "fatal"},
		{"colours spelt in octal", `\033[31mfatal\033[0m`, "fatal"},
		{"colours spelt in hex", `\x1b[31mfatal\x1B[0m`, "fatal"},
		{"colours spelt in JSON", `\u001b[31mfatal\u001B[0m`, "fatal"},
		{"colours spelt for a shell", `\e[31mfatal\e[0m`, "fatal"},
		{"colours whose escape was lost", "[91mfatal: [0m[1;31mno[0m", "fatal: no"},
		{"what is no colour", "rate[5m] sum[30m] a[1] [0] [m [;m [1;5m [", "rate[5m] sum[30m] a[1] [0] [m [;m [1;5m ["},
		{"erasing", "\x1b[2K\x1b[1Gnpm", "npm"},
		{"a hyperlink", "see \x1b]8;;https://x.example\x1b\\here\x1b]8;;\x07.", "see here."},
		{"a title", "\x1b]0;title\x07npm", "npm"},
		{"a title without end loses no error", "\x1b]0;npm error", "0;npm error"},
		{"a character set", "\x1b(Bnpm", "npm"},
		{"an escape before Chinese", "\x1b致命错误", "致命错误"},
		{"two escapes", "\x1b\x1b[31mfatal", "fatal"},
		{"C1", "a\u009b31mb\u009d8;;x\u009cc\u0085", "abc"},
		{"progress", "10%\r50%\r100% done\r", "100% done"},
		{"progress and blanks", "error\r      ", "error"},
		{"CRLF", "fatal\r", "fatal"},
		{"backspaces", "ab\b\bfatal", "fatal"},
		{"a backspace over Chinese", "错\bx", "x"},
		{"a backspace at the start", "\b\bx", "x"},
		{"NUL and DEL", "a\x00b\x7fc", "abc"},
		{"bidi", "a\u202eb\u2066c\u061cd\u200be\ufefff", "abcdef"},
		{"tags", "a\U000e0041b", "ab"},
		{"odd blanks", "a\u00a0b\u3000c", "a b c"},
		{"tabs stay", "\tx\ty", "\tx\ty"},
		{"Windows paths stay", `C:\x033\new\user`, `C:\x033\new\user`},
		{"Chinese stays", "致命错误：无法访问", "致命错误：无法访问"},
	} {
		if got := normalise.Clean(c.in); got != c.want {
			t.Errorf("%s: Clean(%q) = %q, want %q", c.story, c.in, got, c.want)
		}
	}
}

// TestPrefixes has a line for each prefix of prefix.go; what is behind it must be
// the tool's own line with its indentation.
func TestPrefixes(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{
		"2026-01-02T03:04:05Z ", "2026-01-02T03:04:05.1234567Z ", "[2026-01-02 03:04:05] ", "2026-01-02T03:04:05+08:00 ",
		"2026-01-02T03:04:05.123456Z 00O ", "2026-01-02T03:04:05.123456Z 01E ", "2026-01-02T03:04:05.123456789Z stderr F ",
		"[03:04:05] ", "[03:04:05.123] ", "03:04:05 ", "03:04:05.123 [ERROR] ", "[  12.5s] ", "[12s] ",
		"#12 68.72 ", "#7 ", "build #15 4.6 ", "err: #9 3.3 ", "#9 ERROR: ", "68.72 ", "    0.123 ",
		"##[error]", "##[warning]", "::error::", "::error file=a,line=1::",
		"web-1  | ", "app_build.1 | ", "| ", " │ ", "┃ ", " → ",
		"widget> ", "my-app.drv> ", "       > ", "> ", "[pipenv.exceptions.InstallError]: ", "@scope/app:build: ", "app:test: ", "[pod/app-1/main] ",
		"(03:04:05) ", "3:04:05 PM: ", "Step #1: ", "Step #1 - \"build\": ", "[03:04:05]W:\t [Step 1/3] ", "[exec] ", "     [exec] ", "[stderr] ",
		"2026-01-02 03:04:05,678 - INFO - ", "2026-01-02 03:04:05,678 - build.run - ERROR - ", "[91m", "#12 68.72 [0m[91m",
		"2026-01-02T03:04:05.1234567Z #12 68.72 ", "[2026-01-02T03:04:05Z] web-1  | ", "2026-01-02T03:04:05Z ##[error]",
	} {
		for _, line := range []string{refused, "\tfatal: could not read Username for 'https://git.example.com': terminal prompts disabled"} {
			t.Run(fmt.Sprintf("%q", prefix), func(t *testing.T) {
				t.Parallel()
				got := normalise.Lines(prefix+line, 1)
				if diff := cmp.Diff([]normalise.Line{{N: 1, Text: line}}, got); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// TestNoPrefix: lines that only look as if they had one stay whole.
func TestNoPrefix(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"go: example.com/widget@v1.2.0: not found", "example.com/widget@v1.2.0: Get \"x\": EOF", "[1/4] Resolving packages...", "fatal: not a git repository",
		"main.go:4:2: no required module provides package example.com/widget", "    hint: 42 things", "10 errors", "404 Not Found", "--> x",
		"example.com:443: connection refused", "a > b", "(12 files)", "- ERROR", "--- FAIL: TestStep", "Step #1", "Step 1/3 : FROM golang",
	} {
		if got := normalise.Lines(line, 7); len(got) != 1 || got[0].Text != line || got[0].N != 7 {
			t.Errorf("Lines(%q) = %+v", line, got)
		}
	}
}

func TestSpeakers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want normalise.Line
	}{
		{"npm ERR! code E404", normalise.Line{N: 1, Text: "code E404", Speaker: "npm"}},
		{"npm ERR!", normalise.Line{N: 1, Speaker: "npm"}},
		{"npm error code E404", normalise.Line{N: 1, Text: "code E404", Speaker: "npm"}},
		{"npm warn deprecated x", normalise.Line{N: 1, Text: "deprecated x", Speaker: "npm", Quiet: true}},
		{"906 verbose stack Error", normalise.Line{N: 1, Text: "stack Error", Speaker: "npm", Quiet: true}},
		{"907 error code E404", normalise.Line{N: 1, Text: "code E404", Speaker: "npm"}},
		{"#9 1.234 npm ERR! code E404", normalise.Line{N: 1, Text: "code E404", Speaker: "npm"}},
	} {
		if diff := cmp.Diff([]normalise.Line{c.want}, normalise.Lines(c.in, 1)); diff != "" {
			t.Errorf("Lines(%q):\n%s", c.in, diff)
		}
	}
}

func TestLinesUnfoldsLogRecordsAndKeepsNumbers(t *testing.T) {
	t.Parallel()
	got := normalise.Lines("first\r\n"+`{"level":"error","msg":"go: example.com/widget@v1.2.0:\n\tnot found \u003cx\u003e"}`+"\nC:\\new\\n", 10)
	want := []normalise.Line{
		{N: 10, Text: "first"},
		{N: 11, Text: `{"level":"error","msg":"go: example.com/widget@v1.2.0:`},
		{N: 11, Text: "\tnot found <x>\"}"},
		{N: 12, Text: `C:\new\n`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func seeds(f *testing.F) {
	for _, s := range []string{
		"", "\n", "\x1b", "\x1b[", "\x1b]8;;", "^[[", `\033[`, `\u001b[1m`, "\xc2", "\xc2\x9b", "a\b\b\b", "\r\r\n", "\u202e", "\xff\xfe", refused,
		"#12 68.72 \x1b[31m" + refused + "\x1b[0m\r", `msg="go: x\n\ty\nz"`, "2026-01-02T03:04:05.1Z ##[error]npm ERR! code E404", "1 error x", "\x1b致", "> > > > > x",
		"致命错误：\t无法访问\u3000", "\x1b\x1b\x1b[31mx", "e\u0301\b", "\u0085", "::error::\\n\\n\\n\\n",
	} {
		f.Add(s)
	}
}

// inert fails where s holds anything that a terminal would act on.
func inert(t *testing.T, of, s string) {
	t.Helper()
	if utf8.ValidString(of) && !utf8.ValidString(s) {
		t.Errorf("%q of %q is not valid UTF-8", s, of)
	}
	for _, r := range s {
		if r < 0x20 && r != '\t' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			t.Errorf("%q of %q holds %U", s, of, r)
		}
	}
}

func FuzzClean(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Contains(s, "\n") {
			return // a line has none
		}
		got := normalise.Clean(s)
		inert(t, s, got)
		if n := utf8.RuneCountInString(got); n > utf8.RuneCountInString(s) {
			t.Errorf("Clean(%q) = %q is longer", s, got)
		}
	})
}

func FuzzLines(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, s string) {
		s = normalise.UTF8.Decode([]byte(s))
		last := 5
		for _, l := range normalise.Lines(s, 5) {
			inert(t, s, l.Text)
			if l.N < last || l.N > last+1 {
				t.Errorf("line numbers jump from %d to %d", last, l.N)
			}
			last = l.N
			if strings.TrimRight(l.Text, " \t") != l.Text {
				t.Errorf("%q ends in blanks", l.Text)
			}
		}
		if want := 5 + strings.Count(s, "\n"); last != want {
			t.Errorf("the last line is %d, want %d", last, want)
		}
	})
}
