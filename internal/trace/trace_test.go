package trace

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/route"
)

func TestReadGraph(t *testing.T) {
	t.Parallel()
	const graph = `example.org/app example.com/gear@v1.0.0
example.org/app go@1.24
example.com/gear@v1.0.0 example.com/widget@v1.2.0
example.com/box@v1.0.0 example.com/widget@v1.10.0
example.org/app example.com/box@v1.0.0
example.com/gear@v1.0.0 example.com/widget@nonsense
`
	got := readGraph(graph, "example.com/widget")
	want := &Chosen{
		Version: "v1.10.0",
		Wants: []Want{
			{"example.com/box@v1.0.0", "v1.10.0"}, {"example.com/gear@v1.0.0", "v1.2.0"}, {"example.com/gear@v1.0.0", "nonsense"},
		},
		Path: []string{"example.org/app", "example.com/box@v1.0.0", "example.com/widget@v1.10.0"},
		Main: []string{"example.org/app"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := readGraph(graph, "example.com/absent"); got != nil {
		t.Errorf("absent: %+v", got)
	}
}

func TestCommandLog(t *testing.T) {
	t.Parallel()
	c := &commandLog{began: time.Now(), clean: func(s string) string { return s }}
	for _, chunk := range []string{
		"mkdir -p /x/cache/vcs # git3 https://git.example.org/r\n# lock /x/cache/vcs/0.lock\n# /x/cache/vcs/0 for git3 https://git.example.org/r\n",
		"# get https://a.example.org/r?go-get=1\n# get https://a.example.org/r?go-get=1: 200 OK (0.012s)\n# cd /x; git ls-rem",
		"ote -q origin\n0.003s # cd /x; git ls-remote -q origin\n# cd /x; git fetch -f origin\ngo: m@v1: no",
	} {
		if _, err := c.Write([]byte(chunk)); err != nil {
			t.Fatal(err)
		}
	}
	if said := c.finish(time.Minute); said != "go: m@v1: no" {
		t.Errorf("said %q", said)
	}
	var got []string
	for _, cmd := range c.commands {
		text := cmd.Text
		if cmd.Failed {
			text += " !"
		}
		got = append(got, text)
	}
	want := []string{"get https://a.example.org/r?go-get=1: 200 OK", "git ls-remote -q origin", "git fetch -f origin !"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if c.commands[1].Took != 3*time.Millisecond {
		t.Errorf("took %v", c.commands[1].Took)
	}
}

func FuzzCommandLog(f *testing.F) {
	f.Add("0.003s # cd /x; git fetch\n# get u: 200 OK (0.1s)\n", 3)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		c := &commandLog{began: time.Now(), clean: func(s string) string { return s }}
		cut = max(0, min(cut, len(text)))
		_, _ = c.Write([]byte(text[:cut]))
		_, _ = c.Write([]byte(text[cut:]))
		c.finish(time.Second)
		for _, cmd := range c.commands {
			if cmd.At < 0 || strings.Contains(cmd.Text, "\n") {
				t.Errorf("%+v", cmd)
			}
		}
	})
}

// TestNetrcAsRoute holds the reader of logins to the reader of names, which a property
// test holds to go.
func TestNetrcAsRoute(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		"machine a login b password c\nmachine d\nlogin e\npassword f\n",
		"macdef x\nmachine a login b password c\n\nmachine g login h password i\n",
		"machine a login b\nmachine c password d\n", "default login b password c\nmachine a login b password c", "machine a login b password c default\nmachine e login f password g",
	} {
		var got []string
		for _, l := range parseNetrc(data) {
			got = append(got, l.machine)
		}
		if diff := cmp.Diff(route.NetrcMachines([]byte(data)), got); diff != "" {
			t.Errorf("%q: %s", data, diff)
		}
	}
}

func TestLoginsGoNowhereElse(t *testing.T) {
	t.Parallel()
	netrc := filepath.Join(t.TempDir(), "netrc")
	if err := os.WriteFile(netrc, []byte("machine a.example.org login bob password canary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLogins(route.Config{Env: goenv.Env{"NETRC": {Value: netrc}, "GOPROXY": {Value: "https://carol:canary2@b.example.org,direct"}}})
	for raw, want := range map[string]string{
		"https://a.example.org/x":      "netrc",
		"http://a.example.org/x":       "", // never over http
		"https://a.example.org:8443/x": "", // another port
		"https://sub.a.example.org/x":  "",
		"https://b.example.org/x":      "", // the URL's own login comes with the request
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		req := &http.Request{URL: u, Header: http.Header{}}
		if got := l.add(t.Context(), req, route.Request{}); got != want || (want == "") != (req.Header.Get("Authorization") == "") {
			t.Errorf("%s: %q, %v", raw, got, req.Header)
		}
		req = &http.Request{URL: u, Header: http.Header{}}
		elsewhere := &url.URL{Scheme: "https", Host: "a.example.org.evil.example.org"}
		for _, q := range []route.Request{
			{Redirected: u, Login: url.UserPassword("x", "y")}, {Redirected: elsewhere}, {Redirected: &url.URL{Scheme: "http", Host: u.Host}},
		} {
			if got := l.add(t.Context(), req, q); got != "" || len(req.Header) > 0 {
				t.Errorf("%s redirected from %v: %q, %v", raw, q.Redirected, got, req.Header)
			}
		}
		if got := l.add(t.Context(), req, route.Request{Redirected: u}); got != want { // the same host knows us already
			t.Errorf("%s redirected to itself: %q", raw, got)
		}
	}
	if got := l.hide("canary canary2 carol"); strings.Contains(got, "canary") || strings.Contains(got, "carol") {
		t.Errorf("shown: %s", got)
	}
}

func TestShownURL(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://bob:x@a.example.org/m/@v/list":         "https://a.example.org/m/@v/list",
		"https://a.example.org/m?go-get=1":              "https://a.example.org/m?go-get=1",
		"https://a.example.org/m?expires=abc&n=1#token": "https://a.example.org/m?expires=***&n=***",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := shownURL(u); got != want {
			t.Errorf("%s: %s", raw, got)
		}
	}
}

func TestAlone(t *testing.T) {
	t.Parallel()
	cfg := route.Config{Env: goenv.Env{"GOPROXY": {Value: "https://a.example.org,, https://u:p@b.example.org|direct", Origin: goenv.FromOS}}}
	var got []string
	for _, h := range route.Plan(cfg, route.Query{Module: "example.com/m", Version: "v1.0.0"}).Hops {
		got = append(got, alone(cfg, h).Env.Value("GOPROXY"))
	}
	if diff := cmp.Diff([]string{"https://a.example.org", "https://u:p@b.example.org", "direct"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestPython(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"left_widget-1.0-py3-none-any.whl": "1.0", "left-widget-2.0.tar.gz": "2.0", "left_widget-2.0.post1.zip": "2.0.post1",
		"other-1.0.tar.gz": "", "left_widget-1.0.exe": "", "x.whl": "",
	} {
		if got := pyVersion(file, "left.widget"); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
	rising := []string{"0.9", "1.0.dev1", "1.0a2", "1.0b1", "1.0rc1", "1.0", "1.0.post1", "1.0.1", "1.9", "1.10", "1!0.1"}
	for i := 1; i < len(rising); i++ {
		if comparePy(rising[i-1], rising[i]) >= 0 {
			t.Errorf("%s is not before %s", rising[i-1], rising[i])
		}
	}
	if comparePy("1.0", "1.0.0") != 0 {
		t.Error("1.0 and 1.0.0 differ")
	}
}

func TestPrefixes(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff([]string{"github.com/a/b/c", "github.com/a/b"}, Prefixes("github.com/a/b/c")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"example.com/a", "example.com"}, Prefixes("example.com/a")); diff != "" {
		t.Error(diff)
	}
}

func TestWriteFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "out.har")
	for range 2 { // a second one replaces the first
		if err := WriteFile(name, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(name, link); err != nil {
		t.Skip(err)
	}
	if err := WriteFile(link, []byte("y")); err == nil {
		t.Error("a link was replaced")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}
