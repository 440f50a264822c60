// Package api is the server's JSON interface: /api/v1/…, its OpenAPI document and its
// stream of events. It reads through internal/state, acts through the engine's methods and
// the door's, and decides nothing: each route names the role that it takes, and whether a
// person in front of a browser must ask.
//
//	handler, err := api.New(api.Options{State: st, Engine: e, Door: door, …})
//	mux.Handle("/api/", handler)        // inside door.Handler
//
// A route is an entry of the lists in incidents.go, runs.go, playbooks.go, holds.go,
// records.go, people.go: its types become the document, and the tests walk all of them.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/classify"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/playbook"
	"github.com/keepwell/keepwell/internal/state"
)

// Options of the API. State, Engine and Door are needed.
type Options struct {
	State  *state.State
	Engine *autopilot.Engine
	Door   *access.Door
	// Classifier and Compile are the engine's, for back-tests; nil: none are made.
	Classifier autopilot.Classifier
	Compile    func(text string) (*autopilot.Program, error)
	// Conditions checks the conditions of playbooks that are validated; nil: they are left
	// unchecked, with a warning.
	Conditions playbook.Compiler
	// Library are the fingerprints; nil: the embedded ones.
	Library *classify.Library
	// Hold is how long a new version of a playbook is observed before it acts.
	Hold time.Duration
	// Trust says whose signatures of the journal's checkpoints count.
	Trust journal.Trust
	// Version is the program's, for the document.
	Version string
	// Stopping ends the streams of events when it is closed; nil: they end with their
	// clients.
	Stopping <-chan struct{}
	// Log gets what goes wrong inside; nil: nothing.
	Log *slog.Logger
}

// prefix is where this version of the interface stands.
const prefix = "/api/v1"

// api is what the routes share.
type api struct {
	Options
	routes   []route
	mux      *http.ServeMux
	document []byte
	streams  streams
	tempo    tempo
	slow     chan struct{} // one verification, export or back-test at a time
}

// New makes the handler.
func New(o Options) (http.Handler, error) {
	a, err := open(o)
	if err != nil {
		return nil, err
	}
	return a, nil
}

func open(o Options) (*api, error) {
	if o.State == nil || o.Engine == nil || o.Door == nil {
		return nil, errors.New("api: state, engine and door are needed")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Library == nil {
		var err error
		if o.Library, err = classify.Default(); err != nil {
			return nil, fmt.Errorf("api: %w", err)
		}
	}
	a := &api{Options: o, mux: http.NewServeMux(), slow: make(chan struct{}, 1), tempo: usualTempo()}
	for _, part := range [][]route{a.incidents(), a.runs(), a.playbooks(), a.holds(), a.records(), a.people(), a.server()} {
		a.routes = append(a.routes, part...)
	}
	for _, r := range a.routes {
		handler := a.handler(r)
		if !r.public {
			handler = access.Need(r.role, handler)
		}
		a.mux.Handle(r.method+" "+r.path, handler)
	}
	a.mux.HandleFunc("/", a.nowhere)
	var err error
	a.document, err = a.describe()
	return a, err
}

// ServeHTTP implements http.Handler.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	a.mux.ServeHTTP(w, r)
}

// nowhere tells a path that is not there from a method that is not.
func (a *api) nowhere(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := a.mux.Handler(other); strings.HasPrefix(pattern, method+" ") {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		access.Problem(w, r, http.StatusNotFound, "api.nowhere")
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	access.Problem(w, r, http.StatusMethodNotAllowed, "api.method", strings.Join(allowed, ", "))
}

// busy takes the one place for what reads very much; done gives it back.
func (a *api) busy(ctx context.Context) (done func(), err error) {
	select {
	case a.slow <- struct{}{}:
		return func() { <-a.slow }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	default:
		return nil, refuse(http.StatusTooManyRequests, "api.busy")
	}
}
