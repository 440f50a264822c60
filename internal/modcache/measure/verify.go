//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keepwell/keepwell/internal/scratch"
)

// verify compares `cache verify` with `go mod verify` on the corpus.
func (b *bench) verify() error {
	src, mod := filepath.Join(b.corpus, "src"), filepath.Join(b.corpus, "mod")
	if _, err := os.Stat(filepath.Join(b.corpus, "whole")); err != nil {
		return fmt.Errorf("the corpus is not there, .ci/bench closure fetches it: %w", err)
	}
	records, err := os.MkdirTemp("", "keepwell-records-")
	if err != nil {
		return err
	}
	defer scratch.Remove(records)
	env := []string{"GOMODCACHE=" + mod, "GOPROXY=off", "GOFLAGS=-modcacherw", "GOTOOLCHAIN=local", "KEEPWELL_CACHE=" + records}
	const runs = 5
	var first, again, plain []cost
	for range runs {
		if err := errors.Join(os.RemoveAll(filepath.Join(records, "modcache")),
			b.once(&plain, src, env, "go", "mod", "verify"),
			b.once(&first, src, env, b.keepwell, "cache", "verify"),
			b.once(&again, src, env, b.keepwell, "cache", "verify")); err != nil {
			return err
		}
	}
	p := median(plain)
	fmt.Printf("%-28s %8s %8s %8s %8s\n", "closure of alertmanager", "wall", "CPU", "ratio", "goal")
	row := func(name string, c cost, goal string) {
		fmt.Printf("%-28s %6.2f s %6.2f s  %.2f %.2f  %s\n", name, c.wall.Seconds(), c.cpu.Seconds(), c.wall.Seconds()/p.wall.Seconds(), c.cpu.Seconds()/p.cpu.Seconds(), goal)
	}
	row("go mod verify", p, "")
	row("cache verify, first time", median(first), "<= 1.0 1.0")
	row("cache verify, again", median(again), "<= 0.4 0.4")
	return nil
}

func (b *bench) once(to *[]cost, dir string, env []string, name string, args ...string) error {
	c, err := b.run(dir, env, name, args...)
	if err == nil && c.exit != 0 {
		err = fmt.Errorf("%s %s: exit %d\n%s", name, strings.Join(args, " "), c.exit, c.out)
	}
	*to = append(*to, c)
	return err
}

// found is what of `cache verify` counts here.
type found struct {
	Faults []struct{ Kind, Module string } `json:"faults"`
}

// damages plants each damage by itself for go mod verify, and all thirty for keepwell.
func (b *bench) damages() error {
	dir, err := os.MkdirTemp("", "keepwell-damages-")
	if err != nil {
		return err
	}
	defer scratch.Remove(dir)
	mod, src := filepath.Join(dir, "mod"), filepath.Join(b.corpus, "src")
	if c, err := b.run("", nil, "cp", "-a", filepath.Join(b.corpus, "mod"), mod); err != nil || c.exit != 0 {
		return fmt.Errorf("copying the corpus: %w %s", err, c.out)
	}
	env := []string{
		"GOMODCACHE=" + mod, "GOFLAGS=-modcacherw", "GOTOOLCHAIN=local", "GOPROXY=file://" + filepath.Join(b.corpus, "mod", "cache", "download"),
		"GONOSUMDB=*", "KEEPWELL_CACHE=" + filepath.Join(dir, "records"), "KEEPWELL_STATE=" + filepath.Join(dir, "state"),
	}
	list, err := victims(mod)
	if err != nil {
		return err
	}
	all := damages()
	if len(list) <= len(all) {
		return fmt.Errorf("only %d modules to damage", len(list))
	}
	sound, err := snapshot(mod)
	if err != nil {
		return err
	}
	other := list[len(list)-1]
	names, err := b.goAlone(src, mod, env, all, list)
	if err != nil {
		return err
	}
	for i, d := range all {
		if err := d.plant(list[i], other); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	c, err := b.run(src, env, b.keepwell, "cache", "verify", "--json")
	if err != nil {
		return err
	}
	var r found
	if err := json.Unmarshal(c.out[strings.Index(string(c.out), "{"):], &r); err != nil {
		return fmt.Errorf("cache verify: %w\n%s", err, c.out)
	}
	kinds := map[string]string{}
	for _, f := range r.Faults {
		kinds[f.Module] = strings.TrimSpace(kinds[f.Module] + " " + f.Kind)
	}
	if c, err = b.run(src, env, b.keepwell, "cache", "repair", "--yes"); err != nil || c.exit != 0 {
		return fmt.Errorf("cache repair: exit %d %w\n%s", c.exit, err, c.out)
	}
	after, err := snapshot(mod)
	if err != nil {
		return err
	}
	tellDamages(mod, all, list, names, kinds, differs(sound, after))
	return nil
}

// tellDamages prints who found what.
func tellDamages(mod string, all []damage, list []victim, names []string, kinds map[string]string, left []string) {
	var goes, ours, mended int
	fmt.Printf("%-52s %-14s %s\n", "damage", "go mod verify", "keepwell cache verify")
	for i, d := range all {
		own := kinds[list[i].Path]
		if own != "" {
			ours++
		}
		if names[i] != "nothing" {
			goes++
		}
		if !touches(left, mod, list[i]) {
			mended++
		}
		fmt.Printf("%-52s %-14s %s\n", d.name, names[i], own)
	}
	fmt.Printf("go mod verify notices %d of %d (\"fails\": without naming the module as it does), keepwell finds %d and mends %d; other files that changed: %d\n", goes, len(all), ours, mended, len(left))
}

// goAlone plants one damage at a time, since one may hide the others, and says what
// go mod verify makes of it.
func (b *bench) goAlone(src, mod string, env []string, all []damage, list []victim) ([]string, error) {
	names := make([]string, len(all))
	for i, d := range all {
		if err := d.plant(list[i], list[len(list)-1]); err != nil {
			return nil, fmt.Errorf("%s: %w", d.name, err)
		}
		c, err := b.run(src, append(slices.Clone(env), "GOPROXY=off"), "go", "mod", "verify")
		if err != nil {
			return nil, err
		}
		switch {
		case c.exit == 0:
			names[i] = "nothing"
		case strings.Contains(string(c.out), list[i].Path+" "+list[i].Version.Version+":"):
			names[i] = "named"
		default:
			names[i] = "fails"
		}
		if err := b.putBack(mod, list[i]); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// putBack copies a version's files from the corpus again.
func (b *bench) putBack(mod string, v victim) error {
	clean := filepath.Join(b.corpus, "mod")
	rel, err := filepath.Rel(mod, v.tree)
	if err != nil {
		return err
	}
	versions, err := filepath.Rel(mod, filepath.Dir(v.base))
	if err != nil {
		return err
	}
	for _, p := range []string{rel, versions} {
		scratch.Remove(filepath.Join(mod, p))
		if _, err := os.Stat(filepath.Join(mod, p)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s could not be removed", p)
		}
		if c, err := b.run("", nil, "cp", "-a", filepath.Join(clean, p), filepath.Join(mod, p)); err != nil || c.exit != 0 {
			return fmt.Errorf("putting %s back: %w %s", p, err, c.out)
		}
	}
	return nil
}

// touches reports whether one of the paths is of the version.
func touches(paths []string, mod string, v victim) bool {
	for _, p := range paths {
		if full := filepath.Join(mod, p); strings.HasPrefix(full, v.base) || strings.HasPrefix(full, v.tree+string(filepath.Separator)) {
			return true
		}
	}
	return false
}
