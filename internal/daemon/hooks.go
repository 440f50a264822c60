package daemon

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/alerts"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/playbook"
	"github.com/keepwell/keepwell/internal/state"
)

// reading takes one body of a format.
type reading func(ctx context.Context, r io.Reader, l alerts.Limits, each alerts.Each) (alerts.Group, error)

// letsIn is whom a route lets in.
type letsIn string

const (
	everybody letsIn = "everybody"
	senders   letsIn = "senders" // of alerts
	readers   letsIn = "readers" // this machine, senders, and who may read
)

// route is one of the server's own; those of the mounts say themselves whom they let in.
type route struct {
	pattern string
	lets    letsIn
	handler http.Handler
}

// routes are all that the server has beside its mounts.
func (d *Daemon) routes() []route {
	return append(
		d.hooks(),
		route{"GET /healthz", everybody, http.HandlerFunc(d.healthz)},
		route{"GET /readyz", everybody, http.HandlerFunc(d.readyz)},
		route{"GET /metrics", readers, d.guarded(d.metrics.handler)},
	)
}

// hooks are the routes through which alerts come in.
func (d *Daemon) hooks() []route {
	fixed := func(name string, read func(io.Reader, alerts.Limits, alerts.Each) (alerts.Group, error)) http.Handler {
		return d.hook(name, func(*http.Request) reading {
			return func(_ context.Context, r io.Reader, l alerts.Limits, each alerts.Each) (alerts.Group, error) {
				return read(r, l, each)
			}
		})
	}
	return []route{
		{"POST /hooks/alertmanager", senders, fixed("alertmanager", alerts.Alertmanager)},
		{"POST /hooks/grafana", senders, fixed("grafana", alerts.Grafana)},
		{"POST /api/v1/alerts", senders, fixed("alertmanager", alerts.Alertmanager)},
		{"/hooks/", everybody, http.HandlerFunc(d.others)},
		{"POST /hooks/generic/{name}", senders, d.hook("generic", func(r *http.Request) reading {
			m := d.live.Load().mappings[r.PathValue("name")]
			if m == nil {
				return nil
			}
			return func(ctx context.Context, r io.Reader, l alerts.Limits, each alerts.Each) (alerts.Group, error) {
				return m.Read(ctx, r, l, time.Now(), each)
			}
		})},
	}
}

// others answers what is no POST to a hook: pages begin at "/", and a sender that is sent
// to their login learns nothing.
func (d *Daemon) others(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/hooks/")
	mapped, generic := strings.CutPrefix(name, "generic/")
	if name != "alertmanager" && name != "grafana" && (!generic || d.live.Load().mappings[mapped] == nil) {
		access.Problem(w, r, http.StatusNotFound, "hook.unknown", name)
		return
	}
	w.Header().Set("Allow", http.MethodPost)
	access.Problem(w, r, http.StatusMethodNotAllowed, "hook.method", r.Method)
}

// taken is what a sender is told.
type taken struct {
	autopilot.Receipt
	// Unread are the first of the elements of the body that make no alerts, and how many
	// there are.
	Unread    []string `json:"unread,omitempty"`
	Unusable  int      `json:"unusable,omitempty"`
	Truncated int64    `json:"truncated,omitempty"`
	// Cut counts alerts that were kept with less of their texts than came.
	Cut int `json:"cut,omitempty"`
}

// storing bounds how long a body may take to be stored: then the sender may try again.
const storing = 30 * time.Second

// hook takes the alerts of a body. 202 means that all that could be read are on the disk.
func (d *Daemon) hook(name string, how func(*http.Request) reading) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &intake{d: d, hook: name, w: w, r: r, begun: time.Now()}
		if read := how(r); read == nil {
			x.refuse(http.StatusNotFound, "hook.unknown", r.PathValue("name"))
		} else if x.known(r.Context()) {
			x.take(r.Context(), read)
		}
	})
}

// intake is one request that brings alerts.
type intake struct {
	d    *Daemon
	hook string
	w    http.ResponseWriter
	r    *http.Request
	who  *proof

	begun time.Time
}

func (x *intake) refuse(status int, key string, args ...any) {
	x.d.metrics.requests.WithLabelValues(x.hook, fmt.Sprint(status)).Inc()
	access.Problem(x.w, x.r, status, key, args...)
}

// lost refuses the body of a sender that is known, who may well not send it again: that
// is logged and written down.
func (x *intake) lost(ctx context.Context, status, alerts int, key string, args ...any) {
	why := clip(mask.Text(msg.Text(msg.EN, key, args...)))
	x.d.log.Warn("alerts were refused, and are lost unless their sender sends them again", "hook", x.hook, "status", status, "alerts", alerts, "why", why)
	x.d.metrics.alerts.WithLabelValues("refused").Add(float64(alerts))
	ctx, cancel := context.WithTimeout(ctx, storing)
	defer cancel()
	err := x.d.st.Tx(ctx, func(tx *state.Tx) error {
		return journal.Append(tx, journal.Entry{
			Kind: journal.AlertRefused, Actor: autopilot.Actor, Reason: msg.Because("why.body", x.hook, status, why),
			Data: map[string]any{"hook": x.hook, "status": status, "refused": alerts},
		})
	})
	if err != nil {
		x.d.log.Error("cannot write down that alerts were refused", "hook", x.hook, "error", mask.Text(err.Error()))
	}
	x.refuse(status, key, args...)
}

// clip keeps what one entry needs: senders make up names of any length.
func clip(s string) string {
	const longest = 500
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "…"
}

// known tells whether the sender is, and refuses it otherwise.
func (x *intake) known(ctx context.Context) bool {
	who, err := x.d.sender(x.r)
	switch {
	case err != nil:
		x.d.log.Error("cannot tell senders of alerts; they were asked to try again", "hook", x.hook, "error", mask.Text(err.Error()))
		x.w.Header().Set("Retry-After", "30")
		x.refuse(http.StatusServiceUnavailable, "hook.secret")
	case who == nil && scopeless(ctx):
		x.d.log.Warn("a token of a sender has not the scope hooks", "hook", x.hook, "from", x.r.RemoteAddr)
		x.refuse(http.StatusForbidden, "access.scope", access.ScopeHooks)
	case who == nil:
		x.d.log.Warn("a sender of alerts did not show who it is", "hook", x.hook, "from", x.r.RemoteAddr)
		x.w.Header().Set("WWW-Authenticate", `Bearer realm="keepwell"`)
		x.refuse(http.StatusUnauthorized, "hook.unauthenticated")
	default:
		x.who = who
		return true
	}
	return false
}

// scopeless tells tokens of this server that are for something else.
func scopeless(ctx context.Context) bool {
	p, ok := access.From(ctx)
	return ok && p.Token != "" && !p.May(access.ScopeHooks, access.Viewer)
}

func (x *intake) take(ctx context.Context, read reading) {
	limits := alerts.DefaultLimits()
	var found []keepwell.Alert
	body := io.TeeReader(http.MaxBytesReader(x.w, x.r.Body, limits.Bytes+1), x.who)
	group, err := read(ctx, body, limits, func(a keepwell.Alert) error { found = append(found, a); return nil })
	if err == nil {
		_, err = io.Copy(io.Discard, body) // what follows the document was signed, too
	}
	var long *http.MaxBytesError
	large := errors.Is(err, alerts.ErrTooLarge) || errors.As(err, &long)
	switch {
	case large && x.who.mac != nil: // who it is shows at the body's end only
		x.d.log.Warn("a signed body is too large", "hook", x.hook, "from", x.r.RemoteAddr)
		x.refuse(http.StatusRequestEntityTooLarge, "hook.large", limits.Bytes>>20, limits.Alerts)
	case large:
		x.lost(ctx, http.StatusRequestEntityTooLarge, len(found)+group.RefusedAlerts, "hook.large", limits.Bytes>>20, limits.Alerts)
	case ctx.Err() != nil: // nobody waits
	case !x.who.proved(): // before anything is said about the body
		x.d.log.Warn("a signature does not fit its body", "hook", x.hook, "from", x.r.RemoteAddr)
		x.refuse(http.StatusUnauthorized, "hook.signature")
	case err != nil:
		x.lost(ctx, http.StatusBadRequest, len(found)+group.RefusedAlerts, "hook.body", x.hook, err)
	case len(found) == 0 && group.RefusedAlerts > 0:
		x.lost(ctx, http.StatusBadRequest, group.RefusedAlerts, "hook.none", group.RefusedAlerts, reasons(group.Refused))
	default:
		x.keep(ctx, found, group)
	}
}

// reasons are the first of some errors, on one line.
func reasons(errs []error) string {
	const most = 5
	var words []string
	for _, err := range errs[:min(len(errs), most)] {
		words = append(words, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if len(errs) > most {
		words = append(words, "…")
	}
	return strings.Join(words, "; ")
}

// keep stores what was found, and answers.
func (x *intake) keep(ctx context.Context, found []keepwell.Alert, group alerts.Group) {
	receipt, err := x.d.store(ctx, x.hook, found, group)
	if err != nil {
		x.d.log.Error("cannot store alerts; their sender was asked to try again", "hook", x.hook, "alerts", len(found), "error", mask.Text(err.Error()))
		x.w.Header().Set("Retry-After", "5")
		x.refuse(http.StatusServiceUnavailable, "hook.unavailable")
		return
	}
	if group.Cut > 0 {
		x.d.log.Warn("texts of alerts were too long, or held control characters; the alerts were kept with what is left", "hook", x.hook, "alerts", group.Cut, "receiver", group.Receiver)
	}
	x.d.metrics.took(receipt, group)
	x.d.metrics.requests.WithLabelValues(x.hook, "202").Inc()
	answer := taken{Receipt: receipt, Unusable: group.RefusedAlerts, Truncated: group.Truncated, Cut: group.Cut}
	for _, e := range group.Refused {
		answer.Unread = append(answer.Unread, e.Error())
	}
	x.w.Header().Set("Content-Type", "application/json")
	x.w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(x.w).Encode(answer) // who went away has been served
	x.d.metrics.latency.WithLabelValues(x.hook).Observe(time.Since(x.begun).Seconds())
}

// store stores what a body held, and writes down what it did not hold.
func (d *Daemon) store(ctx context.Context, hook string, found []keepwell.Alert, g alerts.Group) (autopilot.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, storing)
	defer cancel()
	receipt, err := d.eng.Ingest(ctx, found)
	if err != nil || g.Truncated == 0 && g.RefusedAlerts == 0 {
		return receipt, err
	}
	d.log.Warn("a sender left alerts out, or sent some that cannot be used", "hook", hook, "truncated", g.Truncated, "refused", g.RefusedAlerts, "receiver", g.Receiver)
	why := msg.Because("why.leftout", g.Truncated, g.RefusedAlerts)
	data := map[string]any{"hook": hook, "truncated": g.Truncated, "refused": g.RefusedAlerts, "of": g.Alerts, "groupKey": g.GroupKey, "receiver": g.Receiver}
	if len(g.Refused) > 0 {
		data["first"] = clip(mask.Text(g.Refused[0].Error()))
	}
	return receipt, d.st.Tx(ctx, func(tx *state.Tx) error {
		return journal.Append(tx, journal.Entry{Kind: journal.AlertRefused, Actor: autopilot.Actor, Reason: why, Data: data})
	})
}

// proof is how a sender shows who it is: known from the start, or by a signature over
// the body that goes through it.
type proof struct {
	mac  hash.Hash
	want []byte
}

func (p *proof) Write(data []byte) (int, error) {
	if p.mac == nil {
		return len(data), nil
	}
	return p.mac.Write(data)
}

func (p *proof) proved() bool { return p.mac == nil || hmac.Equal(p.mac.Sum(nil), p.want) }

// signatures are the headers that hold the HMAC of a body, as GitHub and Grafana send it.
func signatures() []string { return []string{"X-Hub-Signature-256", "X-Grafana-Alerting-Signature"} }

// sender tells who sends; nil: nobody that is known.
func (d *Daemon) sender(r *http.Request) (*proof, error) {
	l := d.live.Load()
	token, err := resolve(l.Hooks.Token, l.secrets)
	if err != nil {
		return nil, err
	}
	key, err := resolve(l.Hooks.HMAC, l.secrets)
	if err != nil {
		return nil, err
	}
	if p, ok := access.From(r.Context()); ok && p.May(access.ScopeHooks, leastSender(p)) {
		return &proof{}, nil
	}
	if sent, ok := bearer(r); ok && token != "" && equal(sent, token) {
		return &proof{}, nil
	}
	for _, name := range signatures() {
		sent := strings.TrimPrefix(r.Header.Get(name), "sha256=")
		if want, err := hex.DecodeString(sent); key != "" && err == nil && len(want) == sha256.Size {
			return &proof{hmac.New(sha256.New, []byte(key)), want}, nil
		}
	}
	if token == "" && key == "" && d.local(r) {
		return &proof{}, nil // nothing is asked for, and only this machine asks
	}
	return nil, nil //nolint:nilnil // nobody, which is no error
}

// leastSender is the role that sending takes: alerts start playbooks, so who is logged in
// must be one who may act; of a token the scope says what it is for.
func leastSender(p access.Person) access.Role {
	if p.LoggedIn() {
		return access.Operator
	}
	return access.Viewer
}

// bearer is the token of a request; some senders know passwords only.
func bearer(r *http.Request) (string, bool) {
	if _, password, ok := r.BasicAuth(); ok {
		return password, true
	}
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

// equal compares secrets in a time that tells nothing of them.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// local tells requests that come from this machine to a server of this machine alone.
func (d *Daemon) local(r *http.Request) bool {
	if beyond(d.live.Load().Listen) || r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" {
		return false
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// guarded lets in this machine, senders of alerts and people.
func (d *Daemon) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := d.sender(r)
		p, known := access.From(r.Context())
		if d.local(r) || err == nil && who != nil && who.mac == nil || known && p.May(access.ScopeAPI, access.Viewer) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="keepwell"`)
		access.Problem(w, r, http.StatusUnauthorized, "hook.unauthenticated")
	})
}

// hosts refuses names that are not this server's where it serves this machine alone: a
// page of another site can have its name lead here.
func (d *Daemon) hosts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cfg := d.live.Load().Config
		if !beyond(cfg.Listen) && beyond(withPort(r.Host)) && !sameHost(cfg.URL, r.Host) {
			access.Problem(w, r, http.StatusMisdirectedRequest, "hook.host", r.Host)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), "0")
}

func sameHost(address, host string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

// resolve fills secrets into a word of the configuration.
func resolve(word string, secrets func(string) (string, error)) (string, error) {
	if word == "" {
		return "", nil
	}
	t, err := playbook.ParseText(word)
	if err != nil {
		return "", err
	}
	return t.Resolved(playbook.Scope{}, secrets)
}

func (d *Daemon) healthz(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, "ok\n")
}

// readiness remembers how a write went: probes ask more often than disks should write.
type readiness struct {
	sync.Mutex
	at  time.Time
	err error
}

// readyz tells whether alerts can be taken, and in a few words why not; the log has more.
func (d *Daemon) readyz(w http.ResponseWriter, r *http.Request) {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	why, err := d.unready(ctx)
	if why == "" {
		_, _ = io.WriteString(w, "ready\n")
		return
	}
	if err != nil {
		d.log.Warn("not ready: "+why, "error", mask.Text(err.Error()))
	}
	w.Header().Set("Retry-After", "5")
	http.Error(w, why, http.StatusServiceUnavailable)
}

func (d *Daemon) unready(ctx context.Context) (why string, err error) {
	if err := d.st.Ping(ctx); err != nil {
		return "the database does not answer", err
	}
	if err := d.writable(ctx); err != nil {
		return "the database cannot be written", err
	}
	l := d.live.Load()
	for _, word := range []string{l.Hooks.Token, l.Hooks.HMAC} {
		if _, err := resolve(word, l.secrets); err != nil {
			return "the secrets of hooks cannot be read", err
		}
	}
	if !d.working.Load() {
		return "stopping", nil
	}
	return "", nil
}

// writable writes, as alerts are written, where that was not done a moment ago.
func (d *Daemon) writable(ctx context.Context) error {
	const fresh = 5 * time.Second
	d.ready.Lock()
	defer d.ready.Unlock()
	if now := time.Now(); d.ready.at.IsZero() || now.Sub(d.ready.at) >= fresh {
		err := d.st.Tx(ctx, func(tx *state.Tx) error { return tx.SetSetting(ctx, "ready", now.UTC().Format(time.RFC3339)) })
		if errors.Is(err, context.Canceled) {
			return err // who asked went away: that tells nothing of the disk
		}
		d.ready.at, d.ready.err = now, err
	}
	return d.ready.err
}
