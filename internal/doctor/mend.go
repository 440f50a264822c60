package doctor

import (
	"context"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/act"
)

// Mend is one way to mend a finding on this machine, ready to be carried out. How safe
// it is follows from its steps.
type Mend struct {
	// ID names its words: "mend.<id>" of internal/msg/doctor.go, which Args fill.
	ID    string
	Args  []string
	Steps []act.Step
}

// Mends are the ways to mend f here, best first; none where only a person can do it or
// nothing is known to help. To add one, write a function that returns nothing where it
// does not fit, and name it in mends under the codes that it mends.
func Mends(ctx context.Context, c *Case, f keepwell.Finding) []Mend {
	var out []Mend
	for _, m := range mends() {
		for _, code := range m.codes {
			if code == f.Code {
				out = append(out, m.plan(ctx, c, f)...)
			}
		}
	}
	return out
}

type mender struct {
	codes []keepwell.Code
	plan  func(context.Context, *Case, keepwell.Finding) []Mend
}

func mends() []mender { return nil }
