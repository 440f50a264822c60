//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/state"
)

// What the playbooks of the measurement are triggered by.
const (
	memory = "redis_memory_high"
	down   = "redis_down"
)

// alert is one as Alertmanager sends it.
type alert struct {
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	Generator   string            `json:"generatorURL"`
	Fingerprint string            `json:"fingerprint"`
}

func firing(name, asset string, i int) alert {
	return alert{
		Status: "firing", StartsAt: time.Now(), Fingerprint: fmt.Sprintf("%016x", i+1), Generator: "http://prometheus.example.org/graph?g0.expr=redis_memory_used_bytes",
		Labels: map[string]string{
			"alertname": name, "instance": asset, "severity": "critical", "job": "redis", "env": "production", "region": "eu-1", "client": fmt.Sprintf("c%d", i),
		},
		Annotations: map[string]string{"summary": "Redis on " + asset + " needs memory", "runbook_url": "https://runbooks.example.org/redis"},
	}
}

func body(alerts ...alert) ([]byte, error) {
	return json.Marshal(map[string]any{
		"version": "4", "groupKey": "{}:{}", "status": "firing", "receiver": "keepwell", "externalURL": "http://alertmanager.example.org", "alerts": alerts,
		"groupLabels": map[string]string{}, "commonLabels": map[string]string{}, "commonAnnotations": map[string]string{},
	})
}

func asset(i int) string { return fmt.Sprintf("cache-%d:9121", i) }

// perSecond is how many alerts the webhook is sent.
const perSecond = 200

// webhook sends 200 alerts a second in requests of some each, at fixed times whatever
// the answers do: what is late counts from when it should have been sent. All alerts are
// new; each twentieth is the first of an asset, and so starts a run.
func webhook(ctx context.Context, b *bench, name string, each int) error {
	s, err := b.begin(ctx, name, map[string]string{"one": playbook(memory, 1)})
	if err != nil {
		return err
	}
	defer s.end()
	seconds := b.seconds
	if each > 1 {
		seconds = max(1, seconds/3)
	}
	const share = 20
	requests := perSecond * seconds / each
	pause := time.Second * time.Duration(each) / perSecond
	var mu sync.Mutex
	var answers times
	var wrong error
	due := make([]time.Time, requests)
	var flying sync.WaitGroup
	own, children := s.cpu()
	begun := time.Now()
	for i := range requests {
		due[i] = begun.Add(time.Duration(i) * pause)
		time.Sleep(time.Until(due[i]))
		alerts := make([]alert, each)
		for j := range alerts {
			n := i*each + j
			alerts[j] = firing("RedisMemoryHigh", asset(n/share), n)
		}
		text, err := body(alerts...)
		if err != nil {
			return err
		}
		flying.Go(func() {
			err := s.post(ctx, text)
			took := time.Since(due[i])
			mu.Lock()
			defer mu.Unlock()
			answers, wrong = append(answers, took), errors.Join(wrong, err)
		})
	}
	flying.Wait()
	if wrong != nil {
		return wrong
	}
	took := time.Since(begun)
	after, afterChildren := s.cpu()
	all := requests * each
	var firsts times
	for i := 0; i < all; i += share {
		at, err := s.first(ctx, memory, asset(i/share))
		if err != nil {
			return err
		}
		firsts = append(firsts, at.Sub(due[i/each]))
	}
	if err := s.idle(ctx); err != nil {
		return err
	}
	what := fmt.Sprintf("202, %d alerts/s, %d a request", perSecond, each)
	say(what, "p99 <= 50 ms", "%v", answers)
	say("  to a first step meanwhile", "", "%v", firsts)
	say("  CPU of the server, of scripts", "", "%.0f %%, %.0f %% of a core over %v", 100*(after-own).Seconds()/took.Seconds(), 100*(afterChildren-children).Seconds()/took.Seconds(), took.Round(time.Second))
	return s.finish(ctx, want{alerts: all, incidents: (all + share - 1) / share, runs: (all + share - 1) / share})
}

// want is what must be stored at the end.
type want struct{ alerts, incidents, runs int }

// finish stops the server and looks whether anything is missing, or twice.
func (s *server) finish(ctx context.Context, w want) error {
	mb, err := s.most()
	if err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	st, err := state.Open(ctx, s.where)
	if err != nil {
		return err
	}
	defer st.Close() //nolint:errcheck // it was only read
	alerts, unjoined := 0, 0
	var last state.StoredAlert
	for {
		page, err := st.AlertHistory(ctx, time.Unix(0, 0), time.Now().Add(time.Hour), last, 1000)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for _, a := range page {
			if alerts++; a.Incident == 0 {
				unjoined++
			}
		}
		last = page[len(page)-1]
	}
	incidents, err := st.CountIncidents(ctx, state.IncidentFilter{})
	if err != nil {
		return err
	}
	done, err := st.CountRuns(ctx, state.RunFilter{State: state.RunDone})
	if err != nil {
		return err
	}
	all, err := st.CountRuns(ctx, state.RunFilter{})
	if err != nil {
		return err
	}
	say("  stored", fmt.Sprintf("%d, %d, %d", w.alerts, w.incidents, w.runs), "%d alerts (%d without incident), %d incidents, %d runs (%d done)", alerts, unjoined, incidents, all, done)
	say("  memory of the server at most", "<= 200 MB", "%.0f MB", mb)
	if alerts != w.alerts || unjoined != 0 || int(incidents) != w.incidents || int(all) != w.runs || int(done) != w.runs {
		return errors.New("what is stored is not what was sent")
	}
	return nil
}

// steps sends one alert at a time to a quiet server, each on an asset of its own.
func steps(ctx context.Context, b *bench) error {
	s, err := b.begin(ctx, "step", map[string]string{"one": playbook(memory, 1)})
	if err != nil {
		return err
	}
	defer s.end()
	const many = 200
	var answers, firsts times
	for i := range many {
		text, err := body(firing("RedisMemoryHigh", asset(i), i))
		if err != nil {
			return err
		}
		start := time.Now()
		if err := s.post(ctx, text); err != nil {
			return err
		}
		answers = append(answers, time.Since(start))
		at, err := s.first(ctx, memory, asset(i))
		if err != nil {
			return err
		}
		firsts = append(firsts, at.Sub(start))
		time.Sleep(20*time.Millisecond + time.Duration(i%10)*time.Millisecond) // in no step with its timers
	}
	if err := s.idle(ctx); err != nil {
		return err
	}
	say("202 of a quiet server", "", "%v", answers)
	say("webhook -> effect of a first step", "p50 <= 80 ms, p99 <= 400 ms", "%v", firsts)
	return s.finish(ctx, want{many, many, many})
}

// runs starts 1,000 runs of four steps at 200 a second, and waits for their ends.
func runs(ctx context.Context, b *bench) error {
	s, err := b.begin(ctx, "runs", map[string]string{"four": playbook(memory, 4)})
	if err != nil {
		return err
	}
	defer s.end()
	const many, each = 1000, 10
	own, children := s.cpu()
	begun := time.Now()
	for i := 0; i < many; i += each {
		time.Sleep(time.Until(begun.Add(time.Duration(i) * time.Second / perSecond)))
		alerts := make([]alert, each)
		for j := range alerts {
			alerts[j] = firing("RedisMemoryHigh", asset(i+j), i+j)
		}
		text, err := body(alerts...)
		if err != nil {
			return err
		}
		if err := s.post(ctx, text); err != nil {
			return err
		}
	}
	if err := s.count(ctx, memory, 4*many); err != nil {
		return err
	}
	if err := s.idle(ctx); err != nil {
		return err
	}
	took := time.Since(begun)
	after, afterChildren := s.cpu()
	say("runs of four steps a minute", ">= 1,000", "%.0f (%d in %v)", many/took.Minutes(), many, took.Round(10*time.Millisecond))
	say("  CPU a step: server, script", "", "%v, %v", ((after - own) / (4 * many)).Round(10*time.Microsecond), ((afterChildren - children) / (4 * many)).Round(10*time.Microsecond))
	return s.finish(ctx, want{many, many, many})
}

// storm sends 10,000 alerts in one body: two faults of 100 assets, 50 alerts each.
func storm(ctx context.Context, b *bench) error {
	s, err := b.begin(ctx, "storm", map[string]string{"memory": playbook(memory, 1), "down": playbook(down, 1)})
	if err != nil {
		return err
	}
	defer s.end()
	const many, assets = 10_000, 100
	alerts := make([]alert, many)
	for i := range alerts {
		name := []string{"RedisMemoryHigh", "RedisDown"}[i/assets%2]
		alerts[i] = firing(name, asset(i%assets), i)
	}
	text, err := body(alerts...)
	if err != nil {
		return err
	}
	before, err := s.most()
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := s.post(ctx, text); err != nil {
		return err
	}
	answered := time.Since(begun)
	for _, name := range []string{memory, down} {
		if err := s.count(ctx, name, assets); err != nil {
			return err
		}
	}
	effects := time.Since(begun)
	if err := s.idle(ctx); err != nil {
		return err
	}
	say("storm of 10,000 alerts in one body", "", "202 after %v, all %d effects after %v, idle after %v", answered.Round(time.Millisecond), 2*assets, effects.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
	say("  memory before", "", "%.0f MB", before)
	return s.finish(ctx, want{many, 2 * assets, 2 * assets})
}

// occupy sends n alerts, numbered from first, and waits until half of their steps were made.
func (s *server) occupy(ctx context.Context, first, n int) error {
	alerts := make([]alert, n)
	for i := range alerts {
		alerts[i] = firing("RedisMemoryHigh", asset(first+i), first+i)
	}
	text, err := body(alerts...)
	if err != nil {
		return err
	}
	if err := s.post(ctx, text); err != nil {
		return err
	}
	return s.count(ctx, memory, s.sofar(memory)+n/2)
}

// restart kills a server that has 100,000 incidents and work under way, and starts it.
// The new alert is another playbook's, so that its step is told from those taken up.
func restart(ctx context.Context, b *bench) error {
	s, err := b.begin(ctx, "restart", map[string]string{"four": playbook(memory, 4), "fresh": playbook(down, 1)})
	if err != nil {
		return err
	}
	defer s.end()
	if err := s.stop(); err != nil {
		return err
	}
	many := b.incidents
	seeding := time.Now()
	if err := seed(ctx, s.where, many); err != nil {
		return err
	}
	say(fmt.Sprintf("%d incidents stored beforehand", many), "", "in %v", time.Since(seeding).Round(time.Second))
	if _, err := s.start(ctx, b.program); err != nil {
		return err
	}
	var readies, works times
	const rounds, busy = 3, 100
	for round := range rounds {
		if err := s.occupy(ctx, many+round*1000, busy); err != nil {
			return err
		}
		if err := s.kill(); err != nil {
			return err
		}
		begun := time.Now()
		ready, err := s.start(ctx, b.program)
		if err != nil {
			return err
		}
		fresh := many + round*1000 + 999
		text, err := body(firing("RedisDown", asset(fresh), fresh))
		if err != nil {
			return err
		}
		if err := s.post(ctx, text); err != nil {
			return err
		}
		at, err := s.first(ctx, down, asset(fresh))
		if err != nil {
			return err
		}
		readies, works = append(readies, ready), append(works, at.Sub(begun))
		if err := s.idle(ctx); err != nil {
			return err
		}
	}
	say(fmt.Sprintf("kill -9 -> ready, %d incidents", many), "", "%v", readies)
	say("  -> effect of a new alert's step", "<= 2 s", "%v", works)
	mb, err := s.most()
	if err != nil {
		return err
	}
	say("  memory of the server at most", "", "%.0f MB", mb)
	return s.stop()
}

func (e *effects) sofar(playbook string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen[playbook]
}

// seed stores incidents, each tenth with an alert; one of a hundred goes on.
func seed(ctx context.Context, where state.Options, many int) error {
	st, err := state.Open(ctx, where)
	if err != nil {
		return err
	}
	defer st.Close() //nolint:errcheck // committed already
	const chunk = 5000
	for from := 0; from < many; from += chunk {
		if err := st.Tx(ctx, func(tx *state.Tx) error { return seedSome(ctx, tx, from, min(from+chunk, many)) }); err != nil {
			return err
		}
	}
	return nil
}

func seedSome(ctx context.Context, tx *state.Tx, from, to int) error {
	alerts := make([]keepwell.Alert, 0, (to-from)/10)
	for i := from; i < to; i += 10 {
		a := firing("MysqlDown", asset(i), i)
		alerts = append(alerts, keepwell.Alert{
			Fingerprint: a.Fingerprint, Status: keepwell.AlertFiring, StartsAt: a.StartsAt, Labels: a.Labels, Annotations: a.Annotations, GeneratorURL: a.Generator, Source: "alertmanager",
		})
	}
	puts, err := tx.PutAlerts(ctx, alerts)
	if err != nil {
		return err
	}
	for i := from; i < to; i++ {
		var its []int64
		if i%10 == 0 {
			its = append(its, puts[(i-from)/10].ID)
		}
		inc, _, err := tx.JoinIncident(ctx, state.Incident{
			Code: "ops/mysql-down", Asset: asset(i), Priority: keepwell.P1, Confidence: 0.9, Title: "MysqlDown",
			Evidence: []keepwell.Evidence{{Source: "alert name", Text: "MysqlDown"}},
		}, its...)
		if err != nil {
			return err
		}
		if i%100 != 0 {
			if err := tx.ResolveIncident(ctx, inc.ID, "resolved"); err != nil {
				return err
			}
		}
	}
	return nil
}
