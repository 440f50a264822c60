package act

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// event is what a line of the journal tells.
type event string

const (
	begun      event = "begin"       // of an operation: its steps follow
	intended   event = "intent"      // of a step, before its Do: what is kept
	done       event = "done"        // of a step, after its Verify: what it left
	held       event = "held"        // the operation is whole
	undoing    event = "undo"        // its undo has begun
	undone     event = "undone"      // everything is as before
	rolledBack event = "rolled-back" // it failed or was killed, and everything is as before
	stuck      event = "stuck"       // it could not be taken back: a file was changed by others
	expired    event = "expired"     // its bytes for undo were dropped
)

// line is one line of the journal.
type line struct {
	Time    time.Time `json:"time"`
	Op      int       `json:"op"`
	Event   event     `json:"event"`
	Command string    `json:"command,omitempty"`
	Note    string    `json:"note,omitempty"`
	Steps   int       `json:"steps,omitempty"` // of begin: how many there will be
	Step    int       `json:"step,omitempty"`
	Kind    Kind      `json:"kind,omitempty"`
	Target  string    `json:"target,omitempty"`
	Kept    []kept    `json:"kept,omitempty"`
	// Args are what an undo needs beside the files: names and hashes, never values.
	Args  map[string]string `json:"args,omitempty"`
	After []State           `json:"after,omitempty"`
	Error string            `json:"error,omitempty"`
}

// kept is a path with its state before the step and where its bytes lie.
type kept struct {
	Path     string `json:"path"`
	ModeOnly bool   `json:"mode_only,omitempty"`
	Tree     bool   `json:"tree,omitempty"`
	Remade   bool   `json:"remade,omitempty"`
	Before   State  `json:"before"`
	Want     *State `json:"want,omitempty"`
	// Undo names the file with the bytes, in the directory undo; empty where there were none.
	Undo string `json:"undo,omitempty"`
}

// now is the state of the path.
func (k kept) now() (State, error) {
	if k.Tree {
		return treeState(k.Path)
	}
	return stateOf(k.Path, k.ModeOnly, nil)
}

// journal is an append-only file of JSON lines; each is on the disk before append
// returns.
type journal struct{ path string }

// read returns the lines. One that a crash cut short is no line: what it would have
// announced has not been begun.
func (j journal) read() ([]line, error) {
	data, err := os.ReadFile(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	var lines []line
	scan := bufio.NewScanner(bytes.NewReader(data))
	scan.Buffer(nil, 1<<24)
	for scan.Scan() {
		var l line
		if json.Unmarshal(scan.Bytes(), &l) == nil && l.Op > 0 {
			lines = append(lines, l)
		}
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("reading the journal %s: %w", j.path, err)
	}
	return lines, nil
}

func (j journal) append(l line) (err error) {
	data, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	defer func() {
		if e := f.Close(); err == nil && e != nil {
			err = fmt.Errorf("writing the journal: %w", e)
		}
	}()
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			data = append([]byte{'\n'}, data...) // a crash cut the line before short
		}
	}
	if _, err := f.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	return syncDir(filepath.Dir(j.path))
}

// operation is what the journal's lines on one operation add up to.
type operation struct {
	id            int
	time          time.Time
	command, note string
	steps         int
	taken         []line // intents, by step
	after         [][]State
	last          event
	err           string
}

// open reports an operation that a killed process left between two states.
func (o *operation) open() bool {
	return o.last == begun || o.last == intended || o.last == done || o.last == undoing
}

func fold(lines []line) []*operation {
	var ops []*operation
	byID := map[int]*operation{}
	for _, l := range lines {
		o := byID[l.Op]
		if o == nil {
			if l.Event != begun {
				continue
			}
			o = &operation{id: l.Op, time: l.Time, command: l.Command, note: l.Note, steps: l.Steps}
			byID[l.Op] = o
			ops = append(ops, o)
		}
		o.last = l.Event
		switch l.Event {
		case intended:
			o.taken = append(o.taken, l)
		case done:
			for len(o.after) < l.Step {
				o.after = append(o.after, nil)
			}
			o.after = append(o.after, l.After)
		case stuck, rolledBack:
			o.err = l.Error
		}
	}
	return ops
}
