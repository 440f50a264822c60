package modshare

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// counts are what happened, by name.
type counts struct {
	mu sync.Mutex
	of map[string]int
}

// events are the names that counts has, so that a metric exists before its first event.
var events = [...]string{"taken", "published", "unshared", "wait", "takeover", "lost", "rotten", "disagreed", "dropped"} //nolint:gochecknoglobals // a constant

func (c *counts) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]int{}
	}
	c.of[what]++
}

// Count is how often something happened: see the metrics' help.
func (s *Store) Count(what string) int {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	return s.counts.of[what]
}

// Sharing tells whether the bucket is asked at present.
func (s *Store) Sharing() bool {
	return s.bucket.refused.Load() == nil && !s.bucket.breaker.resting()
}

// Metrics are for whoever watches the service.
func (s *Store) Metrics() prometheus.Collector { return metrics{s} }

type metrics struct{ s *Store }

// Describe names nothing: all is told in Collect.
func (metrics) Describe(chan<- *prometheus.Desc) {}

// Collect tells how sharing goes.
func (m metrics) Collect(out chan<- prometheus.Metric) {
	sharing := 0.0
	if m.s.Sharing() {
		sharing = 1
	}
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc("keepwell_bucket_sharing",
		"1 while the object store is asked, 0 while it is left alone after a failure.", nil, nil), prometheus.GaugeValue, sharing)
	total := prometheus.NewDesc("keepwell_bucket_events_total", "What happened with the object store: taken and published files, "+
		"files that could not be shared, waits for a replica that was fetching, claims taken over, files lost or rotten in the bucket, "+
		"trusted sums that replicas disagree about, proofs that were dropped.", []string{"event"}, nil)
	for _, e := range events {
		out <- prometheus.MustNewConstMetric(total, prometheus.CounterValue, float64(m.s.Count(e)), e)
	}
}
