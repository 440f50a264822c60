// Package jobs runs work that must not get lost: a job is inserted in the same
// transaction as the rows that it is about, and is run at least once by one of the
// nodes. River does the work underneath, on SQLite as on PostgreSQL; nothing of it shows
// through, so that it can be replaced. The package knows nothing of alerts or playbooks.
//
// # How to use it
//
//	q, err := jobs.Open(ctx, st, jobs.Options{Log: log}, jobs.Handler{Kind: "step", Workers: 20, Timeout: time.Minute, Do: doStep}, …)
//	err = q.Start(ctx)   // takes up at once what a process that died was working on
//	defer q.Stop(ctx)    // waits for what runs, until ctx ends; then cancels it
//
//	err = st.Tx(ctx, func(tx *state.Tx) error { …; return q.Insert(ctx, tx, jobs.Job{Kind: "step", Args: stepArgs, Unique: key}) })
//
// A job is run again after a crash, so Do must tell by what is stored whether its effect
// was made: state.Tx.Intend before, and result, journal, next job and Task.Complete in
// one transaction after it. What Do returns decides: nil ends the job (as Task.Complete
// has done already, if it was called), [Later] runs it again at a time, [Never] gives it
// up, any other error has it tried again after Handler.Retry.
//
// A job waits for nothing: an approval, a cooldown, a "verify in 2 minutes" is a row and
// a job with At. A handler's workers are its own: slow notifications keep no step
// waiting. A job with At begins up to 0.2 s after its time.
//
// # Who is dead
//
// On SQLite one process at a time works (a lock on a file in the data directory); what
// is running when it starts, nobody runs. On PostgreSQL each node holds an advisory lock
// on a connection of its own, which the server lets go when the process ends or, within
// seconds, when its machine is gone. Heartbeats would have to be either slow, or wrong
// about a node that only lacks CPU time. A node that loses its lock cancels what it is
// doing: others take it for dead.
package jobs

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/keepwell/keepwell/internal/state"
)

// Job is one piece of work.
type Job struct {
	// Kind is whose Handler does it.
	Kind string
	// Args are told to it, as JSON.
	Args any
	// Unique, if set, is what at most one unfinished job of the kind has; another with
	// the same is not inserted. A job that runs is unfinished: a step's follower needs
	// another Unique, or Task.Complete before it in the transaction.
	Unique string
	// At is when it is due; zero: at once.
	At time.Time
	// Attempts is how often it is tried; 0: 5. Being interrupted by a crash does not count.
	Attempts int
	// Priority is from 1 (first, and the default) to 4.
	Priority int
}

// Handler does the jobs of a kind.
type Handler struct {
	// Kind is words of a-z and 0-9 joined by _ or -.
	Kind string
	// Workers is how many run at once on this node; 0: 10.
	Workers int
	// Timeout ends the context of a job; 0: a minute.
	Timeout time.Duration
	// Do does it.
	Do func(ctx context.Context, t *Task) error
	// Retry is how long to wait after the n-th failure (from 1); nil: 1 s, doubling, up
	// to 5 minutes.
	Retry func(n int) time.Duration
}

// Task is a job being done.
type Task struct {
	ID   int64
	Kind string
	// Attempt counts from 1: failures and crashes count, Later and a Stop do not.
	Attempt int
	// Last tells that a failure will be final.
	Last bool
	// Inserted is when it came, Due when it was to begin.
	Inserted, Due time.Time

	args json.RawMessage
	done func(context.Context, *state.Tx) error
}

// Args reads what the job was told.
func (t *Task) Args(into any) error {
	if err := json.Unmarshal(t.args, into); err != nil {
		return fmt.Errorf("arguments of job %d (%s): %w", t.ID, t.Kind, err)
	}
	return nil
}

// Complete ends the job in the caller's transaction: with it, a crash after the commit
// does not run the job again. ctx is Do's, or comes from it; Do must return nil then.
func (t *Task) Complete(ctx context.Context, tx *state.Tx) error {
	if err := t.done(ctx, tx); err != nil {
		return fmt.Errorf("completing job %d (%s): %w", t.ID, t.Kind, err)
	}
	return nil
}

// Later has a job run again after d; that uses up no attempt.
func Later(d time.Duration) error { return river.JobSnooze(d) }

// Never gives a job up for the reason err.
func Never(err error) error { return river.JobCancel(err) }

// Options of a queue.
type Options struct {
	// Log takes what goes wrong underneath; nil: nowhere.
	Log *slog.Logger
	// Name of this node for people; "": the host's.
	Name string
	// Cooldown is the least time between two looks for work of a kind; 0: 5 ms.
	Cooldown time.Duration
}

// Queue runs jobs. It is safe for concurrent use.
type Queue struct {
	st     *state.State
	log    *slog.Logger
	client client
	name   string
	kinds  []string
	news   *news // of jobs inserted here
	node   state.Node
	hold   *state.Hold
	stop   context.CancelFunc
	owned  sync.WaitGroup

	mu    sync.Mutex
	lease context.Context //nolint:containedctx // ended when others take this node for dead
	fence context.CancelFunc
}

// payload is how a job lies in the database.
type payload struct {
	Unique string          `json:"unique,omitempty" river:"unique"`
	Args   json.RawMessage `json:"args"`
	kind   string
}

func (p payload) Kind() string { return p.kind }

// Open brings the queue's tables up to date and prepares the handlers. Without Start it
// only inserts.
func Open(ctx context.Context, st *state.State, o Options, handlers ...Handler) (*Queue, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Name == "" {
		o.Name, _ = os.Hostname() // nameless hosts have a random part below
	}
	if o.Cooldown == 0 {
		o.Cooldown = 5 * time.Millisecond
	}
	q := &Queue{st: st, log: o.Log, news: newNews(), name: fmt.Sprintf("%.60s-%s", o.Name, rand.Text()[:12])}
	q.renew()
	config, err := q.config(o, handlers)
	if err != nil {
		return nil, fmt.Errorf("opening the job queue: %w", err)
	}
	if q.client, err = open(ctx, st, config, q.news); err != nil {
		return nil, fmt.Errorf("opening the job queue: %w", err)
	}
	return q, nil
}

// config is what River is told.
func (q *Queue) config(o Options, handlers []Handler) (*river.Config, error) {
	c := &river.Config{
		ID: q.name, Logger: o.Log, MaxAttempts: 5, SkipUnknownJobCheck: true,
		FetchCooldown: o.Cooldown, FetchPollInterval: max(200*time.Millisecond, o.Cooldown),
		// Completed jobs are of no use to anybody: what they did stands in runs and journal.
		CompletedJobRetentionPeriod: 10 * time.Minute,
		CancelledJobRetentionPeriod: 7 * 24 * time.Hour,
		DiscardedJobRetentionPeriod: 7 * 24 * time.Hour,
		RescueStuckJobsAfter:        2 * time.Minute,
	}
	if len(handlers) == 0 {
		return c, nil
	}
	c.Queues, c.Workers = map[string]river.QueueConfig{}, river.NewWorkers()
	for _, h := range handlers {
		if h.Workers == 0 {
			h.Workers = 10
		}
		if h.Timeout == 0 {
			h.Timeout = time.Minute
		}
		if h.Do == nil || slices.Contains(q.kinds, h.Kind) {
			return nil, fmt.Errorf("handler %q does nothing or stands twice", h.Kind)
		}
		q.kinds = append(q.kinds, h.Kind)
		c.Queues[h.Kind] = river.QueueConfig{MaxWorkers: h.Workers}
		river.AddWorkerArgs(c.Workers, payload{kind: h.Kind}, &worker{queue: q, Handler: h})
		// Beyond that a job of this very process hangs in spite of its ended context.
		c.JobTimeout = max(c.JobTimeout, h.Timeout)
		c.RescueStuckJobsAfter = max(c.RescueStuckJobsAfter, 2*h.Timeout)
	}
	return c, nil
}

// Insert inserts jobs in the caller's transaction: they exist when that is committed.
// One whose Unique an unfinished job has is left out without an error.
func (q *Queue) Insert(ctx context.Context, tx *state.Tx, jobs ...Job) error {
	if len(jobs) == 0 {
		return nil
	}
	many := make([]river.InsertManyParams, 0, len(jobs))
	seen := map[[2]string]bool{} // within one call, too
	for _, j := range jobs {
		if name := [2]string{j.Kind, j.Unique}; j.Unique != "" {
			if seen[name] {
				continue
			}
			seen[name] = true
		}
		args, err := json.Marshal(j.Args)
		if err != nil {
			return fmt.Errorf("inserting a job (%s): %w", j.Kind, err)
		}
		opts := &river.InsertOpts{Queue: j.Kind, ScheduledAt: j.At, MaxAttempts: j.Attempts, Priority: j.Priority}
		if j.Unique != "" {
			opts.UniqueOpts = river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
				rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
			}}
		}
		many = append(many, river.InsertManyParams{Args: payload{Unique: j.Unique, Args: args, kind: j.Kind}, InsertOpts: opts})
	}
	if err := q.client.insert(ctx, tx, many); err != nil {
		return fmt.Errorf("inserting %d jobs: %w", len(jobs), err)
	}
	soon := time.Now().Add(state.Imminent)
	if slices.ContainsFunc(jobs, func(j Job) bool { return !j.At.IsZero() && j.At.Before(soon) }) {
		if err := tx.Promote(ctx); err != nil {
			return fmt.Errorf("inserting %d jobs: %w", len(jobs), err)
		}
	}
	tx.AfterCommit(func() {
		for _, j := range jobs {
			q.news.add(j.Kind)
		}
	})
	return nil
}

// Node is this node, after Start.
func (q *Queue) Node() state.Node { return q.node }

// Start takes up what dead processes left and begins to work. ctx bounds the starting
// only.
func (q *Queue) Start(ctx context.Context) error {
	if err := q.start(ctx); err != nil {
		return fmt.Errorf("starting the job queue: %w", err)
	}
	return nil
}

func (q *Queue) start(ctx context.Context) error {
	var err error
	if q.st.Kind() == state.SQLite { // the file's lock comes before everything
		if q.hold, err = q.st.Hold(ctx, 0); err != nil {
			return err
		}
	}
	if err := q.st.Tx(ctx, func(tx *state.Tx) (err error) { q.node, err = tx.AddNode(ctx, q.name); return err }); err != nil {
		return errors.Join(err, q.release(ctx))
	}
	if q.hold == nil {
		if q.hold, err = q.st.Hold(ctx, q.node.ID); err != nil {
			return err
		}
	}
	if err := q.st.Tx(ctx, func(tx *state.Tx) error { return tx.Return(ctx, q.node.ID) }); err != nil {
		return errors.Join(err, q.release(ctx))
	}
	if err := q.bury(ctx); err != nil {
		return errors.Join(err, q.release(ctx))
	}
	live, stop := context.WithCancel(context.WithoutCancel(ctx))
	if len(q.kinds) > 0 {
		if err := q.client.start(live); err != nil {
			stop()
			return errors.Join(err, q.release(ctx))
		}
	}
	q.stop = stop
	q.owned.Go(func() { q.live(live) })
	q.owned.Go(func() { q.watch(live) })
	return nil
}

func (q *Queue) release(ctx context.Context) error {
	if q.hold == nil {
		return nil
	}
	return q.hold.Release(ctx)
}

// Stop takes no more jobs, waits for those that run until ctx ends, cancels them then,
// and lets go. What was cancelled runs again elsewhere or later.
func (q *Queue) Stop(ctx context.Context) error {
	if q.stop == nil {
		return nil
	}
	var err error
	if len(q.kinds) > 0 {
		err = q.client.stop(ctx)
	}
	q.stop()
	q.owned.Wait()
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	gone := q.st.Tx(late, func(tx *state.Tx) error { _, err := tx.Bury(late, q.node); return err })
	return errors.Join(err, gone, q.release(late))
}
