package autopilot

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/jobs"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/state"
)

// delivery is what one sender brings.
type delivery struct {
	good    []keepwell.Alert
	of      int // with those that are no alerts
	receipt Receipt
	err     error
	// turn says once that it is stored, or was not (false), or that its sender is to store
	// it, with all that wait (true).
	turn  chan bool
	leads bool
}

// intake joins deliveries that come while others are being stored into one transaction,
// and one job: each commit waits for the disk, and each job is several. One of the
// senders stores for all that wait, and then hands that on.
type intake struct {
	mu      sync.Mutex
	waiting []*delivery
	storing bool
	last    time.Time // when a transaction ended; of who leads
}

const (
	// together is how many alerts are stored in one transaction, if more than one sender
	// brings them.
	together = 500
	// pace is the least time from one transaction to the next: what comes alone is stored
	// at once, and what comes in a stream by the handful, for each transaction costs the
	// disk a write and the machine a job of triage.
	pace = 20 * time.Millisecond
	// storeTime bounds a transaction: whose sender stores may have gone, the others wait.
	storeTime = 30 * time.Second
)

// join takes a delivery in line and tells whether its sender is to store.
func (in *intake) join(d *delivery) (leads bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.waiting = append(in.waiting, d)
	d.leads = !in.storing
	in.storing = true
	return d.leads
}

// take gives out what is stored together. The caller leads.
func (in *intake) take() []*delivery {
	in.mu.Lock()
	defer in.mu.Unlock()
	n, alerts := 0, 0
	for ; n < len(in.waiting) && (n == 0 || alerts+len(in.waiting[n].good) <= together); n++ {
		alerts += len(in.waiting[n].good)
	}
	taken := slices.Clone(in.waiting[:n])
	in.waiting = slices.Delete(in.waiting, 0, n)
	return taken
}

// pass hands on to the next in line.
func (in *intake) pass() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.storing = len(in.waiting) > 0; in.storing {
		in.waiting[0].leads = true
		in.waiting[0].turn <- true
	}
}

// leave takes a delivery out of the line; false: it is being stored, or leads.
func (in *intake) leave(d *delivery) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	i := slices.Index(in.waiting, d)
	if i < 0 || d.leads {
		return false
	}
	in.waiting = slices.Delete(in.waiting, i, i+1)
	return true
}

// Ingest stores alerts, each by itself. When it returns nil, they are on the disk and
// will be dealt with, whatever happens to this process: only then may the sender be told.
// A repeat of what is stored is counted and shows that it still fires.
func (e *Engine) Ingest(ctx context.Context, alerts []keepwell.Alert) (Receipt, error) {
	d := &delivery{good: make([]keepwell.Alert, 0, len(alerts)), of: len(alerts), turn: make(chan bool, 1)}
	for i, a := range alerts {
		if err := a.Validate(); err != nil {
			if d.receipt.Refused == nil {
				d.receipt.Refused = map[int]string{}
			}
			d.receipt.Refused[i] = err.Error()
			continue
		}
		d.good = append(d.good, a)
	}
	leads := e.in.join(d)
	if !leads {
		select {
		case leads = <-d.turn:
		case <-ctx.Done():
			if e.in.leave(d) {
				return Receipt{}, fmt.Errorf("storing %d alerts: %w", len(alerts), ctx.Err())
			}
			leads = <-d.turn
		}
	}
	if leads {
		e.lead(ctx, d)
	}
	if d.err != nil {
		return Receipt{}, fmt.Errorf("storing %d alerts: %w", len(alerts), d.err)
	}
	return d.receipt, nil
}

// lead stores what waits, which begins with own. Its sender alone may give it up.
func (e *Engine) lead(ctx context.Context, own *delivery) {
	defer e.in.pass()
	if wait := pace - time.Since(e.in.last); wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done(): // the transaction says so
		}
	}
	batch := e.in.take()
	defer func() { e.in.last = time.Now() }()
	if len(batch) > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), storeTime)
		defer cancel()
	}
	err := e.storeAlerts(ctx, batch)
	for _, d := range batch {
		if d.err = err; err != nil && len(batch) > 1 {
			d.err = e.storeAlerts(ctx, []*delivery{d}) // one may have spoilt it for the others
		}
		if d != own {
			d.turn <- false
		}
	}
}

// storeAlerts stores deliveries in one transaction.
func (e *Engine) storeAlerts(ctx context.Context, batch []*delivery) error {
	return e.st.Urgent(ctx, func(tx *state.Tx) error {
		var good []keepwell.Alert
		for _, d := range batch {
			good = append(good, d.good...)
		}
		if err := tx.Date(ctx, good); err != nil { // first: it may wait for other nodes
			return err
		}
		for _, d := range batch {
			if err := refused(tx, d); err != nil {
				return err
			}
		}
		puts, err := tx.PutAlerts(ctx, good)
		if err != nil {
			return err
		}
		var fresh []int64
		still := map[int64]bool{}
		for _, d := range batch {
			d.receipt.New, d.receipt.Repeated = 0, 0
			for i, p := range puts[:len(d.good)] {
				switch {
				case p.New:
					d.receipt.New++
					fresh = append(fresh, p.ID)
				case p.Incident != 0 && d.good[i].Status == keepwell.AlertFiring:
					still[p.Incident] = true
				}
			}
			d.receipt.Repeated = len(d.good) - d.receipt.New
			puts = puts[len(d.good):]
		}
		var work []jobs.Job
		for ids := range slices.Chunk(fresh, triageChunk) {
			work = append(work, jobs.Job{Kind: jobTriage, Args: triageArgs{Alerts: ids}})
		}
		for ids := range slices.Chunk(slices.Sorted(maps.Keys(still)), triageChunk) {
			args := triageArgs{Still: ids}
			if args.Closed, err = tx.ResolvedAs(ctx, state.ResolvedByHand, ids...); err != nil {
				return err
			}
			work = append(work, jobs.Job{Kind: jobTriage, Args: args})
		}
		return e.queue.Insert(ctx, tx, work...)
	})
}

// refused writes down what a sender brought that is no alert.
func refused(tx *state.Tx, d *delivery) error {
	if len(d.receipt.Refused) == 0 {
		return nil
	}
	first := slices.Min(slices.Collect(maps.Keys(d.receipt.Refused)))
	return journal.Append(tx, journal.Entry{
		Kind: journal.AlertRefused, Actor: Actor, Why: d.receipt.Refused[first],
		Data: map[string]int{"refused": len(d.receipt.Refused), "of": d.of},
	})
}
