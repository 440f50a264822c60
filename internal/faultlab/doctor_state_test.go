//go:build unix

package faultlab

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// fingerprints are the mode and the hash of every file and directory of the lab,
// without keepwell's own state.
func (l *Lab) fingerprints() map[string]string {
	out := map[string]string{}
	err := filepath.WalkDir(l.Dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		// pip asks rustc for its version, and rustup makes itself a home.
		if name == l.stateDir() || name == filepath.Join(l.Dir, "tmp") || name == filepath.Join(l.Home, ".rustup") {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		look := info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			look += fmt.Sprintf(" %x", sha256.Sum256(data))
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(name)
			if err != nil {
				return err
			}
			look += " -> " + to
		}
		out[strings.TrimPrefix(name, l.Dir+"/")] = look
		return nil
	})
	l.check(err)
	return out
}

// changed tells two states of the lab apart.
func changed(before, after map[string]string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if now, ok := after[name]; !ok {
			out = append(out, "gone: "+name)
		} else if now != before[name] {
			out = append(out, "changed: "+name+": "+before[name]+" -> "+now)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if _, ok := before[name]; !ok {
			out = append(out, "new: "+name)
		}
	}
	return out
}
