package rewrite

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// modFile rewrites a go.mod; comments and order stay. imported says that a source of
// the module imports a package below c.From. It returns nil where nothing changes.
func (c Change) modFile(name string, data []byte, imported bool, p paths) ([]byte, error) {
	f, err := modfile.Parse(name, data, bearable(c.From))
	if err != nil {
		return nil, fmt.Errorf("reading go.mod: %w", err)
	}
	sorted := isSorted(name, data, c.From)
	if err := c.requirements(f, imported); err != nil {
		return nil, err
	}
	for _, r := range f.Replace {
		c.replacement(r)
	}
	for _, x := range f.Exclude {
		if x.Mod.Path != c.From || c.Kind == Version || c.Kind == Replace {
			continue
		}
		if c.Kind != Rename && module.CheckPathMajor(x.Mod.Version, majorOf(c.To)) != nil {
			if err := f.DropExclude(x.Mod.Path, x.Mod.Version); err != nil {
				return nil, err
			}
			continue
		}
		exchangeToken(x.Syntax, c.From, c.To)
	}
	if c.Kind == Move || c.Kind == Rename {
		for _, t := range f.Tool {
			if to, ok := p.path(t.Path); ok {
				exchangeToken(t.Syntax, t.Path, to)
			}
		}
	}
	if c.Kind == Rename && f.Module != nil && f.Module.Mod.Path == c.From {
		exchangeToken(f.Module.Syntax, c.From, c.To)
	}
	f.Cleanup()
	if sorted {
		f.SortBlocks()
	}
	return changedText(data, modfile.Format(f.Syntax)), nil
}

// workFile rewrites the replacements of a go.work.
func (c Change) workFile(name string, data []byte) ([]byte, error) {
	f, err := modfile.ParseWork(name, data, nil)
	if err != nil {
		return nil, fmt.Errorf("reading go.work: %w", err)
	}
	for _, r := range f.Replace {
		c.replacement(r)
	}
	f.Cleanup()
	return changedText(data, modfile.Format(f.Syntax)), nil
}

// requirements changes the lines that require From.
func (c Change) requirements(f *modfile.File, imported bool) error {
	var old *modfile.Require
	already := false
	for _, r := range f.Require {
		if r.Mod.Path == c.From {
			old = r
		}
		already = already || r.Mod.Path == c.To
	}
	switch {
	case c.Kind == Replace, c.Kind == Move && !imported && (old == nil || old.Indirect):
		if old == nil && !imported {
			return nil
		}
		return f.AddReplace(c.From, "", c.To, c.Version)
	case c.Kind == Version:
		if old != nil {
			exchangeToken(old.Syntax, old.Mod.Version, c.Version)
		}
		return nil
	case old == nil && c.Kind == Rename:
		return nil
	case old == nil && (imported || c.Kind == Require) && !already:
		if !imported {
			return nil
		}
		return f.AddRequire(c.To, c.Version)
	case old == nil:
		return nil
	case already:
		if c.Version != "" {
			for _, r := range f.Require {
				if r.Mod.Path == c.To && semver.Compare(r.Mod.Version, c.Version) < 0 {
					exchangeToken(r.Syntax, r.Mod.Version, c.Version)
				}
			}
		}
		return f.DropRequire(c.From)
	}
	if c.Version != "" && c.Kind != Rename {
		exchangeToken(old.Syntax, old.Mod.Version, c.Version)
	}
	exchangeToken(old.Syntax, c.From, c.To)
	return nil
}

// replacement changes a line that replaces From, or takes it in the place of another.
func (c Change) replacement(r *modfile.Replace) {
	if c.Kind == Replace {
		return
	}
	arrow := -1
	for i, t := range r.Syntax.Token {
		if t == "=>" {
			arrow = i
		}
	}
	if arrow < 0 {
		return
	}
	if r.New.Path == c.From {
		right := &modfile.Line{Token: r.Syntax.Token[arrow:]}
		if c.Version != "" && c.Kind != Rename {
			exchangeToken(right, r.New.Version, c.Version)
		}
		if c.Kind != Version {
			exchangeToken(right, c.From, c.To)
		}
	}
	if r.Old.Path != c.From || c.Kind == Version || r.New.Path == c.To {
		return
	}
	left := r.Syntax.Token[:arrow]
	exchangeToken(&modfile.Line{Token: left}, c.From, c.To)
	if r.Old.Version != "" && c.Kind != Rename { // of To there is no such version
		r.Syntax.Token = append(append([]string{}, left[:arrow-1]...), r.Syntax.Token[arrow:]...)
	}
}

// exchangeToken exchanges the first word of a line that is old, quoted or not.
func exchangeToken(l *modfile.Line, old, with string) {
	for i, t := range l.Token {
		if t == old || strings.Trim(t, "\"`") == old {
			l.Token[i] = modfile.AutoQuote(with)
			return
		}
	}
}

func majorOf(path string) string {
	_, m, _ := module.SplitPathVersion(path)
	return m
}

// bearable lets a go.mod be read in which the version that from is required at does not
// fit its path, such as v5.0.12 of a path without /v5: that is what is being mended. It is
// read as the first version that fits. All others must fit.
func bearable(from string) modfile.VersionFixer {
	return func(path, version string) (string, error) {
		_, major, ok := module.SplitPathVersion(path)
		if path != from || !ok || !semver.IsValid(version) || module.CheckPathMajor(version, major) == nil {
			return version, nil
		}
		if prefix := module.PathMajorPrefix(major); prefix != "" {
			return prefix + ".0.0", nil
		}
		return "v0.0.0", nil
	}
}

// isSorted reports whether the blocks of a go.mod stand as go would sort them.
func isSorted(name string, data []byte, from string) bool {
	f, err := modfile.Parse(name, data, bearable(from))
	if err != nil {
		return false
	}
	before := modfile.Format(f.Syntax)
	f.SortBlocks()
	return bytes.Equal(before, modfile.Format(f.Syntax))
}

// changedText is the new text with the line ends of the old; nil where they say the same.
func changedText(before, after []byte) []byte {
	after = likeLines(before, after)
	if bytes.Equal(before, after) {
		return nil
	}
	return after
}

// likeLines gives a text the line ends of another.
func likeLines(model, text []byte) []byte {
	if n := bytes.Count(model, []byte("\n")); n == 0 || n != bytes.Count(model, []byte("\r\n")) {
		return text
	}
	return bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}
