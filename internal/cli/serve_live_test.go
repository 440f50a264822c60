//go:build unix

package cli_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/keepwell/keepwell/internal/state/statetest"
	"github.com/keepwell/keepwell/internal/web/browsertest"
)

// served is a `keepwell serve` behind something that stands before it, whose address stays
// while the server comes and goes, as with a load balancer or a reverse proxy.
type served struct {
	*running
	lab   *runLab
	front *httptest.Server

	mu   sync.Mutex
	back *url.URL // nil: away
	how  string   // what the browser meets while it is away: "cut" or "notice"
	// followed are the streams of events that were asked for: Last-Event-ID and the query.
	followed []string
}

func newServed(t *testing.T, lab *runLab) *served {
	s := &served{lab: lab}
	s.front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		back, how := s.back, s.how
		if strings.HasSuffix(r.URL.Path, "/events") {
			s.followed = append(s.followed, r.Header.Get("Last-Event-ID")+" "+r.URL.RawQuery)
		}
		s.mu.Unlock()
		switch {
		case back != nil:
			(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(back); p.Out.Host = p.In.Host }}).ServeHTTP(w, r)
		case how == "notice": // no stream: a browser gives up
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<h1>We will be back soon</h1>")
		default:
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = conn.Close()
			}
		}
	}))
	t.Cleanup(func() { s.front.CloseClientConnections(); s.front.Close() })
	return s
}

// start starts the server; nobody reaches it through the front before show.
func (s *served) start(t *testing.T, config string) *url.URL {
	t.Helper()
	s.running = &running{cmd: s.lab.command("serve", "--config", config)}
	errs, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.errs = bufio.NewReader(errs)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(regexp.MustCompile(`http://[0-9.:]+`).FindString(s.until(t, "serves at")))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func (s *served) show(back *url.URL, how string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.back, s.how = back, how
}

// streams are the streams that were asked for since the last call.
func (s *served) streams() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, s.followed = s.followed, nil
	return list
}

// fires sends Alertmanager's webhook to a server.
func fires(t *testing.T, at fmt.Stringer, alert, instance string) {
	t.Helper()
	body := fmt.Sprintf(`{"version":"4","groupKey":"g","status":"firing","receiver":"keepwell","alerts":[{"status":"firing","labels":{"alertname":%q,"instance":%q,"severity":"warning"},"annotations":{},"startsAt":"2026-11-23T05:00:00Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":%[2]q}]}`, alert, instance)
	resp, err := http.Post(at.String()+"/hooks/alertmanager", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatal(resp.StatusCode, string(text), err)
	}
}

// person is a browser without scripts in which somebody is logged in.
func (s *served) person(t *testing.T, name, password string) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar}
	resp, err := c.PostForm(s.front.URL+"/login", url.Values{"name": {name}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/" {
		t.Fatal(resp.StatusCode, resp.Request.URL)
	}
	return c
}

const livePassword = "correct horse battery"

// TestServeLive: who looks at a page sees what comes in, what others approve and what runs,
// without a reload, also across a restart of the server.
func TestServeLive(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, "/api/v1/events", "EventSource's response") // the stream breaks: that is what it is for
	l := newRunLab(t)
	s := newServed(t, l)
	config := filepath.Join(l.work, "serve.yaml")
	l.write(config, "listen: 127.0.0.1:0\nurl: "+s.front.URL+"\ndata: data\nplaybooks: {dir: books, hold: 0s}\n")
	if err := os.Mkdir(filepath.Join(l.work, "books"), 0o700); err != nil {
		t.Fatal(err)
	}
	l.write(filepath.Join(l.work, "books", "careful.yaml"), "name: careful\ntrigger: redis_memory_high\nmode: active\nactions:\n  - wait: 1s\n    name: evict\n    approval: operator\n  - wait: 10m\n    name: linger\n    timeout: 15m\n")
	for _, name := range []string{"ann", "bob"} {
		cmd := l.command("serve", "user", "add", name, "--role", "operator", "--data", filepath.Join(l.work, "data"))
		cmd.Stdin = strings.NewReader(livePassword)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	back := s.start(t, config)
	s.show(back, "")
	b.Do(t, chromedp.Navigate(s.front.URL+"/login"), chromedp.SendKeys(`input[name=name]`, "ann"), chromedp.SendKeys(`input[name=password]`, livePassword),
		chromedp.Click(`button.main`), chromedp.WaitVisible(`nav[aria-label]`))

	// open goes to a page; held fails where it was loaded anew since.
	open := func(path string) {
		t.Helper()
		b.Do(t, chromedp.Navigate(s.front.URL+path), chromedp.WaitReady(`#live`), chromedp.Evaluate(`window.same = true`, nil))
	}
	held := func(what string) {
		t.Helper()
		var same bool
		if b.Do(t, chromedp.Evaluate(`window.same === true`, &same)); !same {
			t.Errorf("%s: the page was loaded anew", what)
		}
		b.Quiet(t, what)
	}
	row := func(asset string) string { return fmt.Sprintf(`//div[@id="live"]//td[text()=%q]`, asset) }

	// An alert comes in: the open incidents show it.
	open("/incidents?state=open")
	fires(t, back, "RedisMemoryHigh", "cache-1:9121")
	b.Do(t, chromedp.WaitVisible(row("instance/cache-1:9121")))
	held("an alert")

	// So does the question that its run asks; the page of the run shows it, too. Another person approves it there, and
	// the run goes on before ann's eyes.
	open("/approvals")
	b.Do(t, chromedp.WaitVisible(`#ask-1`, chromedp.ByQuery))
	open("/runs/1")
	b.Do(t, chromedp.WaitVisible(`article#run-1 .chip.warn`, chromedp.ByQuery))
	bob := s.person(t, "bob", livePassword)
	resp, err := bob.PostForm(s.front.URL+"/approvals/1", url.Values{"answer": {"approve"}, "note": {"the cache may shrink"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatal("bob approves:", resp.StatusCode)
	}
	b.Do(t, chromedp.WaitVisible(`//article[@id="run-1"]//td[contains(., "bob") and contains(., "the cache may shrink")]`),
		chromedp.WaitVisible(`//article[@id="run-1"]//tr[contains(., "linger")]`))
	if text := b.Text(t, `ol.time`); !strings.Contains(text, "bob") {
		t.Errorf("the timeline: %s", text)
	}
	held("an approval")

	// The server goes and comes back. While a page cannot reach it, an alert comes in: the
	// page goes on after what it has seen, and shows it.
	for round, how := range []string{"cut", "notice"} {
		open("/incidents?state=open")
		b.Do(t, chromedp.Poll(`!document.getElementById("offline").hidden || performance.getEntriesByType("resource").length > 0`, nil))
		s.show(nil, how)
		s.end(t)
		back = s.start(t, config)
		asset := fmt.Sprintf("cache-%d:9121", round+2)
		fires(t, back, "RedisMemoryHigh", asset)
		b.Do(t, chromedp.WaitVisible(`#offline`, chromedp.ByQuery))
		s.streams()
		statetest.Until(t, "the page asks while the server is away", func() bool { return len(s.streams()) > 0 }, nil)
		s.show(back, "")
		b.Do(t, chromedp.WaitVisible(row("instance/"+asset)), chromedp.WaitNotVisible(`#offline`, chromedp.ByQuery))
		held(how)
		// By the browser's own header, or by app.js where the browser had given up.
		asked := s.streams()
		if last := asked[len(asked)-1]; !regexp.MustCompile(`^([1-9]\d* | after=[1-9]\d*$)`).MatchString(last) {
			t.Errorf("%s: asked for %q", how, asked)
		}
	}
	s.end(t)
}
