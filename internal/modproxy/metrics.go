package modproxy

import (
	"context"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what /metrics tells.
type metrics struct {
	handler  http.Handler
	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	cache    *prometheus.CounterVec
	bytes    prometheus.Counter
	inFlight atomic.Int64
	// counters holds a meter for each counted: to find one by its labels costs more than
	// all else here.
	counters sync.Map
}

type counted struct {
	kind, cache string
	status      int
}

type meter struct {
	requests, cache prometheus.Counter
	latency         prometheus.Observer
}

func newMetrics(s *Service) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keepwell_proxy_requests_total", Help: "Requests by kind of file and status.",
		}, []string{"kind", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "keepwell_proxy_request_seconds", Help: "Time to the last byte by kind of file.",
			Buckets: []float64{.0005, .002, .01, .05, .2, 1, 5, 20, 60, 300},
		}, []string{"kind"}),
		cache: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keepwell_proxy_cache_total", Help: "Files by where they came from: hit (the store), miss (an upstream), stale (the store, since no upstream answered in time).",
		}, []string{"result"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "keepwell_proxy_sent_bytes_total", Help: "Bytes of bodies that were sent."}),
	}
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "keepwell_build_info", Help: "1, with the versions of the program and of Go.",
		ConstLabels: prometheus.Labels{"version": s.o.Version, "goversion": runtime.Version()},
	}, func() float64 { return 1 })
	inFlight := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "keepwell_proxy_in_flight", Help: "Requests that are being answered."},
		func() float64 { return float64(m.inFlight.Load()) })
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.requests, m.latency, m.cache, m.bytes, build, inFlight, upstreamMetrics{s.p}, reloadMetrics{s.p}, storeMetrics{s}, collectors.NewGoCollector())
	if s.o.Expires != nil {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "keepwell_tls_certificate_expiry_timestamp_seconds", Help: "When the certificate that is served expires.",
		}, func() float64 { return float64(s.o.Expires().Unix()) }))
	}
	if shared, ok := s.p.Store.(interface{ Metrics() prometheus.Collector }); ok {
		registry.MustRegister(shared.Metrics())
	}
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return m
}

// note counts a request that was answered.
func (m *metrics) note(kind string, rec *recorder, took time.Duration) {
	key := counted{kind, rec.outcome.cache, rec.status}
	var of *meter
	if known, ok := m.counters.Load(key); ok {
		of, _ = known.(*meter)
	} else {
		of = &meter{requests: m.requests.WithLabelValues(kind, strconv.Itoa(rec.status)), latency: m.latency.WithLabelValues(kind)}
		if rec.outcome.cache != "" {
			of.cache = m.cache.WithLabelValues(rec.outcome.cache)
		}
		m.counters.Store(key, of)
	}
	of.requests.Inc()
	of.latency.Observe(took.Seconds())
	if of.cache != nil {
		of.cache.Inc()
	}
	m.bytes.Add(float64(rec.n))
}

// storeMetrics are read when somebody asks, at most once a minute.
type storeMetrics struct{ s *Service }

// Describe names nothing: without a store there is nothing to tell.
func (storeMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect tells how much there is.
func (m storeMetrics) Collect(out chan<- prometheus.Metric) {
	f := m.s.o.Feeds
	if f == nil {
		return
	}
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(m.s.p.ctx, patience)
	defer cancel()
	gauge := func(name, help string, v int64) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc("keepwell_store_"+name, help, nil, nil), prometheus.GaugeValue, float64(v))
	}
	if k, err := m.s.summary.get(ctx, f); err == nil {
		gauge("bytes", "Bytes of the files that are kept.", k.Bytes)
		gauge("files", "Files that are kept.", k.files)
		gauge("versions", "Module versions whose zip was ever kept.", k.Versions)
	}
	damaged := int64(0)
	if m.s.p.damaged.Load() {
		damaged = 1
	}
	gauge("damaged", "1 once broken pages were met in store.db.", damaged)
	if n, err := f.QuarantineSize(ctx); err == nil {
		gauge("quarantined", "Refused files that are kept for a look.", n)
	}
}

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
	lied := upstreamMetric("bad_content_total", "Answers that were refused for their content.")
	received := upstreamMetric("received_bytes_total", "Bytes of bodies that came, refused ones among them.")
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
		out <- prometheus.MustNewConstMetric(lied, prometheus.CounterValue, float64(h.Bad), h.Upstream)
		out <- prometheus.MustNewConstMetric(received, prometheus.CounterValue, float64(h.Received), h.Upstream)
	}
}
