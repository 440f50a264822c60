package modproxy

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// ServiceOptions are what a service has beside the proxy.
type ServiceOptions struct {
	// Tokens say who may ask; nil or empty: everybody.
	Tokens *Tokens
	// Access gets a record for each request.
	Access *slog.Logger
	// Feeds are what /stats, /index and /catalog tell; nil: there are none.
	Feeds Feeds
	// Tracer gets a span for each request; nil: no traces are made.
	Tracer trace.Tracer
	// URL is where clients reach the service; "": where the request says.
	URL string
	// Expires is when the certificate that is served does, for the metrics; nil: there is
	// none.
	Expires func() time.Time
	// Version is that of the program, for the metrics.
	Version string
}

// Service is the proxy for a team: with an access log, metrics, statistics, health and
// tokens. Its pages are in service.go (which page), feeds.go, goget.go, page.go and
// metrics.go; a new page is a case in [Service.page].
type Service struct {
	p       *Proxy
	o       ServiceOptions
	metrics *metrics
	summary summary
	heads   sync.Pool // of *[]byte, for what is sent early before a file

	id       string // the beginning of each request's id
	requests atomic.Uint64
	stopping atomic.Bool
}

// NewService serves p.
func NewService(p *Proxy, o ServiceOptions) *Service {
	const digits = 8
	s := &Service{p: p, o: o, id: rand.Text()[:digits] + "-"}
	if s.o.Access == nil {
		s.o.Access = slog.New(slog.DiscardHandler)
	}
	s.metrics = newMetrics(s)
	return s
}

// Guarded tells whether there are tokens.
func (s *Service) Guarded() bool { return s.o.Tokens.Any() }

// Stop tells load balancers, at /readyz, to send nobody any more.
func (s *Service) Stop() { s.stopping.Store(true) }

// ServeHTTP answers a client.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	rec := &recorder{ResponseWriter: w, status: http.StatusOK, id: s.requestID(r.Header["X-Request-Id"]...)}
	if r.ProtoMajor > 1 {
		rec.stream = http.NewResponseController(w)
	}
	s.metrics.inFlight.Add(1)
	defer s.metrics.inFlight.Add(-1)
	kind := kindOf(r.URL.Path)
	var span trace.Span
	if s.o.Tracer != nil {
		r, span = s.startSpan(r, kind)
	}
	client, ok := s.o.Tokens.client(r)
	s.page(rec, r, client, ok)
	s.answered(r.Context(), rec, about{
		method: r.Method, path: r.URL.Path, kind: kind, from: r.RemoteAddr, client: client, began: began, whole: rec.whole(), span: span,
	})
}

// about is what is written down of a request.
type about struct {
	method, path, kind, from, client string
	began                            time.Time
	whole                            bool // the last byte of the file was sent
	span                             trace.Span
}

// answered writes down that a request was answered.
func (s *Service) answered(ctx context.Context, rec *recorder, of about) {
	took := time.Since(of.began)
	s.metrics.note(of.kind, rec, took)
	if of.kind == "zip" && s.o.Feeds != nil && of.whole {
		s.o.Feeds.Downloaded(of.path[1:])
	}
	attrs := [...]slog.Attr{
		slog.String("method", of.method), slog.String("path", shown(of.path)), slog.Int("status", rec.status), slog.Int64("bytes", rec.n),
		slog.Duration("took", took), slog.String("from", of.from), slog.String("client", of.client), slog.String("id", rec.id),
		slog.String("cache", rec.outcome.cache),
		{},
		{},
	}
	list := attrs[:9]
	if rec.outcome.upstream != "" {
		list = append(list, slog.String("upstream", rec.outcome.upstream))
	}
	if of.span != nil {
		if at := of.span.SpanContext(); at.IsSampled() {
			list = append(list, slog.String("trace", at.TraceID().String()))
		}
		endRequest(of.span, rec)
	}
	s.o.Access.LogAttrs(ctx, slog.LevelInfo, "request", list...)
}

const statsPath = "/stats/"

// page answers with the page that was asked for. What a load balancer and a browser see
// first needs no token, and tells nothing of upstreams and modules.
func (s *Service) page(w *recorder, r *http.Request, client string, known bool) {
	switch at := r.URL.Path; {
	case at == "/healthz":
		s.healthz(w, known)
	case at == "/readyz":
		s.readyz(w)
	case at == "/" && r.URL.RawQuery == "":
		s.front(w, r, client, known)
	case !known:
		w.Header().Set("Www-Authenticate", `Basic realm="keepwell"`)
		http.Error(w, "a token of this proxy is needed (in netrc, as the password)", http.StatusUnauthorized)
	case at == "/metrics":
		s.metrics.handler.ServeHTTP(w, r)
	case at == "/index":
		s.answerFeed(w, r, s.index)
	case at == "/catalog":
		s.answerFeed(w, r, s.catalog)
	case strings.HasPrefix(at, statsPath):
		s.answerFeed(w, r, s.statistics)
	case r.URL.RawQuery != "" && r.URL.Query().Get("go-get") == "1":
		s.goGet(w, r)
	default:
		w.outcome.cache = "hit" // else it is told by whoever fetches
		s.p.ServeHTTP(w, r)
		if w.status >= http.StatusBadRequest {
			w.outcome.cache = ""
		}
	}
}

// requestID is the client's own, if it is harmless, or a new one.
func (s *Service) requestID(given ...string) string {
	const longest = 64
	if len(given) == 1 && len(given[0]) <= longest && given[0] != "" &&
		strings.Trim(given[0], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == "" {
		return given[0]
	}
	return s.id + strconv.FormatUint(s.requests.Add(1), 36)
}

// shown is a path for the log: most have nothing in them that would have to be taken
// out.
func shown(path string) string {
	for i := range len(path) {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '/', c == '.', c == '-', c == '@', c == '!', c == '_', c == '+':
		default:
			return clean(path)
		}
	}
	return path
}

// kindOf is a label with few values.
func kindOf(p string) string {
	switch {
	case strings.HasPrefix(p, "/sumdb/"):
		return "sumdb"
	case strings.HasSuffix(p, "/@latest"):
		return "latest"
	case strings.HasSuffix(p, "/@v/list"):
		return "list"
	}
	switch ext := path.Ext(p); ext {
	case ".info", ".mod", ".zip":
		return ext[1:]
	}
	return "other"
}

// healthz is fine as long as the process is: an upstream that fails is told of, to whom
// it concerns, and made good.
func (s *Service) healthz(w http.ResponseWriter, known bool) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	answer := map[string]any{"status": "ok"}
	if known {
		answer["upstreams"] = s.p.Health()
		if s.p.damaged.Load() {
			answer["store"] = "damaged"
		}
	}
	_ = json.NewEncoder(w).Encode(answer) // the client went away
}

func (s *Service) readyz(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	if s.stopping.Load() {
		http.Error(w, "stopping", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n") // the client went away
}

// outcome is how a file came: from the store (hit), from the store because no server
// answered in time (stale), or from an upstream (miss).
type outcome struct{ cache, upstream string }

type outcomeKey struct{}

// withOutcome hands the recorder's outcome to those who find the file.
func withOutcome(ctx context.Context, w http.ResponseWriter) context.Context {
	if rec, ok := w.(*recorder); ok {
		return context.WithValue(ctx, outcomeKey{}, &rec.outcome)
	}
	return ctx
}

func noteOutcome(ctx context.Context, cache, upstream string) {
	if o, ok := ctx.Value(outcomeKey{}).(*outcome); ok {
		o.cache, o.upstream = cache, upstream
	}
}

// recorder notes status and size. It hands files on whole, so that the system sends
// them (sendfile).
type recorder struct {
	http.ResponseWriter
	status  int
	n       int64
	id      string
	outcome outcome
	// stream moves the deadline of an HTTP/2 stream on while it is read: others share its
	// connection, which may be well. nil for HTTP/1, whose connections are looked after
	// by the server.
	stream *http.ResponseController
	until  time.Time
}

// streamPatience is how long a stream may take nothing.
const streamPatience = time.Minute

func (r *recorder) extend() {
	if now := time.Now(); r.until.Sub(now) < streamPatience/2 {
		r.until = now.Add(streamPatience)
		_ = r.stream.SetWriteDeadline(r.until) // the write tells
	}
}

// whole tells that the last byte of a file was sent, and so that one download ended: of
// one in parts, the last part counts.
func (r *recorder) whole() bool {
	h := r.Header()
	length := h["Content-Length"]
	if r.n == 0 || len(length) != 1 || length[0] != strconv.FormatInt(r.n, 10) {
		return false
	}
	if r.status != http.StatusPartialContent {
		return r.status == http.StatusOK
	}
	rest, ok := strings.CutPrefix(h.Get("Content-Range"), "bytes ")
	_, rest, dash := strings.Cut(rest, "-")
	last, size, slash := strings.Cut(rest, "/")
	end, err := strconv.ParseInt(last, 10, 64)
	return ok && dash && slash && err == nil && size == strconv.FormatInt(end+1, 10)
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	if status >= http.StatusBadRequest {
		r.Header().Set("X-Request-Id", r.id)
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(data []byte) (int, error) {
	if r.stream != nil {
		r.extend()
	}
	n, err := r.ResponseWriter.Write(data)
	r.n += int64(n)
	return n, err
}

func (r *recorder) ReadFrom(from io.Reader) (int64, error) {
	to, ok := r.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{r}, from)
	}
	n, err := to.ReadFrom(from)
	r.n += n
	return n, err
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
