package modproxy

import (
	"io"
	"os"
	"slices"
	"sync"

	"github.com/keepwell/keepwell/internal/modbundle"
)

// bundles are the upstreams of a configuration that are files of package modbundle, open
// as long as the configuration holds or somebody reads from them.
type bundles struct {
	names map[string]bool
	order []string

	mu      sync.Mutex
	set     *modbundle.Set
	readers int
	retired bool // closed with its last reader
}

// openBundles opens the upstreams that are files. They are taken as one: some continue
// others.
func openBundles(lists []List) (*bundles, error) {
	b := &bundles{names: map[string]bool{}}
	for _, l := range lists {
		for _, u := range l.Upstreams {
			name, local := u.local()
			if !local || b.names[name] {
				continue
			}
			if st, err := os.Stat(name); err == nil && st.Mode().IsRegular() {
				b.names[name] = true
				b.order = append(b.order, name)
			}
		}
	}
	var err error
	b.set, err = modbundle.OpenSet(b.order...)
	return b, err
}

// lists are those given, with b at the upstreams that are its files: a request that has
// begun keeps to the configuration under which it began.
func (b *bundles) lists(given []List) []List {
	all := slices.Clone(given)
	for i := range all {
		all[i].Upstreams = slices.Clone(all[i].Upstreams)
		for j := range all[i].Upstreams {
			u := &all[i].Upstreams[j]
			if u.bundles = nil; b != nil {
				if name, local := u.local(); local && b.names[name] {
					u.bundles = b
				}
			}
		}
	}
	return all
}

// open opens a file of the set, for whoever closes it.
func (b *bundles) open(key string) (io.ReadSeekCloser, error) {
	b.mu.Lock()
	if b.retired && b.readers == 0 {
		b.mu.Unlock()
		return b.reopen(key)
	}
	b.readers++
	b.mu.Unlock()
	r, err := b.set.Open(key)
	if err != nil {
		b.release()
		return nil, err
	}
	return &inBundle{ReadSeeker: r, release: b.release}, nil
}

// reopen is for a request that began under a configuration that holds no more.
func (b *bundles) reopen(key string) (io.ReadSeekCloser, error) {
	set, err := modbundle.OpenSet(b.order...)
	if err != nil {
		return nil, err
	}
	r, err := set.Open(key)
	if err != nil {
		_ = set.Close() // only read
		return nil, err
	}
	return &inBundle{ReadSeeker: r, release: func() { _ = set.Close() }}, nil
}

func (b *bundles) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.readers--; b.retired && b.readers == 0 {
		_ = b.set.Close() // only read
	}
}

// retire closes the files, at once or with the last reader.
func (b *bundles) retire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.retired && b.readers == 0 {
		_ = b.set.Close() // only read
	}
	b.retired = true
}

// inBundle is a file of a bundle; the bundle itself stays open.
type inBundle struct {
	io.ReadSeeker
	release func()
	once    sync.Once
}

// Close lets go of the bundle.
func (r *inBundle) Close() error {
	r.once.Do(r.release)
	return nil
}
