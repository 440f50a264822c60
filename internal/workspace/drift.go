package workspace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"golang.org/x/mod/semver"
)

// Drift is a dependency whose version is not the same everywhere.
type Drift struct {
	Path string `json:"path"`
	// Chosen is what the workspace builds with, by minimal version selection.
	Chosen string `json:"chosen"`
	// Replaced is what stands in for it; "" nothing.
	Replaced string `json:"replaced,omitempty"`
	// Wanted are the versions that go.mod files ask for, the newest first.
	Wanted []Want `json:"wanted"`
}

// Want is a version with the modules that ask for it.
type Want struct {
	Version string   `json:"version"`
	Modules []string `json:"modules"`
}

// Versions is what the workspace builds with.
type Versions struct {
	// Exact says that go itself chose from the whole graph. Else the newest version that a
	// go.mod of the workspace asks for is taken: no dependency of theirs was looked at.
	Exact bool `json:"exact"`
	// Why go could not choose; "" where it could.
	Why   string  `json:"why,omitempty"`
	Drift []Drift `json:"drift"`
	// Dependencies is how many modules are built with, beside the workspace's own.
	Dependencies int `json:"dependencies"`
}

// Listed is a module of a build list.
type Listed struct {
	Path, Version string
	Main          bool
	Replace       *Listed
	Dir           string
	Error         *struct{ Err string }
}

// List is the build list, chosen by go from what the module cache has. why is what go
// said where it could not.
func (w *Workspace) List(ctx context.Context) (list []Listed, why string, err error) {
	// In a workspace even `go list` may write go.work.sum: it gets a copy.
	m, err := w.mirror(ctx, false)
	if err != nil {
		return nil, "", err
	}
	defer m.remove()
	args := []string{"list", "-mod=readonly", "-m", "-json=Path,Version,Main,Replace,Dir,Error", "all"}
	r, err := m.run(ctx, w.dir(), offline(), args...)
	if err == nil && r.Exit != 0 && m.standIn(w) {
		// A requirement of one module on another that was never released.
		r, err = m.run(ctx, w.dir(), offline(), args...)
	}
	if err != nil {
		return nil, "", err
	}
	if r.Exit != 0 || r.Late {
		return nil, strings.ReplaceAll(complaint(string(r.Output)), m.tmp, m.base), nil
	}
	for d := json.NewDecoder(bytes.NewReader(r.Stdout)); ; {
		var l Listed
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return list, "", nil
		} else if err != nil {
			return nil, err.Error(), nil
		}
		list = append(list, l)
	}
}

// dir is where go finds the workspace.
func (w *Workspace) dir() string {
	if w.Work == "" && len(w.Modules) > 0 {
		return w.Modules[0].Dir
	}
	return w.Root
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// Versions compares what the modules ask for with what they get.
func (w *Workspace) Versions(ctx context.Context) (Versions, error) {
	wanted := w.wanted()
	list, why, err := w.List(ctx)
	if err != nil {
		return Versions{}, err
	}
	v := Versions{Exact: list != nil, Why: why, Drift: []Drift{}, Dependencies: len(wanted)}
	chosen := map[string]Listed{}
	if v.Exact {
		v.Dependencies = 0
	}
	for _, l := range list {
		if chosen[l.Path] = l; !l.Main {
			v.Dependencies++
		}
	}
	for _, path := range slices.Sorted(maps.Keys(wanted)) {
		d := Drift{Path: path, Chosen: chosen[path].Version}
		for ver, mods := range wanted[path] {
			d.Wanted = append(d.Wanted, Want{ver, mods})
		}
		slices.SortFunc(d.Wanted, func(a, b Want) int { return semver.Compare(b.Version, a.Version) })
		if d.Chosen == "" {
			d.Chosen = d.Wanted[0].Version
		}
		if r := chosen[path].Replace; r != nil {
			if d.Replaced = r.Path; r.Version != "" {
				d.Replaced += "@" + r.Version
			}
		}
		if len(d.Wanted) > 1 || d.Wanted[0].Version != d.Chosen {
			v.Drift = append(v.Drift, d)
		}
	}
	return v, nil
}

// wanted are the modules that ask for each version of each module outside.
func (w *Workspace) wanted() map[string]map[string][]string {
	wanted, own := map[string]map[string][]string{}, map[string]bool{}
	for _, m := range w.Modules {
		own[m.Path] = true
	}
	for _, m := range w.Modules {
		if m.File == nil {
			continue
		}
		for _, r := range m.File.Require {
			if own[r.Mod.Path] {
				continue
			}
			if wanted[r.Mod.Path] == nil {
				wanted[r.Mod.Path] = map[string][]string{}
			}
			list := wanted[r.Mod.Path][r.Mod.Version]
			if !slices.Contains(list, m.Rel) {
				wanted[r.Mod.Path][r.Mod.Version] = append(list, m.Rel)
			}
		}
	}
	return wanted
}
