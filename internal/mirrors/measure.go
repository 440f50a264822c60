package mirrors

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/keepwell/keepwell/internal/observe"
)

// protocol is how mirrors of one ecosystem are asked.
type protocol struct {
	// small is a small request of which the answer is known.
	small func(ask Ask) (path string, right func(*answer) bool)
	// rest asks everything else but the file.
	rest func(ctx context.Context, l *looker)
	// file is the address of the file; "" where the mirror did not name one.
	file func(l *looker) string
	// whole holds a file to what is known of it; nil where nothing is.
	whole func(l *looker, data []byte, sums map[string]string) bool
	// newer compares two versions.
	newer func(a, b string) int
	// pages says that its answers are pages.
	pages bool
}

func protocolOf(eco Ecosystem) protocol {
	switch eco {
	case Npm:
		return npmProtocol()
	case PyPI:
		return pypiProtocol()
	}
	return goProtocol()
}

// looker looks at one mirror.
type looker struct {
	m   *Measured
	c   *client
	ask Ask
	o   Options
	protocol

	mu     sync.Mutex
	link   string // where the mirror says that the file is
	digest string // and what it says of it
}

// Measure looks at mirrors of one ecosystem and ranks them, best first. It asks several
// at a time, but downloads from one at a time, the quickest to answer first: downloads
// side by side would measure each other. It ends within Options.All.
func Measure(ctx context.Context, list []Mirror, ask Ask, o Options) []Measured {
	o = o.withDefaults()
	out := make([]Measured, len(list))
	for i, m := range list {
		out[i] = Measured{Mirror: m, Newest: map[string]string{}}
		out[i].all(unknown("mirrors.why.offline"))
	}
	if o.Offline || len(list) == 0 {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, o.All)
	defer cancel()
	// However many are silent, a third of the time is for the downloads of the others.
	asking, cancelAsking := context.WithTimeout(ctx, o.All-o.All/3)
	defer cancelAsking()
	lookers := make([]*looker, len(out))
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i := range out {
		l := &looker{m: &out[i], c: newClient(out[i].URL, o), ask: ask, o: o, protocol: protocolOf(out[i].Ecosystem)}
		lookers[i] = l
		defer l.c.close()
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			one, cancel := context.WithTimeout(asking, o.Each)
			defer cancel()
			l.look(one)
		})
	}
	wg.Wait()
	compare(out)
	slices.SortStableFunc(lookers, func(a, b *looker) int { return cmp.Compare(a.m.patience(), b.m.patience()) })
	sums := agreed(out)
	for _, l := range lookers {
		if l.m.first {
			l.hold(sums)
			l.speed(ctx, sums)
		}
		l.m.Redirects = l.c.hops
	}
	rank(out)
	return out
}

// patience orders mirrors by how soon they answered; those that did not are last.
func (m *Measured) patience() time.Duration {
	if m.Median == 0 {
		return time.Hour
	}
	return m.Median
}

// all gives every question the same answer.
func (m *Measured) all(c Check) {
	m.Protocol, m.Latency, m.Speed, m.Fresh, m.Sums = c, c, c, c, c
}

// look asks the small question, and everything else where that was answered rightly.
func (l *looker) look(ctx context.Context) {
	path, right := l.small(l.ask)
	a, err := l.c.get(ctx, path, largestAnswer)
	if err != nil {
		l.m.all(why(err))
		return
	}
	if a.status != http.StatusOK || !right(a) {
		l.m.all(unknown("mirrors.why.below"))
		l.m.Protocol = l.wrong(a, path[1:])
		if l.m.Protocol.State == observe.NotChecked {
			l.m.all(l.m.Protocol)
		}
		return
	}
	l.m.first, l.m.Protocol = true, yes("mirrors.protocol.right")
	l.latency(ctx, path)
	l.m.Fresh, l.m.Sums, l.m.Speed = unknown("mirrors.why.time"), unknown("mirrors.why.time"), unknown("mirrors.why.time")
	l.rest(ctx, l)
}

// wrong says what is the matter with the first answer. What is absent may just not be
// kept there.
func (l *looker) wrong(a *answer, file string) Check {
	if absent(a.status) {
		return unknown("mirrors.why.absent", file)
	}
	w := a.wrong(file)
	if l.pages && w.Key == "mirrors.protocol.page" {
		w.Key = "mirrors.protocol.wrong"
	}
	return w
}

func (l *looker) latency(ctx context.Context, path string) {
	var times []time.Duration
	for range 3 {
		a, err := l.c.get(ctx, path, largestAnswer)
		if err != nil {
			l.m.Latency = why(err)
			return
		}
		times = append(times, a.took)
	}
	slices.Sort(times)
	l.m.Median = max(times[1], 1)
	digits := 0
	if l.m.Median < 10*time.Millisecond {
		digits = 1
	}
	l.m.Latency = yes("mirrors.ms", strconv.FormatFloat(float64(l.m.Median)/1e6, 'f', digits, 64))
}

// absent asks for what nobody has: "not found" is the only right answer.
func (l *looker) absent(ctx context.Context, path string) {
	a, err := l.c.get(ctx, path, largestAnswer)
	switch {
	case err != nil || absent(a.status): // a slow search for it is no fault
	case a.status == http.StatusOK:
		l.worse(no("mirrors.protocol.invents"))
	default:
		l.mu.Lock()
		l.m.Stops = true
		l.mu.Unlock()
		l.worse(yes("mirrors.protocol.stops", strconv.Itoa(a.status)))
	}
}

// worse replaces what is known of the protocol by what is worse.
func (l *looker) worse(c Check) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m.Protocol.State != observe.No {
		l.m.Protocol = c
	}
}

// newest asks, for each package that is compared, which is its newest version.
func (l *looker) newest(ctx context.Context, path func(name string) string, read func(name string, a *answer) string) {
	for _, name := range l.ask.Fresh {
		a, err := l.c.get(ctx, path(name), largestAnswer)
		if err != nil || a.status != http.StatusOK || a.cut {
			continue
		}
		if v := read(name, a); v != "" {
			l.mu.Lock()
			l.m.Newest[name] = v
			l.mu.Unlock()
		}
	}
}

// speed downloads a part of a file.
func (l *looker) speed(ctx context.Context, sums map[string]string) {
	path, version := l.ask.File()
	at := l.file(l)
	if at == "" {
		l.m.Speed = unknown("mirrors.why.nofile", path+"@"+version)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, speedTime)
	defer cancel()
	a, err := l.c.get(ctx, at, speedBytes)
	switch {
	case a == nil:
		l.m.Speed = why(err)
		return
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden || a.status != http.StatusOK && l.ask.Chosen():
		l.m.Speed = unknown("mirrors.why.status", strconv.Itoa(a.status))
		return
	case a.status != http.StatusOK || a.page():
		l.m.Speed = unknown("mirrors.why.below")
		l.worse(a.wrong(version))
		return
	case err != nil && !errors.Is(err, context.DeadlineExceeded), len(a.body) == 0:
		l.m.Speed = why(err)
		if err == nil {
			l.m.Speed = unknown("mirrors.why.below")
			l.worse(no("mirrors.protocol.wrong", version))
		}
		return
	}
	if err == nil && !a.cut && l.whole != nil && !l.whole(l, a.body, sums) {
		l.worse(no("mirrors.protocol.other", path+"@"+version))
	}
	l.m.BytesPerSecond = float64(len(a.body)) / max(a.flow, time.Microsecond).Seconds()
	l.m.Speed = yes("mirrors.speed", strconv.FormatFloat(l.m.BytesPerSecond/1e6, 'f', 1, 64))
}

// hold compares the .mod file with what the checksum database says, which any mirror
// may have told: it is signed.
func (l *looker) hold(sums map[string]string) {
	want := sums["mod"]
	if want != "" && l.m.modSum != "" && l.m.modSum != want {
		l.worse(no("mirrors.protocol.other", l.ask.Path+"@"+l.ask.Version+"/go.mod"))
	}
}

func agreed(list []Measured) map[string]string {
	for _, m := range list {
		if len(m.sums) > 0 {
			return m.sums
		}
	}
	return nil
}

// compare holds each mirror's newest versions to the newest that is known.
func compare(list []Measured) {
	told := map[string][]string{}
	best := map[string]string{}
	mirrors := 0
	newer := protocolOf(list[0].Ecosystem).newer
	for i := range list {
		m := &list[i]
		if len(m.Newest) == 0 || !m.usable() { // one that answers wrongly elsewhere is not believed here
			continue
		}
		mirrors++
		for name, v := range m.Newest {
			told[name] = append(told[name], v)
			if m.Origin == FromDefault {
				best[name] = v
			}
			slices.SortFunc(told[name], func(a, b string) int { return newer(b, a) })
		}
	}
	for name, versions := range told {
		// Of three or more, one alone is not believed that its version exists, unless it is
		// what the tool comes with; nor does its haste make the others late.
		v := versions[0]
		if len(versions) > 2 {
			v = versions[1]
		}
		if best[name] == "" || newer(v, best[name]) > 0 {
			best[name] = v
		}
	}
	for i := range list {
		m := &list[i]
		switch {
		case len(m.Newest) == 0:
			continue
		case mirrors < 2 && m.usable() || mirrors == 0:
			m.Fresh = unknown("mirrors.fresh.alone")
			continue
		}
		m.Fresh = freshness(m, best)
	}
}

func freshness(m *Measured, best map[string]string) Check {
	behind, example := 0, ""
	for name, v := range m.Newest {
		if best[name] == "" || protocolOf(m.Ecosystem).newer(v, best[name]) >= 0 {
			continue
		}
		behind++
		if text := name + " " + v + " < " + best[name]; example == "" || text < example {
			example = text
		}
	}
	m.late, m.compared = behind, len(best)
	all := strconv.Itoa(len(m.Newest))
	if behind > 0 {
		return no("mirrors.fresh.behind", strconv.Itoa(behind), all, example)
	}
	return yes("mirrors.fresh.newest", all)
}
