package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/jobs"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

// began is one call of a handler.
type began struct {
	jobs.Task
	n   int
	ctx context.Context
}

type number struct {
	N int `json:"n"`
}

// recorder is a handler that tells of each call and does what it is told.
type recorder struct {
	calls chan began
	do    func(began) error
}

func record(kind string, do func(began) error) (*recorder, jobs.Handler) {
	r := &recorder{calls: make(chan began, 1000), do: do}
	return r, jobs.Handler{Kind: kind, Retry: func(int) time.Duration { return 0 }, Do: func(ctx context.Context, t *jobs.Task) error {
		var n number
		if err := t.Args(&n); err != nil {
			return err
		}
		b := began{Task: *t, n: n.N, ctx: ctx}
		r.calls <- b
		if r.do == nil {
			return nil
		}
		return r.do(b)
	}}
}

// next waits for calls.
func (r *recorder) next(t *testing.T, n int) (calls []began) {
	t.Helper()
	for range n {
		select {
		case c := <-r.calls:
			calls = append(calls, c)
		case <-time.After(time.Minute):
			t.Fatalf("only %d of %d jobs began", len(calls), n)
		}
	}
	return calls
}

func start(t *testing.T, st *state.State, handlers ...jobs.Handler) *jobs.Queue {
	t.Helper()
	q, err := jobs.Open(t.Context(), st, jobs.Options{}, handlers...)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, q) })
	return q
}

func stop(t *testing.T, q *jobs.Queue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := q.Stop(ctx); err != nil {
		t.Errorf("stopping: %v", err)
	}
}

func insert(t *testing.T, st *state.State, q *jobs.Queue, many ...jobs.Job) {
	t.Helper()
	if err := st.Tx(t.Context(), func(tx *state.Tx) error { return q.Insert(t.Context(), tx, many...) }); err != nil {
		t.Fatal(err)
	}
}

// left counts what is not completed.
func left(t *testing.T, st *state.State) (n int64, all string) {
	t.Helper()
	counts, err := st.JobCounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range counts {
		n += c.Count
	}
	return n, fmt.Sprint(counts)
}

func TestInsertAndRun(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := statetest.Open(t, o)
		r, h := record("step", nil)
		other, g := record("notify", nil)
		q := start(t, st, h, g)
		broken := errors.New("broken")
		err := st.Tx(t.Context(), func(tx *state.Tx) error {
			return errors.Join(q.Insert(t.Context(), tx, jobs.Job{Kind: "step", Args: number{-1}}), broken)
		})
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		var many []jobs.Job
		for i := range 50 {
			many = append(many, jobs.Job{Kind: "step", Args: number{i}})
		}
		insert(t, st, q, append(many, jobs.Job{Kind: "notify", Args: number{7}})...)
		insert(t, st, q)
		var got []int
		for _, c := range r.next(t, 50) {
			got = append(got, c.n)
			if _, ok := c.ctx.Deadline(); !ok || c.Kind != "step" || c.Attempt != 1 || c.Last || c.Inserted.IsZero() {
				t.Errorf("%+v", c.Task)
			}
		}
		slices.Sort(got)
		if got = slices.Compact(got); len(got) != 50 || got[0] != 0 || got[49] != 49 {
			t.Error(got)
		}
		if c := other.next(t, 1); c[0].n != 7 {
			t.Error(c)
		}
		stop(t, q)
		if n, all := left(t, st); n != 0 {
			t.Error(all)
		}
		if len(r.calls) != 0 {
			t.Error("something ran twice")
		}
	})
}

func TestUnique(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := statetest.Open(t, o)
		release := make(chan struct{})
		r, h := record("step", func(began) error { <-release; return nil })
		q := start(t, st, h)
		job := jobs.Job{Kind: "step", Args: number{1}, Unique: "a"}
		insert(t, st, q, job, job)
		r.next(t, 1)
		other, twice := job, job
		other.Unique, twice.Args = "b", number{2}
		insert(t, st, q, twice) // other arguments, same name: it runs
		insert(t, st, q, other)
		if c := r.next(t, 1); c[0].n != 1 {
			t.Error(c)
		}
		close(release)
		stop(t, q)
		q = start(t, st, h)
		insert(t, st, q, twice) // nothing of that name is unfinished
		if c := r.next(t, 1); c[0].n != 2 {
			t.Error(c)
		}
		stop(t, q)
		if n, all := left(t, st); n != 0 || len(r.calls) != 0 {
			t.Error(all, len(r.calls))
		}
	})
}

func TestAt(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := statetest.Open(t, o)
		r, h := record("step", nil)
		q := start(t, st, h)
		at := time.Now().Add(700 * time.Millisecond)
		insert(t, st, q, jobs.Job{Kind: "step", Args: number{2}, At: at}, jobs.Job{Kind: "step", Args: number{3}, At: time.Now().Add(time.Hour)}, jobs.Job{Kind: "step", Args: number{1}})
		calls := r.next(t, 2)
		if now := time.Now(); calls[0].n != 1 || calls[1].n != 2 || now.Before(at) {
			t.Errorf("%v, %v early", calls, at.Sub(now))
		}
		// River looks at what is scheduled every 5 s; what is due before is not left to that.
		insert(t, st, q, jobs.Job{Kind: "later", Args: number{4}, At: time.Now().Add(5 * time.Second)}, jobs.Job{Kind: "later", Args: number{5}, At: time.Now().Add(time.Minute)})
		if _, all := left(t, st); !strings.Contains(all, "{later available 1} {later scheduled 1}") {
			t.Error(all)
		}
		t.Logf("%s: %v after it was due", st.Kind(), time.Since(at).Round(time.Millisecond))
		stop(t, q)
		if n, all := left(t, st); n != 3 {
			t.Error(all)
		}
	})
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := statetest.Open(t, o)
		broken := errors.New("broken")
		var q *jobs.Queue
		var again atomic.Bool
		r, h := record("step", func(b began) error {
			switch b.n {
			case 1: // fails twice
				if b.Attempt < 3 {
					return broken
				}
			case 2:
				return jobs.Never(broken)
			case 3:
				if again.CompareAndSwap(false, true) {
					return jobs.Later(0)
				}
			case 4:
				<-b.ctx.Done() // its time is over
				return b.ctx.Err()
			case 5: // completed together with what it did
				if err := st.Tx(b.ctx, func(tx *state.Tx) error {
					if err := tx.SetSetting(b.ctx, "effect", "made"); err != nil {
						return err
					}
					if err := b.Complete(b.ctx, tx); err != nil {
						return err
					}
					return q.Insert(b.ctx, tx, jobs.Job{Kind: "step", Args: number{6}, Unique: "x"})
				}); err != nil {
					return err
				}
				return broken // too late to matter
			case 7:
				panic("broken")
			case 8: // a rolled back completion is none
				if b.Attempt == 1 {
					_ = st.Tx(b.ctx, func(tx *state.Tx) error { return errors.Join(b.Complete(b.ctx, tx), broken) })
					return broken
				}
			}
			return nil
		})
		h.Timeout = 2 * time.Second
		q, err := jobs.Open(t.Context(), st, jobs.Options{}, h)
		if err != nil {
			t.Fatal(err)
		}
		insert(t, st, q, jobs.Job{Kind: "step", Args: number{1}}, jobs.Job{Kind: "step", Args: number{2}}, jobs.Job{Kind: "step", Args: number{3}},
			jobs.Job{Kind: "step", Args: number{4}, Attempts: 1}, jobs.Job{Kind: "step", Args: number{5}, Unique: "x"}, jobs.Job{Kind: "step", Args: number{7}, Attempts: 1}, jobs.Job{Kind: "step", Args: number{8}})
		if err := q.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := map[int]int{1: 3, 2: 1, 3: 2, 4: 1, 5: 1, 6: 1, 7: 1, 8: 2}
		got, last := map[int]int{}, map[int]bool{}
		for _, c := range r.next(t, 12) {
			got[c.n]++
			last[c.n] = c.Last
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || !last[4] || last[1] {
			t.Errorf("%v, want %v; last %v", got, want, last)
		}
		stop(t, q)
		if n, all := left(t, st); n != 2 || !strings.Contains(all, "discarded 2") { // those of one attempt
			t.Error(all)
		}
		if v, _, _ := st.Setting(t.Context(), "effect"); v != "made" {
			t.Error("the effect of a completed job is gone")
		}
	})
}

func TestWorkers(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := statetest.Open(t, o)
		var running, most atomic.Int64
		three := make(chan struct{})
		var once sync.Once
		r, h := record("step", func(began) error {
			now := running.Add(1)
			defer running.Add(-1)
			for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
			}
			if now == 3 {
				once.Do(func() { close(three) })
			}
			<-three
			return nil
		})
		h.Workers = 3
		q := start(t, st, h)
		var many []jobs.Job
		for i := range 30 {
			many = append(many, jobs.Job{Kind: "step", Args: number{i}})
		}
		insert(t, st, q, many...)
		r.next(t, 30)
		if most.Load() != 3 {
			t.Errorf("%d at once", most.Load())
		}
	})
}

// TestStop: what runs is waited for; after that it is cancelled and runs again.
func TestStop(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		st := statetest.Open(t, o)
		release := make(chan struct{})
		var again atomic.Bool
		r, h := record("step", func(b began) error {
			if b.n == 1 {
				<-release
				return nil
			}
			if again.CompareAndSwap(false, true) {
				<-b.ctx.Done()
			}
			return b.ctx.Err()
		})
		q := start(t, st, h)
		insert(t, st, q, jobs.Job{Kind: "step", Args: number{1}})
		r.next(t, 1)
		stopped := make(chan struct{})
		go func() { defer close(stopped); stop(t, q) }()
		close(release)
		<-stopped
		if n, all := left(t, st); n != 0 {
			t.Error("not waited for", all)
		}
		q = start(t, st, h)
		insert(t, st, q, jobs.Job{Kind: "step", Args: number{2}})
		r.next(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := q.Stop(ctx); err != nil {
			t.Error(err)
		}
		if n, all := left(t, st); n != 1 || strings.Contains(all, "running") {
			t.Error("lost or held", all)
		}
		q = start(t, st, h)
		if c := r.next(t, 1); c[0].n != 2 || c[0].Last {
			t.Error(c)
		}
		stop(t, q)
		nodes, err := st.Nodes(t.Context(), true)
		if err != nil || len(nodes) != 3 || nodes[0].Gone.IsZero() {
			t.Errorf("%+v %v", nodes, err)
		}
	})
}

// TestOneProcess: a SQLite file is worked on by one.
func TestOneProcess(t *testing.T) {
	t.Parallel()
	o := state.Options{Dir: t.TempDir()}
	_, h := record("step", nil)
	q := start(t, statetest.Open(t, o), h)
	other, err := jobs.Open(t.Context(), statetest.Open(t, o), jobs.Options{}, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(t.Context()); !errors.Is(err, state.ErrHeld) {
		t.Errorf("%v", err)
	}
	stop(t, q)
	if err := other.Start(t.Context()); err != nil {
		t.Error(err)
	}
	stop(t, other)
}

// TestCutOff: a node whose lock's connection breaks stops what it is doing, and works
// again once it has the lock.
func TestCutOff(t *testing.T) {
	t.Parallel()
	st := statetest.Open(t, state.Options{Database: statetest.PostgreSQL(t)})
	r, h := record("step", func(b began) error {
		if b.Attempt == 1 {
			<-b.ctx.Done()
		}
		return b.ctx.Err()
	})
	q := start(t, st, h)
	insert(t, st, q, jobs.Job{Kind: "step", Args: number{1}})
	r.next(t, 1)
	if err := st.Tx(t.Context(), func(tx *state.Tx) error {
		_, err := tx.SQL.ExecContext(t.Context(), "SELECT pg_terminate_backend(l.pid) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.classid = 1818850917 AND l.objid::bigint = $1 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())", q.Node().ID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if c := r.next(t, 1); c[0].Attempt != 2 {
		t.Errorf("%+v", c)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	st := statetest.Open(t, state.Options{Dir: t.TempDir()})
	_, h := record("step", nil)
	_, bad := record("a kind", nil)
	for name, handlers := range map[string][]jobs.Handler{"twice": {h, h}, "nothing": {{Kind: "x"}}, "name": {bad}} {
		if _, err := jobs.Open(t.Context(), st, jobs.Options{}, handlers...); err == nil {
			t.Errorf("%s passed", name)
		}
	}
	q, err := jobs.Open(t.Context(), st, jobs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Tx(t.Context(), func(tx *state.Tx) error { return q.Insert(t.Context(), tx, jobs.Job{Kind: "x", Args: make(chan int)}) }); err == nil {
		t.Error("a channel became JSON")
	}
}
