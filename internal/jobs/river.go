package jobs

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/keepwell/keepwell/internal/state"
)

// client is River on one of the databases.
type client interface {
	insert(ctx context.Context, tx *state.Tx, many []river.InsertManyParams) error
	complete(ctx context.Context, tx *state.Tx, job *river.Job[payload]) error
	start(ctx context.Context) error
	stop(ctx context.Context) error
}

// engine is River over a driver whose transactions are T.
type engine[T any] struct {
	*river.Client[T]
	// within finds River's kind of transaction in ours.
	within func(*state.Tx) (T, error)
	// finish is river.JobCompleteTx for the driver.
	finish func(context.Context, T, *river.Job[payload]) error
}

// open opens River on the database of st, with its tables up to date.
func open(ctx context.Context, st *state.State, config *river.Config, fresh *news) (client, error) {
	if st.Kind() == state.SQLite {
		return build(ctx, st, riverdriver.Driver[*sql.Tx](prompt{riversqlite.New(st.Writer()), fresh}), config, func(tx *state.Tx) (*sql.Tx, error) { return tx.SQL, nil },
			func(ctx context.Context, tx *sql.Tx, job *river.Job[payload]) error {
				_, err := river.JobCompleteTx[*riversqlite.Driver](ctx, tx, job)
				return err
			})
	}
	return build(ctx, st, riverpgxv5.New(st.Pool()), config, (*state.Tx).Pgx, func(ctx context.Context, tx pgx.Tx, job *river.Job[payload]) error {
		_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
		return err
	})
}

func build[T any](ctx context.Context, st *state.State, driver riverdriver.Driver[T], config *river.Config, within func(*state.Tx) (T, error),
	finish func(context.Context, T, *river.Job[payload]) error,
) (client, error) {
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: config.Logger})
	if err != nil {
		return nil, err
	}
	// One at a time under the schema's lock, each in a transaction of its own: PostgreSQL
	// cannot use a new value of an enumeration in the transaction that makes it.
	for more := true; more; {
		err := st.Tx(ctx, func(tx *state.Tx) error {
			if err := tx.LockSchema(ctx); err != nil {
				return err
			}
			inner, err := within(tx)
			if err != nil {
				return err
			}
			done, err := migrator.MigrateTx(ctx, inner, rivermigrate.DirectionUp, &rivermigrate.MigrateOpts{MaxSteps: 1}) //nolint:staticcheck // one migration a transaction, under the lock
			more = err == nil && len(done.Versions) > 0
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("making its tables: %w", err)
		}
	}
	c, err := river.NewClient(driver, config)
	return &engine[T]{Client: c, within: within, finish: finish}, err
}

func (e *engine[T]) insert(ctx context.Context, tx *state.Tx, many []river.InsertManyParams) error {
	inner, err := e.within(tx)
	if err != nil {
		return err
	}
	_, err = e.InsertManyTx(ctx, inner, many)
	return err
}

func (e *engine[T]) complete(ctx context.Context, tx *state.Tx, job *river.Job[payload]) error {
	inner, err := e.within(tx)
	if err != nil {
		return err
	}
	return e.finish(ctx, inner, job)
}

func (e *engine[T]) start(ctx context.Context) error { return e.Start(ctx) }

func (e *engine[T]) stop(ctx context.Context) error {
	err := e.Stop(ctx)
	if ctx.Err() == nil {
		return err
	}
	const grace = 10 * time.Second // for handlers to see that their context ended
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	return e.StopAndCancel(late)
}

// worker does the jobs of one handler.
type worker struct {
	river.WorkerDefaults[payload]
	queue *Queue
	Handler
}

func (w *worker) Timeout(*river.Job[payload]) time.Duration { return w.Handler.Timeout }

func (w *worker) NextRetry(job *river.Job[payload]) time.Time {
	if w.Retry != nil {
		return time.Now().Add(w.Retry(len(job.Errors) + 1))
	}
	const most = 5 * time.Minute
	return time.Now().Add(min(most, time.Second<<min(len(job.Errors), 20)))
}

func (w *worker) Work(ctx context.Context, job *river.Job[payload]) error {
	ctx, let := w.queue.leased(ctx)
	defer let()
	completed := false
	t := &Task{
		ID: job.ID, Kind: job.Kind, Attempt: job.Attempt, Last: job.Attempt >= job.MaxAttempts, Inserted: job.CreatedAt, Due: job.ScheduledAt, args: job.Args.Args,
		done: func(ctx context.Context, tx *state.Tx) error {
			tx.AfterCommit(func() { completed = true })
			return w.queue.client.complete(ctx, tx, job)
		},
	}
	err := w.Do(ctx, t)
	if completed && err != nil {
		// Its end is on the disk: it must not be tried again.
		w.queue.log.Error("a job failed after it was completed", "kind", t.Kind, "job", t.ID, "error", err)
		return nil
	}
	return err
}
