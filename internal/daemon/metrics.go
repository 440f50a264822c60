package daemon

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/keepwell/keepwell/internal/alerts"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/state"
)

// metrics are what /metrics tells.
type metrics struct {
	handler  http.Handler
	requests *prometheus.CounterVec
	alerts   *prometheus.CounterVec
	effects  prometheus.Counter
}

func newMetrics(d *Daemon) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "keepwell_hook_requests_total", Help: "Requests that brought alerts."}, []string{"hook", "status"}),
		alerts:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "keepwell_alerts_total", Help: "Alerts that came in: new, repeated, refused, or truncated by their sender."}, []string{"result"}),
		effects:  prometheus.NewCounter(prometheus.CounterOpts{Name: "keepwell_effects_total", Help: "Attempts at steps that this node made."}),
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.requests, m.alerts, m.effects, &stored{
		d:    d,
		up:   prometheus.NewDesc("keepwell_database_up", "Whether the database answers.", nil, nil),
		open: prometheus.NewDesc("keepwell_incidents_open", "Incidents that go on.", nil, nil),
		runs: prometheus.NewDesc("keepwell_runs_unfinished", "Runs that have not ended.", nil, nil),
		jobs: prometheus.NewDesc("keepwell_jobs", "Jobs that are not completed.", []string{"kind", "state"}, nil),
	},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return m
}

func (m *metrics) took(r autopilot.Receipt, g alerts.Group) {
	for result, n := range map[string]int{"new": r.New, "repeated": r.Repeated, "refused": len(r.Refused) + g.RefusedAlerts, "truncated": int(g.Truncated)} {
		m.alerts.WithLabelValues(result).Add(float64(n))
	}
}

// stored counts rows when it is asked.
type stored struct {
	d                    *Daemon
	up, open, runs, jobs *prometheus.Desc
}

// Describe implements [prometheus.Collector].
func (s *stored) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.up, s.open, s.runs, s.jobs} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (s *stored) Collect(to chan<- prometheus.Metric) {
	const patience = 3 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	gauge := func(d *prometheus.Desc, n int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	open, err := s.d.st.CountIncidents(ctx, state.IncidentFilter{State: state.IncidentOpen})
	runs, bad := s.d.st.CountRuns(ctx, state.RunFilter{Unfinished: true})
	counts, worse := s.d.st.JobCounts(ctx)
	if err != nil || bad != nil || worse != nil {
		gauge(s.up, 0)
		return
	}
	gauge(s.up, 1)
	gauge(s.open, open)
	gauge(s.runs, runs)
	for _, c := range counts {
		gauge(s.jobs, c.Count, c.Kind, c.State)
	}
}
