//go:build unix

package cli_test

import (
	"bufio"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/keepwell/keepwell/internal/state/statetest"
)

// modules is a `keepwell serve` with a module proxy.
type modules struct {
	*running
	lab     *runLab
	fetches []string // the environment in which go fetches through it
}

// modules starts one; the data and the configuration stay from one to the next. Settings
// are those of `modules`.
func (l *runLab) modules(t *testing.T, settings string, env ...string) *modules {
	t.Helper()
	cert, key := l.certificate()
	config := filepath.Join(l.work, "serve.yaml")
	l.write(config, "listen: 127.0.0.1:0\ndata: data\ntls: {cert: "+cert+", key: "+key+"}\nmodules: {"+settings+"}\n")
	add := l.command("serve", "token", "add", "mod", "--user", "ann", "--scope", "mod", "--config", config)
	out, err := add.Output()
	if err != nil { // the first
		if code, _, errs := l.run("serve", "--config", config, "--new-admin", "ann"); code != 0 {
			t.Fatal(errs)
		}
		if out, err = l.command("serve", "token", "add", "mod", "--user", "ann", "--scope", "mod", "--config", config).Output(); err != nil {
			t.Fatal(err)
		}
	}
	m := &modules{lab: l, running: &running{cmd: l.command("serve", "--config", config)}}
	m.cmd.Env = append(append([]string{}, m.cmd.Env...), env...)
	errs, err := m.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	m.errs = bufio.NewReader(errs)
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	host := regexp.MustCompile(`https://([0-9.:]+)`).FindStringSubmatch(m.until(t, "serves at"))[1]
	m.fetches = []string{"GOPROXY=https://go:" + regexp.MustCompile(`kw_\S+`).FindString(string(out)) + "@" + host + "/mod/", "SSL_CERT_FILE=" + cert}
	return m
}

// TestServeKeepsTheQuota: what is beyond modules.quota_gb goes, and is fetched again when
// somebody wants it; without a quota it stays.
func TestServeKeepsTheQuota(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	var away atomic.Bool
	upstream := "upstream: ['" + l.serve(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		if away.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
		}
		return away.Load()
	}) + "']"
	fetch := func(m *modules, works bool) {
		t.Helper()
		if out, err := l.download(m.fetches...); (err == nil) != works {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	m := l.modules(t, upstream)
	fetch(m, true)
	m.end(t)
	// The zip counts as 2 GB from now on, and everything else as it is.
	db, err := sql.Open("sqlite", filepath.Join(l.work, "data", "modules", "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if res, err := db.Exec("UPDATE entries SET size = 2 << 30 WHERE key LIKE '%.zip'"); err != nil {
		t.Fatal(err)
	} else if n, err := res.RowsAffected(); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	count := func(like string) (n int) {
		if err := db.QueryRow("SELECT count(*) FROM entries WHERE key LIKE ?", like).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	away.Store(true)
	for _, roomy := range []string{upstream, upstream + ", quota_gb: 3"} {
		m = l.modules(t, roomy)
		fetch(m, true)
		m.end(t)
	}
	m = l.modules(t, upstream+", quota_gb: 1")
	statetest.Until(t, "the zip is gone", func() bool { return count("%.zip") == 0 }, nil)
	if count("%.mod") != 1 {
		t.Error("more went than had to")
	}
	fetch(m, false)
	m.end(t) // what is away was noted as failing
	away.Store(false)
	m = l.modules(t, upstream+", quota_gb: 1")
	fetch(m, true)
	m.end(t)
}

// TestServeGuardsThePrivateNetwork: an upstream beyond a proxy, which no connection from
// here shows to be private, cannot lead into the private network, but where
// modules.allow_private names the host.
func TestServeGuardsThePrivateNetwork(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	var asked atomic.Int64
	inside, err := url.Parse(l.serve(func(http.ResponseWriter, *http.Request, []byte) bool {
		asked.Add(1)
		return false
	}))
	if err != nil {
		t.Fatal(err)
	}
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Hostname() != "goproxy.example.org" {
			http.Error(w, "this is for what lies outside", http.StatusForbidden)
			return
		}
		http.Redirect(w, r, inside.JoinPath(r.URL.Path).String(), http.StatusFound)
	}))
	t.Cleanup(outside.Close)
	for allow, works := range map[string]bool{"": false, ", allow_private: [git.example.org]": false, ", allow_private: [127.0.0.1]": true} {
		asked.Store(0)
		m := l.modules(t, "upstream: ['http://goproxy.example.org'], dir: 'store"+allow[max(0, len(allow)-10):]+"'"+allow, "NO_PROXY=", "HTTP_PROXY="+outside.URL)
		out, err := l.download(m.fetches...)
		if (err == nil) != works || (asked.Load() > 0) != works || !works && !strings.Contains(out, "private address") {
			t.Errorf("%q: asked %d times, %v\n%s", allow, asked.Load(), err, out)
		}
		m.end(t)
	}
}

// TestRealGoFetchesFromServe: the real go command has modules of /mod/ with a token of the
// scope mod, and is told how to get one without.
func TestRealGoFetchesFromServe(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	cert, key := l.certificate()
	config := filepath.Join(l.work, "serve.yaml")
	l.write(config, "listen: 127.0.0.1:0\ndata: data\ntls: {cert: "+cert+", key: "+key+"}\nmodules: {upstream: ['"+l.serve(nil)+"']}\n")
	made := func(args ...string) string {
		code, out, errs := l.run(append([]string{"serve"}, args...)...)
		if code != 0 {
			t.Fatalf("%q: %d %s %s", args, code, out, errs)
		}
		return regexp.MustCompile(`kw_\S+`).FindString(out)
	}
	made("--config", config, "--new-admin", "ann")
	data := filepath.Join(l.work, "data")
	mod := made("token", "add", "mod", "--user", "ann", "--scope", "mod", "--data", data)
	api := made("token", "add", "api", "--user", "ann", "--scope", "api", "--data", data)

	r := &running{cmd: l.command("serve", "--config", config)}
	errs, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.errs = bufio.NewReader(errs)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	host := regexp.MustCompile(`https://([0-9.:]+)`).FindStringSubmatch(r.until(t, "serves at"))[1]
	netrc := filepath.Join(l.work, "netrc")
	l.write(netrc, "machine "+host+" login go password "+mod+"\n")
	proxy := "GOPROXY=https://" + host + "/mod/"
	for name, x := range map[string]struct {
		env  []string
		says string // "": it works
	}{
		"nothing":        {[]string{proxy}, "keepwell serve token add"},
		"netrc":          {[]string{proxy, "NETRC=" + netrc}, ""},
		"in the address": {[]string{"GOPROXY=https://go:" + mod + "@" + host + "/mod/"}, ""},
		"another scope":  {[]string{"GOPROXY=https://go:" + api + "@" + host + "/mod/"}, "403 Forbidden"},
		"wrong":          {[]string{"GOPROXY=https://go:" + mod + "x@" + host + "/mod/"}, "401 Unauthorized"},
	} {
		out, err := l.download(append(x.env, "SSL_CERT_FILE="+cert)...)
		if (err == nil) != (x.says == "") || !strings.Contains(out, x.says) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	r.end(t)
}
