// Package web is what people see in a browser: pages rendered on the server, in English
// and Chinese, that work without JavaScript (but for one chart and live updates) and
// without any other server. It reads through internal/state and acts through the engine
// and the door alone, with forms that are sent by POST; a GET changes nothing.
//
// What comes from outside (labels, annotations, output of scripts) becomes text by
// html/template only, and the Content-Security-Policy lets nothing run that is not a file
// of static/. Words are in internal/msg/web.go, under "web.".
//
// # To add a page
//
// A template in templates/, a method of site that fills it, a line in routes, a line in
// nav where it belongs in the menu; pages_test.go then asks for it in both languages.
package web

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/classify"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/state"
)

//go:embed templates/*.html
var templates embed.FS

//go:embed static
var static embed.FS

// Engine is what pages do: *autopilot.Engine.
type Engine interface {
	Approve(ctx context.Context, id int64, by, note string) error
	Deny(ctx context.Context, id int64, by, note string) error
	Cancel(ctx context.Context, run int64, by, why string) error
	Undoable(ctx context.Context, run state.Run) ([]autopilot.TakenBack, error)
	Undo(ctx context.Context, run int64, by, why string) (state.Run, error)
	Settle(ctx context.Context, k state.StepKey, made bool, by, note string) error
	Run(ctx context.Context, playbook string, incident int64, by, why string) (state.Run, error)
	SetMode(ctx context.Context, name, expect string, mode state.Mode, by string, why msg.Reason) error
	Acknowledge(ctx context.Context, incident int64, by, note string) error
	Close(ctx context.Context, incident int64, by, why string) error
	Mute(ctx context.Context, scope string, until time.Time, by, why string) (int64, error)
	Unmute(ctx context.Context, id int64, by string) error
	ResetBreaker(ctx context.Context, key, by, why string) error
}

// Options of the pages. What is said to be optional leaves its part of a page out.
type Options struct {
	State  *state.State
	Engine Engine
	// Door lets people in. Its Handler stands outside of New's.
	Door *access.Door
	// Library names faults; nil: the embedded one.
	Library *classify.Library
	// Classifier and Compile are for back-tests; optional.
	Classifier autopilot.Classifier
	Compile    func(text string) (*autopilot.Program, error)
	// Trust says whose signatures count when the journal is verified.
	Trust journal.Trust
	// Events is the path of the stream of events that pages listen to; "": /api/v1/events.
	Events string
	// Log gets what goes wrong inside; nil: nothing.
	Log *slog.Logger
}

type site struct {
	Options
	pages  map[string]*template.Template
	assets assets
}

// New makes the handler of /, /login and /static/.
func New(o Options) (http.Handler, error) {
	if o.State == nil || o.Engine == nil || o.Door == nil {
		return nil, errors.New("web: state, engine and door are needed")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Events == "" {
		o.Events = "/api/v1/events"
	}
	var err error
	if o.Library == nil {
		if o.Library, err = classify.Default(); err != nil {
			return nil, fmt.Errorf("web: %w", err)
		}
	}
	s := &site{Options: o}
	if s.assets, err = readAssets(static); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	if s.pages, err = s.parse(); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	return guard(s.handler()), nil
}

// parse reads each page together with what all share.
func (s *site) parse() (map[string]*template.Template, error) {
	shared, err := template.New("").Funcs(template.FuncMap{"asset": s.assets.path, "pair": pair}).ParseFS(templates, "templates/_*.html")
	if err != nil {
		return nil, err
	}
	files, err := fs.Glob(templates, "templates/[a-z]*.html")
	if err != nil {
		return nil, err
	}
	pages := map[string]*template.Template{}
	for _, file := range files {
		page, err := shared.Clone()
		if err == nil {
			page, err = page.ParseFS(templates, file)
		}
		if err != nil {
			return nil, err
		}
		pages[strings.TrimSuffix(strings.TrimPrefix(file, "templates/"), ".html")] = page
	}
	return pages, nil
}

// part hands the page and one value to a template of a part.
type part struct {
	P *page
	V any
}

func pair(p *page, v any) part { return part{p, v} }

// route is a page or a form.
type route struct {
	pattern string
	role    access.Role // who may; "": everybody
	view    view
}

// routes are all that there are, but for /static/. The tests walk them.
func routes() []route {
	var all []route
	of := func(role access.Role) func(string, view) {
		return func(pattern string, f view) { all = append(all, route{pattern, role, f}) }
	}
	open := of("")
	open("GET /login", (*call).login)
	open("POST /login", (*call).enter)
	open("GET /login/openid", (*call).openid)
	open("GET /login/return", (*call).back)
	open("POST /logout", (*call).leave)
	open("POST /look", (*call).look)
	see := of(access.Viewer)
	see("GET /{$}", (*call).overview)
	see("GET /incidents", (*call).incidents)
	see("GET /incidents/{id}", (*call).incident)
	see("GET /runs/{id}", (*call).run)
	see("GET /approvals", (*call).approvals)
	see("GET /playbooks", (*call).playbooks)
	see("GET /playbooks/{name}", (*call).playbook)
	see("GET /fingerprints", (*call).fingerprints)
	see("GET /journal", (*call).journal)
	see("GET /settings", (*call).settings)
	see("GET /keys", func(c *call) error { return c.show("keys", "web.keys", nil) })
	see("POST /settings/password", (*call).password)
	act := of(access.Operator)
	act("POST /approvals/{id}", (*call).answer)
	act("POST /runs/{id}/cancel", (*call).cancel)
	act("POST /runs/{id}/undo", (*call).undo)
	act("POST /runs/{id}/settle", (*call).settle)
	act("POST /incidents/{id}/run", (*call).start)
	act("POST /incidents/{id}/take", (*call).take)
	act("POST /incidents/{id}/close", (*call).closeIncident)
	act("POST /settings/mutes", (*call).mute)
	act("POST /settings/mutes/{id}/lift", (*call).unmute)
	act("POST /settings/breakers", (*call).reset)
	rule := of(access.Admin)
	rule("POST /playbooks/{name}/mode", (*call).mode)
	rule("POST /settings/people", (*call).addPerson)
	rule("POST /settings/people/{name}", (*call).changePerson)
	rule("POST /settings/tokens", (*call).addToken)
	rule("POST /settings/tokens/{id}/revoke", (*call).revoke)
	see("GET /", func(*call) error { return state.ErrNotFound })
	return all
}

func (s *site) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /static/{file}", s.assets.serve)
	for _, r := range routes() {
		if r.role == "" {
			mux.HandleFunc(r.pattern, s.open(r.view))
		} else {
			mux.HandleFunc(r.pattern, s.need(r.role, r.view))
		}
	}
	return mux
}

// guard sets what every answer carries.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		next.ServeHTTP(w, r)
	})
}

// view answers one request. An error becomes a page.
type view func(c *call) error

// call is one request for a page.
type call struct {
	*site
	w    http.ResponseWriter
	r    *http.Request
	page *page
}

func (c *call) ctx() context.Context { return c.r.Context() }

// maxForm bounds what a form sends.
const maxForm = 64 << 10

// open is for everybody.
func (s *site) open(f view) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		person, _ := access.From(r.Context())
		c := &call{site: s, w: w, r: r, page: newPage(r, person, s.State.Now())}
		w.Header().Set("Cache-Control", "no-store")
		err := error(nil)
		if r.Method == http.MethodPost {
			err = r.ParseForm()
		}
		if err == nil {
			err = f(c)
		}
		if err != nil {
			c.fail(err) //nolint:contextcheck // its context is the request's, in c
		}
	}
}

// need is for people of a role, by a session: tokens are the API's.
func (s *site) need(role access.Role, f view) http.HandlerFunc {
	return s.open(func(c *call) error {
		switch p := c.page.Person; {
		case !p.LoggedIn():
			to := "/login"
			if c.r.Method == http.MethodGet && c.r.URL.Path != "/" {
				to += "?next=" + url.QueryEscape(c.r.URL.RequestURI())
			}
			http.Redirect(c.w, c.r, to, http.StatusSeeOther)
			return nil
		case !p.Role.Allows(role):
			return errForbidden
		}
		if c.r.Method == http.MethodGet {
			end, err := s.State.JournalEnd(c.ctx()) // before all else is read
			if err != nil {
				return err
			}
			c.page.After = end.Seq
			asked, err := s.State.Approvals(c.ctx(), state.ApprovalAsked, 0, state.Page{Limit: 100})
			if err != nil {
				return err
			}
			c.page.Waiting = len(asked)
		}
		return f(c)
	})
}

var errForbidden = errors.New("forbidden")

// show renders a page.
func (c *call) show(name, title string, data any) error {
	c.page.Name, c.page.D, c.page.Events = name, data, c.Events
	if c.page.Title == "" {
		c.page.Title = c.page.T(title)
	}
	return c.write(http.StatusOK, name)
}

func (c *call) write(status int, name string) error {
	var b bytes.Buffer
	if err := c.pages[name].ExecuteTemplate(&b, "page", c.page); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	c.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	c.w.Header().Set("Content-Language", c.page.Code())
	c.w.WriteHeader(status)
	_, _ = io.WriteString(c.w, marked(b.String())) // an error: whoever asked has gone
	return nil
}

// marked is a page on which no foreign text changes how the rest is seen. What stands
// within tags is left alone: it is sent back as it is.
func marked(page string) string {
	if strings.IndexFunc(page, func(r rune) bool { return r != '\n' && present.Marked(string(r)) != string(r) }) < 0 {
		return page
	}
	var b strings.Builder
	for page != "" {
		text, rest, _ := strings.Cut(page, "<") // foreign ones are escaped
		b.WriteString(present.Marked(text))
		if len(text) == len(page) {
			break
		}
		tag, after, _ := strings.Cut(rest, ">")
		b.WriteString("<" + tag + ">")
		page = after
	}
	return b.String()
}

// problem is what the page of an error says.
type problem struct {
	Status int
	Key    string
	// Reason is what stands behind it, in English where it is rare.
	Reason string
}

func problemOf(err error) problem {
	var late *access.SlowDownError
	switch {
	case errors.Is(err, state.ErrNotFound), errors.Is(err, access.ErrNoProvider):
		return problem{http.StatusNotFound, "web.err.notfound", ""}
	case errors.Is(err, errForbidden), errors.Is(err, autopilot.ErrRole):
		return problem{http.StatusForbidden, "web.err.forbidden", ""}
	case errors.Is(err, autopilot.ErrSamePerson):
		return problem{http.StatusConflict, "web.err.same", ""}
	case errors.Is(err, autopilot.ErrNothing):
		return problem{http.StatusConflict, "web.err.nothing", ""}
	case errors.Is(err, autopilot.ErrStale):
		return problem{http.StatusConflict, "web.err.stale", ""}
	case errors.Is(err, state.ErrConflict), errors.Is(err, access.ErrStale):
		return problem{http.StatusConflict, "web.err.conflict", err.Error()}
	case errors.Is(err, access.ErrSilent):
		return problem{http.StatusBadGateway, "web.err.silent", ""}
	case errors.Is(err, access.ErrAnswer):
		return problem{http.StatusUnprocessableEntity, "web.err.answer", ""}
	case errors.Is(err, access.ErrFlow):
		return problem{http.StatusUnprocessableEntity, "web.err.flow", ""}
	case errors.Is(err, access.ErrNoRole):
		return problem{http.StatusForbidden, "web.err.norole", ""}
	case errors.Is(err, access.ErrTaken):
		return problem{http.StatusUnprocessableEntity, "web.err.taken", ""}
	case errors.Is(err, access.ErrLogin):
		return problem{http.StatusUnprocessableEntity, "web.err.login", ""}
	case errors.As(err, &late), errors.Is(err, access.ErrBusy):
		return problem{http.StatusTooManyRequests, "web.err.slow", ""}
	case errors.Is(err, access.ErrPassword), errors.Is(err, access.ErrName), errors.Is(err, access.ErrLastAdmin), errors.Is(err, access.ErrProvider),
		errors.Is(err, access.ErrToken), errors.Is(err, errInput):
		return problem{http.StatusUnprocessableEntity, "web.err.input", err.Error()}
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return problem{http.StatusRequestEntityTooLarge, "web.err.large", ""}
	}
	return problem{http.StatusInternalServerError, "web.err.inside", ""}
}

var errInput = errors.New("the form cannot be understood")

func (c *call) fail(err error) {
	p := problemOf(err)
	if words := access.Words(c.page.Lang, err); words != "" {
		p.Reason = words
	}
	if p.Status == http.StatusInternalServerError {
		c.Log.ErrorContext(c.ctx(), "a page failed", "path", c.r.URL.Path, "error", err)
	}
	c.page.D, c.page.Title = p, c.page.T(p.Key)
	if err := c.write(p.Status, "problem"); err != nil {
		c.Log.ErrorContext(c.ctx(), "a page failed", "path", c.r.URL.Path, "error", err)
		http.Error(c.w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}

// done goes back to a page with a word on what was done.
func (c *call) done(to, word string) error {
	sep := "?"
	if strings.Contains(to, "?") {
		sep = "&"
	}
	http.Redirect(c.w, c.r, to+sep+"done="+word, http.StatusSeeOther)
	return nil
}

// id reads a number of the path.
func (c *call) id() (int64, error) {
	id, err := strconv.ParseInt(c.r.PathValue("id"), 10, 64)
	if err != nil || id <= 0 {
		return 0, state.ErrNotFound
	}
	return id, nil
}

func (c *call) form(name string) string { return strings.TrimSpace(c.r.PostForm.Get(name)) }

func (c *call) query(name string) string { return strings.TrimSpace(c.r.URL.Query().Get(name)) }

// before reads where a page of a list begins.
func (c *call) before() int64 {
	n, err := strconv.ParseInt(c.query("before"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// fault is what people call a code.
func (s *site) fault(code string, lang msg.Lang) classify.Words {
	w, err := s.Library.Describe(codeOf(code), lang)
	if err != nil {
		return classify.Words{Title: code}
	}
	return w
}
