package autopilot_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

// labels classifies by labels: code, instance, priority. Without code it knows nothing.
type labels struct{}

func (labels) Classify(_ context.Context, a keepwell.Alert) (autopilot.Class, error) {
	return autopilot.Class{
		Code: keepwell.Code(a.Labels["code"]), Asset: a.Labels["instance"], Priority: keepwell.Priority(a.Labels["priority"]),
		Confidence: 0.9, Title: a.Name(),
	}, nil
}

// script is the playbook language of these tests: JSON.
type script struct {
	Code   string
	Steps  []line
	Policy autopilot.Policy
	Verify *check
	// OnFailure are the names of steps.
	OnFailure []string
}

type check struct {
	After time.Duration
	Fails bool
}

type line struct {
	Name       string
	Do         string // what the effect does: "", "fail", "hang", "unsure"
	Idempotent bool
	Retries    int
	Probe      bool
	Undo       bool
	Skip       bool
	Approval   *autopilot.Approval
	OnFailure  autopilot.OnFailure
	Check      bool
	Delay      time.Duration
}

// process is an action that starts a real process, which appends the step's key to a file.
type process struct {
	file string
	do   string
	hold func(ctx context.Context, k state.StepKey)
}

func (p process) Do(ctx context.Context, c autopilot.Call) (json.RawMessage, error) {
	cmd := exec.CommandContext(ctx, "tee", "-a", p.file)
	cmd.Stdin = strings.NewReader(c.Key.String() + " " + string(c.Undone) + "\n")
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	if p.hold != nil {
		p.hold(ctx, c.Key)
	}
	switch p.do {
	case "fail":
		return nil, errors.New("it failed")
	case "final":
		return nil, fmt.Errorf("it is forbidden: %w", autopilot.ErrFinal)
	case "unsure":
		return nil, fmt.Errorf("no answer: %w", autopilot.ErrUnsure)
	case "hang":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return json.Marshal(map[string]string{"said": strings.TrimSpace(string(out))})
}

// probed can tell whether its effect was made.
type probed struct{ process }

func (p probed) Probe(_ context.Context, c autopilot.Call) (bool, error) {
	return effects(p.file)[c.Key.String()] > 0, nil
}

// effects counts the effects in a file by their keys.
func effects(file string) map[string]int {
	data, _ := os.ReadFile(file)
	counts := map[string]int{}
	for l := range bytes.Lines(data) {
		key, _, _ := strings.Cut(strings.TrimSpace(string(l)), " ")
		counts[key]++
	}
	return counts
}

// compiler makes programs of scripts.
func compiler(file string, hold func(context.Context, state.StepKey)) func(string) (*autopilot.Program, error) {
	var made atomic.Int64 // inputs: none is like another
	return func(text string) (*autopilot.Program, error) {
		var s script
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			return nil, err
		}
		p := &autopilot.Program{Policy: s.Policy, Match: func(_ context.Context, f autopilot.Facts) (bool, msg.Reason, error) {
			return string(f.Incident.Code) == s.Code, msg.Because("why.notfor", s.Code), nil
		}}
		if s.Verify != nil {
			p.Verify = &autopilot.Verify{After: s.Verify.After}
			if s.Verify.Fails {
				p.Verify.Check = &autopilot.Step{Name: "check", Action: process{file: os.DevNull, do: "fail"}}
			}
		}
		for _, name := range s.OnFailure {
			p.OnFailure = append(p.OnFailure, autopilot.Step{Name: name, Kind: "process", Action: process{file: file}})
		}
		for _, l := range s.Steps {
			act := process{file: file, do: l.Do, hold: hold}
			step := autopilot.Step{Name: l.Name, Kind: "process", Idempotent: l.Idempotent, Retries: l.Retries, Approval: l.Approval, Action: act, OnFailure: l.OnFailure, Check: l.Check, Delay: l.Delay}
			step.Input = func(_ context.Context, f autopilot.Facts) (json.RawMessage, error) {
				return json.Marshal(map[string]any{"asset": f.Incident.Asset, "made": made.Add(1)})
			}
			if l.Probe {
				step.Action = probed{act}
			}
			if l.Undo {
				step.Undo = &autopilot.Step{Name: "undo " + l.Name, Kind: "process", Action: process{file: file}}
			}
			if l.Skip {
				step.When = func(context.Context, autopilot.Facts) (bool, msg.Reason, error) {
					return false, msg.Said("not now"), nil
				}
			}
			p.Steps = append(p.Steps, step)
		}
		return p, nil
	}
}

// rig is an engine over a database.
type rig struct {
	*autopilot.Engine
	st   *state.State
	file string

	mu   sync.Mutex
	told []autopilot.Escalation
}

func newRig(t *testing.T, o state.Options, change func(*autopilot.Options)) *rig {
	t.Helper()
	r := &rig{st: statetest.Open(t, o), file: o.Dir + "/effects"}
	opts := autopilot.Options{Classifier: labels{}, Compile: compiler(r.file, nil), Escalate: func(_ context.Context, x autopilot.Escalation) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.told = append(r.told, x)
		return nil
	}}
	if change != nil {
		change(&opts)
	}
	e, err := autopilot.Open(t.Context(), r.st, opts)
	if err == nil {
		err = e.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	r.Engine = e
	t.Cleanup(func() {
		if err := e.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return r
}

// install puts a script in force.
func (r *rig) install(t *testing.T, name string, mode state.Mode, s script) {
	t.Helper()
	text, err := json.Marshal(s)
	if err == nil {
		err = r.Install(t.Context(), name, autopilot.AnyVersion, string(text), "test", mode, 0, "user:author")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// until waits for something that the engine does.
func (r *rig) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	statetest.Until(t, what, ok, func() any {
		runs, _ := r.st.Runs(t.Context(), state.RunFilter{}, state.Page{})
		return runs
	})
}

func (r *rig) runs(t *testing.T, f state.RunFilter) []state.Run {
	t.Helper()
	runs, err := r.st.Runs(t.Context(), f, state.Page{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

// run waits for the n-th run of a playbook to be in a state.
func (r *rig) run(t *testing.T, book string, n int, want state.RunState) state.Run {
	t.Helper()
	var got state.Run
	r.until(t, fmt.Sprintf("run %d of %s is %s", n, book, want), func() bool {
		runs := r.runs(t, state.RunFilter{Playbook: book})
		if len(runs) < n {
			return false
		}
		got = runs[len(runs)-n]
		if got.State.Final() && got.State != want {
			t.Fatalf("run %d of %s is %s: %s", n, book, got.State, got.Error)
		}
		return got.State == want
	})
	return got
}

func (r *rig) ingest(t *testing.T, alerts ...keepwell.Alert) autopilot.Receipt {
	t.Helper()
	receipt, err := r.Ingest(t.Context(), alerts)
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

func alert(n int, code, asset string) keepwell.Alert {
	l := map[string]string{"alertname": "Test", "instance": asset, "priority": "P1"}
	if code != "" {
		l["code"] = code
	}
	return keepwell.Alert{
		Fingerprint: fmt.Sprintf("f%d", n), Status: keepwell.AlertFiring, Labels: l, Source: "test",
		StartsAt: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC).Add(time.Duration(n) * time.Second),
	}
}

func over(a keepwell.Alert) keepwell.Alert {
	a.Status = keepwell.AlertResolved
	return a
}

func (r *rig) escalations() []autopilot.Escalation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]autopilot.Escalation(nil), r.told...)
}

// decisions are the reasons in the journal, newest first.
func (r *rig) decisions(t *testing.T) string {
	t.Helper()
	rows, err := r.st.Journal(t.Context(), state.JournalFilter{Kind: "decision"}, state.Page{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, row := range rows {
		b.WriteString(row.Body + "\n")
	}
	return b.String()
}
