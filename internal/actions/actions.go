// Package actions makes the effects of playbooks: one file a kind. Each is told what to do
// by a [playbook.Input], in which the data of alerts is already in its place and secrets
// are references; these are resolved here, at the last moment, and masked in everything
// that comes back. Nothing here starts a shell, follows a redirect, or reaches a host that
// the server's configuration does not name.
//
// The package keeps no state and decides nothing: whether, when and how often an effect is
// made is the engine's. To add a kind, add it to the table of internal/playbook and its
// file here, and name it in New; a test holds both together.
package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/playbook"
)

// ErrUnsure says that the effect of a failed action may have been made.
var ErrUnsure = errors.New("whether the effect was made cannot be told")

// ErrAgain says that the failure is expected to pass: a later attempt may succeed.
var ErrAgain = errors.New("a later attempt may succeed")

// Options are what the actions need of the server.
type Options struct {
	// Secrets resolves a reference; nil: there are none.
	Secrets func(name string) (string, error)
	Lang    msg.Lang
	Scripts Scripts
	HTTP    Guard
	// Receivers and Trackers by the names that playbooks use. A receiver that bears the
	// name of its type is that of notify_TYPE.
	Receivers map[string]Receiver
	Trackers  map[string]Tracker
	// Prometheus is the base address for promql; "": none.
	Prometheus string
	// Now is the clock of signatures; nil: the real one.
	Now func() time.Time
}

// Request is one action to be made.
type Request struct {
	playbook.Input
	// Key is what outside systems are given to tell a repeat.
	Key string
}

// Result is what came of an action. Its texts are masked.
type Result struct {
	// Summary says in one line what was done.
	Summary string `json:"summary"`
	Output  string `json:"output,omitempty"`
	// Code is the exit code of a script, the status of an answer.
	Code int `json:"code,omitempty"`
	// Existing says that the effect was there before.
	Existing bool   `json:"existing,omitempty"`
	URL      string `json:"url,omitempty"`
}

// action is one kind.
type action interface {
	// plan says what would be done, with secrets by reference; the error, that it could
	// not be. It reaches nothing outside this machine.
	plan(r Request) ([]string, error)
	do(ctx context.Context, r Request) (Result, error)
}

// Set is the actions of a server. It may be used by many goroutines at once.
type Set struct {
	o     Options
	kinds map[string]action
}

// New makes the actions.
func New(o Options) *Set {
	if o.Secrets == nil {
		o.Secrets = func(string) (string, error) {
			return "", errors.New("the server has no secrets (hint: name it in the server's configuration)")
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Lang == "" {
		o.Lang = msg.EN
	}
	s := &Set{o: o}
	client := o.HTTP.client()
	s.kinds = map[string]action{
		"run_script":    script{s.o.Scripts, s},
		"http":          web{client, s},
		"promql":        promql{o.HTTP.trusting(), s},
		"create_ticket": ticket{o.HTTP.trusting(), s},
		"notify":        notify{o.HTTP.trusting(), s, ""},
	}
	for _, kind := range []string{"slack", "dingtalk", "lark", "wecom"} {
		s.kinds["notify_"+kind] = notify{o.HTTP.trusting(), s, kind}
	}
	return s
}

// Plan says what an action would do, for people, and makes no effect.
func (s *Set) Plan(r Request) ([]string, error) {
	a, ok := s.kinds[r.Kind]
	if !ok {
		return nil, fmt.Errorf("action %s is not known", r.Kind)
	}
	lines, err := a.plan(r)
	for i := range lines {
		lines[i] = mask.Text(lines[i])
	}
	return lines, err
}

// Do makes the effect. An error means that it failed and will not happen later;
// [ErrUnsure] in it, that it may have.
func (s *Set) Do(ctx context.Context, r Request) (Result, error) {
	a, ok := s.kinds[r.Kind]
	if !ok {
		return Result{}, fmt.Errorf("action %s is not known", r.Kind)
	}
	known := &vault{open: s.o.Secrets}
	res, err := a.do(context.WithValue(ctx, vaultKey{}, known), r)
	res.Output, res.Summary, res.URL = known.hide(res.Output), known.hide(res.Summary), known.hide(res.URL)
	if err != nil {
		err = &failure{known.hide(err.Error()), err}
	}
	return res, err
}

// Call is Do as the engine has it: input and result as they are written down.
func (s *Set) Call(ctx context.Context, key string, input json.RawMessage) (json.RawMessage, error) {
	r := Request{Key: key}
	if err := json.Unmarshal(input, &r.Input); err != nil {
		return nil, fmt.Errorf("reading the input of an action: %w", err)
	}
	res, err := s.Do(ctx, r)
	out, bad := json.Marshal(res)
	return out, errors.Join(err, bad)
}

// failure is an error with its secrets taken out.
type failure struct {
	text  string
	cause error
}

func (f *failure) Error() string { return f.text }

// Is keeps the causes that callers ask for, and hides the others: their texts may hold secrets.
func (f *failure) Is(target error) bool { return errors.Is(f.cause, target) }

type vaultKey struct{}

// vault resolves the secrets of one action and remembers them, to take them out again.
type vault struct {
	open  func(string) (string, error)
	known []string
}

func vaultOf(ctx context.Context) *vault {
	v, _ := ctx.Value(vaultKey{}).(*vault)
	return v
}

func (v *vault) get(name string) (string, error) {
	s, err := v.open(name)
	if err == nil && s != "" && !slices.Contains(v.known, s) {
		v.known = append(v.known, s)
	}
	return s, err
}

// hide takes out what was resolved, and what looks like a secret.
func (v *vault) hide(s string) string {
	for _, k := range v.known {
		s = strings.ReplaceAll(s, k, mask.Secret)
		for line := range strings.Lines(k) {
			if line = strings.TrimSpace(line); len(line) >= 6 {
				s = strings.ReplaceAll(s, line, mask.Secret)
			}
		}
	}
	return mask.Text(s)
}

// opened is a text of the server's configuration with its secrets.
func (v *vault) opened(raw string) (string, error) {
	t, err := playbook.ParseText(raw)
	if err != nil {
		return "", err
	}
	if t.Templated() {
		return "", errors.New("a template stands in the server's configuration")
	}
	return t.Resolved(playbook.Scope{}, v.get)
}

// text is a parameter as a string, or another where it was left out.
func (r Request) text(name, otherwise string) string {
	if f, ok := r.Params[name]; ok && len(f.Text) > 0 {
		return f.Text.String()
	}
	return otherwise
}

// headline says what a run is about, in one line.
func (s *Set) headline(a playbook.About) string {
	what := a.Alert
	if what == "" {
		what = a.Code
	}
	return strings.TrimSpace(msg.Text(s.o.Lang, "act.headline", a.Priority, what, a.Asset, a.Playbook))
}

// expected tells whether a number is one of those that mean success.
func expected(list []int64, got int, otherwise func(int) bool) bool {
	if len(list) == 0 {
		return otherwise(got)
	}
	return slices.Contains(list, int64(got))
}

func success(status int) bool { return status >= http.StatusOK && status < http.StatusMultipleChoices }
