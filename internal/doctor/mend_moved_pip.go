package doctor

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/moved"
	"github.com/keepwell/keepwell/internal/rewrite"
	"github.com/keepwell/keepwell/internal/scratch"
)

// pipSources are the files of a project that list what pip installs.
func (c *Case) pipSources() []string {
	var out []string
	for _, pattern := range []string{"requirements*.txt", "requirements*.in", "constraints*.txt", "requirements/*.txt", "requirements/*.in", "pyproject.toml"} {
		names, err := filepath.Glob(filepath.Join(c.Dir, pattern))
		if err == nil {
			out = append(out, names[:min(len(names), 20)]...)
		}
	}
	return out
}

// mendPyPI carries out a proposal about a package of PyPI: the lines that require it,
// under whatever spelling of its name, are exchanged; pip tries first whether it can
// fetch what they then name.
func (c *Case) mendPyPI(ctx context.Context, p moved.Proposal) ([]Mend, error) {
	switch p.Mend {
	case moved.UpdatePath, moved.UpdateVersion, moved.GetOther:
	case moved.UseRegistry:
		return c.mendIndex(p)
	case moved.KeepCopy, moved.MarkAbandoned, moved.AskOwner:
		return c.mendMark(p)
	}
	var files []act.Edit
	var unhashed, specs []string
	for _, name := range c.pipSources() {
		before, ok := lookFile(name)
		if !ok || before == nil {
			continue
		}
		r := pipRename{from: moved.NormalPyPI(p.From), to: p.To, version: p.Version, toml: filepath.Ext(name) == ".toml"}
		after := r.text(string(before))
		if after == string(before) {
			continue
		}
		if abs, err := filepath.Abs(name); err == nil {
			name = abs
		}
		files = append(files, act.Edit{Path: name, Before: before, After: []byte(after)})
		specs = append(specs, r.specs...)
		if r.unhashed {
			unhashed = append(unhashed, here(c.Dir, name))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no requirement names %s: %w", p.From, rewrite.ErrNothing)
	}
	m := Mend{
		ID: "package", Args: []string{p.From, p.To, p.Version}, Key: p.From + "=" + p.To, Exact: true, Was: p.From,
		Now:   &Subject{Ecosystem: PyPI, Path: p.To, Version: p.Version},
		Steps: []act.Step{act.Edits{Target: p.From + " => " + p.To, Files: files, Concern: act.Packages}},
	}
	if p.Version != "" {
		m.Key += "==" + p.Version
	}
	if len(unhashed) > 0 {
		m.Notes = append(m.Notes, Note{"mend.note.hashes", []string{joined(unhashed)}})
	}
	why, err := c.pipFetches(ctx, specs)
	if err != nil {
		return nil, err
	}
	if why != "" {
		m.Notes = append(m.Notes, Note{"mend.note.untried", []string{why}})
	}
	return []Mend{m}, nil
}

// pipFetches has pip fetch requirements into a directory of ours: the error is what it
// says; why tells that it could not be tried.
func (c *Case) pipFetches(ctx context.Context, specs []string) (why string, err error) {
	py := python()
	if py == "" {
		return "python", nil
	}
	dir, err := os.MkdirTemp("", "keepwell-doctor-")
	if err != nil {
		return "", err
	}
	defer scratch.Remove(dir)
	slices.Sort(specs)
	for _, spec := range slices.Compact(specs) {
		if r := c.pipDownload(ctx, py, dir, "--", spec); !r.ok() {
			s := Subject{Ecosystem: PyPI, Path: pipName().FindString(spec)}
			if c.sourceOnly(ctx, py, dir, r, s) { // building it would run what its author wrote
				return spec, nil
			}
			return "", fmt.Errorf("pip cannot fetch %s: %s", spec, lastWords(r.Output))
		}
	}
	return "", nil
}

var (
	pipName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?`) })
	// pipLine is a requirement: blanks, name, extras, what is wanted of the version, the rest.
	pipLine = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(\s*)([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(\s*\[[^\]]*\])?(\s*)((?:(?:===|==|~=|!=|<=|>=|<|>)\s*[^\s,;"'#\\]+\s*,?\s*)*)(.*)$`)
	})
	pipHash   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\s*\\?\s*--hash=\S+`) })
	tomlEntry = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(["'])([^"'\n]*)(["'])`) })
)

// pipRename exchanges a requirement in a text.
type pipRename struct {
	from        string // normalised
	to, version string
	toml        bool
	// specs are what the new lines want; unhashed that checksums were taken out.
	specs    []string
	unhashed bool
}

func (r *pipRename) text(text string) string {
	if r.toml {
		return r.tomlText(text)
	}
	var out strings.Builder
	for _, l := range joinedLines(text) {
		body, end := strings.TrimRight(l, "\r\n"), l[len(strings.TrimRight(l, "\r\n")):]
		out.WriteString(r.line(body) + end)
	}
	return out.String()
}

// joinedLines are the lines of a requirements file, those that a backslash continues as
// one.
func joinedLines(text string) []string {
	var out []string
	open := false
	for l := range strings.Lines(text) {
		if open {
			out[len(out)-1] += l
		} else {
			out = append(out, l)
		}
		open = strings.HasSuffix(strings.TrimRight(l, "\r\n"), `\`)
	}
	return out
}

// line is a requirement as it is to be; any other line as it is.
func (r *pipRename) line(l string) string {
	first, more, continued := strings.Cut(l, "\n")
	m := pipLine().FindStringSubmatch(first)
	if m == nil || moved.NormalPyPI(m[2]) != r.from {
		return l
	}
	rest := m[6]
	if rest != "" && !strings.ContainsAny(rest[:1], ";#\\ \t-") { // "@ URL", or a name that goes on
		return l
	}
	wanted := strings.TrimRight(m[5], " \t")
	gap := m[5][len(wanted):]
	switch {
	case r.version == "":
	case strings.HasPrefix(wanted, "==") || wanted == "" && moved.NormalPyPI(r.to) == r.from:
		wanted = "==" + r.version
	case wanted != "":
		wanted = ">=" + r.version
	}
	to := r.to
	if moved.NormalPyPI(r.to) == r.from {
		to = m[2]
	}
	r.specs = append(r.specs, to+wanted)
	out := m[1] + to + m[3] + m[4] + wanted + gap + rest
	if continued {
		out += "\n" + more
	}
	if strings.Contains(out, "--hash=") {
		r.unhashed = true
		out = strings.TrimRight(pipHash().ReplaceAllString(out, ""), " \t\r\n\\")
	}
	return out
}

// tomlText exchanges the requirement in the strings of pyproject.toml that lie in a list
// of requirements.
func (r *pipRename) tomlText(text string) string {
	table, list := "", false
	var out strings.Builder
	for l := range strings.Lines(text) {
		plain := strings.TrimSpace(l)
		if strings.HasPrefix(plain, "[") && !list && !strings.ContainsAny(plain, `"'`) {
			table = strings.Trim(plain, "[] \t")
		}
		key, _, isKey := strings.Cut(plain, "=")
		if isKey && !list {
			key = strings.TrimSpace(key)
			list = table == "project" && key == "dependencies" || table == "project.optional-dependencies" || table == "dependency-groups" || table == "build-system" && key == "requires"
		}
		if list && !strings.HasPrefix(plain, "#") {
			l = tomlEntry().ReplaceAllStringFunc(l, func(s string) string {
				if s[0] != s[len(s)-1] {
					return s
				}
				return s[:1] + r.line(s[1:len(s)-1]) + s[:1]
			})
		}
		code, _, _ := strings.Cut(plain, "#")
		if list && strings.HasSuffix(strings.TrimRight(code, " \t"), "]") {
			list = false
		}
		out.WriteString(l)
	}
	return out.String()
}

// mendIndex has pip ask another index as well, for the requirements of the project.
func (c *Case) mendIndex(p moved.Proposal) ([]Mend, error) {
	u, err := url.Parse(p.At)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("%q is no index", p.At)
	}
	m := Mend{ID: "registry", Args: []string{p.From, p.At}, Key: p.From + "=" + p.At, Exact: true, Notes: []Note{{Key: "mend.note.index"}}}
	name, err := filepath.Abs(filepath.Join(c.Dir, "requirements.txt"))
	if err != nil {
		return nil, err
	}
	before, ok := lookFile(name)
	if !ok || before == nil {
		m.Steps = []act.Step{act.Manual{Target: p.From, Command: "python3 -m pip install --extra-index-url " + faults.Quote(p.At) + " " + faults.Quote(p.From), Concern: act.Trust}}
		return []Mend{m}, nil
	}
	line := "--extra-index-url " + p.At + "\n"
	if bytes.Contains(before, []byte("\r\n")) {
		line = strings.TrimSuffix(line, "\n") + "\r\n"
	}
	after := append([]byte(line), before...)
	if bom := []byte("\ufeff"); bytes.HasPrefix(before, bom) {
		after = append(append([]byte("\ufeff"), line...), before[len(bom):]...)
	}
	m.Steps = exchange(name, before, after, act.Trust)
	return []Mend{m}, nil
}
