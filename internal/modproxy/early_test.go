package modproxy_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/modstore"
	"github.com/keepwell/keepwell/internal/server"
)

// side is a service as it is served, with early answers or without.
type side struct {
	t     testing.TB
	addr  string
	early atomic.Int64 // answers
	p     *modproxy.Proxy
	store noted

	mu  sync.Mutex
	log bytes.Buffer
}

// noted is a store that tells what was noted of use.
type noted struct {
	*modstore.Store
	mu    *sync.Mutex
	notes *[]string
}

func (n noted) note(what, key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	*n.notes = append(*n.notes, what+" "+key)
}

func (n noted) Touch(key string)      { n.note("used", key); n.Store.Touch(key) }
func (n noted) Downloaded(key string) { n.note("downloaded", key); n.Store.Downloaded(key) }

func (s *side) Write(data []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(data)
}

// records are those of the access log, without what differs from time to time.
func (s *side) records() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []map[string]any
	for line := range bytes.Lines(s.log.Bytes()) {
		var r map[string]any
		if err := json.Unmarshal(line, &r); err != nil {
			s.t.Fatal(err)
		}
		for _, name := range []string{"time", "took", "from"} {
			if r[name] == nil {
				s.t.Fatalf("no %s in %s", name, line)
			}
			delete(r, name)
		}
		all = append(all, r)
	}
	return all
}

const secret = "one-of-16-letters"

func newSide(t testing.TB, early bool, up, dir string) *side {
	t.Helper()
	s := &side{t: t, store: noted{openStore(t, dir), &sync.Mutex{}, &[]string{}}}
	_, s.p = start(t, up, func(o *modproxy.Options) { o.Store = s.store })
	so := modproxy.ServiceOptions{Tokens: &modproxy.Tokens{}, Feeds: s.store, Access: slog.New(slog.NewJSONHandler(s, nil)), Version: "v9"}
	if err := so.Tokens.Load([]byte("ann " + secret)); err != nil {
		t.Fatal(err)
	}
	service := modproxy.NewService(s.p, so)
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	o := server.Options{Grace: time.Minute, Server: &http.Server{
		Handler: service, ConnContext: modproxy.ConnContext, ReadHeaderTimeout: time.Minute, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}}
	if early {
		o.Early = func(c net.Conn, r *server.Request) (bool, error) {
			done, err := service.Early(c, r)
			if done {
				s.early.Add(1)
			}
			return done, err
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		if err := server.Serve(ctx, modproxy.Quick(ln), o); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); work.Wait() })
	return s
}

// talk is a connection on which one request was answered, so that the next may be early.
func (s *side) talk() (net.Conn, *bufio.Reader) {
	s.t.Helper()
	c, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	in := bufio.NewReader(c)
	if a := s.exchange(c, in, plainly("/readyz")); a.Status != "200 OK" {
		s.t.Fatalf("%+v", a)
	}
	return c, in
}

// said is an answer.
type said struct {
	Proto, Status string
	Header        http.Header
	Encoding      []string
	Length        int64
	Close         bool
	Body          string
	Gone          bool // the connection ended
}

// exchange sends a request and reads the answer, but for what differs each time.
func (s *side) exchange(c net.Conn, in *bufio.Reader, request string) said {
	s.t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		return said{Gone: true}
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request)))
	if err != nil {
		r = nil // as for GET
	}
	resp, err := http.ReadResponse(in, r)
	if err != nil {
		return said{Gone: true}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	for s.p.Under() > 0 { // a zip is answered before it is kept, and kept before the next request
		runtime.Gosched()
	}
	if d := resp.Header["Date"]; len(d) == 1 {
		if _, err := http.ParseTime(d[0]); err == nil {
			resp.Header.Del("Date")
		}
	}
	if len(resp.Header["X-Request-Id"]) == 1 {
		resp.Header.Set("X-Request-Id", "some")
	}
	return said{resp.Proto, resp.Status, resp.Header, resp.TransferEncoding, resp.ContentLength, resp.Close, string(body), err != nil}
}

// earlySoFar is how many answers were early, those on c among them.
func (s *side) earlySoFar(c net.Conn, in *bufio.Reader) int64 {
	s.t.Helper()
	s.exchange(c, in, plainly("/readyz")) // what is written down of an answer may be so after it was sent
	return s.early.Load()
}

func plainly(path string, headers ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: proxy.example\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n" + strings.Join(append(headers, "\r\n"), "\r\n")
}

// sides are one service without early answers and one with, over files of the same kind.
func sides(t testing.TB) (plain, early *side) {
	t.Helper()
	up := &upstream{}
	up.add(widget, version, make1(t, widget, noise("w", 600000)))
	url := serve(t, up)
	return newSide(t, false, url, t.TempDir()), newSide(t, true, url, t.TempDir())
}

const login = "Authorization: Bearer " + secret

// TestEarlyIsTheSame: the answers of a service that answers early, its access log, its
// metrics and its statistics are those of one that never does.
func TestEarlyIsTheSame(t *testing.T) {
	t.Parallel()
	plain, early := sides(t)
	const logged, basic = "X-Request-Id: mine-1", "Authorization: Basic YW5uOm9uZS1vZi0xNi1sZXR0ZXJz"
	requests := []string{
		plainly(at+".info", login, logged), plainly(at+".mod", login, logged), plainly(at+".zip", login, logged), // fetches
		plainly(at+".info", login, logged), plainly(at+".mod", basic, logged), plainly(at+".zip", login, logged), // early
		plainly(at+".zip", login, logged, "Range: bytes=0-9"), plainly(at+".zip", login, logged, "Range: bytes=-1"),
		plainly(at+".zip", basic, logged),
		"HEAD" + plainly(at+".zip", login, logged)[3:], plainly(at+".zip", login, logged, `If-None-Match: "x"`),
		plainly(at+".zip", logged), plainly(at+".zip", logged, "Authorization: Bearer another-of-16-letters"), plainly(at+".zip", logged, "Authorization: Basic !"),
		plainly(at+".zip?go-get=1", login, logged), plainly("/stats"+at+".zip", login, logged), plainly(at+".ziq", login, logged),
		plainly("/"+at+".zip", login, logged), plainly("/."+at+".zip", login, logged), plainly("/x/.."+at+".zip", login, logged),
		strings.Replace(plainly(at+".zip", login, logged), "widget", "%77idget", 1),
		plainly(at+".mod", login, login, logged),
		plainly("/healthz", logged), plainly(at+".zip", login, logged, "Connection: close"),
	}
	type told struct {
		Answers []said
		Records []map[string]any
		Counts  []string
		Notes   []string
	}
	tell := func(s *side) (all told) {
		c, in := s.talk()
		for _, r := range requests {
			all.Answers = append(all.Answers, s.exchange(c, in, r))
		}
		if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil { // all is written down at its end
			t.Errorf("%q, %v", rest, err)
		}
		c, in = s.talk()
		metrics := s.exchange(c, in, plainly("/metrics", login))
		for line := range strings.Lines(metrics.Body) {
			if strings.HasPrefix(line, "keepwell_proxy_") && !strings.Contains(line, "_seconds_bucket") && !strings.Contains(line, "_seconds_sum") {
				all.Counts = append(all.Counts, line)
			}
		}
		var err error
		if _, err = c.Write([]byte(plainly("/readyz", "Connection: close"))); err == nil {
			_, err = io.ReadAll(in)
		}
		if err != nil {
			t.Error(err)
		}
		all.Records, all.Notes = s.records(), *s.store.notes
		for i := range all.Records {
			if id, ok := all.Records[i]["id"].(string); !ok || id == "" {
				t.Errorf("%v", all.Records[i])
			} else if !strings.HasPrefix(id, "mine-") {
				delete(all.Records[i], "id")
			}
			if all.Records[i]["path"] == "/metrics" {
				delete(all.Records[i], "bytes")
			}
		}
		return all
	}
	want, got := tell(plain), tell(early)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if !slices.Contains(got.Notes, "used "+at[1:]+".info") || !slices.Contains(got.Notes, "downloaded "+at[1:]+".zip") {
		t.Errorf("notes: %q", got.Notes)
	}
	sent := int64(0)
	if runtime.GOOS == "linux" {
		sent = 4 // the second .info and .mod, the second and the third whole zip
	}
	if n := early.early.Load(); n != sent || plain.early.Load() != 0 {
		t.Errorf("%d early answers, want %d", n, sent)
	}
}

// TestEarlyBytes: also the order of headers is that of net/http.
func TestEarlyBytes(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("no early answers here")
	}
	_, s := sides(t)
	for _, ext := range []string{".info", ".mod", ".zip"} {
		c, in := s.talk()
		s.exchange(c, in, plainly(at+ext, login))
		read := func() string {
			if _, err := io.WriteString(c, plainly(at+ext, login)); err != nil {
				t.Fatal(err)
			}
			var head []string
			size := 0
			for len(head) == 0 || head[len(head)-1] != "\r\n" {
				line, err := in.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(line, "Date: ") {
					line = "Date: "
				}
				if n, ok := strings.CutPrefix(line, "Content-Length: "); ok {
					size, _ = strconv.Atoi(strings.TrimSpace(n))
				}
				head = append(head, line)
			}
			if _, err := in.Discard(size); err != nil {
				t.Fatal(err)
			}
			return strings.Join(head, "")
		}
		before := s.earlySoFar(c, in)
		early := read()
		after := s.earlySoFar(c, in)
		c, in = s.talk()
		s.exchange(c, in, plainly(at+ext, login)+plainly("/readyz")) // two at once are left to net/http, and all after them
		s.exchange(c, in, "")                                        // of the second
		if late := read(); early != late || after != before+1 || s.earlySoFar(c, in) != after {
			t.Errorf("early %q\nlate %q, %d and %d", early, late, after-before, s.early.Load()-after)
		}
	}
}

// TestEarlyNeedsTheFile: what was put aside or taken away since is not served early.
func TestEarlyNeedsTheFile(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("no early answers here")
	}
	_, s := sides(t)
	c, in := s.talk()
	ask := func() said { return s.exchange(c, in, plainly(at+".zip", login)) }
	first := ask()
	if again, n := ask(), s.earlySoFar(c, in); n != 1 || again.Body != first.Body || first.Status != "200 OK" {
		t.Fatalf("%d early, %s", n, again.Status)
	}
	if err := s.store.Forget(t.Context(), []string{at[1:] + ".zip"}); err != nil {
		t.Fatal(err)
	}
	if again, n := ask(), s.earlySoFar(c, in); n != 1 || again.Body != first.Body || again.Status != "200 OK" {
		t.Errorf("%d early, %s", n, again.Status)
	}
}

// FuzzEarly: whatever is sent, a service that answers early says what another says, and
// closes when another closes.
func FuzzEarly(f *testing.F) {
	for _, r := range []string{
		plainly(at+".zip", login), plainly(at+".info", login) + plainly(at+".mod", login), plainly(at + ".mod"), plainly("/"),
		plainly(at+".zip", login, "Range: bytes=3-5"), "HEAD" + plainly(at+".mod", login)[3:], plainly(at+".mod", login, "Content-Length: 0"),
		plainly(at+".mod", login, "Transfer-Encoding: chunked") + "0\r\n\r\n", plainly(at+".mod", login, "Expect: 100-continue"),
		plainly(at+".mod", login, "Accept: a\n b"), "GET " + at + ".mod\r\n\r\n", "\r\n\r\n", plainly(at+".mod", login, "Host: other"),
		plainly(at+".mod", login, "Upgrade: h2c", "Connection: Upgrade"), "POST" + plainly(at+".mod", login)[3:],
	} {
		f.Add([]byte(r))
	}
	plain, early := sides(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if !complete(b) {
			return // which of them is cut first is a matter of time
		}
		tell := func(s *side) (all []said) {
			s.t = t
			c, in := s.talk()
			defer c.Close()
			for range 2 {
				for _, name := range []string{".mod", ".zip"} {
					all = append(all, s.exchange(c, in, plainly(at+name, login)))
				}
				answer := s.exchange(c, in, string(b))
				if all = append(all, answer); answer.Close || answer.Gone {
					break
				}
			}
			return all
		}
		want, got := tell(plain), tell(early)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q: %s", b, d)
		}
	})
}

// ending tells whether net/http wanted more than there is.
type ending struct {
	*bytes.Reader
	asked bool
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	e.asked = e.asked || err != nil
	return n, err
}

// complete tells whether net/http would read no more than b before it answers, and leave
// nothing of it.
func complete(b []byte) bool {
	const waitsFor = 4 // bytes, before it reads
	if len(b) < waitsFor {
		return false
	}
	all := &ending{Reader: bytes.NewReader(b)}
	in := bufio.NewReader(all)
	r, err := http.ReadRequest(in)
	if err != nil {
		return !all.asked
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err == nil && !all.asked && in.Buffered() == 0 && r.URL.Path != "/metrics" && r.URL.Path != "/healthz"
}
