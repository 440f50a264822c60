package doctor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/moved"
	"github.com/keepwell/keepwell/internal/rewrite"
	"github.com/keepwell/keepwell/internal/scratch"
)

// npmLists are the lists of package.json in which npm saves, with the flag that says so.
func npmLists() [][2]string {
	return [][2]string{{"dependencies", "--save-prod"}, {"devDependencies", "--save-dev"}, {"optionalDependencies", "--save-optional"}}
}

// mendNpm carries out a proposal about a package of npm: npm itself changes copies of
// package.json and the lock file, aside; what it has made of them is what is proposed.
func (c *Case) mendNpm(ctx context.Context, p moved.Proposal) ([]Mend, error) {
	switch p.Mend {
	case moved.UpdatePath, moved.UpdateVersion, moved.GetOther:
	case moved.UseRegistry:
		return c.mendScope(p)
	case moved.KeepCopy, moved.MarkAbandoned, moved.AskOwner:
		return c.mendMark(p)
	}
	data, err := readRegular(filepath.Join(c.Dir, "package.json"), largestMod)
	if err != nil {
		return nil, fmt.Errorf("no package.json here: %w", rewrite.ErrNothing)
	}
	var lists map[string]json.RawMessage
	if err := json.Unmarshal(data, &lists); err != nil {
		return nil, fmt.Errorf("reading package.json: %w", err)
	}
	flag, spec := "", ""
	for _, l := range npmLists() {
		var named map[string]string
		if json.Unmarshal(lists[l[0]], &named) == nil && named[p.From] != "" {
			flag, spec = l[1], named[p.From]
		}
	}
	if flag == "" {
		return nil, fmt.Errorf("package.json does not list %s: %w", p.From, rewrite.ErrNothing)
	}
	to := p.To + "@" + cmp.Or(p.Version, "latest")
	m := Mend{
		ID: "package", Args: []string{p.From, p.To, p.Version}, Key: p.From + "=" + to, Exact: true, Was: p.From,
		Now: &Subject{Ecosystem: Npm, Path: p.To, Version: p.Version},
	}
	byHand := "npm uninstall " + faults.Quote(p.From) + " && npm install " + flag + " " + faults.Quote(to)
	if p.From == p.To {
		byHand = "npm install " + flag + " " + faults.Quote(to)
	}
	if c.npmLeftAlone() != "" {
		m.Steps = []act.Step{act.Manual{Target: p.From, Command: byHand, Concern: act.Packages}}
		return []Mend{m}, nil
	}
	files, err := c.npmAside(ctx, func(_ string, run func(args ...string) error, locked bool) error {
		only := "--package-lock-only"
		if !locked {
			only = "--no-package-lock"
		}
		if p.From != p.To {
			if err := run("uninstall", p.From, only); err != nil {
				return err
			}
		}
		return run(append([]string{"install", to, flag, only}, savedAs(spec)...)...)
	})
	if err != nil {
		return nil, err
	}
	m.Steps = []act.Step{act.Edits{Target: p.From + " => " + to, Files: files, Concern: act.Packages}}
	if named := c.codeNames(p.From); p.From != p.To && len(named) > 0 {
		m.Notes = append(m.Notes, Note{"mend.note.code", []string{joined(named)}})
	}
	if c.exists("node_modules") {
		m.Notes = append(m.Notes, Note{Key: "mend.note.modules"})
	}
	return []Mend{m}, nil
}

// savedAs has npm save a version in the way in which another was written.
func savedAs(spec string) []string {
	switch {
	case strings.HasPrefix(spec, "~"):
		return []string{"--save-prefix=~"}
	case strings.HasPrefix(spec, "^"):
		return []string{"--save-prefix=^"}
	case spec != "" && spec[0] >= '0' && spec[0] <= '9' && strings.Count(spec, ".") == 2 && !strings.ContainsAny(spec, " x*|"):
		return []string{"--save-exact"}
	}
	return nil
}

// npmAside lets npm work on copies of the project's files, in a directory of ours, and
// returns the edits that would make them the project's. No script is run.
func (c *Case) npmAside(ctx context.Context, do func(dir string, run func(args ...string) error, locked bool) error) ([]act.Edit, error) {
	if variable, host := c.borrows(); variable != "" {
		return nil, fmt.Errorf("the project's .npmrc would send %s to %s", variable, host)
	}
	dir, err := os.MkdirTemp("", "keepwell-doctor-")
	if err != nil {
		return nil, err
	}
	defer scratch.Remove(dir)
	at := filepath.Join(dir, "project")
	if err := os.Mkdir(at, 0o700); err != nil {
		return nil, err
	}
	copyFiles(c.Dir, at, npmFiles()...)
	env := c.npmEnv(dir)
	run := func(args ...string) error {
		if r := c.npm(ctx, at, env, args...); !r.ok() {
			return errors.Join(r.err, fmt.Errorf("npm %s: %s", args[0], lastWords(r.Output)))
		}
		return nil
	}
	if err := do(at, run, c.npmLocked()); err != nil {
		return nil, err
	}
	var edits []act.Edit
	for _, name := range npmFiles()[:3] {
		after, err := readRegular(filepath.Join(at, name), 64<<20)
		if err != nil {
			continue
		}
		path := filepath.Join(c.Dir, name)
		before, err := readRegular(path, 64<<20)
		if err == nil && !bytes.Equal(before, after) {
			if abs, e := filepath.Abs(path); e == nil {
				path = abs
			}
			edits = append(edits, act.Edit{Path: path, Before: before, After: after})
		}
	}
	if len(edits) == 0 {
		return nil, fmt.Errorf("npm changes nothing: %w", rewrite.ErrNothing)
	}
	return edits, nil
}

// codeNames are files of the project that seem to import a package of npm.
func (c *Case) codeNames(name string) []string {
	var out []string
	left := mostSources
	marks := [][]byte{[]byte(`'` + name + `'`), []byte(`"` + name + `"`), []byte(`'` + name + `/`), []byte(`"` + name + `/`)}
	_ = filepath.WalkDir(c.Dir, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil || left == 0:
			return filepath.SkipAll
		case d.IsDir() && path != c.Dir && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case !d.Type().IsRegular() || !slices.Contains([]string{".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".jsx", ".tsx", ".vue", ".svelte"}, filepath.Ext(path)):
			return nil
		}
		left--
		data, err := readRegular(path, 1<<20)
		if err == nil && slices.ContainsFunc(marks, func(m []byte) bool { return bytes.Contains(data, m) }) {
			if rel, err := filepath.Rel(c.Dir, path); err == nil {
				out = append(out, rel)
			}
		}
		return nil
	})
	return out
}

// mendScope has npm ask the registry that has a package of a scope; npm knows none of a
// single package.
func (c *Case) mendScope(p moved.Proposal) ([]Mend, error) {
	scope, _, scoped := strings.Cut(p.From, "/")
	u, err := url.Parse(p.At)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("%q is no registry", p.At)
	}
	m := Mend{ID: "registry", Args: []string{p.From, p.At}, Key: p.From + "=" + p.At, Exact: true}
	if !scoped || !strings.HasPrefix(scope, "@") {
		m.Steps = []act.Step{act.Manual{Target: p.From, Command: "npm install --registry " + faults.Quote(p.At) + " " + faults.Quote(p.From), Concern: act.Packages}}
		return []Mend{m}, nil
	}
	path, err := filepath.Abs(filepath.Join(c.Dir, ".npmrc"))
	if err != nil {
		return nil, err
	}
	before, ok := lookFile(path)
	if !ok {
		return nil, fmt.Errorf("%s cannot be read", path)
	}
	var after []byte
	for l := range bytes.Lines(before) {
		if k, _, _ := bytes.Cut(l, []byte("=")); strings.TrimSpace(string(k)) != scope+":registry" {
			after = append(after, l...)
		}
	}
	if len(after) > 0 && after[len(after)-1] != '\n' {
		after = append(after, '\n')
	}
	after = append(after, scope+":registry="+p.At+"\n"...)
	m.Steps = exchange(path, before, after, act.Packages)
	return []Mend{m}, nil
}

// npmLockCodes are the faults that the addresses in a lock file can bring about.
func npmLockCodes() []keepwell.Code {
	return []keepwell.Code{
		"net/dns", "net/refused", "net/timeout", "net/slow", "net/unreachable", "proxy/not-found", "proxy/unauthorized", "proxy/forbidden", "proxy/server-error",
		"auth/forbidden", "auth/expired-token", "module/missing-or-private", "tls/name-mismatch", "tls/expired", "tls/unknown-authority",
	}
}

var resolvedLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`("resolved":\s*")https?://([^/"@]+)[^"]*?((?:/@[^/"]+)?/[^/"]+/-/[^/"?#]+\.tgz)([?#][^"]*)?"`)
})

// mendNpmLock puts the registry in force in the place of another one from which the lock
// file would fetch, and which does not answer here. Checksums stay as they are; npm has
// fetched everything by the new file, aside, before it is proposed.
func mendNpmLock(ctx context.Context, c *Case, f keepwell.Finding) []Mend {
	host := f.Facts["host"]
	if f.Tool != "npm" || host == "" || len(c.Asked) > 0 || !c.exists("package-lock.json") || c.npmLeftAlone() != "" {
		return nil
	}
	base, err := url.Parse(c.npmRegistry(ctx, ""))
	if err != nil || base.Host == "" || base.Hostname() == host {
		return nil
	}
	base.User, base.RawQuery, base.Fragment = nil, "", ""
	edits, err := c.npmAside(ctx, func(dir string, run func(args ...string) error, _ bool) error {
		name := filepath.Join(dir, "package-lock.json")
		data, err := readRegular(name, 32<<20)
		if err != nil {
			return err
		}
		after := resolvedLine().ReplaceAllFunc(data, func(l []byte) []byte {
			m := resolvedLine().FindSubmatch(l)
			if at, _, _ := strings.Cut(string(m[2]), ":"); at != host {
				return l
			}
			return []byte(string(m[1]) + strings.TrimSuffix(base.String(), "/") + string(m[3]) + `"`)
		})
		if bytes.Equal(data, after) {
			return rewrite.ErrNothing
		}
		if err := os.WriteFile(name, after, 0o600); err != nil {
			return err
		}
		return run("ci")
	})
	if err != nil {
		return nil
	}
	return []Mend{{
		ID: "npm-lock", Args: []string{host, base.Host}, Exact: true,
		Steps: []act.Step{act.Edits{Target: host + " => " + base.Host, Files: edits, Concern: act.Packages}},
	}}
}
