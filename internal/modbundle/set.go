package modbundle

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/msg"
)

// Set are bundles that are used together: what a later one has comes before what an
// earlier one has, and their lists are one.
type Set struct {
	Bundles []*Bundle // each after those that it continues
	from    map[string]*Bundle
	made    map[string][]byte // lists of more than one
}

// FileError says which bundle is at fault.
type FileError struct {
	Name string
	Err  error
}

func (e *FileError) Error() string { return e.Name + ": " + e.Err.Error() }
func (e *FileError) Unwrap() error { return e.Err }

// BaseError is where a bundle continues others that were not named.
type BaseError struct{ Missing []string } // their IDs

func (e *BaseError) Error() string {
	words := make([]string, len(e.Missing))
	for i, id := range e.Missing {
		words[i] = Short(id)
	}
	return "it continues another bundle, which must be named, too (" + strings.Join(words, ", ") + ")"
}

// OpenSet opens bundles. An error is a [*FileError].
func OpenSet(names ...string) (*Set, error) {
	s := &Set{from: map[string]*Bundle{}, made: map[string][]byte{}}
	for _, name := range names {
		b, err := Open(name)
		if err != nil {
			return nil, errors.Join(&FileError{name, err}, s.Close())
		}
		if slices.ContainsFunc(s.Bundles, func(o *Bundle) bool { return o.ID == b.ID }) {
			_ = b.Close() // the same once more
			continue
		}
		s.Bundles = append(s.Bundles, b)
	}
	err := s.arrange()
	if err == nil {
		err = s.join()
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// arrange puts each bundle behind those that it continues.
func (s *Set) arrange() error {
	placed := map[string]bool{}
	var list []*Bundle
	for left := s.Bundles; len(left) > 0; {
		var later []*Bundle
		for _, b := range left {
			if slices.ContainsFunc(b.Manifest.Since, func(id string) bool { return !placed[id] }) {
				later = append(later, b)
				continue
			}
			placed[b.ID] = true
			list = append(list, b)
		}
		if len(later) == len(left) {
			missing := slices.DeleteFunc(slices.Clone(left[0].Manifest.Since), func(id string) bool { return placed[id] })
			return &FileError{left[0].Name, &BaseError{missing}}
		}
		left = later
	}
	s.Bundles = list
	return nil
}

// Short is enough of an ID for people.
func Short(id string) string { return id[:min(len(id), 12)] }

// join finds where each file lies. Two bundles may have other bytes of one version, since
// servers compress differently, but not another content.
func (s *Set) join() error {
	sums := map[module.Version]Module{}
	for _, b := range s.Bundles {
		for _, m := range b.Manifest.Modules {
			have, v := sums[m.Key()], m.Key()
			if have.Zip != "" && m.Zip != "" && have.Zip != m.Zip || have.Mod != "" && m.Mod != "" && have.Mod != m.Mod {
				return &FileError{b.Name, msg.NewError("broken.another", v.String())}
			}
			if have.Zip == "" || m.Zip != "" {
				sums[v] = m
			}
		}
		for name := range b.files {
			if s.from[name] != nil && strings.HasSuffix(name, "/@v/list") {
				if err := s.merge(b, name); err != nil {
					return &FileError{b.Name, err}
				}
			}
			s.from[name] = b
		}
	}
	return nil
}

// merge makes one list of those before b and b's.
func (s *Set) merge(b *Bundle, name string) error {
	before, err := s.ReadFile(name)
	if err != nil {
		return err
	}
	r, err := b.open(name)
	if err != nil {
		return err
	}
	own, err := io.ReadAll(r)
	s.made[name] = listed(append(strings.Fields(string(before)), strings.Fields(string(own))...))
	return err
}

// Close closes the bundles.
func (s *Set) Close() error {
	var err error
	for _, b := range s.Bundles {
		err = errors.Join(err, b.Close())
	}
	return err
}

// Check holds every file to its manifest. An error is a [*FileError].
func (s *Set) Check(ctx context.Context, read func(bytes int64)) error {
	for _, b := range s.Bundles {
		if err := b.Check(ctx, read); err != nil {
			return &FileError{b.Name, err}
		}
	}
	return nil
}

// Open opens a file; the error is os.ErrNotExist where there is none.
func (s *Set) Open(name string) (io.ReadSeeker, error) {
	if data, ok := s.made[name]; ok {
		return strings.NewReader(string(data)), nil
	}
	if b := s.from[name]; b != nil {
		return b.open(name)
	}
	return nil, os.ErrNotExist
}

// ReadFile reads a file whole.
func (s *Set) ReadFile(name string) ([]byte, error) {
	r, err := s.Open(name)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// Has tells whether there is a file of that name.
func (s *Set) Has(name string) bool { return s.from[name] != nil }

// Names are all files, sorted.
func (s *Set) Names() []string { return slices.Sorted(maps.Keys(s.from)) }

// FileSize is the size of a file in its bundle.
func (s *Set) FileSize(name string) int64 {
	if b := s.from[name]; b != nil {
		return b.sums[name].Size
	}
	return 0
}

// IDs are those of the bundles.
func (s *Set) IDs() []string {
	var ids []string
	for _, b := range s.Bundles {
		ids = append(ids, b.ID)
	}
	return ids
}

// Modules are those of all bundles, each once.
func (s *Set) Modules() []Module {
	all := map[module.Version]Module{}
	for _, b := range s.Bundles {
		for _, m := range b.Manifest.Modules {
			have := all[m.Key()]
			if m.Zip == "" {
				m.Zip = have.Zip
			}
			if m.Mod == "" {
				m.Mod = have.Mod
			}
			all[m.Key()] = m
		}
	}
	return slices.SortedFunc(maps.Values(all), compareModules)
}

// Count tells how many module versions are there with code.
func (s *Set) Count() int {
	n := 0
	for name := range s.from {
		if strings.HasSuffix(name, ".zip") && !strings.HasPrefix(name, "sumdb/") {
			n++
		}
	}
	return n
}

// Databases are the checksum databases that the bundles can speak for.
func (s *Set) Databases() []string {
	var names []string
	for _, b := range s.Bundles {
		names = append(names, b.databases()...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Heads are the signed trees of a database, one of each bundle that has one.
func (s *Set) Heads(database string) [][]byte {
	var heads [][]byte
	for _, b := range s.Bundles {
		if r, err := b.open("sumdb/" + database + "/latest"); err == nil {
			if data, err := io.ReadAll(r); err == nil {
				heads = append(heads, data)
			}
		}
	}
	return heads
}

// Key is the version by itself.
func (m Module) Key() module.Version { return module.Version{Path: m.Path, Version: m.Version} }
