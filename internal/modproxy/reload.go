package modproxy

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// reloads are how it went to read the configuration again.
type reloads struct {
	good, bad atomic.Int64
	at        atomic.Int64 // when what holds was read, in seconds of Unix
	stale     atomic.Bool  // a newer one could not be used
}

// Reloaded notes, for the metrics, that the configuration was read again; err: that it
// cannot be used, and the one before still holds.
func (p *Proxy) Reloaded(err error) {
	r := &p.reloads
	if r.stale.Store(err != nil); err != nil {
		r.bad.Add(1)
		return
	}
	r.good.Add(1)
	r.at.Store(time.Now().Unix())
}

// reloadMetrics are read when somebody asks.
type reloadMetrics struct{ p *Proxy }

// Describe names nothing: there is nothing to tell before the first reload.
func (reloadMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect tells how reloading went.
func (m reloadMetrics) Collect(out chan<- prometheus.Metric) {
	r := &m.p.reloads
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("keepwell_proxy_config_"+name, help, labels, nil)
	}
	total := desc("reloads_total", "How often the configuration was read again, by result.", "result")
	out <- prometheus.MustNewConstMetric(total, prometheus.CounterValue, float64(r.good.Load()), "ok")
	out <- prometheus.MustNewConstMetric(total, prometheus.CounterValue, float64(r.bad.Load()), "failed")
	stale := 0.0
	if r.stale.Load() {
		stale = 1
	}
	out <- prometheus.MustNewConstMetric(desc("stale", "1 while a newer configuration cannot be used."), prometheus.GaugeValue, stale)
	out <- prometheus.MustNewConstMetric(desc("reloaded_timestamp_seconds", "When the configuration was last replaced; 0: never."), prometheus.GaugeValue, float64(r.at.Load()))
}
