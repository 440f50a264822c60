package modproxy

import (
	"slices"
	"sync"
	"time"
)

// healths are how the upstreams do, by name.
type healths struct {
	limits Limits
	now    func() time.Time

	mu  sync.Mutex
	all map[string]*health
	// news is closed when an upstream comes into doubt.
	news chan struct{}

	// Second requests beside a slow one, and repeated ones, are bounded in proportion to
	// the first ones, so that a bad hour of a mirror is not made worse.
	asked, hedged, retried int
}

// Shares of extra requests: one in hedgeShare, one in retryShare, and a few for a start.
const (
	hedgeShare = 20
	retryShare = 10
	headStart  = 16
)

func newHealths(l Limits) *healths {
	return &healths{limits: l, now: time.Now, all: map[string]*health{}, news: make(chan struct{})}
}

// health is how one upstream does.
type health struct {
	// latency is a mean of the time to the first header, errors of failures (1) among
	// answers (0); both weigh the last answers most.
	latency time.Duration
	errors  float64
	recent  [64]time.Duration // latencies, for the 95th percentile
	n       int
	row     int // failures in a row
	until   time.Time
	probing bool
	doubted bool // it failed, or keeps somebody waiting, and has not answered since
	served  int
	failed  int
	bad     int   // answers whose content was refused
	read    int64 // bytes of bodies
}

// weight of the newest value in the means.
const weight = 0.2

func (hs *healths) of(name string) *health {
	h := hs.all[name]
	if h == nil {
		h = &health{}
		hs.all[name] = h
	}
	return h
}

// allow tells whether the upstream may be asked. One that rests is asked by a single
// request when its rest is over: that decides whether it is back.
func (hs *healths) allow(name string) bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.of(name)
	switch {
	case h.until.IsZero():
	case hs.now().Before(h.until) || h.probing:
		return false
	default:
		h.probing = true
	}
	return true
}

// first counts a request that somebody asked for.
func (hs *healths) first() {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.asked++
}

// mayHedge takes from the budget of second requests.
func (hs *healths) mayHedge() bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.hedged*hedgeShare >= hs.asked+headStart*hedgeShare {
		return false
	}
	hs.hedged++
	return true
}

// mayRetry takes from the budget of repeated requests.
func (hs *healths) mayRetry() bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.retried*retryShare >= hs.asked+headStart*retryShare {
		return false
	}
	hs.retried++
	return true
}

// header notes the time to a header.
func (hs *healths) header(name string, took time.Duration) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.of(name)
	if h.n == 0 {
		h.latency = took
	}
	h.latency += time.Duration(weight * float64(took-h.latency))
	h.recent[h.n%len(h.recent)] = took
	h.n++
}

// patience is after how long without a header another upstream is asked too: the 95th
// percentile where enough is known of this one.
func (hs *healths) patience(name string) time.Duration {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.of(name)
	const enough = 20
	if h.n < enough {
		return hs.limits.Slow
	}
	known := slices.Sorted(slices.Values(h.recent[:min(h.n, len(h.recent))]))
	p95 := known[len(known)*95/100]
	return min(max(2*p95, hs.limits.Slow/25), hs.limits.Slow)
}

// received notes what came of a body.
func (hs *healths) received(name string, n int64) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.of(name).read += n
}

// good closes the case: it answered as it should, be it that a module is absent.
func (hs *healths) good(name string) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.of(name)
	h.errors -= weight * h.errors
	h.row, h.until, h.probing, h.doubted = 0, time.Time{}, false, false
	h.served++
}

// inARow is how many failures send an upstream to rest. A slow one costs seconds each
// time and rests at once.
const inARow = 3

func (hs *healths) fail(name string, t *trouble) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.of(name)
	h.errors += weight * (1 - h.errors)
	h.row++
	h.failed++
	if t.how == bad {
		h.bad++
	}
	hs.doubt(h)
	rest := hs.limits.Rest
	switch {
	case t.after > 0:
		const longest = 10 * time.Minute
		h.until = hs.now().Add(min(t.after, longest))
	case t.how == slowly || t.how == limited || h.probing || h.row >= inARow:
		h.until = hs.now().Add(rest)
	}
	h.probing = false
}

func (hs *healths) doubt(h *health) {
	if !h.doubted {
		h.doubted = true
		close(hs.news)
		hs.news = make(chan struct{})
	}
}

// overdue notes that none of list has answered within the time that a client waits.
func (hs *healths) overdue(list []Upstream) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for _, u := range list {
		hs.doubt(hs.of(u.Name))
	}
}

// doubtful tells whether all of list are in doubt; news is closed when that may change
// for the worse.
func (hs *healths) doubtful(list []Upstream) (all bool, news <-chan struct{}) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return !slices.ContainsFunc(list, func(u Upstream) bool { return !hs.of(u.Name).doubted }), hs.news
}

// release gives back a probe that was cut before it could tell anything.
func (hs *healths) release(name string) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.of(name).probing = false
}

// Health is how one upstream does, for people.
type Health struct {
	Upstream string        `json:"upstream"`
	Resting  bool          `json:"resting"`
	Latency  time.Duration `json:"latency_ns"`
	Errors   float64       `json:"error_rate"`
	Served   int           `json:"served"`
	Failed   int           `json:"failed"`
	Bad      int           `json:"bad_content"`
	Received int64         `json:"received_bytes"`
}

// Health tells of every upstream that was asked, by name.
func (p *Proxy) Health() []Health {
	hs := p.health
	hs.mu.Lock()
	defer hs.mu.Unlock()
	list := []Health{}
	for name, h := range hs.all {
		list = append(list, Health{
			Upstream: name, Resting: hs.now().Before(h.until), Latency: h.latency, Errors: h.errors, Served: h.served, Failed: h.failed,
			Bad: h.bad, Received: h.read,
		})
	}
	slices.SortFunc(list, func(a, b Health) int {
		if a.Upstream < b.Upstream {
			return -1
		}
		return 1
	})
	return list
}
