package web_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/state"
)

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// browser is a headless Chromium that writes down what it complains of.
type browser struct {
	context.Context //nolint:containedctx // chromedp keeps its browser in one

	mu   sync.Mutex
	said []string
}

// newBrowser starts Chromium; the test is skipped where there is none.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium (on Debian: apt-get install chromium fonts-noto-cjk)")
	}
	// Not t.TempDir: helpers of the browser write for a moment after it has ended, and
	// that must not fail the test.
	profile, err := os.MkdirTemp("", "keepwell-browser") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(profile) })
	opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"), chromedp.UserDataDir(profile), chromedp.WSURLReadTimeout(time.Minute))
	alloc, stop := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	ctx, late := context.WithTimeout(ctx, 8*time.Minute)
	t.Cleanup(late)
	b := &browser{Context: ctx}
	note := func(format string, args ...any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.said = append(b.said, fmt.Sprintf(format, args...))
	}
	chromedp.ListenTarget(ctx, func(ev any) {
		switch e := ev.(type) {
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
				note("console: %s", e.Args[0].Value)
			}
		case *runtime.EventExceptionThrown:
			note("exception: %s", e.ExceptionDetails.Error())
		case *log.EventEntryAdded:
			// The page of what is not there answers 404, and that is what it is for.
			if e.Entry.Level != log.LevelInfo && e.Entry.Level != log.LevelVerbose && !strings.HasSuffix(e.Entry.URL, "/nothing/here") {
				note("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
			}
		case *page.EventJavascriptDialogOpening:
			note("a dialog: %s", e.Message)
		}
	})
	b.do(t, network.Enable(), log.Enable(), runtime.Enable())
	return b
}

func (b *browser) do(t *testing.T, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(b, actions...); err != nil {
		t.Fatalf("%v; it said: %v", err, b.said)
	}
}

// quiet fails where the browser complained of anything.
func (b *browser) quiet(t *testing.T, where string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.said {
		t.Errorf("%s: %s", where, s)
	}
	b.said = nil
}

func (b *browser) login(t *testing.T, d *demo, name string) {
	t.Helper()
	b.do(t, chromedp.Navigate(d.URL+"/login"), chromedp.SendKeys(`input[name=name]`, name), chromedp.SendKeys(`input[name=password]`, password),
		chromedp.Click(`button.main`), chromedp.WaitVisible(`nav[aria-label]`))
}

func (b *browser) text(t *testing.T, selector string) (s string) {
	t.Helper()
	b.do(t, chromedp.Text(selector, &s, chromedp.ByQuery))
	return s
}

func (b *browser) picture(t *testing.T, file string) {
	t.Helper()
	var png []byte
	b.do(t, chromedp.FullScreenshot(&png, 100))
	if err := os.WriteFile(file, png, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestBrowser goes the ways that people go.
func TestBrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	d := newDemo(t, state.Options{Dir: t.TempDir()}, true)
	b.login(t, d, "ann")
	b.do(t, chromedp.WaitVisible(`.uplot canvas`, chromedp.ByQuery))
	b.quiet(t, "overview")

	// Filters, without a button.
	b.do(t, chromedp.Navigate(d.URL+"/incidents"), chromedp.WaitReady(`#q`), chromedp.SendKeys(`#q`, "312"), chromedp.WaitVisible(`#live .empty`))
	b.do(t, chromedp.Evaluate(`document.querySelector("#q").value = ""`, nil), chromedp.SendKeys(`#q`, "DB-REPLICA"), chromedp.WaitVisible(`//div[@id="live"]//td[text()="db-replica-3"]`), chromedp.WaitNotPresent(`//div[@id="live"]//td[text()="web-07"]`))
	b.quiet(t, "filters")

	// Live: an alert comes, and the page shows it.
	b.do(t, chromedp.Navigate(d.URL+"/incidents?state=open"), chromedp.WaitReady(`#live`))
	if _, err := d.engine.Ingest(t.Context(), []keepwell.Alert{{
		Fingerprint: "new", Status: keepwell.AlertFiring, StartsAt: time.Now(), Source: "alertmanager",
		Labels: map[string]string{"alertname": "New", "code": "ops/slow-queries", "instance": "db-just-now", "severity": "P2"},
	}}); err != nil {
		t.Fatal(err)
	}
	b.do(t, chromedp.WaitVisible(`//div[@id="live"]//td[text()="db-just-now"]`))
	b.quiet(t, "live")

	// Approve, by keys as far as there are any.
	b.do(t, chromedp.KeyEvent("g"), chromedp.KeyEvent("a"), chromedp.WaitVisible(`article form input[name=note]`), chromedp.SendKeys(`article form input[name=note]`, "replica is healthy"),
		chromedp.Click(`button[value=approve]`), chromedp.WaitVisible(`.flash[role=status]`))
	if got := b.text(t, `.flash[role=status]`); !strings.Contains(got, "Approved") {
		t.Error(got)
	}
	b.quiet(t, "approve")

	// Language and light.
	b.do(t, chromedp.Click(`.bar button[value=zh]`), chromedp.WaitVisible(`html[lang=zh-CN] h1`))
	if got := b.text(t, `h1`); got != "审批" {
		t.Error(got)
	}
	var before, after string
	ground := `getComputedStyle(document.body).color`
	b.do(t, chromedp.Click(`.bar button[value=light]`), chromedp.WaitVisible(`html[data-theme=light] h1`), chromedp.Evaluate(ground, &before),
		chromedp.Click(`.bar button[value=dark]`), chromedp.WaitVisible(`html[data-theme=dark] h1`), chromedp.Evaluate(ground, &after))
	if before == after {
		t.Errorf("dark is %s, as light is", after)
	}

	// What an alert says runs nowhere.
	var title string
	b.do(t, chromedp.Navigate(d.URL+d.paths(t)["incident-unknown"]), chromedp.WaitReady(`#live`), chromedp.Title(&title))
	if title == "owned" {
		t.Error("a label of an alert ran as a script")
	}
	// Without scripts everything is still there.
	var rows int
	b.do(t, emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(d.URL+"/incidents?state=open&priority=P0"), chromedp.WaitReady(`#live`),
		emulation.SetScriptExecutionDisabled(false), chromedp.Evaluate(`document.querySelectorAll("#live tbody tr").length`, &rows))
	if rows == 0 {
		t.Error("no incident is listed without scripts")
	}
	b.quiet(t, "the rest")
}

// look is one way to see a page.
type look struct {
	name, lang, theme string
	width             int64
	axe               bool // contrast differs by light, structure by width, neither by language
}

func looks() []look {
	return []look{
		{"en-light", "en", "light", 1280, true},
		{"zh-dark", "zh", "dark", 1280, true},
		{"zh-light", "zh", "light", 1280, false},
		{"en-dark", "en", "dark", 1280, false},
		{"en-narrow", "en", "light", 390, true},
		{"zh-narrow", "zh", "dark", 390, false},
	}
}

// TestLooks goes through all pages in both languages, in light and dark, wide and narrow:
// nothing is wider than the window, nothing is complained of, and axe finds nothing that
// keeps people out. KEEPWELL_PICTURES names a directory that pictures go to.
func TestLooks(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	d := newDemo(t, state.Options{Dir: t.TempDir()}, true)
	packed, err := os.ReadFile("testdata/axe.min.js.gz")
	if err != nil {
		t.Fatal(err)
	}
	unpack, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	axe, err := io.ReadAll(unpack)
	if err != nil {
		t.Fatal(err)
	}
	pictures := os.Getenv("KEEPWELL_PICTURES")
	paths := d.paths(t)
	b.do(t, emulation.SetDeviceMetricsOverride(1280, 900, 1, false), chromedp.Navigate(d.URL+"/login"), chromedp.WaitVisible(`form.tall`))
	for _, v := range violations(t, b, axe) {
		t.Errorf("login: %s", v)
	}
	if pictures != "" {
		b.picture(t, filepath.Join(pictures, "login.png"))
	}
	b.login(t, d, "root")
	for _, l := range looks() {
		if !l.axe && pictures == "" && l.name != "zh-narrow" {
			continue // nothing is laid out otherwise in them
		}
		b.do(t, emulation.SetDeviceMetricsOverride(l.width, 900, 1, false))
		for field, value := range map[string]string{"kw_lang": l.lang, "kw_theme": l.theme} {
			b.do(t, network.SetCookie(field, value).WithURL(d.URL))
		}
		for _, name := range slices.Sorted(maps.Keys(paths)) {
			where := l.name + " " + name
			var wider int64
			b.do(t, chromedp.Navigate(d.URL+paths[name]), chromedp.WaitReady(`#main`),
				chromedp.Evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &wider))
			if wider > 0 {
				t.Errorf("%s is %d px wider than the window", where, wider)
			}
			b.quiet(t, where)
			if pictures != "" {
				b.picture(t, filepath.Join(pictures, l.name+"-"+name+".png"))
			}
			if l.axe {
				for _, v := range violations(t, b, axe) {
					t.Errorf("%s: %s", where, v)
				}
			}
		}
	}
}

// violations runs axe-core on the page that is shown.
func violations(t *testing.T, b *browser, axe []byte) (list []string) {
	t.Helper()
	var out string
	b.do(t, chromedp.Evaluate(string(axe)+"\n;0", nil), chromedp.Evaluate(`axe.run(document, {resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}).then(r => JSON.stringify(r.violations.map(v => ({id: v.id, help: v.help, at: v.nodes.slice(0, 3).map(n => n.target.join(" ") + ": " + (n.any[0] || n.all[0] || n.none[0] || {message: ""}).message)}))))`,
		&out, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	var found []struct {
		ID, Help string
		At       []string
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatal(err, out)
	}
	for _, v := range found {
		list = append(list, fmt.Sprintf("%s: %s: %s", v.ID, v.Help, strings.Join(v.At, " | ")))
	}
	return list
}
