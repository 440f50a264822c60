package daemon

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/keepwell/keepwell/internal/alerts"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/state"
)

// metrics are what /metrics tells. examples/autopilot has a dashboard and alerts for it.
type metrics struct {
	handler  http.Handler
	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	alerts   *prometheus.CounterVec
	effects  prometheus.Counter
}

func newMetrics(d *Daemon) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "keepwell_hook_requests_total", Help: "Requests that brought alerts."}, []string{"hook", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "keepwell_hook_request_seconds", Help: "Time until alerts were on the disk and their sender was told so (202).",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"hook"}),
		alerts:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "keepwell_alerts_total", Help: "Alerts that came in: new, repeated, refused, or truncated by their sender."}, []string{"result"}),
		effects: prometheus.NewCounter(prometheus.CounterOpts{Name: "keepwell_effects_total", Help: "Attempts at steps that this node made."}),
	}
	// A counter that begins with its first event has no increase by it: rules would miss that one.
	for _, hook := range []string{"alertmanager", "grafana", "generic"} {
		for _, status := range []int{http.StatusAccepted, http.StatusBadRequest, http.StatusUnauthorized, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable} {
			m.requests.WithLabelValues(hook, strconv.Itoa(status))
		}
		m.latency.WithLabelValues(hook)
	}
	m.took(autopilot.Receipt{}, alerts.Group{})
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "keepwell_build_info", Help: "1, with the versions of the program and of Go.",
		ConstLabels: prometheus.Labels{"version": d.o.Version, "goversion": runtime.Version()},
	})
	build.Set(1)
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.requests, m.latency, m.alerts, m.effects, build, &stored{
		d:         d,
		up:        prometheus.NewDesc("keepwell_database_up", "Whether the database answers.", nil, nil),
		open:      prometheus.NewDesc("keepwell_incidents_open", "Incidents that go on.", nil, nil),
		runs:      prometheus.NewDesc("keepwell_runs_unfinished", "Runs that have not ended.", nil, nil),
		ended:     prometheus.NewDesc("keepwell_runs_ended_last_hour", "Runs that acted, or were to, and ended within the last hour: done, failed, cancelled, or left to a person (human).", []string{"state"}, nil),
		approvals: prometheus.NewDesc("keepwell_approvals_waiting", "Approvals that nobody has answered yet.", nil, nil),
		jobs:      prometheus.NewDesc("keepwell_jobs", "Jobs that are not completed.", []string{"kind", "state"}, nil),
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

// stored counts rows when it is asked: what all nodes of a database tell alike.
type stored struct {
	d                                      *Daemon
	up, open, runs, ended, approvals, jobs *prometheus.Desc
}

// Describe implements [prometheus.Collector].
func (s *stored) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.up, s.open, s.runs, s.ended, s.approvals, s.jobs} {
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
	ended, failed := s.d.st.EndedRuns(ctx, s.d.st.Now().Add(-time.Hour))
	approvals, wrong := s.d.st.CountApprovals(ctx, state.ApprovalAsked)
	counts, worse := s.d.st.JobCounts(ctx)
	if errors.Join(err, bad, failed, wrong, worse) != nil {
		gauge(s.up, 0)
		return
	}
	gauge(s.up, 1)
	gauge(s.open, open)
	gauge(s.runs, runs)
	for _, how := range []state.RunState{state.RunDone, state.RunFailed, state.RunCancelled, state.RunHuman} {
		gauge(s.ended, ended[how], string(how))
	}
	gauge(s.approvals, approvals)
	for _, c := range counts {
		gauge(s.jobs, c.Count, c.Kind, c.State)
	}
}
