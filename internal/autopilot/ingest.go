package autopilot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/jobs"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
)

// Receipt tells what became of alerts that came in.
type Receipt struct {
	New      int `json:"new"`
	Repeated int `json:"repeated"`
	// Refused are those that are no alerts, by their place.
	Refused map[int]string `json:"refused,omitempty"`
}

// triageChunk is how many alerts are triaged in one transaction: others get their turn
// in between.
const triageChunk = 100

type triageArgs struct {
	Alerts []int64 `json:"alerts,omitempty"`
	Still  []int64 `json:"still,omitempty"` // incidents whose alerts came again
	// Closed are those of Still that a person had closed when the alerts came, and when.
	Closed map[int64]time.Time `json:"closed,omitempty"`
}

// group are the firing alerts of one code and asset.
type group struct {
	draft state.Incident
	ids   []int64
	last  state.StoredAlert
}

// triage makes incidents of alerts and decides on them.
func (e *Engine) triage(ctx context.Context, t *jobs.Task) error {
	var args triageArgs
	if err := t.Args(&args); err != nil {
		return jobs.Never(err)
	}
	groups := map[string]*group{}
	var resolved []state.StoredAlert
	for _, id := range args.Alerts {
		a, err := e.st.Alert(ctx, id)
		if errors.Is(err, state.ErrNotFound) {
			continue // retention took it
		}
		if err != nil {
			return err
		}
		if a.Status == keepwell.AlertResolved {
			resolved = append(resolved, a)
			continue
		}
		draft, err := e.classify(ctx, a.Alert, t.Last)
		if err != nil {
			return err
		}
		key := state.IncidentKey(draft.Code, draft.Asset)
		g := groups[key]
		if g == nil {
			g = &group{draft: draft}
			groups[key] = g
		}
		if better(draft, g.draft) {
			draft.Priority = severer(draft.Priority, g.draft.Priority)
			g.draft = draft
		} else {
			g.draft.Priority = severer(draft.Priority, g.draft.Priority)
		}
		g.ids, g.last = append(g.ids, a.ID), a
	}
	return e.st.Tx(ctx, func(tx *state.Tx) error {
		// In one order on all nodes, as each locks its incident.
		books, err := tx.CurrentPlaybooks(ctx)
		if err != nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(groups)) {
			if err := e.join(ctx, tx, groups[key], books); err != nil {
				return err
			}
		}
		if err := e.resolve(ctx, tx, resolved); err != nil {
			return err
		}
		for _, id := range args.Still {
			if err := e.cameAgain(ctx, tx, id, args.Closed[id]); err != nil {
				return err
			}
		}
		return t.Complete(ctx, tx)
	})
}

func better(a, b state.Incident) bool { return a.Confidence > b.Confidence }

func severer(a, b keepwell.Priority) keepwell.Priority {
	if a.Above(b) {
		return a
	}
	return b
}

// classify drafts the incident of an alert; last: there will be no other try.
func (e *Engine) classify(ctx context.Context, a keepwell.Alert, last bool) (state.Incident, error) {
	draft, err := draftOf(ctx, e.o.Classifier, a)
	if err != nil && last {
		return draftFrom(Class{Evidence: []keepwell.Evidence{{Source: "classifier", Text: err.Error()}}}, a), nil
	}
	return draft, err
}

func draftOf(ctx context.Context, c Classifier, a keepwell.Alert) (state.Incident, error) {
	class, err := c.Classify(ctx, a)
	if err != nil {
		return state.Incident{}, fmt.Errorf("classifying the alert %.80q: %w", a.Name(), err)
	}
	return draftFrom(class, a), nil
}

func draftFrom(c Class, a keepwell.Alert) state.Incident {
	if c.Code == "" || c.Code.Validate() != nil {
		// What nobody knows is kept apart by name: else one alert would hide another.
		c.Code, c.Confidence = Unclassified, 0
		c.Asset = a.Name() + " " + or(c.Asset, assetOf(a))
		c.Title = or(c.Title, a.Name())
	}
	if c.Priority.Validate() != nil {
		c.Priority = keepwell.P3
	}
	return state.Incident{
		Code: c.Code, Asset: or(c.Asset, assetOf(a)), Priority: c.Priority, Confidence: c.Confidence, Title: c.Title, Evidence: c.Evidence,
	}
}

// assetOf is what an alert is about where the classifier does not say.
func assetOf(a keepwell.Alert) string {
	return cmp.Or(a.Labels["instance"], a.Labels["pod"], a.Labels["host"], a.Labels["node"], a.Labels["service"], a.Fingerprint)
}

// join opens or joins the incident of a group and decides what is to be done.
func (e *Engine) join(ctx context.Context, tx *state.Tx, g *group, books []state.CurrentPlaybook) error {
	inc, opened, err := tx.JoinIncident(ctx, g.draft, g.ids...)
	if err != nil {
		return err
	}
	if opened {
		if err := journal.Append(tx, journal.Entry{
			Kind: journal.IncidentOpened, Actor: Actor, Incident: inc.ID, Why: inc.Title,
			Data: map[string]any{"code": inc.Code, "asset": inc.Asset, "priority": inc.Priority, "confidence": inc.Confidence, "evidence": inc.Evidence, "alerts": len(g.ids)},
		}); err != nil {
			return err
		}
		if err := e.queue.Insert(ctx, tx, jobs.Job{Kind: jobOverdue, Args: incidentArgs{Incident: inc.ID}, At: tx.Now().Add(e.o.EscalateAfter)}); err != nil {
			return err
		}
	}
	// What said that it is over may have come first.
	ended, err := e.endIncident(ctx, tx, inc.ID)
	if err != nil || ended {
		return err
	}
	why := joined
	if opened {
		why = openedNow
	}
	return e.decide(ctx, tx, inc, g.last, why, books)
}

// resolve takes in alerts that say they are over.
func (e *Engine) resolve(ctx context.Context, tx *state.Tx, resolved []state.StoredAlert) error {
	touched := map[int64]bool{}
	var late []int64
	for _, a := range resolved {
		id, err := tx.IncidentOf(ctx, a.Alert)
		if err != nil {
			return err
		}
		if id != 0 {
			touched[id] = true
			continue
		}
		waits, err := e.untriaged(ctx, tx, a)
		if err != nil {
			return err
		}
		if waits {
			late = append(late, a.ID)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(touched)) {
		if _, err := e.endIncident(ctx, tx, id); err != nil {
			return err
		}
	}
	if len(late) == 0 {
		return nil
	}
	return e.queue.Insert(ctx, tx, jobs.Job{Kind: jobTriage, Args: triageArgs{Alerts: late}, At: tx.Now().Add(time.Second)})
}

// untriaged tells whether the firing counterpart of a is stored and has no incident yet.
func (e *Engine) untriaged(ctx context.Context, tx *state.Tx, a state.StoredAlert) (bool, error) {
	firing, err := tx.Alerts(ctx, state.AlertFilter{Fingerprint: a.Fingerprint, Status: keepwell.AlertFiring}, state.Page{})
	return slices.ContainsFunc(firing, func(f state.StoredAlert) bool {
		return f.StartsAt.Equal(a.StartsAt) && f.Incident == 0
	}), err
}

// resolvedByAlerts is the resolution of an incident whose alerts are over.
const resolvedByAlerts = "resolved"

// endIncident resolves an incident none of whose alerts fires any more.
func (e *Engine) endIncident(ctx context.Context, tx *state.Tx, id int64) (ended bool, err error) {
	inc, err := tx.LockIncident(ctx, id)
	if err != nil || inc.State != state.IncidentOpen {
		return err == nil, err
	}
	firing, err := tx.Firing(ctx, id)
	if err != nil || firing > 0 {
		return false, err
	}
	if err := tx.ResolveIncident(ctx, id, resolvedByAlerts); err != nil {
		return false, err
	}
	if err := journal.Append(tx, journal.Entry{Kind: journal.IncidentEnded, Actor: Actor, Incident: id, Reason: msg.Because("why.resolved.alerts")}); err != nil {
		return false, err
	}
	return true, e.needless(ctx, tx, id)
}

// needless ends the runs of a resolved incident that have not begun or wait for a person.
// What is in the middle goes on: half a playbook may be worse than all of it, and a check
// that waits is to see that it helped.
func (e *Engine) needless(ctx context.Context, tx *state.Tx, incident int64) error {
	runs, err := tx.Runs(ctx, state.RunFilter{Incident: incident, Unfinished: true}, state.Page{Limit: 1000})
	if err != nil {
		return err
	}
	for _, r := range runs {
		steps, err := tx.Steps(ctx, r.ID)
		if err != nil {
			return err
		}
		if len(steps) == 0 || slices.ContainsFunc(steps, func(s state.Step) bool { return s.Status == state.StepIntended || s.Status == state.StepUnknown }) {
			continue
		}
		last := steps[len(steps)-1]
		asked, err := tx.Approvals(ctx, state.ApprovalAsked, r.ID, state.Page{Limit: 1})
		if err != nil {
			return err
		}
		begun := slices.ContainsFunc(steps, func(s state.Step) bool { return s.Status == state.StepDone || s.Status == state.StepFailed })
		if len(asked) > 0 || !begun && (r.State == state.RunPending && last.Status == state.StepPending || last.Status == state.StepWaiting) {
			if err := e.cancel(ctx, tx, r.ID, Actor, msg.Because("why.resolved")); err != nil {
				return err
			}
		}
	}
	return nil
}

// cameAgain takes in that alerts of an incident came again, after a person had closed it;
// zero: it was not closed then.
func (e *Engine) cameAgain(ctx context.Context, tx *state.Tx, id int64, closed time.Time) error {
	if closed.IsZero() {
		return e.stillFiring(ctx, tx, id)
	}
	return e.reopen(ctx, tx, id, closed)
}

// stillFiring looks at an incident whose alerts go on.
func (e *Engine) stillFiring(ctx context.Context, tx *state.Tx, id int64) error {
	inc, err := tx.Incident(ctx, id)
	if err != nil || inc.State != state.IncidentOpen || inc.TakenBy != "" || tx.Now().Sub(inc.Opened) < e.o.EscalateAfter {
		return ignore(err, state.ErrNotFound)
	}
	return e.remind(ctx, tx, inc)
}

// remind tells people once a day that an incident goes on.
func (e *Engine) remind(ctx context.Context, tx *state.Tx, inc state.Incident) error {
	key := fmt.Sprintf("reminded %d", inc.ID)
	if _, told, err := tx.Cooling(ctx, key); err != nil || told {
		return err
	}
	if err := tx.SetCooldown(ctx, key, tx.Now().Add(24*time.Hour), msg.Because("why.reminded").String()); err != nil {
		return err
	}
	return e.escalate(ctx, tx, Escalation{Incident: inc.ID, Why: msg.Because("why.stillfiring", tx.Now().Sub(inc.Opened).Round(time.Second))})
}

type incidentArgs struct {
	Incident int64  `json:"incident"`
	Playbook string `json:"playbook,omitempty"`
}

// overdue looks at an incident that has been open for long.
func (e *Engine) overdue(ctx context.Context, t *jobs.Task) error {
	var args incidentArgs
	if err := t.Args(&args); err != nil {
		return jobs.Never(err)
	}
	return e.st.Tx(ctx, func(tx *state.Tx) error {
		return errors.Join(e.stillFiring(ctx, tx, args.Incident), t.Complete(ctx, tx))
	})
}

// escalate hands something to people: an entry, and a job for each that tells them.
func (e *Engine) escalate(ctx context.Context, tx *state.Tx, x Escalation) error {
	if err := journal.Append(tx, journal.Entry{Kind: journal.Escalated, Actor: Actor, Incident: x.Incident, Run: x.Run, Reason: x.Why}); err != nil {
		return err
	}
	receivers := []string{""}
	if e.o.Receivers != nil {
		if named := e.o.Receivers(); len(named) > 0 {
			receivers = named
		}
	}
	var all []jobs.Job
	for _, x.To = range receivers {
		all = append(all, jobs.Job{Kind: jobEscalate, Args: x, Attempts: 10})
	}
	return e.queue.Insert(ctx, tx, all...)
}

func (e *Engine) escalated(ctx context.Context, t *jobs.Task) error {
	var x Escalation
	if err := t.Args(&x); err != nil {
		return jobs.Never(err)
	}
	if e.o.Escalate == nil {
		return nil
	}
	if x.Incident != 0 { // who has taken it looks after it: nobody else is called
		inc, err := e.st.Incident(ctx, x.Incident)
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return err
		}
		if inc.TakenBy != "" {
			return nil
		}
	}
	return e.o.Escalate(ctx, x)
}

func ignore(err, kind error) error {
	if errors.Is(err, kind) {
		return nil
	}
	return err
}

func marshal(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		return nil // plain structs of ours: they always become JSON
	}
	return data
}
