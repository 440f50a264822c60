package api

import (
	"encoding/json"
	"maps"
	"net/http"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
)

// story is all of one incident, each list in time order.
type story struct {
	Incident  state.Incident      `json:"incident"`
	Handled   state.Handled       `json:"handled,omitempty"`
	Alerts    []state.StoredAlert `json:"alerts"`
	Runs      []state.Run         `json:"runs"`
	Steps     []state.Step        `json:"steps"`
	Approvals []state.Approval    `json:"approvals"`
	Journal   []journal.Record    `json:"journal"`
}

func priorities() (all []string) {
	for _, p := range keepwell.Priorities() {
		all = append(all, string(p))
	}
	return all
}

func (a *api) incidents() []route {
	return []route{
		{
			method: http.MethodGet, path: prefix + "/incidents", id: "listIncidents", what: "Incidents, newest first", role: access.Viewer,
			query: paged(
				param{name: "state", what: "only those in this state", values: []string{string(state.IncidentOpen), string(state.IncidentResolved)}},
				param{name: "code", what: "only those of this fault"}, param{name: "asset", what: "only those of this asset"},
				param{name: "priority", what: "only those of this priority", values: priorities()},
				param{name: "text", what: "stands in the title, the asset or the code"},
			),
			reply: list[state.Incident]{}, do: a.listIncidents,
		},
		{
			method: http.MethodGet, path: prefix + "/incidents/{id}", id: "getIncident", what: "One incident with its alerts, runs, approvals and journal", role: access.Viewer,
			reply: story{}, do: a.getIncident,
		},
		{
			method: http.MethodPost, path: prefix + "/incidents/{id}/acknowledge", id: "acknowledgeIncident", what: "Take an open incident: nobody else is told about it any more", role: access.Operator,
			body: answerTo{}, do: a.acknowledge,
		},
		{
			method: http.MethodPost, path: prefix + "/incidents/{id}/close", id: "closeIncident", what: "End an open incident by hand; it is opened again where its alerts fire again", role: access.Operator,
			body: reason{}, do: a.closeIncident,
		},
		{
			method: http.MethodGet, path: prefix + "/overview", id: "getOverview", what: "What is open, how long repairs took (in nanoseconds), who made them", role: access.Viewer,
			reply: state.Overview{}, do: func(c *call) (any, error) { return a.State.Overview(c.Context()) },
		},
		{
			method: http.MethodGet, path: prefix + "/alerts", id: "listAlerts", what: "Alerts, newest first", role: access.Viewer,
			query: paged(param{name: "incident", what: "only those of this incident", number: true}, param{name: "fingerprint", what: "only those with this fingerprint"},
				param{name: "status", what: "only those in this status", values: []string{string(keepwell.AlertFiring), string(keepwell.AlertResolved)}}),
			reply: list[state.StoredAlert]{}, do: a.listAlerts,
		},
		{
			method: http.MethodGet, path: prefix + "/alerts/{id}", id: "getAlert", what: "One alert", role: access.Viewer,
			reply: state.StoredAlert{}, do: a.getAlert,
		},
	}
}

func (a *api) listIncidents(c *call) (any, error) {
	p, limit := c.page()
	all, err := a.State.FindIncidents(c.Context(), state.IncidentQuery{
		IncidentFilter: state.IncidentFilter{
			State: state.IncidentState(c.get("state")), Code: keepwell.Code(c.get("code")), Asset: c.get("asset"), Priority: keepwell.Priority(c.get("priority")),
		},
		Text: c.get("text"),
	}, p)
	if err != nil {
		return nil, err
	}
	return listed(each(all.Incidents, cleanIncident), limit, func(i state.Incident) int64 { return i.ID }), nil
}

func (a *api) getIncident(c *call) (any, error) {
	id, err := c.id("id")
	if err != nil {
		return nil, err
	}
	s, err := a.State.Story(c.Context(), id)
	if err != nil {
		return nil, err
	}
	records, err := journal.Records(s.Journal)
	for i := range records {
		records[i] = records[i].In(c.lang)
	}
	return story{
		Incident: cleanIncident(s.Incident), Handled: s.Handled, Alerts: each(s.Alerts, cleanAlert), Runs: each(s.Runs, c.cleanRun),
		Steps: each(s.Steps, c.cleanStep), Approvals: each(s.Approvals, c.cleanApproval), Journal: records,
	}, err
}

func (a *api) acknowledge(c *call) (any, error) {
	id, err := c.id("id")
	if err != nil {
		return nil, err
	}
	note, err := c.note()
	if err != nil {
		return nil, err
	}
	return nil, a.Engine.Acknowledge(c.Context(), id, c.person.Actor(), c.why(note))
}

func (a *api) closeIncident(c *call) (any, error) {
	id, why, err := c.because()
	if err != nil {
		return nil, err
	}
	return nil, a.Engine.Close(c.Context(), id, c.person.Actor(), why)
}

func (a *api) listAlerts(c *call) (any, error) {
	p, limit := c.page()
	all, err := a.State.Alerts(c.Context(), state.AlertFilter{Incident: c.number("incident"), Fingerprint: c.get("fingerprint"), Status: keepwell.AlertStatus(c.get("status"))}, p)
	if err != nil {
		return nil, err
	}
	return listed(each(all, cleanAlert), limit, func(s state.StoredAlert) int64 { return s.ID }), nil
}

func (a *api) getAlert(c *call) (any, error) {
	id, err := c.id("id")
	if err != nil {
		return nil, err
	}
	found, err := a.State.Alert(c.Context(), id)
	return cleanAlert(found), err
}

// What is foreign, or was made of what is, is masked before it is shown.

func each[T any](all []T, clean func(T) T) []T {
	cleaned := make([]T, 0, len(all))
	for _, v := range all {
		cleaned = append(cleaned, clean(v))
	}
	return cleaned
}

func cleanIncident(i state.Incident) state.Incident {
	i.Title, i.Asset, i.Key = mask.Text(i.Title), mask.Text(i.Asset), mask.Text(i.Key)
	if i.Evidence == nil {
		i.Evidence = []keepwell.Evidence{}
	}
	return i // evidence is masked where it is made
}

func cleanAlert(s state.StoredAlert) state.StoredAlert {
	s.Labels, s.Annotations = cleanMap(s.Labels), cleanMap(s.Annotations)
	s.GeneratorURL = mask.Text(s.GeneratorURL)
	return s
}

func cleanMap(m map[string]string) map[string]string {
	m = maps.Clone(m)
	for k, v := range m {
		// With the name before it: password=… is a secret, … alone is a word.
		name := k + "="
		if masked := mask.Text(name + v); masked != name+v {
			m[k] = mask.Secret
		} else {
			m[k] = mask.Text(v)
		}
	}
	return m
}

// words are a reason that is kept as a text, in the reader's language and masked.
func (c *call) words(reason string) string {
	return mask.Text(msg.ParseReason(reason).In(c.lang))
}

func (c *call) cleanRun(r state.Run) state.Run {
	r.Reason, r.Error, r.Vars = c.words(r.Reason), c.words(r.Error), cleanJSON(r.Vars)
	return r
}

// worded is a reason in the reader's language, as a text.
func (c *call) worded(r msg.Reason) msg.Reason { return msg.Said(mask.Text(r.In(c.lang))) }

func (c *call) cleanStep(s state.Step) state.Step {
	s.Error, s.Intent, s.Result = c.words(s.Error), cleanJSON(s.Intent), cleanJSON(s.Result)
	return s
}

func (c *call) cleanApproval(a state.Approval) state.Approval {
	a.Reason, a.Note = mask.Text(a.Reason), c.words(a.Note)
	a.Intent.Input, a.Intent.Fault = cleanJSON(a.Intent.Input), c.worded(a.Intent.Fault)
	a.Intent.Does = each(a.Intent.Does, c.worded)
	return a
}

func cleanJSON(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	masked, err := journal.Canonical(raw)
	if err != nil {
		return json.RawMessage("null")
	}
	return masked
}
