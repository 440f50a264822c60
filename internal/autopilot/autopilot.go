// Package autopilot is the engine: alerts become incidents, incidents are decided upon,
// decisions become runs of steps, and runs are verified, undone or handed to a person.
// Every decision and effect stands in the journal with its reason, also why nothing was
// done. It knows no payloads, no playbook language and no actions: those come in as
// [Classifier], [Program] and [Action].
//
// # How to use it
//
//	e, err := autopilot.Open(ctx, st, autopilot.Options{Classifier: c, Compile: compile, …})
//	err = e.Start(ctx)             // takes up what was going on
//	receipt, err := e.Ingest(ctx, alerts) // nil: on the disk; now answer 202
//	err = e.Stop(ctx)
//
// # How it goes
//
// Each hand-over is rows and a job in one transaction (internal/state, internal/jobs):
//
//	Ingest  -> alerts, job triage
//	triage  -> incidents, decisions, runs with their first step, job step
//	step    -> intent; the effect; result, journal, next job step, or verify
//	verify  -> run ended; breaker, cooldown, undo, job recheck where the fault goes on
//
// A step whose intent is stored and whose result is not was interrupted. An idempotent
// one is made again as the next attempt. Any other is unknown: a [Prober] is asked, and
// without one, or where it cannot tell, the run ends in state human. It is never made
// again blindly. What waits (approvals, verify, cooldowns) waits as rows and jobs with a
// time; no worker waits for it.
//
// Cooldowns, breakers, limits and mutes are rows: they hold across restarts and nodes.
// Decisions of one playbook are made one after the other on all nodes.
package autopilot

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/keepwell/keepwell/internal/jobs"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
)

// Actor is who the engine is in the journal.
const Actor = "keepwell"

// Escalation hands something to a person.
type Escalation struct {
	Incident int64      `json:"incident,omitempty"`
	Run      int64      `json:"run,omitempty"`
	Why      msg.Reason `json:"why"`
	// To is who is told, of [Options.Receivers]; "": whoever listens.
	To string `json:"to,omitempty"`
}

// Options of an engine.
type Options struct {
	Classifier Classifier
	// Compile makes the program of a playbook's text. It is called once a version.
	Compile func(text string) (*Program, error)
	// Escalate tells people; it may be called again after a crash. nil: the journal alone
	// tells. Receivers, where set, names who is told: Escalate is called for each alone, and
	// again only for those of whom it failed.
	Receivers func() []string
	Escalate  func(ctx context.Context, e Escalation) error
	// EscalateAfter is how long an incident may be open before people are told, once a day;
	// 0: 15 minutes.
	EscalateAfter time.Duration
	// May tells whether who asks in ctx has a role, for approvals that name one; nil: nobody
	// has.
	May func(ctx context.Context, role string) bool
	// Describe says for people what an action of a kind would do with an input, and why it
	// could not; nil: approvals show the input alone. It has no effect.
	Describe func(kind string, input json.RawMessage) (does []msg.Reason, fault msg.Reason)
	// MaxRuns is how many runs of all playbooks may begin within an hour; 0: no limit.
	MaxRuns int64
	// Workers is how many steps run at once on this node; 0: 20.
	Workers int
	Jobs    jobs.Options
	// Began and Ended, where set, are told of runs, once that is durable; for logs.
	Began, Ended func(state.Run)
	// More are handlers of the server's own that share the queue.
	More []jobs.Handler
	// BeforeEffect and AfterEffect, where set, are told of effects; for tests and metrics.
	BeforeEffect, AfterEffect func(state.StepKey)
}

// Engine is the autopilot. It is safe for concurrent use.
type Engine struct {
	st    *state.State
	o     Options
	queue *jobs.Queue
	in    intake

	mu       sync.Mutex
	programs map[string]*compiled // by version
}

type compiled struct {
	program *Program
	err     error
}

// Open prepares an engine. Without Start it takes alerts, and does nothing about them.
func Open(ctx context.Context, st *state.State, o Options) (*Engine, error) {
	if o.Classifier == nil || o.Compile == nil {
		return nil, errors.New("opening the autopilot: no classifier or no compiler")
	}
	o.EscalateAfter = or(o.EscalateAfter, 15*time.Minute)
	o.Workers = or(o.Workers, 20)
	if o.Jobs.Log == nil {
		o.Jobs.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{st: st, o: o, programs: map[string]*compiled{}}
	var err error
	e.queue, err = jobs.Open(ctx, st, o.Jobs, append(e.handlers(), o.More...)...)
	return e, err
}

const (
	jobTriage   = "triage"
	jobStep     = "step"
	jobRecheck  = "recheck"
	jobVerify   = "verify"
	jobExpire   = "expire"
	jobOverdue  = "overdue"
	jobEscalate = "escalate"
	jobRelease  = "release"
)

func (e *Engine) handlers() []jobs.Handler {
	return []jobs.Handler{
		{Kind: jobTriage, Workers: 2, Do: e.triage},
		{Kind: jobStep, Workers: e.o.Workers, Timeout: longest + 5*time.Minute, Do: e.step},
		{Kind: jobRecheck, Workers: 2, Do: e.recheck},
		{Kind: jobVerify, Workers: 5, Timeout: longest + 5*time.Minute, Do: e.verify},
		{Kind: jobExpire, Workers: 1, Do: e.expire},
		{Kind: jobOverdue, Workers: 1, Do: e.overdue},
		{Kind: jobEscalate, Workers: 2, Do: e.escalated},
		{Kind: jobRelease, Workers: 1, Do: e.release},
	}
}

// Queue is the job queue, for jobs of the server's own.
func (e *Engine) Queue() *jobs.Queue { return e.queue }

// Start begins to work, first on what was left.
func (e *Engine) Start(ctx context.Context) error { return e.queue.Start(ctx) }

// Stop takes up nothing new and waits for the effects being made until ctx ends.
func (e *Engine) Stop(ctx context.Context) error { return e.queue.Stop(ctx) }

// program compiles a text, once a version.
func (e *Engine) program(version, text string) (*Program, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.programs[version]
	if c == nil {
		c = &compiled{}
		if c.program, c.err = e.o.Compile(text); c.err == nil {
			c.err = c.program.check()
		}
		e.programs[version] = c
	}
	return c.program, c.err
}

// programOf is the program of a run, in the version it was started with.
func (e *Engine) programOf(ctx context.Context, r state.Reader, run state.Run) (*Program, error) {
	e.mu.Lock()
	c := e.programs[run.Version]
	e.mu.Unlock()
	if c != nil {
		return c.program, c.err
	}
	p, err := r.Playbook(ctx, run.Playbook, run.Version)
	if err != nil {
		return nil, err
	}
	return e.program(p.Version, p.Text)
}
