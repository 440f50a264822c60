package modproxy

import (
	"context"
	"net/http"
	"testing"
	"time"
)

// TestRestAndReturn is the timeline of a breaker.
func TestRestAndReturn(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	hs := newHealths(Limits{Rest: 30 * time.Second, Slow: 5 * time.Second})
	hs.now = func() time.Time { return now }
	step := func(what string, want bool) {
		t.Helper()
		if got := hs.allow("a"); got != want {
			t.Errorf("%s: allowed %v", what, got)
		}
	}
	step("new", true)
	reset := &trouble{how: broken}
	for range inARow - 1 {
		hs.fail("a", reset)
		step("a failure or two", true)
	}
	hs.fail("a", reset)
	step("three in a row", false)
	now = now.Add(31 * time.Second)
	step("rested: one may look", true)
	step("while one looks", false)
	hs.fail("a", reset)
	step("still down", false)
	now = now.Add(31 * time.Second)
	step("the next look", true)
	hs.release("a") // cut before it could tell
	step("again", true)
	hs.good("a")
	step("back", true)
	step("back for all", true)
	hs.fail("a", &trouble{how: limited, after: 2 * time.Minute})
	now = now.Add(time.Minute)
	step("Retry-After", false)
	now = now.Add(2 * time.Minute)
	step("after Retry-After", true)
	hs.good("a")
	hs.fail("a", &trouble{how: slowly})
	step("slow rests at once", false)
}

func TestBudgets(t *testing.T) {
	t.Parallel()
	hs := newHealths(Limits{Rest: time.Second, Slow: 5 * time.Second})
	hedged, retried := 0, 0
	for range 2000 {
		hs.first()
		if hs.mayHedge() {
			hedged++
		}
		if hs.mayRetry() {
			retried++
		}
	}
	if most := 2000/hedgeShare + headStart; hedged > most || hedged < most-1 {
		t.Errorf("%d second requests", hedged)
	}
	if most := 2000/retryShare + headStart; retried > most || retried < most-1 {
		t.Errorf("%d repeated requests", retried)
	}
}

func TestPatienceFollowsTheServer(t *testing.T) {
	t.Parallel()
	hs := newHealths(Limits{Slow: 5 * time.Second})
	if p := hs.patience("a"); p != 5*time.Second {
		t.Error(p)
	}
	for range 30 {
		hs.header("a", 300*time.Millisecond)
	}
	if p := hs.patience("a"); p != 600*time.Millisecond {
		t.Error(p)
	}
	for range 64 {
		hs.header("a", 20*time.Second)
	}
	if p := hs.patience("a"); p != 5*time.Second {
		t.Error(p)
	}
}

// TestDoubt follows what clients with something at hand need not wait for.
func TestDoubt(t *testing.T) {
	t.Parallel()
	hs := newHealths(Limits{}.withDefaults())
	list := []Upstream{{Name: "a"}, {Name: "b"}}
	is := func(want bool) <-chan struct{} {
		t.Helper()
		all, news := hs.doubtful(list)
		if all != want {
			t.Errorf("all in doubt: %v", all)
		}
		return news
	}
	news := is(false)
	hs.fail("a", &trouble{how: broken})
	<-news
	is(false)
	hs.fail("b", &trouble{how: slowly})
	is(true)
	hs.good("b")
	news = is(false)
	hs.overdue(list)
	<-news
	is(true)
	hs.good("a")
	is(false)
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{"Thu, 01 Jan 2026 00:02:00 GMT": 2 * time.Minute, "Thursday, 01-Jan-26 00:00:09 GMT": 9 * time.Second, "": 0, "7": 7 * time.Second, "-1": 0, "x": 0, "99999999999": 0, "Thu, 01 Jan 1970 00:00:00 GMT": 0} {
		if got := retryAfter(v, now); got != want {
			if v == "99999999999" && got > 0 { // bounded where it is used
				continue
			}
			t.Errorf("%q: %v", v, got)
		}
	}
}

func TestFailureFitsGo(t *testing.T) {
	t.Parallel()
	var all []*trouble
	for range 20 {
		all = append(all, &trouble{server: "goproxy.example.org", how: broken, said: "line\nline \x1b[31m https://bob:hunter2@goproxy.example.org/x"})
	}
	a, err := parse("example.com/widget/@v/v1.0.0.zip")
	if err != nil {
		t.Fatal(err)
	}
	text := a.failure(all).Text()
	lines := 0
	for _, r := range text {
		switch {
		case r == '\n':
			lines++
		case r < ' ':
			t.Errorf("a control byte %q", r)
		}
	}
	if lines > mostLines || len(text) > 8*200 {
		t.Errorf("%d lines, %d bytes", lines, len(text))
	}
	for i := range len(text) - 7 {
		if text[i:i+7] == "hunter2" {
			t.Fatal("a password is shown: " + text)
		}
	}
}

// TestOpenConnectionsLeadNobody: a public upstream may not use a connection that a private
// one has opened.
func TestOpenConnectionsLeadNobody(t *testing.T) {
	t.Parallel()
	at := newLive(Changeable{Private: []string{"cdn.example.org"}}, nil, time.Now())
	c := newClient(Options{Limits: Limits{}.withDefaults()}, func() *live { return at })
	for _, host := range []string{"inner.example.org:443", "own.example.org:443", "cdn.example.org:443"} {
		c.private[host] = true
	}
	for _, x := range []struct {
		from, to string
		may      bool
	}{
		{"public.example.org:443", "https://inner.example.org/x", false},
		{"public.example.org:443", "https://other.example.org/x", true},
		{"public.example.org:443", "https://cdn.example.org/x", true},
		{"public.example.org:443", "https://10.1.2.3/x", false},
		{"public.example.org:443", "https://[::ffff:127.0.0.1]/x", false},
		{"own.example.org:443", "https://inner.example.org/x", true},
	} {
		r, err := http.NewRequestWithContext(context.WithValue(t.Context(), home{}, x.from), http.MethodGet, x.to, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.mayLead(r); (err == nil) != x.may {
			t.Errorf("%s to %s: %v", x.from, x.to, err)
		}
	}
}

// TestRetryAfterIsBounded: nobody may send himself to rest for ten years, nor be asked
// before the time he named; one request then looks whether he is back.
func TestRetryAfterIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	hs := newHealths(Limits{Rest: 30 * time.Second, Slow: 5 * time.Second})
	hs.now = func() time.Time { return now }
	for v, rests := range map[string]time.Duration{
		"315360000": 10 * time.Minute, "Fri, 01 Jan 2100 00:00:00 GMT": 10 * time.Minute, "90": 90 * time.Second,
		"Thu, 01 Jan 2026 00:01:30 GMT": 90 * time.Second, "Wed, 31 Dec 2025 00:00:00 GMT": 30 * time.Second, "soon": 30 * time.Second, "-5": 30 * time.Second,
	} {
		now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		hs.fail(v, &trouble{how: limited, after: retryAfter(v, now)})
		now = now.Add(rests - time.Second)
		if hs.allow(v) {
			t.Errorf("%q: asked before %v", v, rests)
		}
		now = now.Add(2 * time.Second)
		if !hs.allow(v) || hs.allow(v) {
			t.Errorf("%q: after %v not exactly one may look", v, rests)
		}
		hs.good(v)
		for range 2 {
			if !hs.allow(v) {
				t.Errorf("%q: not back", v)
			}
		}
	}
}
