package wire

import (
	"encoding/json"
	"maps"

	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/playbook"
)

// Fault is why a step of a playbook cannot be done as the configuration is.
type Fault struct {
	Step string
	Why  msg.Reason
}

// Faults tells which steps of p cannot be done as the configuration is now: a script that
// is not there, a receiver that nobody named. Where that depends on what an alert says, it
// shows only then.
func (c Programs) Faults(p *playbook.Program) (all []Fault) {
	for _, list := range [][]playbook.Step{p.Steps, p.OnFailure} {
		for i := range list {
			s := &list[i]
			does := []playbook.Action{s.Action}
			if s.Verify != nil {
				does = append(does, s.Verify.Check)
			}
			if s.Undo != nil {
				does = append(does, *s.Undo)
			}
			for _, a := range does {
				if why := c.fault(p, a); !why.IsZero() {
					all = append(all, Fault{s.Name, why})
					break
				}
			}
		}
	}
	return all
}

// fault plans a with what stands in the playbook itself.
func (c Programs) fault(p *playbook.Program, a playbook.Action) msg.Reason {
	known := playbook.Action{Kind: a.Kind, Params: maps.Clone(a.Params)}
	for name := range a.Params {
		if _, err := (playbook.Action{Kind: a.Kind, Params: map[string]playbook.Value{name: a.Params[name]}}).Fill(playbook.Scope{Playbook: p.Name}); err != nil {
			delete(known.Params, name) // an alert's, or of a variable
		}
	}
	// Of these two, what is acted on may come from an alert.
	if len(known.Params) < len(a.Params) && (a.Kind == "kubernetes" || a.Kind == "doctor") {
		return msg.Reason{}
	}
	in, err := known.Fill(playbook.Scope{Playbook: p.Name})
	if err != nil {
		return msg.Reason{}
	}
	text, err := json.Marshal(in)
	if err != nil {
		return msg.Reason{}
	}
	_, why := c.Describe(a.Kind, text)
	return why
}
