// Package browsertest opens pages in a headless Chromium, for tests of what people see. A
// test is skipped where there is none. The browser reaches nothing but the loopback and
// writes down what it complains of: a test that ends with Quiet fails for it.
package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Browser is one tab of a headless Chromium with a profile of its own.
type Browser struct {
	context.Context //nolint:containedctx // chromedp keeps its browser in one

	mu   sync.Mutex
	said []string
	fine []string
}

// New starts Chromium; the test is skipped where there is none. Complaints that
// hold one of fine are what the test is about, and passed over.
func New(t testing.TB, fine ...string) *Browser {
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
	b := &Browser{Context: ctx, fine: fine}
	chromedp.ListenTarget(ctx, b.listen)
	// The first Run starts the browser and must have the context that lasts.
	if err := chromedp.Run(b, network.Enable(), log.Enable(), runtime.Enable()); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *Browser) listen(ev any) {
	switch e := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			b.note("console: %s", e.Args[0].Value)
		}
	case *runtime.EventExceptionThrown:
		b.note("exception: %s", e.ExceptionDetails.Error())
	case *log.EventEntryAdded:
		line := fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		expected := slices.ContainsFunc(b.fine, func(part string) bool { return strings.Contains(line, part) })
		if e.Entry.Level != log.LevelInfo && e.Entry.Level != log.LevelVerbose && !expected {
			b.note("%s", line)
		}
	case *page.EventJavascriptDialogOpening:
		b.note("a dialog: %s", e.Message)
	}
}

func (b *Browser) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said = append(b.said, fmt.Sprintf(format, args...))
}

// patience is how long the actions of one Do may take.
const patience = 30 * time.Second

// Do has the browser do something, in this order, within half a minute.
func (b *Browser) Do(t testing.TB, actions ...chromedp.Action) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		shown := ""
		look, done := context.WithTimeout(b, patience)
		defer done()
		_ = chromedp.Run(look, chromedp.Evaluate(`location.href + "\n" + document.body.innerText`, &shown)) // as far as it can tell
		b.mu.Lock()
		defer b.mu.Unlock()
		t.Fatalf("%v; it said: %v; it shows: %.4000s", err, b.said, shown)
	}
}

// Quiet fails where the browser complained of anything since the last call.
func (b *Browser) Quiet(t testing.TB, where string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.said {
		t.Errorf("%s: %s", where, s)
	}
	b.said = nil
}

// Text is the text of what a CSS selector finds first.
func (b *Browser) Text(t testing.TB, selector string) (s string) {
	t.Helper()
	b.Do(t, chromedp.Text(selector, &s, chromedp.ByQuery))
	return s
}

// Picture writes the whole page as PNG.
func (b *Browser) Picture(t testing.TB, file string) {
	t.Helper()
	var png []byte
	b.Do(t, chromedp.FullScreenshot(&png, 100))
	if err := os.WriteFile(file, png, 0o600); err != nil {
		t.Fatal(err)
	}
}
