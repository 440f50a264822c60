package act

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
)

// Engine carries plans out and takes them back. Only one engine at a time works on a
// state directory; a second process waits for the first.
type Engine struct {
	// Dir is the state directory: the journal, the lock, and the bytes kept for undo.
	Dir string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Wait is how long to wait for another process; 0 means 10 s.
	Wait time.Duration
	// Checkpoint, if set, is called after each thing that has become durable. Tests
	// kill the process there.
	Checkpoint func(point string)
}

// Result tells what a run did.
type Result struct {
	// ID names the operation for undo; 0 where nothing was done.
	ID      int
	Changes []Change
	// Manual are the steps that only a person can do.
	Manual    []Change
	Recovered []Recovered
}

// Recovered tells what became of an operation that an earlier process did not end.
type Recovered struct {
	ID      int    `json:"id"`
	Command string `json:"command"`
	Note    string `json:"note,omitempty"`
	// Outcome is "finished", "rolled-back" or "stuck".
	Outcome string `json:"outcome"`
	// Path is the file that stands in the way; of "stuck".
	Path string `json:"path,omitempty"`
	// Aside are copies of what stood in files that were put back although nobody can
	// say who wrote them last.
	Aside []string `json:"aside,omitempty"`
}

// Operation is an entry of the history.
type Operation struct {
	ID      int       `json:"id"`
	Time    time.Time `json:"time"`
	Command string    `json:"command"`
	Note    string    `json:"note,omitempty"`
	// State is "held" (it can be undone), "undone", "rolled-back", "stuck", "expired"
	// or "open" (another process is at it, or was killed).
	State   string   `json:"state"`
	Targets []string `json:"targets"`
}

func (e *Engine) now() time.Time {
	if e.Now != nil {
		return e.Now()
	}
	return time.Now()
}

func (e *Engine) checkpoint(point string) {
	if e.Checkpoint != nil {
		e.Checkpoint(point)
	}
}

func (e *Engine) journal() journal { return journal{filepath.Join(e.Dir, "journal.jsonl")} }
func (e *Engine) undoDir() string  { return filepath.Join(e.Dir, "undo") }

func (e *Engine) write(l line) error {
	l.Time = e.now().UTC().Truncate(time.Millisecond)
	l.Error = mask.Text(l.Error)
	return e.journal().append(l)
}

// lock makes this process the only one at work, and finishes what a killed one left.
func (e *Engine) lock(ctx context.Context) (unlock func(), recovered []Recovered, err error) {
	if err := os.MkdirAll(e.undoDir(), 0o700); err != nil {
		return nil, nil, fmt.Errorf("making the state directory: %w", err)
	}
	l := flock.New(filepath.Join(e.Dir, "lock"), flock.SetPermissions(0o600))
	wait := e.Wait
	if wait == 0 {
		wait = 10 * time.Second
	}
	limited, cancel := context.WithTimeoutCause(ctx, wait, ErrBusy)
	defer cancel()
	if _, err := l.TryLockContext(limited, 20*time.Millisecond); err != nil {
		if limited.Err() != nil {
			err = context.Cause(limited)
		}
		return nil, nil, fmt.Errorf("locking %s: %w", e.Dir, err)
	}
	unlock = func() { _ = l.Unlock() }
	if recovered, err = e.recover(ctx); err != nil {
		unlock()
		return nil, nil, err
	}
	return unlock, recovered, nil
}

// Run describes every step, obtains consent for each, and then does them all. Where
// one fails, everything is put back as it was. Steps that are manual are returned
// and not done; a plan of nothing else is [ErrManual].
func (e *Engine) Run(ctx context.Context, plan Plan, consent Consent) (Result, error) {
	unlock, recovered, err := e.lock(ctx)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	r := Result{Recovered: recovered}
	var todo []Step
	for _, s := range plan.Steps {
		c, err := s.Describe(ctx)
		if err != nil {
			return r, err
		}
		if c.Safety == keepwell.SafetyManual {
			r.Manual = append(r.Manual, c)
			continue
		}
		yes, err := consent(ctx, c)
		if err != nil {
			return r, err
		}
		if !yes {
			return r, fmt.Errorf("%s %s: %w", c.Kind, c.Target, ErrDeclined)
		}
		r.Changes = append(r.Changes, c)
		todo = append(todo, s)
	}
	if len(todo) == 0 {
		return r, ErrManual
	}
	r.ID, err = e.carryOut(ctx, plan, todo, r.Changes)
	return r, err
}

// carryOut journals and does the steps. Before it returns an error it has put back
// what it changed.
func (e *Engine) carryOut(ctx context.Context, plan Plan, steps []Step, changes []Change) (int, error) {
	ops, err := e.operations()
	if err != nil {
		return 0, err
	}
	id := 1
	if len(ops) > 0 {
		id = ops[len(ops)-1].id + 1
	}
	if err := e.write(line{Op: id, Event: begun, Command: plan.Command, Note: plan.Note, Steps: len(steps)}); err != nil {
		return 0, err
	}
	e.checkpoint("begun")
	for i, s := range steps {
		if err := e.doStep(ctx, id, i, s, changes[i]); err != nil {
			return 0, e.giveUp(ctx, id, fmt.Errorf("%s %s: %w", changes[i].Kind, changes[i].Target, err))
		}
	}
	if err := e.write(line{Op: id, Event: held}); err != nil {
		return 0, err
	}
	e.checkpoint("held")
	return id, e.expire()
}

func (e *Engine) doStep(ctx context.Context, id, i int, s Step, c Change) error {
	keeps, err := s.Keeps(ctx)
	if err != nil {
		return err
	}
	intent := line{Op: id, Event: intended, Step: i, Kind: c.Kind, Target: c.Target}
	if a, ok := s.(interface{ args() map[string]string }); ok {
		intent.Args = a.args()
	}
	intent.Kept = make([]kept, len(keeps))
	err = together(len(keeps), func(n int) error {
		var err error
		if intent.Kept[n], err = e.keep(keeps[n], undoName(id, i, n)); err != nil {
			return fmt.Errorf("keeping %s for undo: %w", keeps[n].Path, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = together(len(keeps), func(n int) error {
		if k := intent.Kept[n]; k.Undo != "" && !k.Tree {
			return syncFile(filepath.Join(e.undoDir(), k.Undo))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keeping files for undo: %w", err)
	}
	if err := syncDir(e.undoDir()); err != nil {
		return fmt.Errorf("keeping files for undo: %w", err)
	}
	e.checkpoint("kept")
	if err := e.write(intent); err != nil {
		return err
	}
	e.checkpoint("intended")
	do := s.Do
	if many, ok := s.(Edits); ok {
		do = func(ctx context.Context) error { return many.do(ctx, e.checkpoint) }
	}
	if err := do(ctx); err != nil {
		return err
	}
	e.checkpoint("changed")
	if err := s.Verify(ctx); err != nil {
		return fmt.Errorf("verifying: %w", err)
	}
	after := make([]State, len(intent.Kept))
	for n, k := range intent.Kept {
		if after[n], err = k.now(); err != nil {
			return err
		}
	}
	if err := e.write(line{Op: id, Event: done, Step: i, After: after}); err != nil {
		return err
	}
	e.checkpoint("done")
	return nil
}

// keep copies what k holds to where only its owner can read.
func (e *Engine) keep(k Keep, name string) (kept, error) {
	path, err := resolve(k.Path)
	if err != nil {
		return kept{}, err
	}
	out := kept{Path: path, ModeOnly: k.ModeOnly, Tree: k.Tree, Remade: k.Remade, Want: k.Want}
	if k.Tree {
		if out.Before, err = keepTree(path, filepath.Join(e.undoDir(), name)); err == nil && out.Before.Exists {
			out.Undo = name
		}
		return out, err
	}
	if k.ModeOnly {
		out.Before, err = stateOf(path, true, nil)
		return out, err
	}
	file := filepath.Join(e.undoDir(), name)
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return out, err
	}
	out.Before, err = stateOf(path, false, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return out, errors.Join(err, os.Remove(file))
	}
	if !out.Before.Exists {
		return out, os.Remove(file)
	}
	out.Undo = name
	return out, nil
}

// giveUp takes back what the operation has done and adds to err what cannot be.
func (e *Engine) giveUp(ctx context.Context, id int, err error) error {
	// What a cancelled context stopped half-way still has to be put back.
	ctx = context.WithoutCancel(ctx)
	ops, e2 := e.operations()
	if e2 != nil {
		return errors.Join(err, e2)
	}
	for _, o := range ops {
		if o.id == id {
			o.err = err.Error()
			r, e3 := e.takeBack(ctx, o, rolledBack)
			if e3 != nil {
				return errors.Join(err, e3)
			}
			if r.Outcome == string(stuck) {
				return errors.Join(err, &ChangedError{Path: r.Path})
			}
			for _, f := range r.Aside { // what stood there is the failed tool's, moments old
				_ = os.Remove(f)
			}
		}
	}
	return err
}

func (e *Engine) operations() ([]*operation, error) {
	lines, err := e.journal().read()
	if err != nil {
		return nil, err
	}
	return fold(lines), nil
}

// History lists the operations, oldest first. It takes no lock.
func (e *Engine) History() ([]Operation, error) {
	ops, err := e.operations()
	if err != nil {
		return nil, err
	}
	out := []Operation{}
	for _, o := range ops {
		h := Operation{ID: o.id, Time: o.time, Command: o.command, Note: o.note, State: string(o.last), Targets: []string{}}
		if o.open() {
			h.State = "open"
		}
		for _, l := range o.taken {
			h.Targets = append(h.Targets, l.Target)
		}
		out = append(out, h)
	}
	return out, nil
}

// keepOperations is how many operations can be undone; of older ones the kept bytes,
// which may hold secrets, are dropped.
const keepOperations = 50

func (e *Engine) expire() error {
	ops, err := e.operations()
	if err != nil {
		return err
	}
	for _, o := range ops[:max(0, len(ops)-keepOperations)] {
		if o.last != held && o.last != stuck {
			continue
		}
		if err := e.write(line{Op: o.id, Event: expired}); err != nil {
			return err
		}
		e.forget(o)
	}
	return nil
}

// Recover finishes, or takes back, what a killed process left, as Run would. A plan that
// is made of what lies on the disk is made after it.
func (e *Engine) Recover(ctx context.Context) ([]Recovered, error) {
	unlock, recovered, err := e.lock(ctx)
	if err != nil {
		return nil, err
	}
	unlock()
	return recovered, nil
}

// Forget drops the bytes that are kept for undoing the changes of a command, and returns
// how many changes can no longer be undone.
func (e *Engine) Forget(ctx context.Context, command string) (int, error) {
	unlock, _, err := e.lock(ctx)
	if err != nil {
		return 0, err
	}
	defer unlock()
	ops, err := e.operations()
	if err != nil {
		return 0, err
	}
	n := 0
	for _, o := range ops {
		if o.command != command || o.last != held && o.last != stuck {
			continue
		}
		if err := e.write(line{Op: o.id, Event: expired}); err != nil {
			return n, err
		}
		e.forget(o)
		n++
	}
	return n, nil
}

// forget removes the bytes kept for an operation that needs them no more.
func (e *Engine) forget(o *operation) {
	for _, l := range o.taken {
		for _, k := range l.Kept {
			if k.Undo != "" {
				_ = os.Remove(filepath.Join(e.undoDir(), k.Undo))
			}
		}
	}
}

// StateDir is where keepwell keeps its journal: KEEPWELL_STATE, else the place that
// the system has for the state of programs. getenv is os.Getenv.
func StateDir(goos string, getenv func(string) string, home string) (string, error) {
	if dir := getenv("KEEPWELL_STATE"); dir != "" {
		return filepath.Abs(dir)
	}
	// The specification says that a relative path is invalid and to be ignored.
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "keepwell"), nil
	}
	if dir := getenv("LocalAppData"); goos == "windows" && dir != "" {
		return filepath.Join(dir, "keepwell", "state"), nil
	}
	if home == "" {
		return "", errors.New("finding a state directory: neither KEEPWELL_STATE, XDG_STATE_HOME nor a home directory is known")
	}
	if goos == "darwin" {
		return filepath.Join(home, "Library", "Application Support", "keepwell"), nil
	}
	return filepath.Join(home, ".local", "state", "keepwell"), nil
}
