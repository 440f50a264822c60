package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
)

// Bounds of what is sent here.
const (
	mostBody  = 1 << 20 // a playbook of 256 KiB in JSON
	mostText  = 2000    // reasons and notes
	mostWord  = 512     // filters and names in paths
	mostPage  = 200
	usualPage = 50
)

// route is one thing that can be asked.
type route struct {
	method, path string
	id           string // the operation's name, which does not change
	what         string // what it does, for the document
	role         access.Role
	public       bool // nobody needs to be logged in
	// person: not by a token, but by somebody who is logged in.
	person bool
	query  []param
	// body and reply are values of the types that are sent; nil: none.
	body, reply any
	// made: a success is answered with 201.
	made bool
	// text is the type of the answer where it is not JSON: do writes it itself.
	text string
	do   func(*call) (any, error)
}

// param is a parameter of the query.
type param struct {
	name, what string
	number     bool
	values     []string
}

// call is one request being answered.
type call struct {
	*http.Request
	w      http.ResponseWriter
	person access.Person
	lang   msg.Lang
}

// refusal is an answer that is no success.
type refusal struct {
	status int
	key    string
	args   []any
	reason error
}

func (r *refusal) Error() string { return msg.Text(msg.EN, r.key, r.args...) }
func (r *refusal) Unwrap() error { return r.reason }

func refuse(status int, key string, args ...any) error {
	return &refusal{status: status, key: key, args: args}
}

func bad(name string) error { return refuse(http.StatusBadRequest, "api.bad", name) }

// handler answers one route.
func (a *api) handler(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{Request: r, w: w, lang: access.Lang(r)}
		c.person, _ = access.From(r.Context())
		if rt.person && !c.person.LoggedIn() {
			a.fail(c, refuse(http.StatusForbidden, "api.person"))
			return
		}
		if err := c.known(rt); err != nil {
			a.fail(c, err)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, mostBody)
		reply, err := rt.do(c)
		switch {
		case err != nil:
			a.fail(c, err)
		case rt.text != "":
		case reply == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			status := http.StatusOK
			if rt.made {
				status = http.StatusCreated
			}
			a.answer(c, status, reply)
		}
	})
}

func (a *api) answer(c *call, status int, reply any) {
	text, err := json.Marshal(reply)
	if err != nil {
		a.fail(c, err)
		return
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	if _, err := c.w.Write(append(text, '\n')); err != nil {
		a.Log.Debug("answering", "error", err)
	}
}

// fail answers an error with a problem document.
func (a *api) fail(c *call, err error) {
	r := refusalOf(err)
	if r.status >= http.StatusInternalServerError {
		a.Log.Error("answering a request", "method", c.Method, "path", c.Pattern, "error", mask.Text(err.Error()))
	}
	p := access.Refusal{Type: "about:blank", Title: http.StatusText(r.status), Status: r.status, Code: r.key, Detail: msg.Text(c.lang, r.key, r.args...)}
	if hint := msg.Text(c.lang, "hint."+r.key); hint != "hint."+r.key {
		p.Hint = hint
	}
	if r.reason != nil && r.status < http.StatusInternalServerError {
		p.Reason = mask.Text(r.reason.Error())
	}
	var slow *access.SlowDownError
	if errors.As(err, &slow) {
		c.w.Header().Set("Retry-After", strconv.Itoa(int(slow.After/time.Second)+1))
	}
	access.WriteProblem(c.w, c.lang, p)
}

// refusalOf finds the status and words of an error.
func refusalOf(err error) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	var slow *access.SlowDownError
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &slow):
		return &refusal{status: http.StatusTooManyRequests, key: "api.slow", reason: err}
	case errors.As(err, &large):
		return &refusal{status: http.StatusRequestEntityTooLarge, key: "api.large", args: []any{mostBody}}
	}
	for _, known := range []struct {
		err    error
		status int
		key    string
	}{
		{autopilot.ErrSamePerson, http.StatusForbidden, "api.same"},
		{autopilot.ErrRole, http.StatusForbidden, "api.approver"},
		{autopilot.ErrNothing, http.StatusConflict, "api.nothing"},
		{access.ErrName, http.StatusUnprocessableEntity, "api.name"},
		{access.ErrPassword, http.StatusUnprocessableEntity, "api.password"},
		{access.ErrToken, http.StatusUnprocessableEntity, "api.token"},
		{access.ErrStale, http.StatusPreconditionFailed, "api.stale"},
		{autopilot.ErrStale, http.StatusPreconditionFailed, "api.stale"},
		{access.ErrLastAdmin, http.StatusConflict, "api.lastadmin"},
		{access.ErrProvider, http.StatusConflict, "api.provider"},
		{access.ErrLogin, http.StatusForbidden, "api.wrong"},
		{access.ErrBusy, http.StatusServiceUnavailable, "api.busy"},
		{state.ErrNotFound, http.StatusNotFound, "api.notfound"},
		{state.ErrConflict, http.StatusConflict, "api.conflict"},
	} {
		if errors.Is(err, known.err) {
			reason := err
			if known.status == http.StatusNotFound {
				reason = nil
			}
			return &refusal{status: known.status, key: known.key, reason: reason}
		}
	}
	return &refusal{status: http.StatusInternalServerError, key: "api.failed", reason: err}
}

// known refuses parameters that the route does not have, or has twice: a filter that is
// misspelt would show everything. Words in the path are bounded, too.
func (c *call) known(rt route) error {
	query, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil {
		return bad("query")
	}
	for name, values := range query {
		i := slices.IndexFunc(rt.query, func(p param) bool { return p.name == name })
		if i < 0 || len(values) != 1 || !word(values[0]) {
			return bad(visible(name))
		}
		p := rt.query[i]
		if _, err := strconv.ParseInt(values[0], 10, 64); p.number && (err != nil || values[0][0] == '-' || values[0][0] == '+') {
			return bad(name)
		}
		if len(p.values) > 0 && !slices.Contains(p.values, values[0]) {
			return bad(name)
		}
	}
	if !word(c.URL.Path) {
		return bad("path")
	}
	return nil
}

// word tells whether a text can be stored and looked for: UTF-8 without controls, short.
func word(s string) bool {
	return len(s) <= mostWord && utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}

// visible makes a foreign name fit to be told.
func visible(s string) string {
	const most = 40
	return strings.Trim(strconv.QuoteToASCII(s[:min(len(s), most)]), `"`)
}

// text checks a reason or note.
func text(name, s string, needed bool) error {
	switch {
	case needed && strings.TrimSpace(s) == "":
		return refuse(http.StatusUnprocessableEntity, "api.missing", name)
	case len(s) > mostText, !utf8.ValidString(s), strings.ContainsFunc(s, func(c rune) bool { return c < ' ' && c != '\n' && c != '\t' || c == 0x7f }):
		return refuse(http.StatusUnprocessableEntity, "api.text", name, mostText)
	}
	return nil
}

// get reads a parameter of the query; number one that known has checked.
func (c *call) get(name string) string { return c.URL.Query().Get(name) }

func (c *call) number(name string) int64 {
	n, err := strconv.ParseInt(c.get(name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// id reads a number in the path.
func (c *call) id(name string) (int64, error) {
	n, err := strconv.ParseInt(c.PathValue(name), 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != c.PathValue(name) {
		return 0, refuse(http.StatusNotFound, "api.notfound")
	}
	return n, nil
}

// paged are the parameters of lists.
func paged(more ...param) []param {
	return append(more, param{name: "limit", what: fmt.Sprintf("how many, at most %d", mostPage), number: true}, param{name: "cursor", what: "next of the page before", number: true})
}

// page reads limit and cursor. One more than is shown is read: it tells whether there is
// another page.
func (c *call) page() (p state.Page, limit int) {
	limit = int(min(c.number("limit"), mostPage))
	if limit <= 0 {
		limit = usualPage
	}
	return state.Page{Before: c.number("cursor"), Limit: limit + 1}, limit
}

// list is a part of a list.
type list[T any] struct {
	Items []T `json:"items"`
	// Next is the cursor of the following page; "": this is the last one.
	Next string `json:"next,omitempty"`
}

// listed makes the answer of what was read with the page's limit and one more.
func listed[T any](all []T, limit int, id func(T) int64) list[T] {
	l := list[T]{Items: all}
	if len(all) > limit {
		l.Items = all[:limit]
		l.Next = strconv.FormatInt(id(all[limit-1]), 10)
	}
	if l.Items == nil {
		l.Items = []T{}
	}
	return l
}

// whole is a list that has no pages.
func whole[T any](all []T) list[T] {
	if all == nil {
		all = []T{}
	}
	return list[T]{Items: all}
}

// read reads the body: one JSON value with known names only.
func (c *call) read(into any) error {
	if kind, _, err := mime.ParseMediaType(c.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return refuse(http.StatusUnsupportedMediaType, "api.type")
	}
	data, err := io.ReadAll(c.Body)
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return err
		}
		return &refusal{status: http.StatusBadRequest, key: "api.json", reason: err}
	}
	if !utf8.Valid(data) {
		return refuse(http.StatusBadRequest, "api.json")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &refusal{status: http.StatusBadRequest, key: "api.json", reason: err}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return refuse(http.StatusBadRequest, "api.json")
	}
	return nil
}

// why is a reason with the token through which it came, for the journal.
func (c *call) why(s string) string {
	if c.person.Token == "" {
		return s
	}
	return strings.TrimSpace(s + " (through " + c.person.Name + "'s API key " + c.person.Token + ")")
}

// typeOf is the type of a route's body or reply.
func typeOf(v any) reflect.Type { return reflect.TypeOf(v) }
