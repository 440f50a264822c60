package settings

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestAssignmentsAreFoundAndRewritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		syntax        Syntax
		line, value   string
		with, rewrite string
	}{
		{Shell, `export GOPROXY=https://a.example`, "https://a.example", "https://b.example,direct", `export GOPROXY=https://b.example,direct`},
		{Shell, `export GOPROXY="https://a.example,direct" # mirror`, "https://a.example,direct", "off", `export GOPROXY="off" # mirror`},
		{Shell, `GOPROXY='a' GOSUMDB=off`, "a", "b|c", `GOPROXY='b|c' GOSUMDB=off`},
		{Shell, `GOPROXY=a; export GOPROXY`, "a", "b|c", `GOPROXY='b|c'; export GOPROXY`},
		{Shell, `export GOPROXY=a`, "a", "it's", `export GOPROXY="it's"`},
		{Shell, `export GOPROXY="a"`, "a", "$(x)", `export GOPROXY="\$(x)"`},
		{Shell, `ENV CGO_ENABLED=0 GOPROXY=a`, "a", "b", `ENV CGO_ENABLED=0 GOPROXY=b`},
		{Shell, `ARG GOPROXY=a`, "a", "", `ARG GOPROXY=''`},
		{Shell, `RUN go env -w GOPROXY=a && go build`, "a", "b", `RUN go env -w GOPROXY=b && go build`},
		{Fish, `set -gx GOPROXY a`, "a", "b", `set -gx GOPROXY b`},
		{Fish, `set --export --global GOPROXY "a"`, "a", "b", `set --export --global GOPROXY "b"`},
		{Fish, `setenv GOPROXY a`, "a", "b", `setenv GOPROXY b`},
		{Fish, `ENV GOPROXY a`, "a", "b", `ENV GOPROXY b`},
		{Mapped, `  GOPROXY: https://a.example,direct`, "https://a.example,direct", "off", `  GOPROXY: off`},
		{Mapped, `  GOPROXY: 'a' # x`, "a", "b: c", `  GOPROXY: 'b: c' # x`},
		{Mapped, `  "GOPROXY": "a",`, "a", "b", `  "GOPROXY": "b",`},
		{Mapped, `  GOPRIVATE: a`, "a", "*.b", `  GOPRIVATE: "*.b"`},
	} {
		name := "GOPROXY"
		if strings.Contains(c.line, "GOPRIVATE") {
			name = "GOPRIVATE"
		}
		got := Assignments([]byte("x\r\n"+c.line+"\r\ny"), []string{name}, c.syntax)
		if len(got) != 1 || got[0].Value != c.value || got[0].Line != 2 {
			t.Errorf("%s: %+v", c.line, got)
			continue
		}
		if r := got[0].Rewrite(c.with); r != c.rewrite {
			t.Errorf("%s: rewritten to %s, want %s", c.line, r, c.rewrite)
		}
	}
	for _, line := range []string{
		`# export GOPROXY=a`, `// GOPROXY=a`, `export MYGOPROXY=a`, `echo $GOPROXY`, `unset GOPROXY`, `GOPROXYX=a`, `if [ -z "$GOPROXY" ]`,
	} {
		if got := Assignments([]byte(line), []string{"GOPROXY"}, Shell, Fish, Mapped); len(got) != 0 {
			t.Errorf("%s: %+v", line, got)
		}
	}
	if got := Assignments([]byte(`export GOPROXY="$MIRROR,direct"`), []string{"GOPROXY"}, Shell); len(got) != 1 || !got[0].Computed {
		t.Errorf("%+v", got)
	}
}

func TestNpmrcAndPipConf(t *testing.T) {
	t.Parallel()
	got := parseNpmrc([]byte("\ufeff; c\n# c\n[x]\nregistry = https://a.example/\r\n//a.example/:_authToken=\"t\"\nca[]=x\nstrict-ssl\n"))
	want := []pair{
		{key: "registry", value: "https://a.example/", line: 4},
		{key: "//a.example/:_authToken", value: "t", line: 5},
		{key: "ca", value: "x", line: 6},
		{key: "strict-ssl", value: "true", line: 7},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(pair{})); diff != "" {
		t.Error(diff)
	}
	got = parsePip([]byte("x=1\n[global]\nindex_url: https://a.example\nextra-index-url =\n  https://b.example\n  https://c.example\n# c\n[install]\nNo-Index = yes\n"))
	want = []pair{
		{key: "x", value: "1", line: 1},
		{section: "global", key: "index-url", value: "https://a.example", line: 3},
		{section: "global", key: "extra-index-url", value: "https://b.example https://c.example", line: 4},
		{section: "install", key: "no-index", value: "yes", line: 9},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(pair{})); diff != "" {
		t.Error(diff)
	}
}

// TestCredentialsAreDroppedWhereTheyAreRead: nothing that was parsed holds them.
func TestCredentialsAreDroppedWhereTheyAreRead(t *testing.T) {
	t.Parallel()
	s := &Settings{OS: map[string]string{"TOKEN": "canary"}}
	var got []Entry
	for _, p := range parseNpmrc([]byte("//a.example/:_authToken=canary\n//a.example/x/:_password=canary\n_auth=canary\n//b.example/:_authToken=${TOKEN}\n//c.example/:_authToken=${NONE}\n")) {
		got = append(got, s.npmEntry(p, "user", "f"))
	}
	for _, p := range parsePip([]byte("[global]\nindex-url=https://bob:canary@a.example/simple https://b.example\n")) {
		got = append(got, s.pipEntry(p, "user", "f"))
	}
	want := []Entry{
		{Name: "//a.example/:_authToken", Credential: "token", Host: "a.example", Literal: true},
		{Name: "//a.example/x/:_password", Credential: "password", Host: "a.example", Literal: true},
		{Name: "_auth", Credential: "login", Literal: true},
		{Name: "//b.example/:_authToken", Credential: "token", Host: "b.example"},
		{Name: "//c.example/:_authToken", Credential: "token", Host: "c.example", Unset: true},
		{Name: "index-url", Value: "https://a.example/simple https://b.example", Credential: "login", Host: "a.example", Literal: true},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Entry{}, "Place", "File", "Line")); diff != "" {
		t.Error(diff)
	}
}

// FuzzAssignments: no file makes it panic, and what is rewritten is found again with
// the value that was put there.
func FuzzAssignments(f *testing.F) {
	f.Add("export GOPROXY=\"a\" # x\n", "b,c")
	f.Add("  GOPROXY: 'a'\n", "d|e")
	f.Add("set -gx GOPROXY a", "")
	f.Fuzz(func(t *testing.T, text, value string) {
		_ = parseNpmrc([]byte(text))
		_ = parsePip([]byte(text))
		if strings.ContainsAny(value, "\n\r\\$`\"'") || strings.TrimSpace(value) != value {
			return
		}
		for _, syntax := range []Syntax{Shell, Fish, Mapped} {
			for _, a := range Assignments([]byte(text), []string{"GOPROXY"}, syntax) {
				if strings.ContainsAny(a.Text, "\\\r") { // escapes are kept, not read
					continue
				}
				again := Assignments([]byte(a.Rewrite(value)), []string{"GOPROXY"}, syntax)
				if len(again) != 1 || again[0].Value != value {
					t.Errorf("%q with %q becomes %q: %+v", a.Text, value, a.Rewrite(value), again)
				}
			}
		}
	})
}
