package web_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/web/browsertest"
)

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

func login(t *testing.T, b *browsertest.Browser, d *demo, name string) {
	t.Helper()
	b.Do(t, chromedp.Navigate(d.URL+"/login"), chromedp.SendKeys(`input[name=name]`, name), chromedp.SendKeys(`input[name=password]`, password),
		chromedp.Click(`button.main`), chromedp.WaitVisible(`nav[aria-label]`))
}

// TestBrowser goes the ways that people go.
func TestBrowser(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, "/nothing/here") // its page answers 404, and that is what it is for
	d := newDemo(t, state.Options{Dir: t.TempDir()}, true)
	login(t, b, d, "ann")
	b.Do(t, chromedp.WaitVisible(`.uplot canvas`, chromedp.ByQuery))
	b.Quiet(t, "overview")

	// Filters, without a button.
	b.Do(t, chromedp.Navigate(d.URL+"/incidents"), chromedp.WaitReady(`#q`), chromedp.SendKeys(`#q`, "312"), chromedp.WaitVisible(`#live .empty`))
	b.Do(t, chromedp.Evaluate(`document.querySelector("#q").value = ""`, nil), chromedp.SendKeys(`#q`, "DB-REPLICA"), chromedp.WaitVisible(`//div[@id="live"]//td[text()="db-replica-3"]`), chromedp.WaitNotPresent(`//div[@id="live"]//td[text()="web-07"]`))
	b.Quiet(t, "filters")

	// Live: an alert comes, and the page shows it.
	b.Do(t, chromedp.Navigate(d.URL+"/incidents?state=open"), chromedp.WaitReady(`#live`))
	if _, err := d.engine.Ingest(t.Context(), []keepwell.Alert{{
		Fingerprint: "new", Status: keepwell.AlertFiring, StartsAt: time.Now(), Source: "alertmanager",
		Labels: map[string]string{"alertname": "New", "code": "ops/slow-queries", "instance": "db-just-now", "severity": "P2"},
	}}); err != nil {
		t.Fatal(err)
	}
	b.Do(t, chromedp.WaitVisible(`//div[@id="live"]//td[text()="db-just-now"]`))
	b.Quiet(t, "live")

	// Approve, by keys as far as there are any.
	b.Do(t, chromedp.KeyEvent("g"), chromedp.KeyEvent("a"), chromedp.WaitVisible(`article form input[name=note]`), chromedp.SendKeys(`article form input[name=note]`, "replica is healthy"),
		chromedp.Click(`button[value=approve]`), chromedp.WaitVisible(`.flash[role=status]`))
	if got := b.Text(t, `.flash[role=status]`); !strings.Contains(got, "Approved") {
		t.Error(got)
	}
	b.Quiet(t, "approve")

	// Language and light.
	b.Do(t, chromedp.Click(`.bar button[value=zh]`), chromedp.WaitVisible(`html[lang=zh-CN] h1`))
	if got := b.Text(t, `h1`); got != "审批" {
		t.Error(got)
	}
	var before, after string
	ground := `getComputedStyle(document.body).color`
	b.Do(t, chromedp.Click(`.bar button[value=light]`), chromedp.WaitVisible(`html[data-theme=light] h1`), chromedp.Evaluate(ground, &before),
		chromedp.Click(`.bar button[value=dark]`), chromedp.WaitVisible(`html[data-theme=dark] h1`), chromedp.Evaluate(ground, &after))
	if before == after {
		t.Errorf("dark is %s, as light is", after)
	}

	// What an alert says runs nowhere.
	var title string
	b.Do(t, chromedp.Navigate(d.URL+d.paths(t)["incident-unknown"]), chromedp.WaitReady(`#live`), chromedp.Title(&title))
	if title == "owned" {
		t.Error("a label of an alert ran as a script")
	}
	// Without scripts everything is still there.
	var rows int
	b.Do(t, emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(d.URL+"/incidents?state=open&priority=P0"), chromedp.WaitReady(`#live`),
		emulation.SetScriptExecutionDisabled(false), chromedp.Evaluate(`document.querySelectorAll("#live tbody tr").length`, &rows))
	if rows == 0 {
		t.Error("no incident is listed without scripts")
	}
	b.Quiet(t, "the rest")
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
	b := browsertest.New(t, "/nothing/here") // its page answers 404, and that is what it is for
	d := newDemo(t, state.Options{Dir: t.TempDir()}, true)
	axe := readAxe(t)
	pictures := os.Getenv("KEEPWELL_PICTURES")
	paths := d.paths(t)
	paths["run"] = fmt.Sprintf("/runs/%d", d.alone(t))
	b.Do(t, emulation.SetDeviceMetricsOverride(390, 900, 1, false), network.SetCookie("kw_lang", "zh").WithURL(d.URL), network.SetCookie("kw_theme", "dark").WithURL(d.URL), chromedp.Navigate(d.URL+"/login"), chromedp.WaitVisible(`form.tall`))
	if pictures != "" {
		b.Picture(t, filepath.Join(pictures, "zh-narrow-login.png"))
	}
	b.Do(t, network.SetCookie("kw_lang", "en").WithURL(d.URL), network.SetCookie("kw_theme", "light").WithURL(d.URL),
		emulation.SetDeviceMetricsOverride(1280, 900, 1, false), chromedp.Navigate(d.URL+"/login"), chromedp.WaitVisible(`form.tall`))
	for _, v := range violations(t, b, axe) {
		t.Errorf("login: %s", v)
	}
	if pictures != "" {
		b.Picture(t, filepath.Join(pictures, "login.png"))
	}
	login(t, b, d, "root")
	for _, l := range looks() {
		if !l.axe && pictures == "" && l.name != "zh-narrow" {
			continue // nothing is laid out otherwise in them
		}
		b.Do(t, emulation.SetDeviceMetricsOverride(l.width, 900, 1, false))
		for field, value := range map[string]string{"kw_lang": l.lang, "kw_theme": l.theme} {
			b.Do(t, network.SetCookie(field, value).WithURL(d.URL))
		}
		for _, name := range slices.Sorted(maps.Keys(paths)) {
			where := l.name + " " + name
			var wider int64
			b.Do(t, chromedp.Navigate(d.URL+paths[name]), chromedp.WaitReady(`#main`),
				chromedp.Evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &wider))
			if wider > 0 {
				t.Errorf("%s is %d px wider than the window", where, wider)
			}
			b.Quiet(t, where)
			if pictures != "" {
				b.Picture(t, filepath.Join(pictures, l.name+"-"+name+".png"))
			}
			if l.axe {
				for _, v := range violations(t, b, axe) {
					t.Errorf("%s: %s", where, v)
				}
			}
		}
	}
}

// TestLooksOfNothing: what a new server shows says why there is nothing, fits a phone, and
// keeps nobody out.
func TestLooksOfNothing(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t)
	d := newDemo(t, state.Options{Dir: t.TempDir()}, false)
	login(t, b, d, "vic")
	pictures := os.Getenv("KEEPWELL_PICTURES")
	axe := readAxe(t)
	for _, l := range looks()[4:] {
		b.Do(t, emulation.SetDeviceMetricsOverride(l.width, 900, 1, false), network.SetCookie("kw_lang", l.lang).WithURL(d.URL), network.SetCookie("kw_theme", l.theme).WithURL(d.URL))
		for _, name := range []string{"", "incidents", "approvals", "playbooks", "journal?kind=mute.set", "settings"} {
			var wider int64
			var said string
			b.Do(t, chromedp.Navigate(d.URL+"/"+name), chromedp.WaitReady(`#main`), chromedp.Evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &wider),
				chromedp.Evaluate(`(document.querySelector("#main .empty, #main pre") || {}).textContent || ""`, &said))
			if wider > 0 || said == "" {
				t.Errorf("%s /%s: %d px too wide, says %q", l.name, name, wider, said)
			}
			for _, v := range violations(t, b, axe) {
				t.Errorf("%s /%s: %s", l.name, name, v)
			}
			b.Quiet(t, l.name+" /"+name)
			if pictures != "" {
				b.Picture(t, filepath.Join(pictures, l.name+"-empty-"+strings.Split(cmp.Or(name, "overview"), "?")[0]+".png"))
			}
		}
	}
}

// TestNarrowTables: on a phone, no cell of a table of things lies beyond the edge, each says
// which column it is of, and what scrolls has a shade there.
func TestNarrowTables(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t)
	d := newDemo(t, state.Options{Dir: t.TempDir()}, true)
	login(t, b, d, "root")
	b.Do(t, emulation.SetDeviceMetricsOverride(390, 900, 1, false))
	paths := d.paths(t)
	delete(paths, "nothing")
	paths["run"] = fmt.Sprintf("/runs/%d", d.alone(t))
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		var beyond []string
		b.Do(t, chromedp.Navigate(d.URL+paths[name]), chromedp.WaitReady(`#main`), chromedp.Evaluate(`[...document.querySelectorAll(".scroll > table.named")].flatMap((t) =>
			[...t.querySelectorAll("tbody td")].filter((c) => c.offsetParent && (c.getBoundingClientRect().right > innerWidth || !c.dataset.name && !c.querySelector("form") && c.textContent.trim())).map((c) => c.textContent.trim()))`, &beyond))
		if len(beyond) > 0 {
			t.Errorf("%s: %q", name, beyond)
		}
		b.Quiet(t, name)
	}
	var scrolls bool
	var shade string
	b.Do(t, chromedp.Navigate(d.URL+"/"), chromedp.WaitReady(`#ttr-table`), chromedp.Evaluate(`document.querySelector("#ttr-table").open = true; const s = document.querySelector("#ttr-table .scroll"); s.scrollWidth > s.clientWidth`, &scrolls),
		chromedp.Evaluate(`getComputedStyle(s).backgroundAttachment`, &shade))
	if !scrolls || !strings.Contains(shade, "local") {
		t.Errorf("the table of figures: scrolls %t, %q", scrolls, shade)
	}
}

// TestKeyboard: whoever has no mouse gets to the content at once and to each control, sees
// where they are, and hears what it is.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t)
	d := newDemo(t, state.Options{Dir: t.TempDir()}, true)
	login(t, b, d, "root")
	var at string
	where := `document.activeElement.id || document.activeElement.className`
	b.Do(t, emulation.SetDeviceMetricsOverride(1280, 900, 1, false), chromedp.Navigate(d.URL+"/incidents"), chromedp.WaitReady(`#q`), chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(where, &at))
	if at != "skip" {
		t.Errorf("the first stop is %q", at)
	}
	b.Do(t, chromedp.KeyEvent(kb.Enter), chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(where, &at))
	if at != "q" {
		t.Errorf("after skipping the menu: %q", at)
	}
	for _, path := range []string{"/settings", d.paths(t)["incident-human"]} {
		var controls int
		b.Do(t, chromedp.Navigate(d.URL+path), chromedp.WaitReady(`#main`), chromedp.Evaluate(`document.querySelectorAll("main :is(a[href], button, input:not([type=hidden]):not([tabindex]), select, summary)").length`, &controls))
		reached := 0
		for range 200 {
			var stop struct {
				Out, Control, Seen bool
				Name, HTML         string
			}
			b.Do(t, chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(`(() => {
				const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
				return { out: e === document.body || !!e.closest("footer"), control: !!e.closest("main") && e.matches("a, button, input, select, summary"),
					seen: s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0 && r.bottom > 0 && r.top < innerHeight,
					name: (e.getAttribute("aria-label") || [...(e.labels || [])].map((l) => l.textContent).join() || e.textContent).trim(), html: e.outerHTML.slice(0, 120) };
			})()`, &stop))
			if stop.Out {
				break
			}
			if stop.Control {
				reached++
			}
			if !stop.Seen || stop.Name == "" {
				t.Errorf("%s: at %s: seen %t, called %q", path, stop.HTML, stop.Seen, stop.Name)
			}
		}
		if reached < controls || controls == 0 {
			t.Errorf("%s: %d of %d controls are reached", path, reached, controls)
		}
	}
}

// alone makes a run of no incident, as a person starts one.
func (d *demo) alone(t *testing.T) int64 {
	t.Helper()
	var id int64
	err := d.st.Tx(t.Context(), func(tx *state.Tx) error {
		run, _, err := tx.StartRun(t.Context(), state.Run{Playbook: "redis-memory", Asset: "redis-01:6379", Mode: "manual", Unique: "alone", Reason: "to see it"})
		if err != nil {
			return err
		}
		id = run.ID
		return errors.Join(tx.MoveRun(t.Context(), id, state.RunRunning, ""), tx.AddStep(t.Context(), state.Step{StepKey: state.StepKey{Run: id, Attempt: 1}, Name: "evict", Action: "run_script", Status: state.StepPending}))
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func readAxe(t *testing.T) []byte {
	t.Helper()
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
	return axe
}

// violations runs axe-core on the page that is shown.
func violations(t *testing.T, b *browsertest.Browser, axe []byte) (list []string) {
	t.Helper()
	var out string
	b.Do(t, chromedp.Evaluate(string(axe)+"\n;0", nil), chromedp.Evaluate(`axe.run(document, {resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}).then(r => JSON.stringify(r.violations.map(v => ({id: v.id, help: v.help, at: v.nodes.slice(0, 3).map(n => n.target.join(" ") + ": " + (n.any[0] || n.all[0] || n.none[0] || {message: ""}).message)}))))`,
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
