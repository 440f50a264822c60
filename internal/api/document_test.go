package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/state"
)

// samples are bodies with which routes succeed, in the order of the routes that change
// what others need.
func samples(f filled) map[string]any {
	operator := access.Operator
	return map[string]any{
		"planRun":             intended{"free", f.incident},
		"startRun":            started{"free", f.incident, "to see"},
		"acknowledgeIncident": answerTo{"mine"}, "closeIncident": reason{"looked at it"},
		"cancelRun":  reason{"enough"},
		"undoRun":    reason{"back"},
		"approveRun": answerTo{"fine"}, "approve": answerTo{"fine"}, "deny": answerTo{"no"},
		"settleStep": settled{true, "looked"},
		"addMute":    muted{Scope: "code:other/*", Until: time.Now().Add(time.Hour), Why: "work"}, "resetBreaker": reset{"free redis-1", "mended"},
		"validatePlaybook": validated{bookFree},
		"installPlaybook":  installed{bookFree + "# other\n", state.ModeObserve, state.PlaybookVersion(bookFree)},
		"setMode":          moded{state.ModeObserve, state.PlaybookVersion(bookFree), "slowly"},
		"backtest":         backtested{From: time.Now().Add(-time.Hour)},
		"changeMyPassword": renewed{password, password + "!"},
		"addMyToken":       wished{Name: "mine", Role: access.Admin, Scopes: []string{"api"}},
		"addToken":         wished{Name: "theirs", Role: access.Viewer, Scopes: []string{"mod", "hooks"}, Expires: time.Now().Add(time.Hour)},
		"addUser":          added{"carol", access.Viewer, password},
		"changeUser":       changed{Role: &operator},
	}
}

// TestDocument: every route answers as the document says, and takes what it says.
func TestDocument(t *testing.T) {
	t.Parallel()
	first := newRig(t, state.Options{Dir: t.TempDir()})
	routes := first.api.routes
	if len(routes) < 50 {
		t.Fatalf("%d routes", len(routes))
	}
	var doc map[string]any
	first.must("nobody", http.MethodGet, "/api/v1/openapi.json", nil, &doc)
	if doc["openapi"] != "3.1.0" {
		t.Error(doc["openapi"])
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("keepwell.json", doc); err != nil {
		t.Fatal(err)
	}
	f := first.fill()
	operations := 0
	var last []func()
	for _, rt := range routes {
		path := strings.ReplaceAll(rt.path, "...}", "}")
		at := "keepwell.json#/paths/" + strings.ReplaceAll(path, "/", "~1") + "/" + strings.ToLower(rt.method)
		item, ok := doc["paths"].(map[string]any)[path].(map[string]any)[strings.ToLower(rt.method)].(map[string]any)
		if !ok || item["operationId"] != rt.id {
			t.Errorf("%s is not in the document", rt.id)
			continue
		}
		operations++
		if rt.id == "streamEvents" {
			continue // TestEvents
		}
		switch rt.id {
		case "installPlaybook", "changeMyPassword": // spoil what others need
			last = append(last, func() { first.holds(t, c, at, rt, f) })
			continue
		case "approve", "deny", "approveRun", "cancelRun": // each needs a question of its own
			fresh := f
			fresh.run, fresh.approval = first.asked(first.incident("redis-"+rt.id), "operator")
			first.holds(t, c, at, rt, fresh)
			continue
		}
		first.holds(t, c, at, rt, f)
	}
	for _, do := range last {
		do()
	}
	if operations != len(routes) {
		t.Errorf("%d of %d", operations, len(routes))
	}
}

// holds sends a request that succeeds and holds it and its answer to their schemas.
func (r *rig) holds(t *testing.T, c *jsonschema.Compiler, at string, rt route, f filled) {
	t.Helper()
	who := "admin"
	body, ok := samples(f)[rt.id]
	if rt.body != nil && !ok {
		t.Errorf("%s has no sample", rt.id)
		return
	}
	if rt.id == "settleStep" {
		f = r.unknown(f)
	}
	path := f.path(rt)
	if rt.id == "settleStep" {
		path = strings.Replace(path, "/steps/0/", "/steps/7/", 1)
	}
	req := r.request(who, rt.method, path, body)
	if rt.id == "changeUser" {
		u, err := r.st.User(t.Context(), "viewer")
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("If-Match", accountOf(u).ETag)
	}
	if strings.HasPrefix(rt.id, "revokeMy") {
		all, err := r.st.Tokens(t.Context(), 3)
		if err != nil || len(all) == 0 {
			t.Fatal(all, err)
		}
		req.URL.Path = prefix + "/me/tokens/" + strconv.FormatInt(all[0].ID, 10)
	}
	if rt.body != nil {
		validate(t, c, at+"/requestBody/content/application~1json/schema", rt.id, body)
	}
	got := r.send(req)
	want := http.StatusOK
	switch {
	case rt.made:
		want = http.StatusCreated
	case rt.reply == nil && rt.text == "":
		want = http.StatusNoContent
	}
	if got.status != want {
		t.Errorf("%s: %d %s", rt.id, got.status, got.body)
		return
	}
	if rt.reply != nil {
		validate(t, c, at+"/responses/"+strconv.Itoa(want)+"/content/application~1json/schema", rt.id, json.RawMessage(got.body))
	}
	if strings.Contains(got.body, "hunter2") || strings.Contains(got.body, "<b>") || strings.Contains(got.body, "argon2") {
		t.Errorf("%s shows a secret, or markup: %s", rt.id, got.body)
	}
	// What is refused is a problem as the document says.
	refused := r.call("nobody", rt.method, f.path(rt), body)
	if !rt.public {
		validate(t, c, "keepwell.json#/components/responses/Problem/content/application~1problem+json/schema", rt.id, json.RawMessage(refused.body))
	}
}

func validate(t *testing.T, c *jsonschema.Compiler, at, id string, v any) {
	t.Helper()
	schema, err := c.Compile(at)
	if err != nil {
		t.Errorf("%s: %v", id, err)
		return
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%s: %v\n%s", id, err, text)
	}
}

// unknown makes the step of the run that waits unknown.
func (r *rig) unknown(f filled) filled {
	r.Helper()
	ctx := r.Context()
	err := r.st.Tx(ctx, func(tx *state.Tx) error {
		k := state.StepKey{Run: f.done, Seq: 7, Attempt: 1}
		if err := tx.AddStep(ctx, state.Step{StepKey: k, Name: "odd", Action: "http", Status: state.StepPending}); err != nil {
			return err
		}
		if err := tx.Intend(ctx, k, nil, 1); err != nil {
			return err
		}
		return tx.EndStep(ctx, k, state.StepUnknown, nil, "the process died")
	})
	if err != nil {
		r.Fatal(err)
	}
	f.run = f.done
	return f
}
