package state_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

// BenchmarkStorm stores 10,000 alerts in one transaction.
func BenchmarkStorm(b *testing.B) {
	for name, database := range map[string]func() string{"sqlite": func() string { return "" }, "postgresql": func() string { return statetest.PostgreSQL(b) }} {
		b.Run(name, func(b *testing.B) {
			st := statetest.Open(b, state.Options{Dir: b.TempDir(), Database: database()})
			for n := 0; b.Loop(); n++ {
				storm := make([]keepwell.Alert, 10_000)
				for i := range storm {
					storm[i] = keepwell.Alert{
						Fingerprint: fmt.Sprintf("storm%d-%05d", n, i), Status: keepwell.AlertFiring, StartsAt: time.Now(), Source: "alertmanager",
						Labels:      map[string]string{"alertname": "RedisMemoryHigh", "instance": fmt.Sprintf("redis-%d:9121", i), "job": "redis", "severity": "page"},
						Annotations: map[string]string{"summary": "memory of redis above 90 %", "runbook_url": "https://runbooks.example.com/redis"},
					}
				}
				if err := st.Tx(b.Context(), func(tx *state.Tx) error { _, err := tx.PutAlerts(b.Context(), storm); return err }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
