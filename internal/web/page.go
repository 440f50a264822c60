package web

import (
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/classify"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
)

// page is what templates see: who looks, in which language, zone and light, and the
// page's own data in D.
type page struct {
	Name, Title string
	Lang        msg.Lang
	Theme       string // "", light, dark
	Person      access.Person
	Path        string
	Done        string
	// Events is the stream that the page listens to, After the last entry of the journal
	// before the page was made.
	Events  string
	After   int64
	Waiting int // approvals that wait
	D       any

	zone *time.Location
	now  time.Time
}

// Names of the cookies that say how a browser wants to see pages. They are no secrets.
const (
	cookieLang  = "kw_lang"
	cookieTheme = "kw_theme"
	cookieZone  = "kw_zone"
)

func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	v, err := url.QueryUnescape(c.Value)
	if err != nil {
		return ""
	}
	return v
}

func newPage(r *http.Request, person access.Person, now time.Time) *page {
	p := &page{Lang: access.Lang(r), Person: person, Path: r.URL.RequestURI(), now: now, zone: time.UTC}
	if lang, err := msg.ParseLang(cookie(r, cookieLang)); err == nil {
		p.Lang = lang
	}
	if t := cookie(r, cookieTheme); t == "light" || t == "dark" {
		p.Theme = t
	}
	const longest = 64
	if name := cookie(r, cookieZone); name != "" && name != "Local" && len(name) < longest {
		if zone, err := time.LoadLocation(name); err == nil {
			p.zone = zone
		}
	}
	if done := r.URL.Query().Get("done"); slices.Contains(deeds(), done) {
		p.Done = done
	}
	return p
}

// deeds are the words of done.
func deeds() []string {
	return []string{
		"approved", "denied", "cancelled", "undone", "settled", "started", "mode", "muted", "lifted", "reset", "password", "person", "token", "revoked", "look", "taken", "closed",
	}
}

// T is a word.
func (p *page) T(key string, args ...any) string { return msg.Text(p.Lang, key, args...) }

// Code is the language as browsers call it.
func (p *page) Code() string {
	if p.Lang == msg.ZH {
		return "zh-CN"
	}
	return "en"
}

// May tells whether a role suffices.
func (p *page) May(role string) bool { return p.Person.Role.Allows(access.Role(role)) }

// link is a line of the menu.
type link struct {
	Path, Word, Key string
	Here            bool
	Badge           int
}

// Nav is the menu.
func (p *page) Nav() []link {
	links := []link{
		{Path: "/", Word: "web.overview", Key: "o"},
		{Path: "/incidents", Word: "web.incidents", Key: "i"},
		{Path: "/approvals", Word: "web.approvals", Key: "a", Badge: p.Waiting},
		{Path: "/playbooks", Word: "web.playbooks", Key: "p"},
		{Path: "/fingerprints", Word: "web.fingerprints", Key: "f"},
		{Path: "/journal", Word: "web.journal", Key: "j"},
		{Path: "/settings", Word: "web.settings", Key: "s"},
	}
	at, _, _ := strings.Cut(p.Path, "?")
	for i, l := range links {
		links[i].Here = at == l.Path || l.Path != "/" && strings.HasPrefix(at, l.Path+"/")
	}
	if strings.HasPrefix(at, "/runs/") {
		links[1].Here = true
	}
	return links
}

// At is a time as people read it, absolute.
func (p *page) At(t time.Time) template.HTML { return p.time(t, "at") }

// Ago is a time as people read it, from now.
func (p *page) Ago(t time.Time) template.HTML { return p.time(t, "ago") }

func (p *page) time(t time.Time, form string) template.HTML {
	if t.IsZero() {
		return "–"
	}
	at, ago := t.In(p.zone).Format("2006-01-02 15:04:05"), p.ago(t)
	text, title := at, ago
	if form == "ago" {
		text, title = ago, at+" "+p.zone.String()
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s" data-form="%s">%s</time>`, //nolint:gosec // each part is escaped
		t.UTC().Format(time.RFC3339), template.HTMLEscapeString(title), form, template.HTMLEscapeString(text)))
}

func (p *page) ago(t time.Time) string {
	d := p.now.Sub(t)
	if d < 0 {
		return p.T("web.in", p.Span(-d))
	}
	return p.T("web.ago", p.Span(d))
}

// Span is a length of time in one or two units.
func (p *page) Span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Second:
		return p.T("web.ms", d.Milliseconds())
	case d < time.Minute:
		return p.T("web.s", int(d.Seconds()))
	case d < time.Hour:
		return p.T("web.min", int(d.Minutes()))
	case d < day:
		if m := int(d.Minutes()) % 60; m > 0 && d < 10*time.Hour {
			return p.T("web.hmin", int(d.Hours()), m)
		}
		return p.T("web.h", int(d.Hours()))
	}
	return p.T("web.d", int(d/day))
}

// Between is the time from one to another; to now where that is not.
func (p *page) Between(from, to time.Time) string {
	if from.IsZero() {
		return "–"
	}
	if to.IsZero() {
		to = p.now
	}
	return p.Span(to.Sub(from))
}

// Percent is a share in words.
func (p *page) Percent(share float64) string {
	return strconv.Itoa(int(math.Round(share*100))) + " %"
}

// Date is a day.
func (p *page) Date(t time.Time) string { return t.Format("2006-01-02") }

// Month is a month.
func (p *page) Month(t time.Time) string { return t.Format("2006-01") }

// Short is the beginning of a hash.
func (p *page) Short(hash string) string {
	const digits = 12
	return hash[:min(len(hash), digits)]
}

// Actor is who did something, without the kind.
func (p *page) Actor(who string) string {
	if name, ok := strings.CutPrefix(who, "user:"); ok {
		return name
	}
	return who
}

// Why words a reason: of the engine, in the reader's language; of people, as it is.
func (p *page) Why(reason any) string {
	switch r := reason.(type) {
	case msg.Reason:
		return r.In(p.Lang)
	case string:
		return msg.ParseReason(r).In(p.Lang)
	}
	return ""
}

// Tone is the colour of a state: good, bad, warn, live or none.
func (p *page) Tone(word any) string {
	switch fmt.Sprint(word) {
	case "done", "granted", "resolved", "active", "passed", "run", "alone":
		return "good"
	case "failed", "refused", "open", "firing":
		return "bad"
	case "human", "unknown", "expired", "later", "half", "waiting", "asked":
		return "warn"
	case "running", "intended", "observe", "together":
		return "live"
	}
	return ""
}

// Source is where a piece of evidence stood, in the reader's language: a label, an
// annotation, the name of the alert.
func (p *page) Source(source string) string {
	for _, kind := range []string{"alert label ", "alert annotation ", "label ", "annotation "} {
		if name, ok := strings.CutPrefix(source, kind); ok {
			return p.T("web.source."+strings.Fields(strings.TrimPrefix(kind, "alert "))[0], name)
		}
	}
	return p.Word("source", strings.ReplaceAll(source, " ", "-"))
}

// Word is the word of a value of a kind, such as state "open".
func (p *page) Word(kind string, value any) string {
	v := fmt.Sprint(value)
	if v == "" {
		return "–"
	}
	key := "web." + kind + "." + v
	if w := p.T(key); w != key {
		return w
	}
	return v
}

// Priorities, for filters.
func (p *page) Priorities() []keepwell.Priority { return keepwell.Priorities() }

// States, Modes and Days are what selects offer.
func (p *page) States() []string {
	return []string{string(state.IncidentOpen), string(state.IncidentResolved)}
}

// Modes is described at States.
func (p *page) Modes() []string {
	return []string{string(state.ModeObserve), string(state.ModeActive), string(state.ModeOff)}
}

// Days is described at States.
func (p *page) Days() []int { return []int{7, 30, 90} }

// Doc is a document as people read it, without secrets.
func (p *page) Doc(raw json.RawMessage) string {
	masked, err := journal.Canonical(raw)
	if err != nil {
		return ""
	}
	return pretty(masked)
}

// Zone is the zone that times are written in until the script knows better.
func (p *page) Zone() string { return p.zone.String() }

// Back is the page to return to after a change of language or light.
func (p *page) Back() string { return p.Path }

// kinds are those of journal entries.
func kinds() []string {
	all := []journal.Kind{
		journal.AlertRefused, journal.IncidentOpened, journal.IncidentChanged, journal.IncidentEnded, journal.Decided, journal.RunStarted, journal.RunEnded,
		journal.Escalated, journal.StepIntended, journal.StepEnded, journal.ApprovalAsked, journal.ApprovalDecided, journal.MuteSet, journal.MuteLifted,
		journal.BreakerChanged, journal.PlaybookChanged, journal.UserChanged, journal.TokenChanged, journal.LoggedIn, journal.LoggedOut, journal.LoginRefused,
		journal.SettingChanged, journal.ServerStarted, journal.ServerStopped, journal.Retained, journal.KeyAdded, journal.KeyRetired,
	}
	names := make([]string, 0, len(all))
	for _, k := range all {
		names = append(names, string(k))
	}
	return names
}

// stateWords are the values whose words templates look up; a test holds the table to them.
func stateWords() map[string][]string {
	return map[string][]string{
		"state":    {string(state.IncidentOpen), string(state.IncidentResolved)},
		"run":      {"pending", "running", "waiting", "done", "failed", "cancelled", "human"},
		"step":     {"pending", "waiting", "intended", "done", "failed", "unknown", "skipped"},
		"approval": {"asked", "granted", "refused", "expired"},
		"mode":     {"observe", "active", "off", "manual", "undo"},
		"verdict":  {"run", "observe", "later", "no"},
		"check":    {"program", "match", "mute", "window", "ran", "running", "breaker", "cooldown", "max_runs", "concurrency", "blast_radius", "passed"},
		"handled":  {"alone", "together", "people"},
		"breaker":  {"closed", "open", "half"},
		"alert":    {"firing", "resolved"},
		"role":     {"viewer", "operator", "admin"},
		"team":     classify.Teams(),
		"scope":    access.Scopes(),
		"priority": {"P0", "P1", "P2", "P3", "P4"},
		"done":     deeds(),
		"kind":     kinds(),
	}
}
