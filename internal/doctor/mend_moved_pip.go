package doctor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
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
	var renames []*pipRename
	var specs []string
	for _, name := range c.pipSources() {
		before, ok := lookFile(name)
		if !ok || before == nil {
			continue
		}
		r := &pipRename{from: moved.NormalPyPI(p.From), to: p.To, version: p.Version, toml: filepath.Ext(name) == ".toml"}
		after := r.text(string(before))
		if after == string(before) {
			continue
		}
		if abs, err := filepath.Abs(name); err == nil {
			name = abs
		}
		files, renames = append(files, act.Edit{Path: name, Before: before, After: []byte(after)}), append(renames, r)
		specs = append(specs, r.specs...)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no requirement names %s: %w", p.From, rewrite.ErrNothing)
	}
	hashes, why, err := c.pipFetches(ctx, specs)
	if err != nil {
		return nil, err
	}
	var hashed, unhashed []string
	for i, r := range renames {
		again := pipRename{from: r.from, to: r.to, version: r.version, toml: r.toml, hashes: hashes}
		files[i].After = []byte(again.text(string(files[i].Before)))
		if again.hashed {
			hashed = append(hashed, here(c.Dir, files[i].Path))
		}
		if again.unhashed {
			unhashed = append(unhashed, here(c.Dir, files[i].Path))
		}
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
	if len(hashed) > 0 {
		m.Notes = append(m.Notes, Note{"mend.note.hashed", []string{joined(hashed)}})
	}
	for _, lock := range []struct{ file, command string }{{"poetry.lock", "poetry lock"}, {"uv.lock", "uv lock"}, {"pdm.lock", "pdm lock"}} {
		if _, err := os.Lstat(filepath.Join(c.Dir, lock.file)); err == nil && slices.ContainsFunc(renames, func(r *pipRename) bool { return r.toml }) {
			m.Notes = append(m.Notes, Note{"mend.note.relock", []string{lock.file, lock.command}})
		}
	}
	if why != "" {
		m.Notes = append(m.Notes, Note{"mend.note.untried", []string{why}})
	}
	return []Mend{m}, nil
}

// pipFetches has pip fetch requirements into a directory of ours: the error is what it
// says; why tells that it could not be tried. hashes are the SHA-256 sums, in hexadecimal,
// of the file that it fetched for each.
func (c *Case) pipFetches(ctx context.Context, specs []string) (hashes map[string]string, why string, err error) {
	py := python()
	if py == "" {
		return nil, "python", nil
	}
	dir, err := os.MkdirTemp("", "keepwell-doctor-")
	if err != nil {
		return nil, "", err
	}
	hashes = map[string]string{}
	defer scratch.Remove(dir)
	slices.Sort(specs)
	for _, spec := range slices.Compact(slices.Clone(specs)) {
		r := c.pipDownload(ctx, py, dir, "--", spec)
		if !r.ok() {
			s := Subject{Ecosystem: PyPI, Path: pipName().FindString(spec)}
			if c.sourceOnly(ctx, py, dir, r, s) { // building it would run what its author wrote
				return hashes, spec, nil
			}
			return nil, "", fmt.Errorf("pip cannot fetch %s: %s", spec, lastWords(r.Output))
		}
		if hashes[spec], err = onlyHash(filepath.Join(dir, "wheels")); err != nil {
			return nil, "", err
		}
	}
	return hashes, "", nil
}

// onlyHash is the SHA-256 of the one file in a directory, which is emptied; "" where there
// is not one.
func onlyHash(dir string) (string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(sum, f)
		if err = errors.Join(err, f.Close(), os.Remove(name)); err != nil {
			return "", err
		}
	}
	if len(names) != 1 {
		return "", nil
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
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
	// hashes are SHA-256 sums of what pip fetched, by what it was asked for.
	hashes map[string]string
	// specs are what the new lines want; hashed that checksums were exchanged, unhashed that
	// they were taken out.
	specs            []string
	hashed, unhashed bool
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
	if at := strings.Index(out, "--hash="); at >= 0 {
		before := out[len(strings.TrimRight(out[:at], " \t\r\n\\")):at]
		sum := ""
		if h := r.hashes[to+wanted]; h != "" && strings.HasPrefix(wanted, "==") {
			sum = before + "--hash=sha256:" + h
		}
		r.hashed, r.unhashed = r.hashed || sum != "", r.unhashed || sum == ""
		out = strings.TrimRight(pipHash().ReplaceAllString(out, ""), " \t\r\n\\") + sum
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
		if !list && poetryTable(table) {
			l = r.poetryLine(l)
		}
		code, _, _ := strings.Cut(plain, "#")
		if list && strings.HasSuffix(strings.TrimRight(code, " \t"), "]") {
			list = false
		}
		out.WriteString(l)
	}
	return out.String()
}

// poetryTable tells the tables of pyproject.toml in which Poetry lists packages by name.
func poetryTable(name string) bool {
	rest, ok := strings.CutPrefix(name, "tool.poetry.")
	return ok && (rest == "dependencies" || rest == "dev-dependencies" || strings.HasPrefix(rest, "group.") && strings.HasSuffix(rest, ".dependencies"))
}

var (
	// poetryKey is a line of such a table: blanks, name, quoted or not, and what is wanted.
	poetryKey = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(\s*["']?)([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(["']?\s*=\s*)([^\r\n]*)(\r?\n?)$`)
	})
	// poetryVersion is the version in it, as a string by itself or in an inline table.
	poetryVersion = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^((?:\{(?:[^{}"']|"[^"]*"|'[^']*')*?\bversion\s*=\s*)?["'])([^"']*)(["'])`)
	})
	poetryPlace = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\{.*\b(?:git|url|path|file)\s*=`) })
)

// poetryLine is a line of a table of Poetry as it is to be; any other as it is.
func (r *pipRename) poetryLine(l string) string {
	m := poetryKey().FindStringSubmatch(l)
	if m == nil || moved.NormalPyPI(m[2]) != r.from || poetryPlace().MatchString(m[4]) {
		return l
	}
	to, wanted, spec := r.to, m[4], r.to
	if moved.NormalPyPI(r.to) == r.from {
		to = m[2]
	}
	if r.version != "" {
		spec += "==" + r.version
		wanted = poetryVersion().ReplaceAllStringFunc(wanted, func(s string) string {
			v := poetryVersion().FindStringSubmatch(s)
			return v[1] + poetryConstraint(v[2], r.version) + v[3]
		})
	}
	r.specs = append(r.specs, spec)
	return m[1] + to + m[3] + wanted + m[5]
}

// poetryConstraint wants a version in the way in which another was wanted.
func poetryConstraint(was, version string) string {
	was = strings.TrimSpace(was)
	switch {
	case was == "*" || was == "":
		return was
	case strings.ContainsAny(was, ",|* "):
		return ">=" + version
	}
	return was[:len(was)-len(strings.TrimLeft(was, "^~=<>!"))] + version
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
