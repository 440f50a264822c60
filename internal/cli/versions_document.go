package cli

import (
	"time"

	"github.com/keepwell/keepwell/internal/marks"
	"github.com/keepwell/keepwell/internal/trace"
)

// versionsDocument is that of all commands with findings, and the versions.
type versionsDocument struct {
	gathered
	Module     string           `json:"module"`
	Deprecated string           `json:"deprecated,omitempty"`
	Sources    []versionsSource `json:"sources"`
	Versions   []versionsLine   `json:"versions"`
	Chosen     *trace.Chosen    `json:"chosen"`
	// Marks are what the project here has written down of it.
	Marks []marks.Mark `json:"marks,omitempty"`
}

type versionsSource struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	// Asked is false where go never asks it for this module.
	Asked    bool   `json:"asked"`
	Versions int    `json:"versions"`
	Error    string `json:"error,omitempty"`
}

type versionsLine struct {
	Version string     `json:"version"`
	Time    *time.Time `json:"time,omitempty"`
	// Sources are the names of those that have it.
	Sources   []string `json:"sources"`
	Retracted bool     `json:"retracted"`
	Why       string   `json:"why,omitempty"`
	InUse     bool     `json:"in_use"`
}

func (d *versionsDocument) fill(l listing) {
	d.Module, d.Deprecated, d.Chosen = l.found.Module, l.found.Deprecated, l.chosen
	d.Sources, d.Versions = []versionsSource{}, []versionsLine{}
	for _, s := range l.found.Sources {
		d.Sources = append(d.Sources, versionsSource{s.Name, string(s.Hop.Kind), !s.Passed, len(s.Versions), firstLine(s.Text)})
	}
	for _, v := range l.found.Lines {
		line := versionsLine{
			Version: v.Version, Sources: []string{}, Retracted: v.Retracted, Why: v.Why,
			InUse: l.chosen != nil && l.chosen.Version == v.Version,
		}
		if !v.Time.IsZero() {
			line.Time = &v.Time
		}
		for _, i := range v.Sources {
			line.Sources = append(line.Sources, l.found.Sources[i].Name)
		}
		d.Versions = append(d.Versions, line)
	}
}
