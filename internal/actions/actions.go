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
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/playbook"
)

// ErrUnsure says that the effect of a failed action may have been made.
var ErrUnsure = msg.Wrong("do.unsure")

// ErrAgain says that the failure is expected to pass: a later attempt may succeed.
var ErrAgain = msg.Wrong("do.again")

// ErrFinal says that another attempt would fail the same.
var ErrFinal = msg.Wrong("do.final")

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
	Clusters  map[string]Cluster
	Redis     map[string]Redis
	Databases map[string]Database
	Ansible   Ansible
	// Doctor examines why a module cannot be had; nil: there is none.
	Doctor func(ctx context.Context, target string) (Examination, error)
	// Instance tells this server's marks in outside systems from those of others; the same
	// for all its nodes.
	Instance string
	// Prometheus is the base address for promql; "": none.
	Prometheus string
	// Now is the clock of signatures; nil: the real one.
	Now func() time.Time
}

// Request is one action to be made.
type Request struct {
	playbook.Input
	// Key is what outside systems are given to tell a repeat: RUN/STEP/ATTEMPT.
	Key string
	// Undone is the result of the action that this one takes back.
	Undone json.RawMessage
}

// stem is the key without its attempt: what all attempts at one effect share.
func (r Request) stem() string {
	if i := strings.LastIndexByte(r.Key, '/'); i > 0 {
		return r.Key[:i]
	}
	return r.Key
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
	// Data is what conditions may look at: rows, hosts, findings. Bounded by each kind.
	Data any `json:"data,omitempty"`
	// Before is what an undo needs to know.
	Before any `json:"before,omitempty"`
}

// action is one kind.
type action interface {
	// plan says what would be done, with secrets by reference; the error, that it could
	// not be. It reaches nothing outside this machine.
	plan(r Request) ([]msg.Reason, error)
	do(ctx context.Context, r Request) (Result, error)
}

// prober is a kind that can tell afterwards whether an interrupted effect was made.
type prober interface {
	// probe makes no effect. An error means that it cannot be told.
	probe(ctx context.Context, r Request) (made bool, err error)
}

// ErrCannotTell says that a kind cannot tell whether its effect was made.
var ErrCannotTell = msg.Wrong("do.cannottell")

// Set is the actions of a server. It may be used by many goroutines at once.
type Set struct {
	o     Options
	kinds map[string]action
}

// New makes the actions.
func New(o Options) *Set {
	if o.Secrets == nil {
		o.Secrets = func(string) (string, error) {
			return "", msg.Wrong("do.nosecrets")
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Lang == "" {
		o.Lang = msg.EN
	}
	if o.Scripts.Keepers == nil {
		o.Scripts.Keepers = NewKeepers(o.Scripts.Launcher)
	}
	s := &Set{o: o}
	client := o.HTTP.client()
	others := newShout()
	s.kinds = map[string]action{
		"run_script":    script{s.o.Scripts, s},
		"http":          web{client, s},
		"promql":        promql{o.HTTP.trusting(), s},
		"create_ticket": ticket{o.HTTP.trusting(), s},
		"kubernetes":    kubernetes{s},
		"redis":         redisAction{s},
		"sql":           sqlAction{s},
		"ansible":       ansible{s},
		"doctor":        doctor{s},
		"notify":        notify{o.HTTP.trusting(), s, "", others},
	}
	for _, kind := range []string{"slack", "dingtalk", "lark", "wecom", "teams", "email"} {
		s.kinds["notify_"+kind] = notify{o.HTTP.trusting(), s, kind, others}
	}
	return s
}

// Plan says what an action would do, for people, and makes no effect.
func (s *Set) Plan(r Request) ([]msg.Reason, error) {
	a, ok := s.kinds[r.Kind]
	if !ok {
		return nil, msg.Wrong("do.unknown", r.Kind)
	}
	lines, err := a.plan(r)
	for i := range lines {
		lines[i] = lines[i].Map(mask.Text)
	}
	return lines, err
}

// Do makes the effect. An error means that it failed and will not happen later;
// [ErrUnsure] in it, that it may have.
func (s *Set) Do(ctx context.Context, r Request) (Result, error) {
	a, ok := s.kinds[r.Kind]
	if !ok {
		return Result{}, msg.Wrong("do.unknown", r.Kind)
	}
	known := &vault{open: s.o.Secrets}
	res, err := a.do(context.WithValue(ctx, vaultKey{}, known), r)
	res.Output, res.Summary, res.URL = known.hide(res.Output), known.hide(res.Summary), known.hide(res.URL)
	res.Data, res.Before = known.hideAll(res.Data), known.hideAll(res.Before)
	if err != nil {
		err = known.failed(err)
	}
	return res, err
}

// Probe tells whether an effect that was interrupted was made, and makes none. An error
// means that it cannot be told.
func (s *Set) Probe(ctx context.Context, r Request) (made bool, err error) {
	a, ok := s.kinds[r.Kind].(prober)
	if !ok {
		return false, ErrCannotTell
	}
	known := &vault{open: s.o.Secrets}
	if made, err = a.probe(context.WithValue(ctx, vaultKey{}, known), r); err != nil {
		err = known.failed(err)
	}
	return made, err
}

// Probed is Probe as the engine has it.
func (s *Set) Probed(ctx context.Context, key string, input json.RawMessage) (bool, error) {
	r, err := written(key, input)
	if err != nil {
		return false, err
	}
	return s.Probe(ctx, r)
}

func written(key string, input json.RawMessage) (Request, error) {
	r := Request{Key: key}
	if err := json.Unmarshal(input, &r.Input); err != nil {
		return r, msg.Wrong("do.input", err)
	}
	return r, nil
}

// Call is Do as the engine has it: input and result as they are written down.
func (s *Set) Call(ctx context.Context, key string, input json.RawMessage) (json.RawMessage, error) {
	return s.CallUndo(ctx, key, input, nil)
}

// CallUndo is Call for an action that takes back one that left undone as its result.
func (s *Set) CallUndo(ctx context.Context, key string, input, undone json.RawMessage) (json.RawMessage, error) {
	r, err := written(key, input)
	if err != nil {
		return nil, err
	}
	r.Undone = undone
	res, err := s.Do(ctx, r)
	out, bad := json.Marshal(res)
	if err == nil {
		err = bad
	}
	return out, err
}

// failure is an error with its secrets taken out.
type failure struct {
	text   string
	reason msg.Reason
	cause  error
}

// failed hides the secrets of an error.
func (v *vault) failed(err error) error {
	return &failure{v.hide(err.Error()), msg.Of(err).Map(v.hide), err}
}

func (f *failure) Error() string { return f.text }

// Reason is what [msg.Of] takes.
func (f *failure) Reason() msg.Reason { return f.reason }

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
	if err == nil {
		v.learn(s)
	}
	return s, err
}

// learn has a secret that was not resolved by name taken out as well.
func (v *vault) learn(secret string) {
	if secret != "" && !slices.Contains(v.known, secret) {
		v.known = append(v.known, secret)
	}
}

// hide takes out what was resolved, and what looks like a secret.
func (v *vault) hide(s string) string {
	var out []string
	for _, k := range v.known {
		out = append(append(out, k), formsOf(k)...)
		for line := range strings.Lines(k) {
			if line = strings.TrimSpace(line); len(line) >= leastHidden && line != k {
				out = append(append(out, line), formsOf(line)...)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b string) int { return len(b) - len(a) }) // a part would leave the rest
	for _, secret := range out {
		s = strings.ReplaceAll(s, secret, mask.Secret)
	}
	return mask.Text(s)
}

// hideAll is hide for every text of a tree.
func (v *vault) hideAll(tree any) any {
	if tree == nil {
		return nil
	}
	text, err := json.Marshal(tree)
	if err != nil {
		return "cannot be written down: " + v.hide(err.Error())
	}
	var plain any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&plain); err != nil {
		return "cannot be read back"
	}
	var walk func(any) any
	walk = func(t any) any {
		switch t := t.(type) {
		case string:
			return v.hide(t)
		case []any:
			for i := range t {
				t[i] = walk(t[i])
			}
		case map[string]any:
			hidden := make(map[string]any, len(t))
			for k, e := range t {
				hidden[v.hide(k)] = walk(e)
			}
			return hidden
		}
		return t
	}
	return walk(plain)
}

// opened is a text of the server's configuration with its secrets.
func (v *vault) opened(raw string) (string, error) {
	t, err := playbook.ParseText(raw)
	if err != nil {
		return "", err
	}
	if t.Templated() {
		return "", msg.Wrong("do.template")
	}
	return t.Resolved(playbook.Scope{}, v.get)
}

// number is a parameter as a number, or another where it was left out.
func (r Request) number(name string, otherwise int64) int64 {
	if f, ok := r.Params[name]; ok && len(f.Numbers) > 0 {
		return f.Numbers[0]
	}
	return otherwise
}

// pick finds what a playbook names among what the server has, or the only one.
func pick[T any](r Request, what, section string, all map[string]T) (name string, one T, err error) {
	name = r.text("in", "")
	names := slices.Sorted(maps.Keys(all))
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	one, ok := all[name]
	if !ok {
		return name, one, msg.Wrong("do.pick", what, name, fmt.Sprintf("%q", names), section)
	}
	return name, one, nil
}

// short keeps a text within a number of bytes, whole characters only.
func short(s string, most int) string {
	if len(s) <= most {
		return s
	}
	const dots = "…"
	most = max(most-len(dots), 0)
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + dots
}

// text is a parameter as a string, or another where it was left out.
func (r Request) text(name, otherwise string) string {
	if f, ok := r.Params[name]; ok && len(f.Text) > 0 {
		return f.Text.String()
	}
	return otherwise
}

// headline says what a run is about, in one line.
func (s *Set) headline(a playbook.About) string { return headlineIn(s.o.Lang, a) }

func headlineIn(lang msg.Lang, a playbook.About) string {
	what := a.Alert
	if what == "" {
		what = a.Code
	}
	return strings.TrimSpace(msg.Text(lang, "act.headline", a.Priority, what, a.Asset, a.Playbook))
}

// toldIn is the headline and what was done, a line a step.
func toldIn(lang msg.Lang, a playbook.About) string {
	lines := []string{headlineIn(lang, a)}
	for _, d := range a.Done {
		key := "act.done"
		if d.Verified {
			key = "act.verified"
		}
		line := msg.Text(lang, key, d.Step)
		if d.Said != "" {
			line = msg.Text(lang, "act.said", line, d.Said)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// expected tells whether a number is one of those that mean success.
func expected(list []int64, got int, otherwise func(int) bool) bool {
	if len(list) == 0 {
		return otherwise(got)
	}
	return slices.Contains(list, int64(got))
}

func success(status int) bool { return status >= http.StatusOK && status < http.StatusMultipleChoices }
