package doctor

import (
	"cmp"

	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/marks"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/moved"
	"github.com/keepwell/keepwell/internal/msg"
)

// mostProof bounds the evidence that is written down, mostProofText one piece of it.
const (
	mostProof     = 5
	mostProofText = 300
)

// mendMark writes down, for everybody's later commands, that nothing can be done here
// about a dependency.
func (c *Case) mendMark(p moved.Proposal) ([]Mend, error) {
	f, err := marks.Find(c.Dir)
	if err != nil {
		return nil, err
	}
	if len(f.Of(string(p.Ecosystem), p.From, "")) > 0 {
		return nil, nil
	}
	m := c.Signed
	m.Ecosystem, m.Name, m.State, m.Why = string(p.Ecosystem), p.From, marks.Abandoned, p.Reason.In(cmp.Or(c.Lang, msg.EN))
	if p.To != p.From {
		m.Instead = p.To
	}
	for _, e := range p.Evidence[:min(len(p.Evidence), mostProof)] {
		text := mask.Text(e.Text)
		m.Evidence = append(m.Evidence, text[:min(len(text), mostProofText)])
	}
	after, err := f.Add(m)
	if err != nil {
		return nil, err
	}
	return []Mend{{ID: "mark", Args: []string{p.From}, Exact: true, Steps: []act.Step{act.Edit{Path: f.Path, Before: f.Text, After: after}}}}, nil
}
