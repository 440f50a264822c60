package playbook

import (
	"fmt"
	"strings"
)

// Input is an action with its data filled in: what is written down before the effect,
// shown in a dry run, and handed to the action. Secrets are references in pieces of their
// own, so that data which looks like a reference stays data, also after a restart.
type Input struct {
	Kind   string            `json:"kind"`
	Params map[string]Filled `json:"params"`
	// About is what the run is about, for texts that the playbook left out.
	About About `json:"about"`
}

// About is what a run is about.
type About struct {
	Playbook string `json:"playbook"`
	Alert    string `json:"alert,omitempty"`
	Code     string `json:"code,omitempty"`
	Asset    string `json:"asset,omitempty"`
	Priority string `json:"priority,omitempty"`
	Incident int64  `json:"incident,omitempty"`
	Run      int64  `json:"run,omitempty"`
	// Done is what the run did before, for actions that tell people.
	Done []Did `json:"done,omitempty"`
}

// Did is a step that was done.
type Did struct {
	Step     string `json:"step"`
	Said     string `json:"said,omitempty"` // in one line, in its own words
	Verified bool   `json:"verified,omitempty"`
}

// Filled is a parameter's value; which field counts is its type.
type Filled struct {
	Text    Sealed       `json:"text,omitempty"`
	Texts   []string     `json:"texts,omitempty"`
	Pairs   []FilledPair `json:"pairs,omitempty"`
	Numbers []int64      `json:"numbers,omitempty"`
	JSON    any          `json:"json,omitempty"`
}

// FilledPair is a name with its text.
type FilledPair struct {
	Name string `json:"name"`
	Text Sealed `json:"text"`
}

// Sealed is a text whose secrets are references.
type Sealed []Piece

// Piece is a text, or a secret by name.
type Piece struct {
	Text   string `json:"text,omitempty"`
	Secret string `json:"secret,omitempty"`
	// Data says that the text is not the playbook's own: an alert said it.
	Data bool `json:"data,omitempty"`
}

// String shows s with references.
func (s Sealed) String() string {
	text, _ := s.Open(byReference) // a reference never fails
	return text
}

// Shown is s with references, with what alerts said made harmless for those who read it.
func (s Sealed) Shown(harmless func(string) string) string {
	var b strings.Builder
	for _, p := range s {
		if p.Data {
			b.WriteString(harmless(p.Text))
			continue
		}
		b.WriteString(Sealed{p}.String())
	}
	return b.String()
}

// Open is s with its secrets.
func (s Sealed) Open(secrets func(name string) (string, error)) (string, error) {
	var b strings.Builder
	for _, p := range s {
		if p.Secret == "" {
			b.WriteString(p.Text)
			continue
		}
		v, err := secrets(p.Secret)
		if err != nil {
			return "", fmt.Errorf("secret %s: %w", p.Secret, err)
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

// sealed fills in the data of t.
func (t Text) sealed(s Scope) (out Sealed, err error) {
	for _, p := range t.parts {
		if p.secret != "" {
			out = append(out, Piece{Secret: p.secret})
			continue
		}
		text, err := Text{parts: []part{p}}.Data(s)
		if err != nil {
			return nil, err
		}
		out = append(out, Piece{Text: text, Data: p.path != nil})
	}
	return out, nil
}

// Fill fills in what the scope knows. The error is for data that is missing or cannot
// be put where its template stands: then nothing may be done.
func (a Action) Fill(s Scope) (Input, error) {
	in := Input{Kind: a.Kind, Params: map[string]Filled{}, About: About{
		Playbook: s.Playbook, Alert: s.Alert.Name(), Code: string(s.Code), Asset: s.Asset, Priority: string(s.Priority), Incident: s.Incident, Run: s.Run,
	}}
	k := LookupKind(a.Kind)
	if k == nil {
		return in, fmt.Errorf("action %s is unknown", a.Kind)
	}
	for name, v := range a.Params {
		f, err := v.fill(k.Param(name), s)
		if err != nil {
			return in, fmt.Errorf("%s.%s: %w", a.Kind, name, err)
		}
		in.Params[name] = f
	}
	return in, nil
}

// values are texts that stand beside a command, where none of them can become an option.
func values(list []Text, s Scope) ([]string, error) {
	out := make([]string, 0, len(list))
	for i, t := range list {
		v, err := t.Data(s)
		if err != nil {
			return nil, fmt.Errorf("value %d: %w", i+1, err)
		}
		out = append(out, v)
	}
	return out, nil
}

func (v Value) fill(p *Param, s Scope) (f Filled, err error) {
	f.Numbers = v.Numbers
	switch p.Type {
	case TypeText:
		if p.Sink == SinkPromQL {
			query, err := v.Text.PromQL(s)
			f.Text = Sealed{{Text: query}}
			return f, err
		}
		f.Text, err = v.Text.sealed(s)
	case TypeTexts:
		if p.Sink == SinkValue {
			f.Texts, err = values(v.Texts, s)
			return f, err
		}
		f.Texts, err = Arguments(v.Texts, s)
	case TypePairs:
		for _, pair := range v.Pairs {
			text, err := pair.Text.sealed(s)
			if err != nil {
				return f, fmt.Errorf("%s: %w", pair.Name, err)
			}
			f.Pairs = append(f.Pairs, FilledPair{pair.Name, text})
		}
	case TypeDuration:
		f.Text = Sealed{{Text: v.Duration.String()}}
	case TypeJSON:
		f.JSON, err = JSON(v.JSON, s)
	}
	return f, err
}
