package api

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/classify"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/state"
)

// What was written down, and what is known: the journal, the catalogue.

// proved is what a verification found.
type proved struct {
	Fine        bool              `json:"fine"`
	First       int64             `json:"first"`
	Last        int64             `json:"last"`
	Entries     int64             `json:"entries"`
	Checkpoints int64             `json:"checkpoints" jsonschema:"how many signatures hold"`
	Signed      int64             `json:"signed" jsonschema:"the last entry under one"`
	Keys        []journal.KeyUse  `json:"keys" jsonschema:"who may sign, why that counts, and what was signed"`
	Problems    []journal.Problem `json:"problems"`
}

// fingerprint is a fault that is known, in the reader's language.
type fingerprint struct {
	Code     keepwell.Code     `json:"code"`
	Priority keepwell.Priority `json:"priority" jsonschema:"where the sender says nothing"`
	Team     string            `json:"team"`
	Title    string            `json:"title"`
	Cause    string            `json:"cause"`
	Do       []string          `json:"do"`
	Metrics  []string          `json:"metrics" jsonschema:"PromQL that makes it surer"`
}

func (a *api) records() []route {
	return []route{
		{
			method: http.MethodGet, path: prefix + "/journal", id: "listJournal", what: "Entries of the journal, newest first; those about people only for admins", role: access.Viewer,
			query: paged(param{name: "kind", what: "only those of this kind"}, param{name: "incident", what: "only those of this incident", number: true}, param{name: "run", what: "only those of this run", number: true}),
			reply: list[journal.Record]{}, do: a.listJournal,
		},
		{method: http.MethodGet, path: prefix + "/journal/verify", id: "verifyJournal", what: "Hold the whole journal to its hashes and signatures", role: access.Admin, reply: proved{}, do: a.verify},
		{
			method: http.MethodGet, path: prefix + "/journal/export", id: "exportJournal", what: "The journal in order, a line each, as it is hashed; then the checkpoints and the keys that sign them", role: access.Admin,
			query: []param{{name: "after", what: "from the entry after this one", number: true}}, text: "application/x-ndjson", do: a.export,
		},
		{method: http.MethodGet, path: prefix + "/fingerprints", id: "listFingerprints", what: "The faults that are known", role: access.Viewer, reply: list[fingerprint]{}, do: a.listFingerprints},
		{method: http.MethodGet, path: prefix + "/fingerprints/{code...}", id: "getFingerprint", what: "One fault", role: access.Viewer, reply: fingerprint{}, do: a.getFingerprint},
	}
}

// private are kinds of entries that tell of people.
func private(k journal.Kind) bool {
	return slices.Contains([]journal.Kind{journal.UserChanged, journal.TokenChanged, journal.LoggedIn, journal.LoggedOut, journal.LoginRefused, journal.SettingChanged}, k)
}

// may tells whether a person may see an entry.
func may(p access.Person, r journal.Record) bool {
	return !private(r.Kind) || p.Role.Allows(access.Admin)
}

func (a *api) listJournal(c *call) (any, error) {
	p, limit := c.page()
	all, err := journal.List(c.Context(), a.State.Reader, state.JournalFilter{Kind: c.get("kind"), Incident: c.number("incident"), Run: c.number("run")}, p)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i] = all[i].In(c.lang)
	}
	l := listed(all, limit, func(r journal.Record) int64 { return r.Seq })
	l.Items = slices.DeleteFunc(l.Items, func(r journal.Record) bool { return !may(c.person, r) })
	return l, nil
}

func (a *api) verify(c *call) (any, error) {
	done, err := a.busy(c.Context())
	if err != nil {
		return nil, err
	}
	defer done()
	r, err := journal.Verify(c.Context(), a.State.Reader, a.Trust)
	r = r.In(c.lang)
	if r.Problems == nil {
		r.Problems = []journal.Problem{}
	}
	if r.Keys == nil {
		r.Keys = []journal.KeyUse{}
	}
	return proved{len(r.Problems) == 0, r.First, r.Last, r.Entries, r.Checkpoints, r.Signed, r.Keys, r.Problems}, err
}

// patience is how long a slow reader may take for what is sent at once.
const patience = 30 * time.Second

// export writes the journal. After the first line a failure can only be shown by ending
// without the last line, which says that it is whole.
func (a *api) export(c *call) (any, error) {
	done, err := a.busy(c.Context())
	if err != nil {
		return nil, err
	}
	defer done()
	ctx := c.Context()
	control := http.NewResponseController(c.w)
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	c.w.Header().Set("Content-Disposition", `attachment; filename="keepwell-journal.jsonl"`)
	if err := journal.Export(ctx, a.State.Reader, c.number("after"), c.w, func() error {
		return errors.Join(control.SetWriteDeadline(time.Now().Add(patience)), control.Flush())
	}); err != nil {
		return nil, a.cut(c, err)
	}
	return nil, nil
}

// cut ends an answer that was begun.
func (a *api) cut(c *call, err error) error {
	if c.Context().Err() == nil {
		a.Log.WarnContext(c.Context(), "an answer was cut off", "path", c.Pattern, "error", err)
	}
	panic(http.ErrAbortHandler)
}

func (a *api) listFingerprints(c *call) (any, error) {
	var all []fingerprint
	for _, f := range a.Library.Fingerprints() {
		shown, err := a.fingerprint(c, f)
		if err != nil {
			return nil, err
		}
		all = append(all, shown)
	}
	return whole(all), nil
}

func (a *api) getFingerprint(c *call) (any, error) {
	for _, f := range a.Library.Fingerprints() {
		if string(f.Code) == c.PathValue("code") {
			return a.fingerprint(c, f)
		}
	}
	return nil, state.ErrNotFound
}

func (a *api) fingerprint(c *call, f *classify.Fingerprint) (fingerprint, error) {
	words, err := a.Library.Describe(f.Code, c.lang)
	shown := fingerprint{Code: f.Code, Priority: f.Priority, Team: f.Team, Title: words.Title, Cause: words.Cause, Do: words.Do, Metrics: []string{}}
	if shown.Do == nil {
		shown.Do = []string{}
	}
	for _, m := range f.Metrics {
		shown.Metrics = append(shown.Metrics, m.PromQL)
	}
	return shown, err
}
