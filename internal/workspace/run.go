package workspace

import (
	"cmp"
	"context"
	"time"
)

// The ends of a run in a module.
const (
	RunOK      = "ok"
	RunFailed  = "failed"
	RunSkipped = "skipped" // a module that it needs failed
	RunNot     = "not-run" // another failed, or the whole was stopped
)

// Outcome is what became of a module.
type Outcome struct {
	Module *Module
	State  string
	Exit   int
	Took   time.Duration
	// Because is the directory of the module whose failure skipped this one, or after whose
	// failure nothing more began; empty where the whole was stopped.
	Because string
	// Err says that it could not even be started.
	Err error
}

// Runner runs something in modules.
type Runner struct {
	// Jobs is how many run at once; less than 1 means 1.
	Jobs int
	// KeepGoing goes on after a failure with all that does not need what failed.
	KeepGoing bool
	// Do runs it in a module and returns its exit code. It is called in several goroutines.
	Do func(m *Module) (int, error)
	// Started and Ended are told of, one at a time.
	Started func(m *Module)
	Ended   func(o Outcome)
}

// waits tells whether all that a module needs is done, or because of which module it
// will never be.
func waits(needs []string, of func(need string) *Outcome) (ready bool, because string) {
	ready = true
	for _, need := range needs {
		o := of(need)
		switch {
		case o == nil:
			ready = false
		case o.State == RunFailed && because == "":
			because = o.Module.Rel
		case o.State == RunSkipped && because == "":
			because = o.Because
		}
	}
	return ready, because
}

// Run goes through the modules: each begins when all that it needs are done. When ctx
// ends, nothing more begins. It returns when all that has begun has ended, with an
// outcome for each module, in the order of Ordered.
func (r Runner) Run(ctx context.Context, list Ordered) []Outcome {
	outcomes := map[string]*Outcome{}
	ended := make(chan Outcome)
	begun, running, failed := map[string]bool{}, 0, "" // failed is the first that did
	settle := func(o Outcome) {
		outcomes[o.Module.Dir] = &o
		r.Ended(o)
	}
	byPath := map[string]*Module{}
	for _, m := range list.Modules {
		byPath[m.Path] = m
	}
	for {
		for _, m := range list.Modules {
			if begun[m.Dir] || running >= max(r.Jobs, 1) {
				continue
			}
			ready, because := waits(list.Needs[m.Path], func(need string) *Outcome { return outcomes[byPath[need].Dir] })
			switch {
			case because != "":
				begun[m.Dir] = true
				settle(Outcome{Module: m, State: RunSkipped, Because: because})
			case !ready || failed != "" && !r.KeepGoing || ctx.Err() != nil:
			default:
				begun[m.Dir] = true
				running++
				r.Started(m)
				go func() {
					begin := time.Now()
					exit, err := r.Do(m)
					o := Outcome{Module: m, State: RunOK, Exit: exit, Err: err, Took: time.Since(begin)}
					if exit != 0 || err != nil {
						o.State = RunFailed
					}
					ended <- o
				}()
			}
		}
		if running == 0 {
			break
		}
		o := <-ended
		running--
		if o.State == RunFailed && ctx.Err() == nil {
			failed = cmp.Or(failed, o.Module.Rel)
		}
		settle(o)
	}
	out := make([]Outcome, 0, len(list.Modules))
	for _, m := range list.Modules {
		o := outcomes[m.Dir]
		if o == nil {
			o = &Outcome{Module: m, State: RunNot, Because: failed}
			r.Ended(*o)
		}
		out = append(out, *o)
	}
	return out
}
