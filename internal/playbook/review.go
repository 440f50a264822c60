package playbook

import "github.com/keepwell/keepwell/internal/msg"

// Review is what programs are told of a text.
type Review struct {
	// Usable says that it is a playbook; there may be warnings all the same.
	Usable   bool   `json:"usable"`
	Name     string `json:"name,omitempty"`
	Version  string `json:"version,omitempty"`
	Problems []Flaw `json:"problems"`
}

// Flaw is a problem in one language.
type Flaw struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Level   string `json:"level" jsonschema:"error or warning"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Examine reads a text and tells all that is wrong with it, in lang.
func Examine(text []byte, o Options, lang msg.Lang) Review {
	p, problems := Read(text, o)
	r := Review{Usable: p != nil, Problems: make([]Flaw, 0, len(problems))}
	if p != nil {
		r.Name, r.Version = p.Name, p.Version
	}
	for _, pr := range problems {
		level := "error"
		if pr.Warning {
			level = "warning"
		}
		r.Problems = append(r.Problems, Flaw{pr.Line, pr.Column, level, pr.Key, pr.In(lang)})
	}
	return r
}
