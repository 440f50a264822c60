package doctor

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/settings"
)

// Mend is one way to mend a finding on this machine, ready to be carried out. How safe
// it is follows from its steps.
type Mend struct {
	// ID names its words: "mend.<id>" of internal/msg/doctor_mend.go, which Args fill.
	ID    string
	Args  []string
	Steps []act.Step
	// Key tells this mend from others of its ID; empty means the first of Args.
	Key string
	// Exact says that only a consent to this very mend, by its whole name, covers it.
	Exact bool
	// Was is the name that has another in its place after the mend: Now. nil for others.
	Was string
	Now *Subject
	// Notes are what a person should know before they agree.
	Notes []Note
	// Sets are variables of this process's environment that will only have their new
	// value, "" for none, in the next shell: the steps change the file that sets them.
	Sets map[string]string
}

// Note is a key of internal/msg/doctor_moved.go with what fills it.
type Note struct {
	Key  string
	Args []string
}

// Name tells this very mend from others of the same ID, for a consent that covers
// nothing else.
func (m Mend) Name() string {
	switch {
	case m.Key != "":
		return m.ID + ":" + m.Key
	case len(m.Args) == 0:
		return m.ID
	}
	return m.ID + ":" + m.Args[0]
}

// Mends are the ways to mend f here, best first; none where only a person can do it or
// nothing is known to help. To add one, write a function that returns nothing where it
// does not fit, and name it in mends under the codes that it mends.
func Mends(ctx context.Context, c *Case, f keepwell.Finding) []Mend {
	var out []Mend
	for _, m := range mends() {
		if ctx.Err() != nil {
			return out
		}
		if !slices.Contains(m.codes, f.Code) {
			continue
		}
		for _, found := range m.plan(ctx, c, f) {
			if !slices.ContainsFunc(out, func(o Mend) bool { return o.Name() == found.Name() }) {
				out = append(out, found)
			}
		}
	}
	return out
}

// MendsBeside are mends of what the examination took for hygiene: a damaged cache, and,
// where something fails, a setting that go cannot read at all.
func MendsBeside(ctx context.Context, c *Case, f keepwell.Finding, fails bool) []Mend {
	if f.Code == "local/cache-corrupt" {
		return c.mendUnpacked(f)
	}
	if !fails {
		return nil
	}
	name := f.Facts["setting"]
	if name == "" || !slices.ContainsFunc(c.Settings.Lints(), func(l settings.Lint) bool {
		return l.Name == name && l.Line == 0 && l.Severity == keepwell.SeverityError
	}) {
		return nil
	}
	return mendSetting(ctx, c, f)
}

// MendsOfSettings are mends of settings that go cannot read and that are no fault of
// the catalogue, such as an unknown word in GOFLAGS: those that go names in what the
// checks saw.
func MendsOfSettings(c *Case, seen []Outcome) []Mend {
	var out []Mend
	named := func(name string) bool {
		return slices.ContainsFunc(seen, func(o Outcome) bool {
			return o.Check != "settings" && strings.Contains(strings.Join(o.Args, "\n"), "$"+name)
		})
	}
	for _, l := range c.Settings.Lints() {
		if l.Severity != keepwell.SeverityError || l.Code != "" || l.Line > 0 || c.Settings.KindOf(l.Name) != settings.ByGo || !named(l.Name) {
			continue
		}
		if value, ok := soundValue(c.Settings, l.Name); ok && mask.Text(l.Name+"="+value) == l.Name+"="+value {
			out = append(out, c.assignments("setting", []string{l.Name, value}, [2]string{l.Name, value})...)
		}
	}
	return out
}

type mender struct {
	codes []keepwell.Code
	plan  func(context.Context, *Case, keepwell.Finding) []Mend
	// first says that it may have to come before the mend of another fault.
	first bool
}

// mends are looked through from the cheapest and surest on.
func mends() []mender {
	return []mender{
		{codes: settingCodes(), plan: mendSetting, first: true},
		{codes: []keepwell.Code{"auth/goprivate-unset"}, plan: mendPrivate, first: true},
		{codes: cacheCodes(), plan: mendCache, first: true},
		{codes: []keepwell.Code{"local/cache-permission"}, plan: mendPermission, first: true},
		{codes: []keepwell.Code{"local/cache-corrupt", "proxy/bad-response"}, plan: mendNpmCache},
		{codes: npmLockCodes(), plan: mendNpmLock},
		{codes: []keepwell.Code{"vcs/ownership"}, plan: mendSafeDirectory},
		{codes: []keepwell.Code{"sum/malformed"}, plan: mendGoSum},
		{codes: modCodes(), plan: mendGoMod, first: true},
		{codes: tidyCodes(), plan: mendTidy},
		{codes: []keepwell.Code{"local/vendor"}, plan: mendVendor},
		{codes: []keepwell.Code{"local/workspace", "local/no-go-mod"}, plan: mendWork},
		{codes: wayCodes(), plan: mendMirror, first: true},
		{codes: []keepwell.Code{"vcs/tool-missing", "local/build-tool-missing", "tls/unknown-authority", "local/runtime-broken"}, plan: mendInstall},
	}
}

// lookFile reads a project's file that is to be changed; nil where there is none.
// Reports false where it cannot be read, and for a link: what it leads to is not the
// project's.
func lookFile(name string) ([]byte, bool) {
	info, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, true
	}
	if err != nil || !info.Mode().IsRegular() {
		return nil, false
	}
	data, err := plainfile.Read(name)
	return data, err == nil
}

// exchange is the edit of a file from one text to another; no step where they are the
// same.
func exchange(name string, before, after []byte, concern act.Concern) []act.Step {
	if bytes.Equal(before, after) && (before == nil) == (after == nil) {
		return nil
	}
	return []act.Step{act.Edit{Path: name, Before: before, After: after, Concern: concern}}
}

// within reports whether path lies below dir, links resolved where they exist.
func within(dir, path string) bool {
	if dir == "" || !filepath.IsAbs(dir) || !filepath.IsAbs(path) {
		return false
	}
	rel, err := filepath.Rel(resolved(dir), resolved(path))
	return err == nil && rel != "." && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// resolved follows the links of the part of a path that exists.
func resolved(path string) string {
	if r, err := filepath.EvalSymlinks(path); err == nil {
		return r
	}
	if dir := filepath.Dir(path); dir != path {
		return filepath.Join(resolved(dir), filepath.Base(path))
	}
	return path
}
