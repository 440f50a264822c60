package act

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Undo takes an operation back: id, or 0 for the last one of command that holds ("" is
// any command). It refuses with a [ChangedError], and changes nothing, where a file
// is no longer as keepwell left it.
func (e *Engine) Undo(ctx context.Context, id int, command string) (Operation, []Recovered, error) {
	unlock, recovered, err := e.lock(ctx)
	if err != nil {
		return Operation{}, nil, err
	}
	defer unlock()
	ops, err := e.operations()
	if err != nil {
		return Operation{}, recovered, err
	}
	o, err := choose(ops, id, command)
	if err != nil {
		return Operation{}, recovered, err
	}
	out := Operation{ID: o.id, Time: o.time, Command: o.command, Note: o.note, State: string(undone)}
	for _, l := range o.taken {
		out.Targets = append(out.Targets, l.Target)
	}
	moves, err := e.moves(o, false)
	if err != nil {
		return out, recovered, err
	}
	if err := e.write(line{Op: o.id, Event: undoing}); err != nil {
		return out, recovered, err
	}
	e.checkpoint("undoing")
	if err := e.move(ctx, moves); err != nil {
		return out, recovered, err
	}
	if err := e.write(line{Op: o.id, Event: undone}); err != nil {
		return out, recovered, err
	}
	e.checkpoint("undone")
	e.forget(o)
	return out, recovered, nil
}

func choose(ops []*operation, id int, command string) (*operation, error) {
	for _, o := range slices.Backward(ops) {
		undoable := o.last == held || o.last == stuck
		switch {
		case id == 0 && undoable && (command == "" || o.command == command):
			return o, nil
		case id != 0 && o.id == id && o.last == expired:
			return nil, fmt.Errorf("undoing change %d: %w", id, ErrExpired)
		case id != 0 && o.id == id && !undoable:
			return nil, fmt.Errorf("undoing change %d: %w", id, ErrNothing)
		case id != 0 && o.id == id:
			return o, nil
		}
	}
	return nil, ErrNothing
}

// move is one thing to do in order to take a step back.
type move struct {
	kept
	// revert, if set, undoes the step by its meaning, in a file that others have
	// changed elsewhere since.
	revert func(ctx context.Context) error
	// aside says to keep a copy of what stands there first.
	aside string
}

// moves plans how to take o back, last step first; it changes nothing. In a crashed
// operation (force) a state that nobody recorded is put aside and overwritten.
func (e *Engine) moves(o *operation, force bool) ([]move, error) {
	var all []move
	// will is what a path holds when the moves of later steps are made.
	will := map[string]State{}
	for i, l := range slices.Backward(o.taken) {
		var after []State
		if i < len(o.after) {
			after = o.after[i]
		}
		ms, err := e.stepMoves(l, after, will, force)
		if err != nil {
			return nil, err
		}
		for _, m := range ms {
			if m.revert == nil && !m.ModeOnly {
				will[m.Path] = m.Before
			}
		}
		all = append(all, ms...)
	}
	return all, nil
}

func (e *Engine) stepMoves(l line, after []State, will map[string]State, force bool) ([]move, error) {
	var ms []move
	for n, k := range l.Kept {
		now, err := k.now()
		if s, ok := will[k.Path]; ok && !k.ModeOnly {
			now = s
		}
		if err != nil {
			return nil, fmt.Errorf("looking at %s: %w", k.Path, err)
		}
		ours := n < len(after) && now.meets(after[n]) || k.Want != nil && now.meets(*k.Want)
		if force { // a killed process may have been at it
			if err := k.sweep(); err != nil {
				return nil, err
			}
		}
		switch {
		case now.meets(k.Before):
		case k.Remade, k.Tree && force && !now.Exists:
			ms = append(ms, move{kept: k})
		case ours:
			ms = append(ms, move{kept: k})
		case force && n >= len(after) && k.Want == nil:
			ms = append(ms, move{kept: k, aside: undoName(l.Op, l.Step, n) + ".found"})
		default:
			revert := e.reverter(l, k)
			if revert == nil {
				return nil, e.changed(k)
			}
			return []move{{kept: k, revert: revert}}, nil
		}
	}
	return ms, nil
}

func (e *Engine) move(ctx context.Context, moves []move) error {
	for len(moves) > 0 {
		if n := plainOnes(moves); n > 1 {
			if err := e.restoreMany(moves[:n]); err != nil {
				return fmt.Errorf("putting back files: %w", err)
			}
			moves = moves[n:]
			e.checkpoint("restored")
			continue
		}
		m := moves[0]
		moves = moves[1:]
		var err error
		switch {
		case m.revert != nil:
			err = m.revert(ctx)
		default:
			err = e.restore(m)
		}
		if err != nil {
			return fmt.Errorf("putting back %s: %w", m.Path, err)
		}
		e.checkpoint("restored")
	}
	return nil
}

// plainOnes is how many of the first moves can be made at once.
func plainOnes(moves []move) int {
	seen := map[string]bool{}
	for n, m := range moves {
		if !m.plain() || seen[m.Path] {
			return n
		}
		seen[m.Path] = true
	}
	return len(moves)
}

func (e *Engine) restore(m move) error {
	if m.ModeOnly {
		return os.Chmod(m.Path, m.Before.Mode)
	}
	if m.Tree {
		if m.aside != "" {
			if _, err := keepTree(m.Path, filepath.Join(e.undoDir(), m.aside)); err != nil {
				return err
			}
		}
		return restoreTree(m.Path, filepath.Join(e.undoDir(), m.Undo), m.Before)
	}
	if m.aside != "" {
		if err := setAside(m.Path, filepath.Join(e.undoDir(), m.aside)); err != nil {
			return err
		}
	}
	if !m.Before.Exists {
		if err := os.Remove(m.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return syncDir(filepath.Dir(m.Path))
	}
	data := filepath.Join(e.undoDir(), m.Undo)
	if s, err := stateOf(data, false, nil); err != nil || s.SHA256 != m.Before.SHA256 {
		return fmt.Errorf("the bytes kept in %s are not those of the journal: %w", data, cmpErr(err))
	}
	f, err := os.Open(data)
	if err != nil {
		return err
	}
	defer f.Close()
	return writeFile(m.Path, f, m.Before.Mode)
}

func cmpErr(err error) error {
	if err == nil {
		return ErrExpired
	}
	return err
}

func setAside(path, to string) error {
	data, err := readIfExists(path)
	if err != nil || data == nil {
		return err
	}
	return writeFile(to, bytes.NewReader(data), 0o600)
}

// changed says that k was changed by others, and what putting it back would do.
func (e *Engine) changed(k kept) error {
	if k.Tree || k.ModeOnly {
		return &ChangedError{Path: k.Path}
	}
	now, err := readIfExists(k.Path)
	if err != nil {
		return err
	}
	var before []byte
	if k.Undo != "" {
		if before, err = os.ReadFile(filepath.Join(e.undoDir(), k.Undo)); err != nil {
			return fmt.Errorf("reading what was kept of %s: %w", k.Path, err)
		}
	}
	return &ChangedError{Path: k.Path, Diff: unified(k.Path, now, before)}
}

// recover ends what killed processes left open: the last step of an operation is
// finished where its change is in place; everything else is put back.
func (e *Engine) recover(ctx context.Context) ([]Recovered, error) {
	ops, err := e.operations()
	if err != nil {
		return nil, err
	}
	var out []Recovered
	for _, o := range ops {
		if !o.open() {
			continue
		}
		r, err := e.settle(ctx, o)
		if err != nil {
			return out, fmt.Errorf("recovering change %d: %w", o.id, err)
		}
		out = append(out, r)
	}
	return out, nil
}

func (e *Engine) settle(ctx context.Context, o *operation) (Recovered, error) {
	if o.last == undoing {
		return e.takeBack(ctx, o, undone)
	}
	if len(o.taken) != o.steps {
		return e.takeBack(ctx, o, rolledBack)
	}
	if len(o.after) < o.steps {
		l := o.taken[o.steps-1]
		after, ok := attained(l)
		if !ok {
			return e.takeBack(ctx, o, rolledBack)
		}
		if err := e.write(line{Op: o.id, Event: done, Step: l.Step, After: after}); err != nil {
			return Recovered{}, err
		}
	}
	r := Recovered{ID: o.id, Command: o.command, Note: o.note, Outcome: "finished"}
	return r, e.write(line{Op: o.id, Event: held})
}

// attained reports whether the change of an intent is in place, and the states that
// it left.
func attained(l line) ([]State, bool) {
	after := make([]State, len(l.Kept))
	for n, k := range l.Kept {
		var err error
		if after[n], err = k.now(); err != nil {
			return nil, false
		}
		if err := k.sweep(); err != nil {
			return nil, false
		}
		if k.Want != nil && !after[n].meets(*k.Want) || k.Want == nil && !holds(l) {
			return nil, false
		}
	}
	return after, true
}

// takeBack puts everything back that an open operation has changed.
func (e *Engine) takeBack(ctx context.Context, o *operation, end event) (Recovered, error) {
	r := Recovered{ID: o.id, Command: o.command, Note: o.note, Outcome: string(end)}
	moves, err := e.moves(o, true)
	var changed *ChangedError
	if errors.As(err, &changed) {
		r.Outcome, r.Path = string(stuck), changed.Path
		return r, e.write(line{Op: o.id, Event: stuck, Error: changed.Error()})
	}
	if err != nil {
		return r, err
	}
	if err := e.move(ctx, moves); err != nil {
		return r, err
	}
	for _, m := range moves {
		if m.aside != "" {
			r.Aside = append(r.Aside, filepath.Join(e.undoDir(), m.aside))
		}
	}
	if err := e.write(line{Op: o.id, Event: end, Error: o.err}); err != nil {
		return r, err
	}
	e.forget(o)
	return r, nil
}
