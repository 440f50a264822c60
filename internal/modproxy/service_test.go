package modproxy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/modstore"
)

// serviceLab is a service before one healthy upstream that has widget.
type serviceLab struct {
	t       *testing.T
	service *modproxy.Service
	up      *upstream
	upURL   string
	base    string
	zip     []byte
	mu      sync.Mutex
	log     bytes.Buffer
}

func (l *serviceLab) Write(data []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(data)
}

func (l *serviceLab) logged() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.String()
}

func newServiceLab(t *testing.T, tokens string, change func(*modproxy.Options, *modproxy.ServiceOptions)) *serviceLab {
	t.Helper()
	l := &serviceLab{t: t, up: &upstream{}}
	f := make1(t, widget, noise("w", 60000))
	l.zip = f.zip
	l.up.add(widget, version, f)
	l.upURL = serve(t, l.up)
	store, err := modstore.Open(context.Background(), modstore.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	so := modproxy.ServiceOptions{Tokens: &modproxy.Tokens{}, Feeds: store, Access: slog.New(slog.NewJSONHandler(l, nil)), Version: "v9"}
	if err := so.Tokens.Load([]byte(tokens)); err != nil {
		t.Fatal(err)
	}
	_, p := start(t, l.upURL, func(o *modproxy.Options) {
		o.Store = store
		if change != nil {
			change(o, &so)
		}
	})
	l.service = modproxy.NewService(p, so)
	l.base = serve(t, l.service)
	return l
}

// reply is a response whose body was read.
type reply struct {
	StatusCode int
	Header     http.Header
}

// ask makes a request with headers, in pairs.
func (l *serviceLab) ask(method, path string, headers ...string) (reply, string) {
	l.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, l.base+path, http.NoBody)
	if err != nil {
		l.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header}, string(data)
}

// TestDownloadsAreCounted: once each, when the last byte was sent.
func TestDownloadsAreCounted(t *testing.T) {
	t.Parallel()
	l := newServiceLab(t, "", nil)
	all := len(l.zip)
	cut := func(from, to int) string {
		return "bytes=" + strconv.Itoa(from) + "-" + strconv.Itoa(to)
	}
	resp, _ := l.ask(http.MethodGet, at+".zip") // 1
	l.ask(http.MethodGet, at+".zip")            // 2
	l.ask(http.MethodHead, at+".zip")
	l.ask(http.MethodGet, at+".zip", "If-None-Match", resp.Header.Get("Etag"))
	l.ask(http.MethodGet, at+".zip", "Range", cut(0, 99))
	l.ask(http.MethodGet, at+".zip", "Range", cut(100, all-1)) // 3: the end of one in parts
	l.ask(http.MethodGet, at+".mod")
	l.ask(http.MethodGet, "/example.com/none/@v/v1.0.0.zip")
	today := time.Now().UTC().Truncate(24 * time.Hour)
	_, body := l.ask(http.MethodGet, "/stats/"+widget+"@"+version)
	var got struct {
		Count int `json:"download_count"`
		Days  []struct {
			Date  time.Time `json:"date"`
			Count int       `json:"download_count"`
		} `json:"last_30_days"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	sum := 0
	for i, d := range got.Days {
		if i > 0 && !d.Date.Equal(got.Days[i-1].Date.AddDate(0, 0, -1)) {
			t.Errorf("day %d is %v", i, d.Date)
		}
		sum += d.Count
	}
	if got.Count != 3 || len(got.Days) != 30 || got.Days[0].Date.Before(today) || sum != 3 {
		t.Errorf("%s", body)
	}
	for path, want := range map[string]string{
		"/stats/trends/latest":                                    `[{"module_path":"example.com/widget","download_count":3}]`,
		"/stats/trends/last-7-days":                               `[{"module_path":"example.com/widget","download_count":3}]`,
		"/stats/trends/last-30-days":                              `[{"module_path":"example.com/widget","download_count":3}]`,
		"/stats/trends/for-ever":                                  "not found",
		"/stats/" + widget:                                        `"top_10_module_versions":[{"module_version":"` + version + `","download_count":3}]}`,
		"/stats/example.com/none":                                 `{"download_count":0,"last_30_days":[{`,
		"/stats/<script>":                                         "not found",
		"/stats/" + widget + "@nonsense":                          "not found",
		"/stats/" + widget + "/badges/download-count.svg":         "downloads: 3",
		"/stats/" + widget + "/badges/download-count.svg?lang=zh": "下载: 3",
		"/stats/summary":                                          `"module_version_count":1,"module_host_count":1,"top_10_module_hosts":[{"module_host":"example.com","module_version_count":1}]}`,
		"/catalog":                                                `{"modules":[{"module":"example.com/widget","version":"` + version + `"}],"next":""}`,
		"/index":                                                  `{"Path":"example.com/widget","Version":"` + version + `","Timestamp":"`,
		"/index?since=2000-01-01T00:00:00Z&limit=5":               `{"Path":"example.com/widget"`,
		"/index?since=yesterday":                                  "since is no time",
		"/index?limit=-1":                                         "limit is no positive number",
		"/catalog?pagesize=x":                                     "pagesize is no positive number",
		"/catalog?pagesize=1":                                     `"next":"example.com/widget/@v/` + version + `.zip"`,
		"/catalog?token=example.com/widget/@v/z.zip":              `{"modules":[],"next":""}`,
	} {
		if resp, got := l.ask(http.MethodGet, path); !strings.Contains(got, want) || (resp.StatusCode == http.StatusOK) != strings.ContainsAny(want, "{:") {
			t.Errorf("%s: %d %s", path, resp.StatusCode, got)
		}
	}
	if _, got := l.ask(http.MethodGet, "/index?since=2999-01-01T00:00:00Z"); got != "" {
		t.Errorf("%q", got)
	}
	_, badge := l.ask(http.MethodGet, "/stats/"+widget+"/badges/download-count.svg")
	for dec := xml.NewDecoder(strings.NewReader(badge)); ; {
		if _, err := dec.Token(); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Errorf("%v in %s", err, badge)
			}
			break
		}
	}
	if resp, _ := l.ask(http.MethodPost, "/index"); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", resp.StatusCode)
	}
}

// TestTokens holds each form of a file and of a request to who is let in.
func TestTokens(t *testing.T) {
	t.Parallel()
	secret, line := modproxy.NewToken("ci")
	sum := sha256.Sum256([]byte("hidden"))
	bare := strings.Repeat("b4re", 5)
	l := newServiceLab(t, "# who\nalice s3cret-of-alice-1\nbob sha256:"+hex.EncodeToString(sum[:])+"\n"+bare+"\n"+line+"\n", nil)
	basic := func(user, password string) string {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.SetBasicAuth(user, password)
		return r.Header.Get("Authorization")
	}
	for name, x := range map[string]struct {
		header string
		status int
		client string
	}{
		"none":               {"", 401, ""},
		"netrc":              {basic("go", "s3cret-of-alice-1"), 200, "alice"},
		"in the URL":         {basic("s3cret-of-alice-1", ""), 200, "alice"},
		"bearer":             {"Bearer s3cret-of-alice-1", 200, "alice"},
		"hashed":             {basic("x", "hidden"), 200, "bob"},
		"the hash":           {basic("x", hex.EncodeToString(sum[:])), 401, ""},
		"the hash with mark": {basic("x", "sha256:"+hex.EncodeToString(sum[:])), 401, ""},
		"bare":               {basic("x", bare), 200, ""},
		"fresh":              {"Bearer " + secret, 200, "ci"},
		"wrong":              {basic("alice", "s3cret-of-alice-"), 401, ""},
		"empty":              {basic("", ""), 401, ""},
	} {
		before := len(l.logged())
		resp, _ := l.ask(http.MethodGet, at+".mod", "Authorization", x.header)
		if resp.StatusCode != x.status {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
		if got := l.logged()[before:]; !strings.Contains(got, `"client":"`+x.client+`"`) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := l.logged(); strings.Contains(got, "s3cret-of-alice-1") || strings.Contains(got, secret) {
		t.Errorf("the log tells a secret: %s", got)
	}
}

func TestTokensAreReplacedWhole(t *testing.T) {
	t.Parallel()
	var tokens modproxy.Tokens
	if err := tokens.Load(nil); err != nil || tokens.Any() {
		t.Fatal(err)
	}
	if err := tokens.Load([]byte("a one-of-16-letters\n")); err != nil || !tokens.Any() {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"none left": "# gone\n", "short hash": "a sha256:abcd\n", "no hex": "a sha256:" + strings.Repeat("z", 64) + "\n"} {
		if err := tokens.Load([]byte(data)); err == nil || !tokens.Any() || strings.Contains(err.Error(), "abcd") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWeakTokensAreRefused, and so is what is no token at all: the line is named, its words
// never are.
func TestWeakTokensAreRefused(t *testing.T) {
	t.Parallel()
	for line, kind := range map[string]string{
		"ci":                               "name",
		"build-server-7.example.org":       "name",
		"continuous-integration":           "name",
		"x7":                               "name",
		"9f8e7d6":                          "short",
		"ci 15-of-character":               "short",
		"something else here too":          "words",
		"ci sixteen-letters-x # for tests": "words",
		"ci sha256:abcd":                   "hash",
	} {
		var tokens modproxy.Tokens
		err := tokens.Load([]byte("# who\n" + line + "\n"))
		var p *modproxy.TokenError
		if !errors.As(err, &p) || p.Kind != kind || p.Line != 2 || !strings.HasPrefix(err.Error(), "line 2: ") || tokens.Any() {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if words := strings.Fields(line); strings.Contains(err.Error(), " "+words[len(words)-1]) {
			t.Errorf("%s: told in %q", line, err)
		}
	}
	for range 2000 { // what is drawn by lot is never taken for a name
		secret, _ := modproxy.NewToken("ci")
		var tokens modproxy.Tokens
		if err := tokens.Load([]byte(secret)); err != nil {
			t.Fatalf("%s: %v", secret, err)
		}
	}
}

// TestWithoutToken: load balancers and browsers learn that something runs here, and no
// name of a server.
func TestWithoutToken(t *testing.T) {
	t.Parallel()
	l := newServiceLab(t, "alice s3cret-of-alice-1\n", nil)
	host := strings.TrimPrefix(l.upURL, "http://")
	auth := []string{"Authorization", "Bearer s3cret-of-alice-1"}
	l.ask(http.MethodGet, at+".mod", auth...)
	for _, path := range []string{"/", "/healthz", "/readyz", "/metrics", "/index", "/catalog", "/stats/summary", "/stats/" + widget, "/?go-get=1"} {
		_, body := l.ask(http.MethodGet, path)
		if strings.Contains(body, host) || strings.Contains(body, widget) {
			t.Errorf("%s tells: %s", path, body)
		}
	}
	for _, path := range []string{"/", "/healthz", "/metrics"} {
		if resp, body := l.ask(http.MethodGet, path, auth...); resp.StatusCode != http.StatusOK || !strings.Contains(body, host) {
			t.Errorf("%s with a token: %d %s", path, resp.StatusCode, body)
		}
	}
	l.service.Stop()
	if resp, _ := l.ask(http.MethodGet, "/readyz"); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("ready while it stops: %d", resp.StatusCode)
	}
	if resp, _ := l.ask(http.MethodGet, "/healthz"); resp.StatusCode != http.StatusOK {
		t.Errorf("%d", resp.StatusCode)
	}
}

func TestFrontPage(t *testing.T) {
	t.Parallel()
	l := newServiceLab(t, "alice s3cret-of-alice-1\n", nil)
	for _, x := range []struct{ accept, host, has, lacks string }{
		{"en", "go.example.org", "go env -w GOPROXY=http://go.example.org</pre>", "模块"},
		{"zh-CN,zh;q=0.9,en;q=0.8", "go.example.org", "访问需要令牌", "A token"},
		{"en;q=0.1, zh;q=0.2", "go.example.org", `lang="zh-CN"`, "A token"},
		{"fr", "go.example.org", "A token is needed", "令牌"},
		{"en", `x"><script>alert(1)</script>`, "GOPROXY=http://localhost<", "<script"},
		{"en", "go.example.org;reboot", "GOPROXY=http://localhost<", "GOPROXY=http://go.example.org"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Host = x.host
		r.Header.Set("Accept-Language", x.accept)
		w := httptest.NewRecorder()
		l.service.ServeHTTP(w, r)
		if got := w.Body.String(); w.Code != 200 || !strings.Contains(got, x.has) || strings.Contains(got, x.lacks) {
			t.Errorf("%v: %d %s", x, w.Code, got)
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
			t.Errorf("policy %q", csp)
		}
	}
}

// TestGoGet: a host is claimed only where a list of its own has its modules.
func TestGoGet(t *testing.T) {
	t.Parallel()
	l := newServiceLab(t, "", func(o *modproxy.Options, _ *modproxy.ServiceOptions) {
		parse := func(v string) modproxy.List {
			list, err := modproxy.ParseUpstreams(v)
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		o.Lists = append([]modproxy.List{parse("go.example.org/team=http://127.0.0.1:1"), parse("*.corp.example=http://127.0.0.1:1"), parse("loop.example.org=http://127.0.0.1:1,direct")}, o.Lists...)
	})
	for _, x := range []struct {
		host, path, claims string
	}{
		{"go.example.org", "/team/lib", "go.example.org mod http://go.example.org"},
		{"go.example.org:8080", "/team/lib/sub", "go.example.org mod http://go.example.org:8080"},
		{"go.example.org", "/", "go.example.org mod http://go.example.org"},
		{"a.corp.example", "/x/y", "a.corp.example mod http://a.corp.example"},
		{"go.example.org", "/other/lib", ""},
		{"elsewhere.example.org", "/team/lib", ""},
		{"loop.example.org", "/x", ""}, // its direct would come back here
		{"localhost", "/x", ""},
		{"go.example.org", `/team/"><script>`, ""},
		{`go.example.org"><script>`, `/team/lib`, ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/?go-get=1", http.NoBody)
		r.Host, r.URL.Path = x.host, x.path
		w := httptest.NewRecorder()
		l.service.ServeHTTP(w, r)
		got := w.Body.String()
		want := `<meta name="go-import" content="` + x.claims + `">`
		if x.claims == "" && (w.Code != 404 || strings.Contains(got, "<meta") || strings.HasPrefix(w.Header().Get("Content-Type"), "text/html")) || x.claims != "" && !strings.Contains(got, want) {
			t.Errorf("%v: %d %s", x, w.Code, got)
		}
	}
}

// TestRecords: the access log says where a file came from, and under which id.
func TestRecords(t *testing.T) {
	t.Parallel()
	l := newServiceLab(t, "", nil)
	l.ask(http.MethodGet, at+".mod", "X-Request-Id", "from-client.1")
	l.ask(http.MethodGet, at+".mod", "X-Request-Id", "no good\tid")
	resp, _ := l.ask(http.MethodGet, "/example.com/none/@v/list")
	type record struct{ ID, Cache, Upstream, Path string }
	var got []record
	for line := range strings.Lines(l.logged()) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	if len(got) != 3 || strings.Contains(got[1].ID, "good") || got[1].ID == "" || got[2].ID != resp.Header.Get("X-Request-Id") || got[1].ID == got[2].ID {
		t.Fatalf("%v", got)
	}
	got[1].ID, got[2].ID = "", ""
	want := []record{
		{"from-client.1", "miss", strings.TrimPrefix(l.upURL, "http://"), at + ".mod"},
		{"", "hit", "", at + ".mod"},
		{"", "", "", "/example.com/none/@v/list"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	_, metrics := l.ask(http.MethodGet, "/metrics")
	for _, m := range []string{
		`keepwell_proxy_cache_total{result="hit"} 1`, `keepwell_proxy_cache_total{result="miss"} 1`, `keepwell_proxy_requests_total{kind="mod",status="200"} 2`,
		`keepwell_proxy_request_seconds_count{kind="mod"} 2`, `keepwell_proxy_in_flight 1`, `version="v9"`, `keepwell_store_files 1`, `keepwell_store_quarantined 0`,
		`keepwell_upstream_received_bytes_total{upstream="`, `keepwell_upstream_bad_content_total{upstream="`,
	} {
		if !strings.Contains(metrics, m) {
			t.Errorf("no %s in %s", m, metrics)
		}
	}
}

// TestSpans: one of the request under the client's, below it those of what was done; a
// private module's name is in none.
func TestSpans(t *testing.T) {
	t.Parallel()
	kept := tracetest.NewInMemoryExporter()
	tracer := sdk.NewTracerProvider(sdk.WithSyncer(kept)).Tracer("test")
	l := newServiceLab(t, "", func(o *modproxy.Options, so *modproxy.ServiceOptions) {
		o.Tracer, so.Tracer = tracer, tracer
		private := o.Lists[0]
		private.Patterns = "example.com/secret"
		o.Lists = append([]modproxy.List{private}, o.Lists...)
	})
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	l.ask(http.MethodGet, at+".mod", "Traceparent", "00-"+trace+"-"+parent+"-01")
	if got := l.logged(); !strings.Contains(got, `"trace":"`+trace+`"`) {
		t.Errorf("no trace in %s", got)
	}
	ids := map[string]string{}
	var names []string
	for _, s := range kept.GetSpans() {
		ids[s.Name] = s.SpanContext.SpanID().String()
	}
	for _, s := range kept.GetSpans() {
		names = append(names, s.Name)
		if s.SpanContext.TraceID().String() != trace {
			t.Errorf("%s is of another trace", s.Name)
		}
		above := ids["GET mod"]
		if s.Name == "GET mod" {
			above = parent
		}
		if s.Parent.SpanID().String() != above {
			t.Errorf("%s lies below %s", s.Name, s.Parent.SpanID())
		}
	}
	if d := cmp.Diff([]string{"store read", "ask upstream", "store write", "GET mod"}, names); d != "" {
		t.Error(d)
	}
	kept.Reset()
	l.ask(http.MethodGet, "/example.com/secret/thing/@v/v1.0.0.mod")
	all, err := json.Marshal(kept.GetSpans())
	if err != nil || strings.Contains(string(all), "secret") || !strings.Contains(string(all), "absent") {
		t.Errorf("%v %s", err, all)
	}
}

// TestExamplesNameMetricsThatExist: alerts on a misspelt name never fire.
func TestExamplesNameMetricsThatExist(t *testing.T) {
	t.Parallel()
	expires := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	l := newServiceLab(t, "", func(_ *modproxy.Options, so *modproxy.ServiceOptions) {
		so.Expires = func() time.Time { return expires }
	})
	l.ask(http.MethodGet, at+".zip")
	_, served := l.ask(http.MethodGet, "/metrics")
	if want := fmt.Sprintf("\nkeepwell_tls_certificate_expiry_timestamp_seconds %g\n", float64(expires.Unix())); !strings.Contains(served, want) {
		t.Errorf("no %q", want)
	}
	for _, name := range []string{"alerts.yaml", "grafana.json"} {
		data, err := os.ReadFile("../../examples/proxy/" + name)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`keepwell_[a-z_]+`).FindAllString(string(data), -1)
		if len(found) < 5 {
			t.Errorf("%s names %d metrics", name, len(found))
		}
		for _, metric := range found {
			if !strings.Contains(served, "\n"+metric+"{") && !strings.Contains(served, "\n"+metric+" ") {
				t.Errorf("%s: no metric is called %s", name, metric)
			}
		}
	}
}
