package modproxy

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Service is the proxy for a team: with an access log, metrics, health and tokens.
type Service struct {
	p *Proxy
	// tokens are the names of clients by the sha256 of their tokens; empty: everybody may.
	tokens map[[sha256.Size]byte]string
	access *slog.Logger

	metrics  http.Handler
	requests *prometheus.CounterVec
	bytes    prometheus.Counter
	counters sync.Map // of counted to prometheus.Counter
}

// NewService serves p. tokens has a line for each client, `NAME TOKEN` or only the
// token; # begins a comment. Without a line everybody is served. access gets a record
// for each request.
func NewService(p *Proxy, tokens []byte, access *slog.Logger) *Service {
	s := &Service{p: p, access: access, tokens: map[[sha256.Size]byte]string{}}
	for line := range bytes.Lines(tokens) {
		f := strings.Fields(string(line))
		if len(f) > 0 && !strings.HasPrefix(f[0], "#") {
			s.tokens[sha256.Sum256([]byte(f[len(f)-1]))] = strings.Join(f[:len(f)-1], " ")
		}
	}
	s.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keepwell_proxy_requests_total", Help: "Requests by kind of file and status.",
	}, []string{"kind", "status"})
	s.bytes = prometheus.NewCounter(prometheus.CounterOpts{Name: "keepwell_proxy_sent_bytes_total", Help: "Bytes of bodies that were sent."})
	registry := prometheus.NewRegistry()
	registry.MustRegister(s.requests, s.bytes, upstreamMetrics{p})
	if m, ok := p.Store.(interface{ Metrics() prometheus.Collector }); ok {
		registry.MustRegister(m.Metrics())
	}
	s.metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return s
}

// Guarded tells whether there are tokens.
func (s *Service) Guarded() bool { return len(s.tokens) > 0 }

// ServeHTTP answers a client.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	rec := &recorder{ResponseWriter: w, status: http.StatusOK}
	client, ok := s.client(r)
	switch {
	case r.URL.Path == "/healthz": // for load balancers, who have no token
		s.healthz(rec)
	case !ok:
		rec.Header().Set("Www-Authenticate", `Basic realm="keepwell"`)
		http.Error(rec, "a token of this proxy is needed (in netrc, as the password)", http.StatusUnauthorized)
	case r.URL.Path == "/metrics":
		s.metrics.ServeHTTP(rec, r)
	default:
		s.p.ServeHTTP(rec, r)
	}
	s.count(kindOf(r.URL.Path), rec.status).Inc()
	s.bytes.Add(float64(rec.n))
	s.access.LogAttrs(r.Context(), slog.LevelInfo, "request",
		slog.String("method", r.Method), slog.String("path", shown(r.URL.Path)), slog.Int("status", rec.status), slog.Int64("bytes", rec.n),
		slog.Duration("took", time.Since(began)), slog.String("from", r.RemoteAddr), slog.String("client", client))
}

// count is the counter of a kind and a status. Looking it up by label costs more than
// all else here.
func (s *Service) count(kind string, status int) prometheus.Counter {
	key := counted{kind, status}
	if c, ok := s.counters.Load(key); ok {
		if c, ok := c.(prometheus.Counter); ok {
			return c
		}
	}
	c := s.requests.WithLabelValues(kind, strconv.Itoa(status))
	s.counters.Store(key, c)
	return c
}

type counted struct {
	kind   string
	status int
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

// client names who asks. go sends the token of netrc as a password.
func (s *Service) client(r *http.Request) (string, bool) {
	if len(s.tokens) == 0 {
		return "", true
	}
	_, token, ok := r.BasicAuth()
	if !ok {
		token, ok = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	if !ok {
		return "", false
	}
	given := sha256.Sum256([]byte(token))
	for known, name := range s.tokens {
		if subtle.ConstantTimeCompare(known[:], given[:]) == 1 {
			return name, true
		}
	}
	return "", false
}

// healthz is fine as long as the process is: an upstream that fails is told of, and
// made good.
func (s *Service) healthz(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "ok", "upstreams": s.p.Health()}) // the client went away
}

// recorder notes status and size. It hands files on whole, so that the system sends
// them (sendfile).
type recorder struct {
	http.ResponseWriter
	status int
	n      int64
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(data []byte) (int, error) {
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

// upstreamMetrics are read when somebody asks.
type upstreamMetrics struct{ p *Proxy }

func upstreamMetric(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("keepwell_upstream_"+name, help, []string{"upstream"}, nil)
}

// Describe names nothing: which upstreams there are shows as they are asked.
func (upstreamMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect tells how each upstream does.
func (m upstreamMetrics) Collect(out chan<- prometheus.Metric) {
	resting := upstreamMetric("resting", "1 while the upstream is left alone after failures.")
	latency := upstreamMetric("latency_seconds", "Mean time to the first header; the last answers weigh most.")
	failing := upstreamMetric("error_ratio", "Share of failures; the last answers weigh most.")
	served := upstreamMetric("answers_total", "Answers as they should be.")
	failed := upstreamMetric("failures_total", "Failures of any kind.")
	for _, h := range m.p.Health() {
		rests := 0.0
		if h.Resting {
			rests = 1
		}
		out <- prometheus.MustNewConstMetric(resting, prometheus.GaugeValue, rests, h.Upstream)
		out <- prometheus.MustNewConstMetric(latency, prometheus.GaugeValue, h.Latency.Seconds(), h.Upstream)
		out <- prometheus.MustNewConstMetric(failing, prometheus.GaugeValue, h.Errors, h.Upstream)
		out <- prometheus.MustNewConstMetric(served, prometheus.CounterValue, float64(h.Served), h.Upstream)
		out <- prometheus.MustNewConstMetric(failed, prometheus.CounterValue, float64(h.Failed), h.Upstream)
	}
}
