package api

import (
	"net/http"
	"slices"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/state"
)

// told is a run with what was done.
type told struct {
	Run       state.Run        `json:"run"`
	Steps     []state.Step     `json:"steps"`
	Approvals []state.Approval `json:"approvals"`
}

// reason is a body that says why.
type reason struct {
	Why string `json:"why" jsonschema:"why, for the journal"`
}

// answerTo is what a person says to a question.
type answerTo struct {
	Note string `json:"note,omitempty" jsonschema:"for the journal"`
}

// settled is what a person found out about a step.
type settled struct {
	Made bool   `json:"made" jsonschema:"whether the effect was made"`
	Note string `json:"note" jsonschema:"how that is known"`
}

// started asks for a run by hand.
type started struct {
	Playbook string `json:"playbook"`
	Incident int64  `json:"incident" jsonschema:"an open incident"`
	Why      string `json:"why" jsonschema:"why, for the journal"`
}

// intended asks what a run by hand would do.
type intended struct {
	Playbook string `json:"playbook"`
	Incident int64  `json:"incident"`
}

func (a *api) runs() []route {
	run := prefix + "/runs/{id}"
	return append(a.approvals(), []route{
		{
			method: http.MethodGet, path: prefix + "/runs", id: "listRuns", what: "Runs of playbooks, newest first", role: access.Viewer,
			query: paged(
				param{name: "state", what: "only those in this state", values: runStates()}, param{name: "playbook", what: "only those of this playbook"},
				param{name: "incident", what: "only those for this incident", number: true}, param{name: "asset", what: "only those on this asset"},
				param{name: "mode", what: "only those in this mode", values: []string{"active", "observe", "manual", "undo"}},
				param{name: "unfinished", what: "only those that go on", values: []string{"true"}},
			),
			reply: list[state.Run]{}, do: a.listRuns,
		},
		{method: http.MethodGet, path: run, id: "getRun", what: "One run with its steps and approvals", role: access.Viewer, reply: told{}, do: a.getRun},
		{
			method: http.MethodPost, path: prefix + "/runs", id: "startRun", what: "Run a playbook by hand for an open incident", role: access.Operator,
			body: started{}, reply: state.Run{}, made: true, do: a.startRun,
		},
		{
			method: http.MethodPost, path: prefix + "/runs/plan", id: "planRun", what: "What a run by hand would do; changes nothing", role: access.Operator,
			body: intended{}, reply: list[autopilot.Foreseen]{}, do: a.planRun,
		},
		{
			method: http.MethodPost, path: run + "/cancel", id: "cancelRun", what: "End a run: what is being done is finished, and nothing follows", role: access.Operator,
			body: reason{}, do: a.cancelRun,
		},
		{
			method: http.MethodPost, path: run + "/undo", id: "undoRun", what: "Start a run that takes back what an ended run did", role: access.Operator,
			body: reason{}, reply: state.Run{}, made: true, do: a.undoRun,
		},
		{
			method: http.MethodPost, path: run + "/approve", id: "approveRun", what: "Grant the open approval of a run", role: access.Operator, person: true,
			body: answerTo{}, do: a.approveRun,
		},
		{
			method: http.MethodPost, path: run + "/steps/{seq}/{attempt}/settle", id: "settleStep", what: "Say whether the effect of an unknown step was made", role: access.Operator,
			body: settled{}, do: a.settleStep,
		},
	}...)
}

func (a *api) approvals() []route {
	states := []string{string(state.ApprovalAsked), string(state.ApprovalGranted), string(state.ApprovalRefused), string(state.ApprovalExpired)}
	approval := prefix + "/approvals/{id}"
	return []route{
		{
			method: http.MethodGet, path: prefix + "/approvals", id: "listApprovals", what: "Questions to people, newest first", role: access.Viewer,
			query: paged(param{name: "state", what: "only those in this state", values: states}, param{name: "run", what: "only those of this run", number: true}),
			reply: list[state.Approval]{}, do: a.listApprovals,
		},
		{method: http.MethodGet, path: approval, id: "getApproval", what: "One approval", role: access.Viewer, reply: state.Approval{}, do: a.getApproval},
		{
			method: http.MethodPost, path: approval + "/approve", id: "approve", what: "Grant an approval: the run goes on. Takes a person who is logged in, other than who caused it where the playbook says so", role: access.Operator, person: true,
			body: answerTo{}, do: func(c *call) (any, error) { return nil, a.decide(c, true) },
		},
		{
			method: http.MethodPost, path: approval + "/deny", id: "deny", what: "Refuse an approval: the run ends", role: access.Operator, person: true,
			body: answerTo{}, do: func(c *call) (any, error) { return nil, a.decide(c, false) },
		},
	}
}

func runStates() (all []string) {
	for _, s := range []state.RunState{state.RunPending, state.RunRunning, state.RunWaiting, state.RunDone, state.RunFailed, state.RunCancelled, state.RunHuman} {
		all = append(all, string(s))
	}
	return all
}

func (a *api) listRuns(c *call) (any, error) {
	p, limit := c.page()
	all, err := a.State.Runs(c.Context(), state.RunFilter{
		State: state.RunState(c.get("state")), Playbook: c.get("playbook"), Incident: c.number("incident"), Asset: c.get("asset"), Mode: c.get("mode"), Unfinished: c.get("unfinished") != "",
	}, p)
	if err != nil {
		return nil, err
	}
	return listed(each(all, c.cleanRun), limit, func(r state.Run) int64 { return r.ID }), nil
}

func (a *api) getRun(c *call) (any, error) {
	id, err := c.id("id")
	if err != nil {
		return nil, err
	}
	run, err := a.State.Run(c.Context(), id)
	if err != nil {
		return nil, err
	}
	steps, err := a.State.Steps(c.Context(), id)
	if err != nil {
		return nil, err
	}
	approvals, err := a.State.Approvals(c.Context(), "", id, state.Page{Limit: mostPage})
	slices.Reverse(approvals)
	return told{Run: c.cleanRun(run), Steps: each(steps, c.cleanStep), Approvals: each(approvals, c.cleanApproval)}, err
}

func (a *api) startRun(c *call) (any, error) {
	var in started
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if err := text("why", in.Why, true); err != nil {
		return nil, err
	}
	if !word(in.Playbook) {
		return nil, refuse(http.StatusUnprocessableEntity, "api.text", "playbook", mostWord)
	}
	run, err := a.Engine.Run(c.Context(), in.Playbook, in.Incident, c.person.Actor(), c.why(in.Why))
	return c.cleanRun(run), err
}

func (a *api) planRun(c *call) (any, error) {
	var in intended
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if !word(in.Playbook) {
		return nil, refuse(http.StatusUnprocessableEntity, "api.text", "playbook", mostWord)
	}
	plan, err := a.Engine.Foresee(c.Context(), in.Playbook, in.Incident)
	for i := range plan {
		plan[i].Input, plan[i].Fault, plan[i].Does = cleanJSON(plan[i].Input), c.worded(plan[i].Fault), each(plan[i].Does, c.worded)
	}
	return list[autopilot.Foreseen]{Items: plan}, err
}

// because reads a body that says why, for the thing with the number in the path.
func (c *call) because() (id int64, why string, err error) {
	if id, err = c.id("id"); err != nil {
		return 0, "", err
	}
	var in reason
	if err := c.read(&in); err != nil {
		return 0, "", err
	}
	return id, c.why(in.Why), text("why", in.Why, true)
}

func (a *api) cancelRun(c *call) (any, error) {
	id, why, err := c.because()
	if err != nil {
		return nil, err
	}
	return nil, a.Engine.Cancel(c.Context(), id, c.person.Actor(), why)
}

func (a *api) undoRun(c *call) (any, error) {
	id, why, err := c.because()
	if err != nil {
		return nil, err
	}
	run, err := a.Engine.Undo(c.Context(), id, c.person.Actor(), why)
	return c.cleanRun(run), err
}

func (a *api) settleStep(c *call) (any, error) {
	var k state.StepKey
	for name, into := range map[string]*int64{"id": &k.Run, "seq": &k.Seq, "attempt": &k.Attempt} {
		n, err := c.id(name)
		if err != nil {
			return nil, err
		}
		*into = n
	}
	var in settled
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if err := text("note", in.Note, true); err != nil {
		return nil, err
	}
	if _, err := a.State.Run(c.Context(), k.Run); err != nil {
		return nil, err
	}
	return nil, a.Engine.Settle(c.Context(), k, in.Made, c.person.Actor(), c.why(in.Note))
}

func (a *api) listApprovals(c *call) (any, error) {
	p, limit := c.page()
	all, err := a.State.Approvals(c.Context(), state.ApprovalState(c.get("state")), c.number("run"), p)
	if err != nil {
		return nil, err
	}
	return listed(each(all, c.cleanApproval), limit, func(x state.Approval) int64 { return x.ID }), nil
}

func (a *api) getApproval(c *call) (any, error) {
	id, err := c.id("id")
	if err != nil {
		return nil, err
	}
	found, err := a.State.Approval(c.Context(), id)
	return c.cleanApproval(found), err
}

// note reads what a person says to a question.
func (c *call) note() (string, error) {
	var in answerTo
	if err := c.read(&in); err != nil {
		return "", err
	}
	return in.Note, text("note", in.Note, false)
}

func (a *api) decide(c *call, grant bool) error {
	id, err := c.id("id")
	if err != nil {
		return err
	}
	note, err := c.note()
	if err != nil {
		return err
	}
	if grant {
		return a.Engine.Approve(c.Context(), id, c.person.Actor(), note)
	}
	return a.Engine.Deny(c.Context(), id, c.person.Actor(), note)
}

func (a *api) approveRun(c *call) (any, error) {
	id, err := c.id("id")
	if err != nil {
		return nil, err
	}
	note, err := c.note()
	if err != nil {
		return nil, err
	}
	open, err := a.State.Approvals(c.Context(), state.ApprovalAsked, id, state.Page{Limit: 2})
	if err != nil {
		return nil, err
	}
	if len(open) != 1 { // more than one: say which, by its number
		return nil, state.ErrConflict
	}
	return nil, a.Engine.Approve(c.Context(), open[0].ID, c.person.Actor(), note)
}
