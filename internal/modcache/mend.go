package modcache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/scratch"
)

// The bounds of a directory that can be kept for undo; what is larger goes for good.
const (
	mostKept    = 15_000
	largestKept = 200 << 20
)

// ErrHeld says that a running go holds the lock of a version.
var ErrHeld = errors.New("a running go is at work on it")

// Steps are the changes that mend the faults, exactly those: permissions first, since
// what nobody may read cannot be kept for undo.
func Steps(ctx context.Context, c Cache, faults []Fault) ([]act.Step, error) {
	var out []act.Step
	done := map[string]bool{}
	for _, action := range []Action{ActChmod, ActWrite, ActRemoveDir, ActRemove, ActByHand} {
		for _, f := range faults {
			for _, m := range f.Mends {
				if m.Action != action || done[string(action)+m.Path] {
					continue
				}
				done[string(action)+m.Path] = true
				s, err := change(ctx, f, m)
				if err != nil {
					return nil, err
				}
				lock := c.cloneLock(m.Path)
				if f.Module != "" {
					lock = c.file(f.Mod(), extLock)
				}
				if lock != "" && action != ActByHand {
					s = guarded{s, lock}
				}
				out = append(out, s)
			}
		}
	}
	return out, nil
}

// change is one mend as a change that can be taken back.
func change(ctx context.Context, f Fault, m Mend) (act.Step, error) {
	// Removing what can be fetched again, and was held to be wrong by its own bytes, needs
	// no question; a directory may have been changed by somebody on purpose, and other
	// bytes than vouched for may be the trace of an attack.
	safety := keepwell.SafetySafe
	switch f.Kind {
	case KindTree, KindTreeGone, KindTreeMore, KindTreeSum, KindZipSum, KindModSum, KindTreeAlone:
		safety = keepwell.SafetyAsks
	}
	switch m.Action {
	case ActChmod:
		return act.Chmod{Path: m.Path, Mode: m.Mode, Safety: safety}, nil
	case ActWrite:
		before, err := os.ReadFile(m.Path) // nil where there is none
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("planning a change: %w", err)
		}
		return act.Edit{Path: m.Path, Before: before, After: []byte(m.Data), Safety: safety}, nil
	case ActRemove:
		return act.Remove{Path: m.Path, Safety: safety, Remade: true}, nil
	case ActRemoveDir:
		large, err := tooLarge(ctx, m.Path)
		if err != nil {
			return nil, err
		}
		if large {
			return dropLarge{m.Path}, nil
		}
		return act.RemoveDir{Path: m.Path, Safety: safety, Remade: true}, nil
	case ActByHand:
	}
	return act.Manual{Target: m.Path}, nil
}

// tooLarge reports a directory that is beyond what is kept for undo.
func tooLarge(ctx context.Context, dir string) (bool, error) {
	sum, err := Measure(ctx, dir)
	return sum.Inodes > mostKept || sum.Bytes > largestKept, err
}

// guarded is a step that is done while no go is at work on the version.
type guarded struct {
	act.Step
	lock string
}

// Do implements [act.Step].
func (g guarded) Do(ctx context.Context) error {
	unlock, err := lockVersion(ctx, g.lock)
	if err != nil {
		return err
	}
	defer unlock()
	return g.Step.Do(ctx)
}

// lockTime is how long to wait for a running go.
const lockTime = 5 * time.Second

// lockVersion takes the lock that go takes (modfetch.lockVersion). One that does not
// exist is nobody's and stays so: go never removes it.
func lockVersion(ctx context.Context, name string) (unlock func(), err error) {
	if e, err := lstat(name); err != nil || !e.mode.IsRegular() {
		return func() {}, nil
	}
	l := flock.New(name, flock.SetFlag(os.O_RDWR))
	limited, cancel := context.WithTimeoutCause(ctx, lockTime, ErrHeld)
	defer cancel()
	if ok, err := l.TryLockContext(limited, 50*time.Millisecond); !ok {
		if limited.Err() != nil {
			err = context.Cause(limited)
		}
		return nil, fmt.Errorf("locking %s: %w", name, err)
	}
	return func() { _ = l.Unlock() }, nil
}

// dropLarge removes a directory that is too large to be kept for undo.
type dropLarge struct{ path string }

// Describe implements [act.Step].
func (s dropLarge) Describe(context.Context) (act.Change, error) {
	if info, err := os.Lstat(s.path); err != nil || !info.IsDir() {
		return act.Change{}, fmt.Errorf("planning to remove %s: no directory: %w", s.path, err)
	}
	return act.Change{Kind: act.RemoveAll, Target: mask.Text(s.path), File: mask.Text(s.path), Safety: keepwell.SafetyAsks}, nil
}

// Keeps implements [act.Step].
func (s dropLarge) Keeps(context.Context) ([]act.Keep, error) { return nil, nil }

// Do implements [act.Step]. It goes at once, under a name that the next check knows for a
// leftover.
func (s dropLarge) Do(context.Context) error {
	return drop(s.path, filepath.Join(filepath.Dir(s.path), ".keepwell-"+filepath.Base(s.path)+"-old"))
}

// Verify implements [act.Step].
func (s dropLarge) Verify(context.Context) error {
	if _, err := os.Lstat(s.path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is still there", s.path)
	}
	return nil
}

// drop renames a directory and then removes it, so that nobody finds half of it.
func drop(path, aside string) error {
	scratch.Remove(aside)
	if err := os.Rename(path, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	scratch.Remove(aside)
	if _, err := os.Lstat(aside); err == nil {
		return fmt.Errorf("removing %s: some of it stays", aside)
	}
	return nil
}

// RepairOptions say how Repair works.
type RepairOptions struct {
	Check   Check
	Engine  *act.Engine
	Consent act.Consent
	// Show is called with each plan before it is carried out; nil: nobody is.
	Show func([]Fault, []act.Change) error
	// Fetch has go fetch what was removed: mods are versions of which only the go.mod was
	// there. It returns what did not come, and why. nil: nothing is fetched.
	Fetch func(ctx context.Context, whole, mods []module.Version) (map[module.Version]string, error)
}

// Repaired tells what Repair did.
type Repaired struct {
	// Found is the first look, Left the last.
	Found, Left *Report
	// Operations can be undone, by these numbers, the last first.
	Operations []int
	Recovered  []act.Recovered
	// Manual are the changes that only a person can make.
	Manual []act.Change
	// Fetched came anew; Absent did not, for the reason given.
	Fetched []module.Version
	Absent  map[module.Version]string
}

// rounds is how often Repair looks again: what permissions hid shows only then.
const rounds = 4

// Repair looks, mends what it finds, has fetched what is missing, and looks again.
func Repair(ctx context.Context, o RepairOptions) (*Repaired, error) {
	recovered, err := o.Engine.Recover(ctx)
	if err != nil {
		return nil, err
	}
	out := &Repaired{Absent: map[module.Version]string{}, Recovered: recovered}
	found, err := Verify(ctx, o.Check)
	if found == nil {
		return nil, err
	}
	out.Found, out.Left = found, found
	whole, mods := o.Check.Cache.pending(o.Engine.Dir)
	for range rounds {
		steps, err := Steps(ctx, o.Check.Cache, out.Left.Faults)
		if err != nil {
			return out, err
		}
		toFetch(o.Check.Cache, out.Left.Faults, whole, mods)
		if len(steps) == 0 {
			break
		}
		if err := o.Check.Cache.setPending(o.Engine.Dir, whole, mods); err != nil {
			return out, err
		}
		plan := act.Plan{Command: "cache", Note: "repair", Steps: steps}
		changes, err := plan.Preview(ctx)
		if err != nil {
			return out, err
		}
		if o.Show != nil {
			if err := o.Show(out.Left.Faults, changes); err != nil {
				return out, err
			}
		}
		r, err := o.Engine.Run(ctx, plan, o.Consent)
		out.Manual = r.Manual
		if r.ID > 0 {
			out.Operations = append(out.Operations, r.ID)
		}
		if errors.Is(err, act.ErrManual) {
			break
		}
		if err != nil {
			return out, err
		}
		if out.Left, err = Verify(ctx, o.Check); out.Left == nil {
			return out, err
		}
	}
	slices.Reverse(out.Operations)
	return out, out.fetch(ctx, o, whole, mods)
}

// toFetch adds what will be missing once the faults are mended.
func toFetch(c Cache, faults []Fault, whole, mods map[module.Version]bool) {
	for _, f := range faults {
		switch {
		case !f.Fetch || f.Module == "":
		case hasArchive(c, f):
			whole[f.Mod()] = true
		default:
			mods[f.Mod()] = true
		}
	}
}

// hasArchive reports whether more than metadata was there of a version.
func hasArchive(c Cache, f Fault) bool {
	for _, m := range f.Mends {
		if m.Path == c.file(f.Mod(), extZip) || m.Path == c.tree(f.Mod()) {
			return true
		}
	}
	for _, name := range []string{c.file(f.Mod(), extZip), c.tree(f.Mod())} {
		if _, err := os.Lstat(name); err == nil {
			return true
		}
	}
	return false
}

func (r *Repaired) fetch(ctx context.Context, o RepairOptions, whole, mods map[module.Version]bool) error {
	if o.Fetch == nil || len(whole)+len(mods) == 0 {
		return o.Check.Cache.setPending(o.Engine.Dir, nil, nil)
	}
	list := func(set map[module.Version]bool, but map[module.Version]bool) (out []module.Version) {
		for m, legal := range set {
			if legal && !but[m] {
				out = append(out, m)
			}
		}
		module.Sort(out)
		return out
	}
	all, only := list(whole, nil), list(mods, whole)
	absent, err := o.Fetch(ctx, all, only)
	if err != nil {
		return err
	}
	for _, m := range slices.Concat(all, only) {
		if why, ok := absent[m]; ok {
			r.Absent[m] = why
		} else {
			r.Fetched = append(r.Fetched, m)
		}
	}
	left, err := Verify(ctx, o.Check)
	if left == nil {
		return err
	}
	r.Left = left
	return o.Check.Cache.setPending(o.Engine.Dir, nil, nil)
}

// pendingFile keeps what is still to be fetched, for whoever comes after a kill.
const pendingFile = "cache-fetch"

type pendingFetch struct {
	Whole []module.Version `json:"whole"`
	Mods  []module.Version `json:"mods"`
}

func (c Cache) pending(dir string) (whole, mods map[module.Version]bool) {
	whole, mods = map[module.Version]bool{}, map[module.Version]bool{}
	var p pendingFetch
	if data, err := os.ReadFile(c.stateFile(dir, pendingFile)); err == nil && json.Unmarshal(data, &p) == nil {
		for _, m := range p.Whole {
			whole[m] = module.Check(m.Path, m.Version) == nil
		}
		for _, m := range p.Mods {
			mods[m] = module.Check(m.Path, m.Version) == nil
		}
	}
	return whole, mods
}

func (c Cache) setPending(dir string, whole, mods map[module.Version]bool) error {
	name := c.stateFile(dir, pendingFile)
	if len(whole)+len(mods) == 0 {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return writeJSON(name, pendingFetch{slices.Collect(maps.Keys(whole)), slices.Collect(maps.Keys(mods))})
}

// writeJSON replaces a file of our own, whole or not at all, also after a power cut.
func writeJSON(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	// One name, so that the next call writes over what a killed one left.
	f, err := os.OpenFile(besideState(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), name)
}

// besideState is where a file of our own is written before it takes its name.
func besideState(name string) string {
	return filepath.Join(filepath.Dir(name), ".keepwell-"+filepath.Base(name))
}
