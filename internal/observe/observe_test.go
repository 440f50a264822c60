package observe_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/observe"
)

// short are deadlines for servers that never answer.
func short() observe.Options {
	return observe.Options{Each: 300 * time.Millisecond, All: 5 * time.Second}
}

// look probes and returns the results and the code of the first finding.
func look(t *testing.T, target string, o observe.Options) ([]observe.Result, keepwell.Code) {
	t.Helper()
	tgt, err := observe.Parse(target, o)
	if err != nil {
		t.Fatal(err)
	}
	results := observe.Look(t.Context(), tgt, o)
	for _, f := range observe.Findings(results, func(r observe.Result) string { return r.Key }) {
		return results, f.Code
	}
	return results, ""
}

func want(t *testing.T, target string, o observe.Options, code keepwell.Code) {
	t.Helper()
	results, got := look(t, target, o)
	if got != code {
		t.Errorf("%s: found %q, want %q\n%+v", target, got, code, results)
	}
}

func text(kind, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, body)
	})
}

func TestConnections(t *testing.T) {
	t.Parallel()
	results, _ := look(t, closed(t), observe.Options{})
	if f := observe.Findings(results, func(observe.Result) string { return "" }); len(f) != 1 || f[0].Code != "net/refused" || f[0].Owner != keepwell.OwnerYou {
		t.Errorf("a port of this machine: %+v", f)
	}
	want(t, silent(t), short(), "")
	want(t, "https://"+silent(t), short(), "net/tls-timeout")
	want(t, "http://"+silent(t), short(), "net/slow")
	want(t, "https://"+serve(t, nil, text("text/plain", "ok")), observe.Options{}, "tls/not-tls")
	want(t, "http://"+serve(t, nil, text("text/html", "<html>ok</html>")), observe.Options{}, "")
}

func TestEcho(t *testing.T) {
	t.Parallel()
	results, _ := look(t, closed(t), short())
	echo := results[1]
	if echo.Layer != observe.Echo || echo.Code != "" || echo.State == observe.No {
		t.Errorf("this machine's echo: %+v", echo)
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	o := observe.Options{Now: func() time.Time { return time.Now().Add(time.Hour) }}
	results, code := look(t, "http://"+serve(t, nil, text("text/plain", "ok")), o)
	if last := results[len(results)-1]; code != "" || last.Key != "probe.http.clock" {
		t.Errorf("found %q: %+v", code, last)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	answer := func(err error, addrs ...string) observe.Options {
		o := short()
		o.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			var list []netip.Addr
			for _, a := range addrs {
				list = append(list, netip.MustParseAddr(a))
			}
			return list, err
		}
		return o
	}
	want(t, "nobody.invalid", answer(&net.DNSError{Err: "no such host", Name: "nobody.invalid", IsNotFound: true}), "net/dns")
	want(t, "slow.example.org", answer(context.DeadlineExceeded), "net/dns")
	want(t, "empty.example.org", answer(nil), "net/dns")
	want(t, "bogus.example.org", answer(nil, "0.0.0.0", "224.0.0.1"), "net/intercepted")

	results, code := look(t, "rebound.example.org", answer(nil, "169.254.169.254", "::ffff:169.254.1.1"))
	if code != "" || results[2].State != observe.NotChecked || results[2].Key != "probe.forbidden" {
		t.Errorf("a name that leads to metadata: %q %+v", code, results)
	}

	// One address that answers is enough.
	_, port, _ := net.SplitHostPort(serve(t, nil, text("text/plain", "ok")))
	want(t, "http://both.example.org:"+port, answer(nil, "127.0.0.1", "::1"), "")
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "Test Authority")
	gateway := newAuthority(t, "Zscaler Inc.")
	trusted := observe.Options{Roots: ca.pool()}
	with := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	ok := text("text/plain", "ok")

	want(t, "https://"+serve(t, with(ca.leaf(t, "127.0.0.1", 30)), ok), trusted, "")
	want(t, "https://"+serve(t, with(ca.leaf(t, "127.0.0.1", -3)), ok), trusted, "tls/expired")
	want(t, "https://"+serve(t, with(ca.leaf(t, "other.example.org", 30)), ok), trusted, "tls/name-mismatch")
	want(t, "https://"+serve(t, with(ca.leaf(t, "127.0.0.1", 30)), ok), observe.Options{Roots: gateway.pool()}, "tls/unknown-authority")
	want(t, "https://"+serve(t, with(gateway.leaf(t, "127.0.0.1", 30)), ok), trusted, "net/intercepted")
	want(t, "https://"+serve(t, with(gateway.leaf(t, "127.0.0.1", 30)), ok), observe.Options{Roots: gateway.pool()}, "")

	alien := trusted
	alien.System, alien.Roots = "alpine", gateway.pool()
	results, _ := look(t, "https://"+serve(t, with(ca.leaf(t, "127.0.0.1", 30)), ok), alien)
	f := observe.Findings(results, func(r observe.Result) string { return r.Key })
	if e := f[0].Evidence; len(e) != 2 || e[1].Source != "environment" || !strings.HasPrefix(e[1].Text, "probe.root.") {
		t.Errorf("how a root is installed: %+v", e)
	}

	old := with(ca.leaf(t, "127.0.0.1", 30))
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	want(t, "https://"+serve(t, old, ok), trusted, "tls/protocol")

	wrong := trusted
	wrong.Now = func() time.Time { return time.Now().AddDate(2, 0, 0) }
	want(t, "https://"+serve(t, with(ca.leaf(t, "127.0.0.1", 30)), ok), wrong, "tls/clock-skew")
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	loop := func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path+"x", http.StatusFound) }
	want(t, "http://"+serve(t, nil, http.HandlerFunc(loop)), observe.Options{}, "proxy/bad-response")
	metadata := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/", http.StatusFound)
	}
	want(t, "http://"+serve(t, nil, http.HandlerFunc(metadata)), observe.Options{}, "net/intercepted")
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	}
	want(t, "http://"+serve(t, nil, http.HandlerFunc(endless)), observe.Options{}, "")
	stalled := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "some")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	want(t, "http://"+serve(t, nil, http.HandlerFunc(stalled)), short(), "net/slow")
	for status, code := range map[int]keepwell.Code{
		404: "", 403: "", 429: "proxy/rate-limited", 502: "proxy/server-error", 511: "net/intercepted", 407: "net/http-proxy",
	} {
		h := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
		want(t, "http://"+serve(t, nil, http.HandlerFunc(h)), observe.Options{}, code)
	}
}

func TestGoProxy(t *testing.T) {
	t.Parallel()
	const list = "/example.com/widget/@v/list"
	want(t, "http://"+serve(t, nil, text("text/plain", "v1.0.0\nv1.1.0\n"))+list, observe.Options{}, "")
	want(t, "http://"+serve(t, nil, text("text/html", "<html>sign in</html>"))+list, observe.Options{}, "proxy/bad-response")
	want(t, "http://"+serve(t, nil, text("text/plain", "hello\n"))+list, observe.Options{}, "proxy/bad-response")
	portal := serve(t, nil, text("text/html", "<html>sign in</html>"))
	_, port, _ := net.SplitHostPort(portal)
	away := http.RedirectHandler("http://localhost:"+port+"/login", http.StatusFound)
	want(t, "http://"+serve(t, nil, away)+list, observe.Options{}, "net/intercepted")
	var zeros bytes.Buffer
	z := gzip.NewWriter(&zeros)
	for range 1 << 8 {
		_, _ = z.Write(make([]byte, 64<<10))
	}
	_ = z.Close()
	bomb := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zeros.Bytes())
	}
	want(t, "http://"+serve(t, nil, http.HandlerFunc(bomb))+list, observe.Options{}, "proxy/bad-response")

	// An entry of GOPROXY is asked for a well-known module, without its login.
	canary := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || !strings.HasSuffix(r.URL.Path, "/@v/list") && r.URL.Path != "/" {
			t.Errorf("asked for %s with %q", r.URL, r.Header)
		}
		if r.URL.Path != "/" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
	at := serve(t, nil, http.HandlerFunc(canary))
	results, code := look(t, "http://u:canary@"+at, observe.Options{GoProxies: []string{"http://bob:canary@" + at + "/"}})
	if last := results[len(results)-1]; code != "" || last.Layer != observe.GoProxy || last.Key != "probe.private" {
		t.Errorf("found %q: %+v", code, results)
	}
}

func TestSumDB(t *testing.T) {
	t.Parallel()
	signing, verifying, err := note.GenerateKey(rand.Reader, "sum.example.org")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(signing)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := note.Sign(&note.Note{Text: "go.sum database tree\n1\nAAAA\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	for body, code := range map[string]keepwell.Code{string(tree): "", strings.Replace(string(tree), "\n1\n", "\n2\n", 1): "net/intercepted"} {
		at := serve(t, nil, text("text/plain", body))
		want(t, "http://"+at, observe.Options{SumDB: verifying + " http://" + at}, code)
	}
}

func TestHTTPProxy(t *testing.T) {
	t.Parallel()
	through := func(raw string) observe.Options {
		o := short()
		o.Proxy = func(*url.URL) (*url.URL, error) { return url.Parse(raw) }
		return o
	}
	denies := func(status int) string {
		return serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Proxy-Authorization") != "" {
				t.Error("a login was sent")
			}
			w.WriteHeader(status)
		}))
	}
	const target = "https://mirror.example.org"
	want(t, target, through("http://"+denies(407)), "net/http-proxy")
	want(t, target, through("http://bob:canary@"+denies(407)), "")
	want(t, target, through("http://"+denies(503)), "net/http-proxy")
	want(t, target, through("http://"+closed(t)), "net/http-proxy")
	want(t, target, through("http://"+silent(t)), "net/http-proxy")

	// A proxy that is spoken to over TLS, rightly and wrongly.
	ca := newAuthority(t, "Test Authority")
	site := serve(t, &tls.Config{Certificates: []tls.Certificate{ca.leaf(t, "mirror.example.org", 30)}}, text("text/plain", "ok"))
	opens := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		to, err := net.Dial("tcp", site)
		if err != nil {
			t.Error(err)
			return
		}
		from, sent, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(to, sent); _ = to.Close() })
		_, _ = io.Copy(from, to)
		_ = from.Close()
		wg.Wait()
	})
	at := serve(t, &tls.Config{Certificates: []tls.Certificate{ca.leaf(t, "127.0.0.1", 30)}, NextProtos: []string{"http/1.1"}}, opens)
	o := through("https://" + at)
	o.Each, o.Roots = 2*time.Second, ca.pool()
	results, code := look(t, target, o)
	if code != "" || results[0].Key != "probe.proxy.open" || results[1].State != observe.Yes || results[2].State != observe.Yes {
		t.Errorf("over TLS: found %q: %+v", code, results)
	}
	o.Roots = newAuthority(t, "Another Authority").pool()
	results, code = look(t, target, o)
	if code != "net/http-proxy" || results[0].Key != "probe.proxy.tls" {
		t.Errorf("over TLS that is not trusted: found %q: %+v", code, results)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{
		"example.org": "https example.org 443", "example.org:22": "tcp example.org 22", "example.org:80": "http example.org 80",
		"::1": "https ::1 443", "[::1]:8443": "https ::1 8443", "http://u:p@example.org/x": "http example.org 80",
	} {
		got, err := observe.Parse(arg, observe.Options{})
		if err != nil {
			t.Errorf("%s: %v", arg, err)
			continue
		}
		if s := fmt.Sprint(got.URL.Scheme, " ", got.Host, " ", got.Port); s != want || got.URL.User != nil {
			t.Errorf("%s is read as %s", arg, s)
		}
	}
	for _, arg := range []string{"", "ftp://example.org", "example.org:0", "example.org:99999", "a b", "http://"} {
		if _, err := observe.Parse(arg, observe.Options{}); !errors.Is(err, observe.ErrTarget) {
			t.Errorf("%q: %v", arg, err)
		}
	}
	for _, arg := range []string{
		"169.254.169.254", "http://169.254.1.1/", "fe80::1", "[fe80::1%25eth0]:80", "100.100.100.200", "::ffff:169.254.169.254",
		"metadata.google.internal.", "fd00:ec2::254",
	} {
		if _, err := observe.Parse(arg, observe.Options{}); !errors.Is(err, observe.ErrForbidden) {
			t.Errorf("%q: %v", arg, err)
		}
	}
}

// TestNext: the plan follows from the evidence alone.
func TestNext(t *testing.T) {
	t.Parallel()
	target, err := observe.Parse("https://example.org/m/@v/list", observe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := func(l observe.Layer, s observe.State) observe.Result { return observe.Result{Layer: l, State: s} }
	named := []observe.Result{r(observe.DNS, observe.Yes)}
	reached := append(slices.Clip(named), r(observe.Echo, observe.NotChecked), r(observe.TCP, observe.No), r(observe.TCP, observe.Yes))
	for _, c := range []struct {
		seen []observe.Result
		want []observe.Layer
	}{
		{nil, []observe.Layer{observe.DNS}},
		{[]observe.Result{r(observe.DNS, observe.No)}, nil},
		{named, []observe.Layer{observe.Echo, observe.TCP}},
		{reached, []observe.Layer{observe.TLS}},
		{append(reached, r(observe.TLS, observe.No)), nil},
		{append(reached, r(observe.TLS, observe.Yes)), []observe.Layer{observe.HTTP}},
	} {
		if diff := cmp.Diff(c.want, observe.Next(target, c.seen)); diff != "" {
			t.Errorf("after %v (-want +got):\n%s", c.seen, diff)
		}
	}
}

// TestPlans: which layers a target has, where every one of them passes.
func TestPlans(t *testing.T) {
	t.Parallel()
	o := observe.Options{
		Resolvers: []string{"192.0.2.53:53"}, SumDB: "sum.example.org", GoProxies: []string{"https://goproxy.example.org"},
		Npm: []string{"https://npm.example.org"}, PyPI: []string{"https://pypi.example.org/simple"}, Logins: map[string]string{"api.example.org": "x"},
	}
	way := func(above string) string {
		return strings.TrimSpace("dns resolvers | icmp tcp | " + above)
	}
	for arg, want := range map[string]string{
		"example.org:9": "dns resolvers | icmp tcp", "https://example.org": way("tls | http"), "http://192.0.2.1": "dns | icmp tcp | http",
		"https://forge.example.org/team/widget.git":             "client | " + way("tls | http | vcs"),
		"git@forge.example.org:team/widget.git":                 "client | " + way("ssh | vcs"),
		"git://forge.example.org/team/widget.git":               "client | " + way("vcs"),
		"https://goproxy.example.org":                           way("tls | http | goproxy"),
		"https://goproxy.example.org/a.example/b/@v/v1.0.0.mod": way("tls | http | module"),
		"https://sum.example.org":                               way("tls | http | sumdb"),
		"https://npm.example.org":                               way("tls | http | npm"),
		"https://pypi.example.org/simple/widget/":               way("tls | http | pypi"),
		"https://api.example.org/user":                          way("tls | http | login"),
	} {
		target, err := observe.Parse(arg, o)
		if err != nil {
			t.Errorf("%s: %v", arg, err)
			continue
		}
		var rounds []string
		var seen []observe.Result
		for now := observe.Next(target, seen); len(now) > 0 && len(rounds) < 20; now = observe.Next(target, seen) {
			var names []string
			for _, l := range now {
				names, seen = append(names, string(l)), append(seen, observe.Result{Layer: l, State: observe.Yes})
			}
			rounds = append(rounds, strings.Join(names, " "))
		}
		if got := strings.Join(rounds, " | "); got != want {
			t.Errorf("%s: %s, want %s", arg, got, want)
		}
	}
}
