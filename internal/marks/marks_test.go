package marks

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func old() Mark {
	return Mark{Ecosystem: "go", Name: "example.com/old", State: Abandoned, Why: "the repository is gone", Since: "2026-11-23", Evidence: []string{"https://example.com/old: 404"}}
}

func TestAddAndRemove(t *testing.T) {
	t.Parallel()
	f := File{Path: "x"}
	text, err := f.Add(old())
	if err != nil {
		t.Fatal(err)
	}
	want := heading + `marks:
  - ecosystem: go
    name: example.com/old
    state: abandoned
    why: the repository is gone
    since: "2026-11-23"
    evidence:
      - 'https://example.com/old: 404'
`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Fatal(diff)
	}
	f.Text = []byte(strings.Replace(string(text), "    why:", "    # ask again in spring\n    why:", 1))
	if f.Marks, err = Parse(f.Text); err != nil {
		t.Fatal(err)
	}
	other := Mark{Ecosystem: "npm", Name: "@acme/x", Version: "1.0.0", State: Accepted, Why: "no other", Since: "2026-01-02", Until: "2026-06-01"}
	if f.Text, err = f.Add(other); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(f.Text), "# ask again in spring") {
		t.Errorf("a comment is lost:\n%s", f.Text)
	}
	if f.Marks, err = Parse(f.Text); err != nil || len(f.Marks) != 2 {
		t.Fatal(f.Marks, err)
	}
	changed := old()
	changed.Why = "and nobody answers"
	again, err := f.Add(changed)
	if list, e := Parse(again); err != nil || e != nil || len(list) != 2 || list[0].Why != changed.Why {
		t.Errorf("%v %v %+v", err, e, list)
	}
	if got := f.Of("npm", "@acme/x", "2.0.0"); len(got) != 0 {
		t.Errorf("another version: %+v", got)
	}
	if got := f.Of("npm", "@acme/x", ""); len(got) != 1 || !got[0].Over(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)) || got[0].Over(time.Date(2026, 5, 31, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", got)
	}
	for _, m := range f.Marks {
		if f.Text, err = f.Remove(m.Ecosystem, m.Name, m.Version); err != nil {
			t.Fatal(err)
		}
		if f.Marks, err = Parse(f.Text); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.HasSuffix(string(f.Text), "marks: []\n") {
		t.Errorf("%s", f.Text)
	}
	if _, err := f.Remove("go", "example.com/old", ""); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
}

// TestStrict: what is not of the format is refused, all of it at once.
func TestStrict(t *testing.T) {
	t.Parallel()
	const good = "version: 1\nmarks:\n  - {ecosystem: go, name: example.com/a, state: abandoned, why: x, since: \"2026-01-01\"}\n"
	if _, err := Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ change, to, want string }{
		{"version: 1", "version: 2", "version 2"},
		{"why: x", "wy: x", "wy"},
		{"why: x", "why: ''", "line 3: why is empty"},
		{"example.com/a", "'-x'", `line 3: name "-x" is no module`},
		{"abandoned", "gone", `state "gone"`},
		{"2026-01-01", "yesterday", "no date"},
		{"go,", "cargo,", "cargo"},
		{"marks:\n", "marks:\n  - {ecosystem: go, name: example.com/a, state: accepted, why: y, since: \"2026-01-01\"}\n", "stands in line 3 already"},
		{"version: 1", "version: 1\n---\nversion: 1", ""},
		{"version: 1", "version: [", ""},
		{"version: 1", "version: &a 1\nx: *a", ""},
	} {
		text := strings.Replace(good, test.change, test.to, 1)
		_, err := Parse([]byte(text))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s\n%v", text, err)
		}
	}
	if _, err := Parse([]byte(strings.Repeat(" ", largest+1))); err == nil {
		t.Error("a text without end is read")
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	put := func(name, text string) {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("outer/go.mod", "")
	put("outer/repo/.git/x", "")
	put("outer/repo/go.work", "")
	put("outer/repo/a/go.mod", "")
	put("outer/repo/a/sub/x.go", "")
	put("outer/plain/x", "")
	for dir, want := range map[string]string{"outer/repo/a/sub": "outer/repo", "outer/repo": "outer/repo", "outer/plain": "outer"} {
		f, err := Find(filepath.Join(root, dir))
		if err != nil || f.Text != nil || f.Path != filepath.Join(root, want, Name) {
			t.Errorf("%s: %s, %v", dir, f.Path, err)
		}
	}
	put("outer/repo/a/"+Name, "version: 1\n")
	if f, err := Find(filepath.Join(root, "outer/repo/a/sub")); err != nil || f.Path != filepath.Join(root, "outer/repo/a", Name) || f.Text == nil {
		t.Errorf("%+v, %v", f, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("version: 1\nmarks:\n  - {ecosystem: go, name: example.com/a, state: abandoned, why: x, since: \"2026-01-01\"}\n")
	f.Add("version: 1\nmarks: []\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := Parse([]byte(text))
		if err != nil {
			return
		}
		file := File{Text: []byte(text), Marks: list}
		m := old()
		m.Name = "example.com/fuzz"
		after, err := file.Add(m)
		if err != nil {
			return
		}
		if again, err := Parse(after); err != nil || len(again) < len(list) {
			t.Errorf("%v: %d marks of %d\n%s", err, len(again), len(list), after)
		}
	})
}
