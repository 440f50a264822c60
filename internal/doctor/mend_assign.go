package doctor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/settings"
)

// The reasons why keepwell cannot set a variable.
var (
	ErrShellOnly = errors.New("only the environment can hold it, and no file was found that sets it")
	ErrNoPlace   = errors.New("it comes from the environment, and no file was found that sets it")
	ErrNoGoEnv   = errors.New("go has no file for its settings")
)

// PlaceError says that there is no place in which a variable can be set.
type PlaceError struct {
	Name string
	// Why is one of the reasons above.
	Why error
	// Others are lines that set it in some way that keepwell cannot rewrite.
	Others []settings.Assignment
}

func (e *PlaceError) Error() string { return fmt.Sprintf("setting %s: %v", e.Name, e.Why) }
func (e *PlaceError) Unwrap() error { return e.Why }

// Assign finds the place that has to change for a variable to hold a value ("" unsets
// it): the lines that put it into the environment, else go's file. No step means that
// it holds already; a [PlaceError] that only a person can set it.
func Assign(s *settings.Settings, name, value string) ([]act.Step, error) {
	concern := act.Ordinary
	if settings.Weakens(name, value) && (name != "GOSUMDB" || value != s.Go.Root["GOSUMDB"]) { // its default weakens nothing
		concern = act.Trust
	}
	was := s.OS[name]
	byGo := s.KindOf(name) == settings.ByGo
	switch {
	case was != "" && was == value:
		return nil, nil
	case was != "":
		return assignLines(s, name, value, concern)
	case !byGo && value == "":
		return nil, nil
	case !byGo:
		return nil, &PlaceError{Name: name, Why: ErrShellOnly}
	}
	set, isSet := s.Go.User[name]
	if isSet && set == value || !isSet && value == "" {
		return nil, nil
	}
	if file := s.Go.UserFile; file == "" || file == "off" {
		return nil, &PlaceError{Name: name, Why: ErrNoGoEnv}
	}
	return []act.Step{act.GoEnv{Name: name, Value: value, Unset: value == "", File: s.Go.UserFile, Concern: concern}}, nil
}

// assignLines changes the lines that put the variable into the environment.
func assignLines(s *settings.Settings, name, value string, concern act.Concern) ([]act.Step, error) {
	same, others := s.Places(name)
	if len(same) == 0 {
		why := ErrNoPlace
		if s.KindOf(name) != settings.ByGo {
			why = ErrShellOnly
		}
		return nil, &PlaceError{Name: name, Why: why, Others: others}
	}
	var steps []act.Step
	var files []string
	for _, at := range same {
		if slices.Contains(files, at.File) {
			continue
		}
		// Lines of one file make one edit: each names what the whole file was before.
		files = append(files, at.File)
		var edits []act.Line
		for _, other := range same {
			if other.File == at.File {
				edits = append(edits, act.Line{Number: other.Line, Old: other.Text, New: other.Rewrite(value)})
			}
		}
		e, err := act.ReplaceLines(at.File, edits...)
		if err != nil {
			return nil, err
		}
		e.Concern = concern
		steps = append(steps, e)
	}
	return steps, nil
}

// assignments are the steps for several variables, what only a person can do among
// them; nil where nothing is to be done.
func (c *Case) assignments(id string, args []string, values ...[2]string) []Mend {
	m := Mend{ID: id, Args: args, Sets: map[string]string{}}
	for _, nv := range values {
		name, value := nv[0], nv[1]
		steps, err := Assign(c.Settings, name, value)
		var place *PlaceError
		switch {
		case errors.As(err, &place):
			command := "export " + faults.Quote(name+"="+value)
			if value == "" {
				command = "unset " + name
			}
			m.Steps = append(m.Steps, act.Manual{Target: name, Command: command})
			continue
		case err != nil:
			return nil
		}
		m.Steps = append(m.Steps, steps...)
		if len(steps) > 0 && c.Settings.OS[name] != "" {
			m.Sets[name] = value
		}
	}
	if len(m.Steps) == 0 {
		return nil
	}
	return []Mend{m}
}
