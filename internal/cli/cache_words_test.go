package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/modcache"
	"github.com/keepwell/keepwell/internal/msg"
)

// TestQuestionsStayVisible: nothing writes over a question while somebody thinks, a plan
// is asked for once, and the next plan again.
func TestQuestionsStayVisible(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var errs bytes.Buffer
		a := &app{errs: &errs, lang: msg.EN}
		reading := &pausable{a: a, far: func() string { return "reading" }}
		asked := 0
		once := &askOnce{while: reading.during, ask: func(context.Context, act.Change) (bool, error) {
			asked++
			errs.WriteString("Do it? ")
			time.Sleep(time.Minute)
			return asked == 1, nil
		}}
		consent := once.consent()
		reading.resume()
		for _, want := range []bool{true, false} {
			once.again()
			for range 3 {
				if yes, err := consent(t.Context(), act.Change{}); yes != want || err != nil {
					t.Errorf("said %v, %v", yes, err)
				}
			}
		}
		if got := errs.String(); got != "Do it? Do it? " {
			t.Errorf("while somebody thought: %q", got)
		}
		time.Sleep(90 * time.Second)
		reading.pause()
		if !strings.Contains(errs.String(), "reading\n") {
			t.Errorf("then: %q", errs.String())
		}
		if (&askOnce{}).consent() != nil {
			t.Error("somebody is asked where there is nobody")
		}
	})
}

// TestRepairThatStops says how what it did is taken back, whatever stopped it.
func TestRepairThatStops(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		exit int
		says string
	}{
		"declined": {act.ErrDeclined, exitApproval, "The rest stays as it is.\n"},
		"broken":   {errors.New("go is gone"), 0, ""},
		"nobody":   {act.ErrNeedsApproval, 0, ""},
	} {
		var out, errs bytes.Buffer
		a := &app{out: &out, errs: &errs, lang: msg.EN, format: "text"}
		err := a.repairBroken(modcache.Cache{Dir: "/mod"}, &modcache.Repaired{Operations: []int{3, 4}}, c.err)
		if (err == nil) != (c.exit != 0) || a.exit != c.exit || errs.String() != c.says || !strings.Contains(out.String(), "keepwell cache repair --undo=4; keepwell cache repair --undo=3") {
			t.Errorf("%s: %v, exit %d, said %q and %q", name, err, a.exit, out.String(), errs.String())
		}
	}
}

// TestGoSaysWhy: go has two shapes for why a module did not come.
func TestGoSaysWhy(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		`{"Error":"no such host"}`: "no such host", `{"Error":{"Err":"no such version"}}`: "no such version", `{}`: "", `{"Error":null}`: "",
	} {
		var m struct{ Error goError }
		if err := json.Unmarshal([]byte(data), &m); err != nil || string(m.Error) != want {
			t.Errorf("%s: %q, %v", data, m.Error, err)
		}
	}
}
