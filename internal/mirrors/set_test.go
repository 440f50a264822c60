package mirrors_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mirrors"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/settings"
)

const rootList = "https://goproxy.example.org,direct"

// machine has variables in go's user file, by NAME=VALUE.
func machine(vars ...string) *settings.Settings {
	l := goenv.Layers{
		OS: map[string]string{}, User: map[string]string{}, UserFile: "/goenv",
		Root: map[string]string{"GOPROXY": rootList, "GOSUMDB": mirrors.SumName},
	}
	for _, kv := range vars {
		name, value, _ := strings.Cut(kv, "=")
		l.User[name] = value
	}
	l.Go = map[string]string{"GOPROXY": rootList, "GOSUMDB": mirrors.SumName, "GOPRIVATE": "", "GONOPROXY": l.User["GOPRIVATE"], "GONOSUMDB": l.User["GOPRIVATE"]}
	for name, value := range l.User {
		l.Go[name] = value
	}
	return &settings.Settings{Go: l, Env: l.Env(), OS: l.OS}
}

func requiring(s *settings.Settings, paths ...string) *settings.Settings {
	for _, p := range paths {
		s.Project.Requires = append(s.Project.Requires, module.Version{Path: p, Version: "v1.0.0"})
	}
	return s
}

func known(t *testing.T) *mirrors.Catalogue {
	t.Helper()
	c, err := mirrors.Read([]byte(`
mirrors:
  go:
    - {name: a, url: 'https://a.example.org'}
    - {name: b, url: 'https://b.example.org/go/'}
asks: {go: {path: example.com/a, version: v1.0.0, fresh: [example.com/b], absent: example.com/c}}
`))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestGoSet: "NAME=VALUE" for each change, with "!" where only a person may decide.
func TestGoSet(t *testing.T) {
	t.Parallel()
	const b = "https://b.example.org/go/"
	withSums := mirrors.Measured{Sums: mirrors.Check{State: observe.Yes, Key: "mirrors.sums.proved"}}
	without := mirrors.Measured{Sums: mirrors.Check{State: observe.No, Key: "mirrors.sums.direct"}}
	reached := mirrors.Check{State: observe.Yes, Key: "x"}
	missed := mirrors.Check{State: observe.NotChecked, Key: "x"}
	for name, row := range map[string]struct {
		s      *settings.Settings
		m      mirrors.Measured
		direct map[string]mirrors.Check
		stops  bool
		want   string
	}{
		"default":                   {s: machine(), m: withSums, want: "GOPROXY=" + b + ",direct"},
		"another public one":        {s: machine("GOPROXY=https://a.example.org,direct"), want: "GOPROXY=" + b + ",direct"},
		"a bar stays":               {s: machine("GOPROXY=https://a.example.org|direct"), want: "GOPROXY=" + b + "|direct"},
		"off at the end stays":      {s: machine("GOPROXY=https://a.example.org,off"), want: "GOPROXY=" + b + ",off"},
		"several public ones":       {s: machine("GOPROXY=https://a.example.org,https://goproxy.cn,direct"), want: "GOPROXY=" + b + ",direct"},
		"no direct":                 {s: machine("GOPROXY=https://a.example.org"), want: "GOPROXY=" + b},
		"in use":                    {s: machine("GOPROXY=" + b + ",direct"), want: ""},
		"in use with others":        {s: machine("GOPROXY=https://b.example.org/go|https://a.example.org,direct"), want: ""},
		"one that stops":            {s: machine(), stops: true, want: "GOPROXY=" + b + "|direct"},
		"off":                       {s: machine("GOPROXY=off"), want: "!GOPROXY=" + b + ",direct"},
		"direct":                    {s: machine("GOPROXY=direct"), want: "!GOPROXY=" + b + ",direct"},
		"company only":              {s: machine("GOPROXY=https://corp.example.com/go"), want: "!GOPROXY=https://corp.example.com/go," + b},
		"company and direct":        {s: machine("GOPROXY=https://corp.example.com/go|direct"), want: "!GOPROXY=https://corp.example.com/go," + b + ",direct"},
		"company first":             {s: machine("GOPROXY=https://corp.example.com/go|https://a.example.org,direct"), want: "!GOPROXY=https://corp.example.com/go|" + b + ",direct"},
		"company keeps its login":   {s: machine("GOPROXY=https://bob:pw@corp.example.com/go,https://a.example.org"), want: "!GOPROXY=https://bob:pw@corp.example.com/go," + b},
		"company serves private":    {s: requiring(machine("GOPROXY=https://corp.example.com/go", "GONOPROXY=none", "GOPRIVATE=x.example"), "git.acme.corp/x"), want: "!GOPROXY=https://corp.example.com/go," + b},
		"patterns stay":             {s: machine("GOPRIVATE=*.example.net", "GONOPROXY=*.example.net,y.example"), want: "GOPROXY=" + b + ",direct"},
		"private names":             {s: requiring(machine("GOPRIVATE=x.example"), "git.acme.corp/x", "git.acme.corp/y", "code.other.internal/z", "example.com/public"), want: "GOPROXY=" + b + ",direct GOPRIVATE=x.example,git.acme.corp,code.other.internal"},
		"GONOPROXY leaves out":      {s: machine("GOPRIVATE=x.example", "GONOPROXY=y.example"), want: "GOPROXY=" + b + ",direct GONOPROXY=y.example,x.example"},
		"GONOPROXY none":            {s: machine("GOPRIVATE=x.example", "GONOPROXY=none"), want: "GOPROXY=" + b + ",direct GONOPROXY="},
		"GOSUMDB off stays":         {s: machine("GOSUMDB=off"), m: without, want: "GOPROXY=" + b + ",direct"},
		"another database stays":    {s: machine("GOSUMDB=sum.example.org+1+AAAA"), m: without, want: "GOPROXY=" + b + ",direct"},
		"database reached directly": {s: machine(), m: without, direct: map[string]mirrors.Check{mirrors.SumName: reached, mirrors.SumAlias: reached}, want: "GOPROXY=" + b + ",direct"},
		"database under its alias":  {s: machine(), m: without, direct: map[string]mirrors.Check{mirrors.SumName: missed, mirrors.SumAlias: reached}, want: "GOPROXY=" + b + ",direct !GOSUMDB=" + mirrors.SumAlias},
		"no database at all":        {s: machine(), m: without, direct: map[string]mirrors.Check{mirrors.SumName: missed, mirrors.SumAlias: missed}, want: "GOPROXY=" + b + ",direct"},
	} {
		m := row.m
		m.Mirror = mirrors.Mirror{Name: "b", URL: b, Ecosystem: mirrors.Go}
		m.Stops = row.stops
		var got []string
		for _, v := range mirrors.GoSet(row.s, known(t), &m, row.direct) {
			if v.Name == "GOSUMDB" && v.Changes && v.Value != mirrors.SumAlias {
				t.Errorf("%s: verification would become %q", name, v.Value)
			}
			if !v.Changes {
				continue
			}
			text := v.Name + "=" + v.Value
			if v.Ask {
				text = "!" + text
			}
			got = append(got, text)
		}
		if text := strings.Join(got, " "); text != row.want {
			t.Errorf("%s: %s\nwant %s", name, text, row.want)
		}
	}
}

// TestGoSetOfTheDefault takes the setting away.
func TestGoSetOfTheDefault(t *testing.T) {
	t.Parallel()
	m := mirrors.Measured{Mirror: mirrors.Mirror{Name: mirrors.DefaultName, URL: "https://goproxy.example.org", Ecosystem: mirrors.Go}}
	set := mirrors.GoSet(machine("GOPROXY=https://a.example.org,direct"), known(t), &m, nil)
	if v := set[0]; v.Name != "GOPROXY" || !v.Changes || v.Value != "" || v.Ask {
		t.Errorf("got %+v", v)
	}
}

func TestCandidates(t *testing.T) {
	t.Parallel()
	s := machine("GOPROXY=https://bob:canary1@corp.example.com/go,https://b.example.org/go,direct")
	var got []string
	for _, m := range mirrors.Candidates(known(t), mirrors.Go, s, mirrors.Default(t.Context(), mirrors.Go, s)) {
		text := m.Name + " " + m.URL
		if m.InUse {
			text += " in use"
		}
		got = append(got, text)
	}
	want := "default https://goproxy.example.org\na https://a.example.org\nb https://b.example.org/go/ in use\ncorp.example.com https://corp.example.com/go in use"
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

func TestToolSettings(t *testing.T) {
	t.Parallel()
	const at = "https://m.example.org/simple"
	for name, row := range map[string]struct {
		pip          bool
		before, want string // "-" is no file
		line         int    // of the setting in before; 0 is none
		url          string
	}{
		"npm, no file":          {false, "-", "registry=" + at + "\n", 0, at},
		"npm, other lines":      {false, "//x.example/:_authToken=${T}\n", "//x.example/:_authToken=${T}\nregistry=" + at + "\n", 0, at},
		"npm, no last newline":  {false, "a=b", "a=b\nregistry=" + at + "\n", 0, at},
		"npm, replaced":         {false, "a=b\r\nregistry = https://x.example\r\n c=d\r\n", "a=b\r\nregistry=" + at + "\r\n c=d\r\n", 2, at},
		"npm, taken away":       {false, "a=b\nregistry=https://x.example\nc=d\n", "a=b\nc=d\n", 2, ""},
		"npm, nothing to take":  {false, "a=b\n", "a=b\n", 0, ""},
		"pip, no file":          {true, "-", "[global]\nindex-url = " + at + "\n", 0, at},
		"pip, other section":    {true, "[install]\nx = y\n", "[install]\nx = y\n[global]\nindex-url = " + at + "\n", 0, at},
		"pip, in its section":   {true, "# c\n[global]\ntimeout = 60\n\n[install]\n", "# c\n[global]\nindex-url = " + at + "\ntimeout = 60\n\n[install]\n", 0, at},
		"pip, replaced":         {true, "[global]\nindex-url =\n  https://x.example\ntimeout = 60\n", "[global]\nindex-url = " + at + "\ntimeout = 60\n", 2, at},
		"pip, taken away":       {true, "[global]\nindex-url = https://x.example\n", "[global]\n", 2, ""},
		"pip, nothing to take":  {true, "[global]\n", "[global]\n", 0, ""},
		"pip, the very section": {true, "[global]", "[global]\nindex-url = " + at + "\n", 0, at},
	} {
		home := t.TempDir()
		s := &settings.Settings{Home: home, OS: map[string]string{}, Project: settings.Project{Dir: t.TempDir()}}
		file, entry, set := s.NpmUserFile(), "registry", mirrors.NpmSet
		if row.pip {
			file, entry, set = s.PipUserFile(), "index-url", mirrors.PipSet
		}
		if row.before != "-" {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(row.before), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		e := []settings.Entry{{Name: entry, File: file, Line: row.line, Place: "user", InForce: true}}
		if row.line == 0 {
			e = nil
		}
		s.Npm, s.Pip = e, e
		edit, err := set(s, row.url)
		if err != nil || string(edit.After) != row.want || edit.Path != file {
			t.Errorf("%s: %q, %v\nwant %q", name, edit.After, err, row.want)
		}
		if (edit.Before == nil) != (row.before == "-") {
			t.Errorf("%s: before %q", name, edit.Before)
		}
	}
}

func TestOutranked(t *testing.T) {
	t.Parallel()
	s := &settings.Settings{Home: t.TempDir(), OS: map[string]string{}, Project: settings.Project{Dir: t.TempDir()}}
	s.Npm = []settings.Entry{{Name: "registry", Value: "x", Place: "project", File: "/p/.npmrc", Line: 3, InForce: true}}
	s.Pip = []settings.Entry{{Name: "index-url", Value: "x", Place: "environment", InForce: true}}
	var e *mirrors.OutrankedError
	if _, err := mirrors.NpmSet(s, "https://a.example.org"); !errors.As(err, &e) || e.Place != "project" || e.Line != 3 {
		t.Errorf("npm: %v", err)
	}
	if _, err := mirrors.PipSet(s, "https://a.example.org"); !errors.As(err, &e) || e.Place != "environment" {
		t.Errorf("pip: %v", err)
	}
	s.Home = ""
	s.Pip = nil
	if _, err := mirrors.PipSet(s, "https://a.example.org"); err == nil {
		t.Error("a file without a home")
	}
}
