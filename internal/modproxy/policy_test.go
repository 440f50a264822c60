package modproxy_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"github.com/keepwell/keepwell/internal/goenv/goenvtest"
	"github.com/keepwell/keepwell/internal/modpolicy"
	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/modstore"
	"github.com/keepwell/keepwell/internal/msg"
)

// release is a version of widget, made so long ago.
func release(t testing.TB, u *upstream, v string, ago time.Duration) {
	t.Helper()
	gomod := "module " + widget + "\n\ngo 1.20\n"
	var b bytes.Buffer
	if err := modzip.Create(&b, module.Version{Path: widget, Version: v}, []modzip.File{memFile{"go.mod", gomod}, memFile{"m.go", "package m\n"}}); err != nil {
		t.Fatal(err)
	}
	f := files{mod: []byte(gomod), zip: b.Bytes()}
	f.info = fmt.Appendf(nil, `{"Version":%q,"Time":%q}`, v, time.Now().Add(-ago).UTC().Format(time.RFC3339))
	u.add(widget, v, f)
}

func mustVersions(t testing.TB, list ...string) modpolicy.Versions {
	t.Helper()
	v, err := modpolicy.ParseVersions(list)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const (
	anHour = time.Hour
	aDay   = 24 * anHour
	aYear  = 365 * aDay
)

// TestRulesHoldForAll holds every kind of question to the rules, kept files too, and
// sees that a denied name is told to nobody.
func TestRulesHoldForAll(t *testing.T) {
	t.Parallel()
	u := &upstream{}
	for i, v := range []string{"v1.0.0", "v1.1.0", "v1.2.0"} {
		release(t, u, v, aYear-time.Duration(i)*aDay)
	}
	u.all["/"+widget+"/@latest"] = u.all["/"+widget+"/@v/v1.2.0.info"]
	u.all["/"+widget+"/@v/main.info"] = u.all["/"+widget+"/@v/v1.2.0.info"]
	signer, key := sumServer(t, nil)
	open := modproxy.Changeable{}
	url, p := start(t, serve(t, u), func(o *modproxy.Options) {
		o.Database = key + " " + serve(t, signer)
		open.Lists = o.Lists
		o.Policy = &modpolicy.Policy{}
	})
	for _, name := range []string{"/@v/v1.2.0.info", "/@v/v1.2.0.mod", "/@v/v1.2.0.zip", "/@v/list", "/@latest", "/@v/main.info", "/@v/v1.2.0.zip"} {
		if code, got := get(t, url+"/"+widget+name); code != 200 {
			t.Fatalf("%s: %d %s", name, code, got)
		}
	}
	closed := open
	closed.Policy = &modpolicy.Policy{Rules: []modpolicy.Rule{
		{Name: "no-1.2", Action: modpolicy.Deny, Modules: widget, Versions: mustVersions(t, ">=1.2.0"), Reason: "it eats files", ReasonZH: "会删文件"},
		{Name: "never", Action: modpolicy.Deny, Modules: "example.com/secret"},
	}}
	if err := p.Reload(closed); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/@v/v1.2.0.info", "/@v/v1.2.0.mod", "/@v/v1.2.0.zip", "/@v/main.info"} {
		code, got := get(t, url+"/"+widget+name)
		if code != 403 || !strings.HasPrefix(got, "forbidden: "+widget+"@v1.2.0") || !strings.Contains(got, "rule no-1.2\n  it eats files\n") {
			t.Errorf("%s: %d %s", name, code, got)
		}
	}
	if code, got := get(t, url+"/"+widget+"/@v/list"); code != 200 || got != "v1.0.0\nv1.1.0\n" {
		t.Errorf("%d %q", code, got)
	}
	if code, got := get(t, url+"/"+widget+"/@latest"); code != 200 || !strings.Contains(got, `"v1.1.0"`) {
		t.Errorf("%d %q", code, got)
	}
	if code, got := get(t, url+"/"+widget+"/@v/v1.1.0.zip"); code != 200 {
		t.Errorf("%d %q", code, got)
	}
	before := len(u.asked)
	name, _, _ := strings.Cut(key, "+")
	for _, path := range []string{"@v/list", "@latest", "@v/v1.0.0.info", "@v/main.info", "@v/v1.0.0.mod", "@v/v1.0.0.zip"} {
		if code, got := get(t, url+"/example.com/secret/"+path); code != 403 || !strings.Contains(got, "rule never") {
			t.Errorf("%s: %d %s", path, code, got)
		}
	}
	if code, got := get(t, url+"/sumdb/"+name+"/lookup/example.com/secret@v1.0.0"); code != 403 || !strings.Contains(got, "rule never") {
		t.Errorf("%d %s", code, got)
	}
	if code, got := get(t, url+"/sumdb/"+name+"/lookup/"+widget+"@v1.2.0"); code != 403 || !strings.Contains(got, "rule no-1.2") {
		t.Errorf("%d %s", code, got)
	}
	if now := u.asked[before:]; len(now) > 0 && strings.Contains(strings.Join(now, " "), "secret") {
		t.Errorf("a denied name was told: %v", now)
	}
	if err := p.Reload(modproxy.Changeable{}); err == nil {
		t.Error("a proxy without upstreams was taken")
	}
	if err := p.Reload(open); err != nil {
		t.Fatal(err)
	}
	if code, got := get(t, url+"/"+widget+"/@v/v1.2.0.zip"); code != 200 {
		t.Errorf("%d %s", code, got)
	}
}

// TestAllDenied: where no version is left, the rule is named.
func TestAllDenied(t *testing.T) {
	t.Parallel()
	u := &upstream{}
	release(t, u, "v1.0.0", aYear)
	u.all["/"+widget+"/@latest"] = u.all["/"+widget+"/@v/v1.0.0.info"]
	url, _ := start(t, serve(t, u), func(o *modproxy.Options) {
		o.Lang = msg.ZH
		o.Policy = &modpolicy.Policy{Rules: []modpolicy.Rule{
			{Name: "none", Action: modpolicy.Deny, Modules: "*", Versions: mustVersions(t, "release", "pre-release", "pseudo"), ReasonZH: "不允许"},
		}}
	})
	if code, got := get(t, url+"/"+widget+"/@v/list"); code != 200 || got != "" {
		t.Errorf("%d %q", code, got)
	}
	if code, got := get(t, url+"/"+widget+"/@latest"); code != 403 || got != "禁止获取 "+widget+"@v1.0.0：规则 none\n  不允许\n" {
		t.Errorf("%d %q", code, got)
	}
}

// TestMinimumAge: what is too young is in no list, latest is an older one, and a direct
// question is told from when on.
func TestMinimumAge(t *testing.T) {
	t.Parallel()
	u := &upstream{}
	for v, ago := range map[string]time.Duration{"v1.0.0": aYear, "v1.1.0": 300 * aDay, "v1.2.0": 200 * aDay, "v1.2.1": 2 * aDay, "v1.3.0": anHour, "v2.0.0-rc.1": anHour} {
		if !strings.HasPrefix(v, "v2") {
			release(t, u, v, ago)
		}
	}
	u.all["/"+widget+"/@latest"] = u.all["/"+widget+"/@v/v1.3.0.info"]
	url, _ := start(t, serve(t, u), func(o *modproxy.Options) {
		week := 7 * aDay
		none := time.Duration(0)
		o.Policy = &modpolicy.Policy{MinimumAge: week, Except: "own.example.com", Rules: []modpolicy.Rule{
			{Name: "urgent", Action: modpolicy.Allow, Modules: widget, Versions: mustVersions(t, "1.9.9"), MinimumAge: &none},
		}}
	})
	if code, got := get(t, url+"/"+widget+"/@v/list"); code != 200 || !sameWords(got, "v1.0.0 v1.1.0 v1.2.0") {
		t.Errorf("%d %q", code, got)
	}
	if code, got := get(t, url+"/"+widget+"/@latest"); code != 200 || !strings.Contains(got, `"v1.2.0"`) {
		t.Errorf("%d %q", code, got)
	}
	for _, ext := range []string{"info", "mod", "zip"} {
		code, got := get(t, url+"/"+widget+"/@v/v1.3.0."+ext)
		if code != 403 || !strings.Contains(got, "rule minimum-age\n  public since ") || !strings.Contains(got, "must be so for 7d: allowed from "+time.Now().Add(7*aDay-anHour).UTC().Format("2006-01-02")) {
			t.Errorf("%d %s", code, got)
		}
		if code, got := get(t, url+"/"+widget+"/@v/v1.2.0."+ext); code != 200 {
			t.Errorf("%d %s", code, got)
		}
	}
	if code, _ := get(t, url+"/"+widget+"/@v/v1.8.0.zip"); code != 404 {
		t.Errorf("what is not there: %d", code)
	}
	release(t, u, "v1.9.9", 0)
	if code, got := get(t, url+"/"+widget+"/@v/v1.9.9.zip"); code != 200 {
		t.Errorf("an exception: %d %s", code, got)
	}
}

func sameWords(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// TestAgeIsNotTheAuthorsToChoose: a version that turns up in a list that was known
// without it is as young as that, whatever its commit says; and by FirstSeen, so are all.
func TestAgeIsNotTheAuthorsToChoose(t *testing.T) {
	t.Parallel()
	u := &upstream{}
	release(t, u, "v1.0.0", aYear)
	dir := t.TempDir()
	at := time.Now().Add(-30 * aDay)
	clock := func() time.Time { return at }
	old, err := modstore.Open(context.Background(), modstore.Options{Dir: dir, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	list := func(s *modstore.Store, firstSeen bool, limits modproxy.Limits) (string, func()) {
		url, p := start(t, serve(t, u), func(o *modproxy.Options) {
			o.Store, o.Policy, o.FirstSeen, o.Limits = s, &modpolicy.Policy{MinimumAge: 7 * aDay}, firstSeen, limits
		})
		return url, p.Close
	}
	url, end := list(old, true, calm())
	if code, got := get(t, url+"/"+widget+"/@v/list"); code != 200 || !sameWords(got, "") && !sameWords(got, "v1.0.0") {
		t.Errorf("%d %q", code, got)
	}
	end()
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	release(t, u, "v1.0.1", 2*aYear) // back-dated
	release(t, u, "v1.0.2", 2*aYear)
	for _, firstSeen := range []bool{false, true} {
		url, _ = list(openStore(t, dir), firstSeen, calm())
		if code, got := get(t, url+"/"+widget+"/@v/v1.0.2.zip"); code != 403 || !strings.Contains(got, "minimum-age") { // before any list shows it
			t.Errorf("%d %s", code, got)
		}
		if code, got := get(t, url+"/"+widget+"/@v/list"); code != 200 || !sameWords(got, "v1.0.0") {
			t.Errorf("%d %q", code, got)
		}
		if code, got := get(t, url+"/"+widget+"/@v/v1.0.1.zip"); code != 403 || !strings.Contains(got, "minimum-age") {
			t.Errorf("%d %s", code, got)
		}
		if code, got := get(t, url+"/"+widget+"/@v/v1.0.0.zip"); code != 200 {
			t.Errorf("%d %s", code, got)
		}
	}
	url, _ = list(openStore(t, t.TempDir()), true, calm())
	if code, got := get(t, url+"/"+widget+"/@v/v1.0.0.zip"); code != 403 || !strings.Contains(got, "minimum-age") {
		t.Errorf("%d %s", code, got)
	}
}

// TestARuleEnds by itself, for what lies in memory too.
func TestARuleEnds(t *testing.T) {
	t.Parallel()
	u := healthy(make1(t, widget, ""))
	until := time.Now().Add(400 * time.Millisecond)
	url, _ := start(t, serve(t, u), func(o *modproxy.Options) {
		o.Policy = &modpolicy.Policy{Rules: []modpolicy.Rule{
			{Name: "for-a-moment", Action: modpolicy.Allow, Modules: widget, Until: until},
			{Name: "never", Action: modpolicy.Deny, Modules: widget},
		}}
	})
	code, got := get(t, url+at+".mod")
	for ; code == 200; code, got = get(t, url+at+".mod") { // served, from memory soon, until the rule ends
		if time.Now().After(until.Add(time.Minute)) {
			t.Fatal("the rule does not end")
		}
	}
	if code != 403 || !strings.Contains(got, "rule never") || time.Now().Before(until) {
		t.Errorf("%d %s", code, got)
	}
}

// TestGoUnderRules holds the real go command: which version it picks, and what it prints
// of a refusal, with either kind of list.
func TestGoUnderRules(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	u := &upstream{}
	for v, ago := range map[string]time.Duration{"v1.0.0": aYear, "v1.1.0": 300 * aDay, "v1.2.0": 100 * aDay, "v1.3.0": anHour} {
		release(t, u, v, ago)
	}
	up := serve(t, u)
	url, _ := start(t, up, func(o *modproxy.Options) {
		o.Policy = &modpolicy.Policy{MinimumAge: 7 * aDay, Rules: []modpolicy.Rule{
			{Name: "no-1.2", Action: modpolicy.Deny, Modules: widget, Versions: mustVersions(t, "1.2.0"), Reason: "it eats files"},
		}}
	})
	dir := t.TempDir()
	goenvtest.Quiet(t, dir)
	goRun := func(proxy string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GOMODCACHE=" + filepath.Join(dir, "mod"), "GOCACHE=" + filepath.Join(dir, "cache"), "GOFLAGS=-modcacherw",
			"GOENV=off", "GOSUMDB=off", "GOTOOLCHAIN=local", "GOPROXY=" + proxy, "NO_PROXY=*", "GOWORK=off",
		}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if err := writeFile(filepath.Join(dir, "go.mod"), []byte("module example.org/app\n\ngo 1.20\n\nrequire "+widget+" v1.0.0\n")); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{"@latest", "@upgrade", "@<v1.3.0", "@v1"} {
		if out, err := goRun(url, "list", "-m", widget+query); err != nil || out != widget+" v1.1.0\n" {
			t.Errorf("%s: %v %s", query, err, out)
		}
	}
	if out, err := goRun(url, "get", "-d", widget+"@latest"); err != nil || !strings.Contains(out, "v1.0.0 => v1.1.0") {
		t.Errorf("%v %s", err, out)
	}
	for version, want := range map[string][]string{
		"v1.2.0": {"403 Forbidden", "server response:", "rule no-1.2", "it eats files"},
		"v1.3.0": {"403 Forbidden", "rule minimum-age", "allowed from"},
	} {
		for _, list := range []string{url, url + "," + up} { // a comma passes 404 and 410 on, and no refusal
			out, err := goRun(list, "get", widget+"@"+version)
			for _, w := range want {
				if err == nil || !strings.Contains(out, w) {
					t.Errorf("%s: %v, without %q: %s", version, err, w, out)
				}
			}
		}
		// A bar passes everything on: who writes it goes round the rules.
		if out, err := goRun(url+"|"+up, "list", "-m", widget+"@"+version); err != nil {
			t.Errorf("%v %s", err, out)
		}
	}
}

// TestToolchainsUnderRules: golang.org/toolchain is judged by the version of go.
func TestToolchainsUnderRules(t *testing.T) {
	t.Parallel()
	u := &upstream{all: map[string][]byte{"/golang.org/toolchain/@v/list": []byte("v0.0.1-go1.24.9.linux-amd64\nv0.0.1-go1.25.3.linux-amd64\nv0.0.1-go1.26rc1.linux-amd64\n")}}
	url, _ := start(t, serve(t, u), func(o *modproxy.Options) {
		o.Policy = &modpolicy.Policy{Rules: []modpolicy.Rule{
			{Name: "old-go", Action: modpolicy.Deny, Modules: modpolicy.Toolchain, Versions: mustVersions(t, "<1.25", "pre-release")},
		}}
	})
	if code, got := get(t, url+"/golang.org/toolchain/@v/list"); code != 200 || got != "v0.0.1-go1.25.3.linux-amd64\n" {
		t.Errorf("%d %q", code, got)
	}
	if code, got := get(t, url+"/golang.org/toolchain/@v/v0.0.1-go1.24.9.linux-amd64.zip"); code != http.StatusForbidden || !strings.Contains(got, "rule old-go") {
		t.Errorf("%d %q", code, got)
	}
}
