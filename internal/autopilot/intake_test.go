package autopilot

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/state"
)

type nobody struct{}

func (nobody) Classify(context.Context, keepwell.Alert) (Class, error) { return Class{}, nil }

// TestTogether holds the only writer, so that senders wait, and looks at what was made of
// them: one transaction with one job, answers of their own, nothing of who gave up.
func TestTogether(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	st, err := state.Open(ctx, state.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	e, err := Open(ctx, st, Options{Classifier: nobody{}, Compile: func(string) (*Program, error) { return &Program{}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	alert := func(i int) keepwell.Alert {
		return keepwell.Alert{Fingerprint: fmt.Sprint(i), Status: keepwell.AlertFiring, StartsAt: time.Unix(1, 0), Labels: map[string]string{"alertname": "A"}}
	}
	inLine := func(n int) {
		for {
			e.in.mu.Lock()
			there := e.in.storing && len(e.in.waiting) == n
			e.in.mu.Unlock()
			if there {
				return
			}
			runtime.Gosched()
		}
	}
	const many = 40
	var senders sync.WaitGroup
	receipts, errs := make([]Receipt, many), make([]error, many)
	send := func(ctx context.Context, i int, alerts ...keepwell.Alert) {
		senders.Go(func() { receipts[i], errs[i] = e.Ingest(ctx, alerts) })
	}
	gone, leave := context.WithCancel(ctx)
	err = st.Tx(ctx, func(*state.Tx) error {
		send(ctx, 0, alert(0))
		inLine(0)
		for i := 1; i < many-2; i++ {
			send(ctx, i, alert(i), keepwell.Alert{})
		}
		inLine(many - 3)
		send(ctx, many-2, alert(1)) // what another brings, too
		send(gone, many-1, alert(many))
		inLine(many - 1)
		leave()
		inLine(many - 2)
		return nil
	})
	senders.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if !errors.Is(errs[many-1], context.Canceled) {
		t.Errorf("who gave up was told %v", errs[many-1])
	}
	fresh := 0
	for i := range many - 1 {
		if errs[i] != nil {
			t.Errorf("sender %d: %v", i, errs[i])
		}
		if receipts[i].New+receipts[i].Repeated != 1 || (i > 0 && i < many-2) != (len(receipts[i].Refused) == 1) {
			t.Errorf("sender %d was told %+v", i, receipts[i])
		}
		fresh += receipts[i].New
	}
	stored, err := st.AlertHistory(ctx, time.Unix(0, 0), time.Now().Add(time.Hour), state.StoredAlert{}, 1000)
	if err != nil || len(stored) != many-2 || fresh != many-2 {
		t.Errorf("%d stored, %d told as new, %d sent: %v", len(stored), fresh, many-2, err)
	}
	work, err := st.JobCounts(ctx)
	if err != nil || len(work) != 1 || work[0].Kind != jobTriage || work[0].Count != 2 {
		t.Errorf("jobs %+v: %v; want one of who came first and one of all others", work, err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // an error blocks nobody
		if _, err := e.Ingest(ctx, []keepwell.Alert{alert(100)}); err == nil {
			t.Error("stored in a closed database")
		}
	}
}
