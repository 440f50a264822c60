// Package daemon is `keepwell serve`: it opens the database, joins alerts, fingerprints,
// playbooks, actions, people and pages to one engine, serves them at one address, takes
// changes of its files while it runs, and ends gracefully. It is the only place that
// joins things, and knows nothing of its own about what they do.
//
//	d, err := daemon.New(ctx, daemon.Options{Source: …})
//	err = d.Start(ctx)    // listens and works; d.Addr() says where
//	err = d.Reload(ctx)   // configuration and playbooks, as on SIGHUP
//	err = d.Stop(ctx)     // requests and effects may end until ctx does
//
// A new key of the configuration is a field in config.go; a new way for alerts to come in
// is an entry in hooks.go; a job of the server's own, one in care.go.
package daemon

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/actions"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/classify"
	"github.com/keepwell/keepwell/internal/daemon/wire"
	"github.com/keepwell/keepwell/internal/jobs"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/playbook"
	"github.com/keepwell/keepwell/internal/proc"
	"github.com/keepwell/keepwell/internal/server"
	"github.com/keepwell/keepwell/internal/state"
)

// Parts are what handlers of others are made of.
type Parts struct {
	State      *state.State
	Engine     *autopilot.Engine
	Door       *access.Door
	Classifier autopilot.Classifier
	Compile    func(text string) (*autopilot.Program, error)
	Conditions playbook.Compiler
	Library    *classify.Library
	Trust      journal.Trust
	// Stopping is closed when the end begins.
	Stopping <-chan struct{}
	Config   *Config
	Log      *slog.Logger
	// Dir is the data directory.
	Dir string
	// AtEnd has something done when the server has ended, last first.
	AtEnd func(func(context.Context) error)
}

// Options of a daemon.
type Options struct {
	Source  Source
	Lang    msg.Lang
	Log     *slog.Logger
	Version string
	// Launcher starts scripts within their limits; see [actions.Scripts].
	Launcher []string
	// Doctor examines why a module cannot be had, for the action doctor; nil: there is none.
	Doctor func(ctx context.Context, target string) (actions.Examination, error)
	// Mounts make handlers by the prefix of their paths, such as "/api/"; they are called
	// once, by New, and their routes say whom they let in.
	Mounts map[string]func(context.Context, Parts) (http.Handler, error)
	// alone: for one run, and nobody sends alerts; see [Once].
	alone bool
}

// Daemon is a server.
type Daemon struct {
	o    Options
	log  *slog.Logger
	st   *state.State
	door *access.Door
	eng  *autopilot.Engine
	lib  *classify.Library
	key  journal.Key
	dir  string
	// instance is what outside systems know this server by, with all its nodes.
	instance string
	// keepers start scripts.
	keepers *proc.Keepers
	// live is what may change while it runs.
	live     atomic.Pointer[live]
	programs wire.Programs
	class    *wire.Classifier
	metrics  *metrics
	cert     *server.Certificate
	handler  http.Handler
	ln       net.Listener
	stopping chan struct{}
	halt     func()
	ended    chan error
	// undo is what ends what was begun, last first.
	undo    []func(context.Context) error
	loading sync.Mutex
	working atomic.Bool
	ready   readiness
}

// live is a configuration with what is made of it.
type live struct {
	*Config
	secrets func(string) (string, error)
	set     *actions.Set
}

// New opens everything and checks it; nothing works yet. What is wrong with the
// configuration is told as [ConfigErrors].
func New(ctx context.Context, o Options) (*Daemon, error) {
	cfg, err := Load(o.Source)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &Daemon{o: o, log: o.Log, stopping: make(chan struct{}), ended: make(chan error, 1)}
	if err = d.open(ctx, cfg); err == nil {
		err = d.mount(ctx, cfg)
	}
	if err != nil {
		return nil, errors.Join(err, d.unwind(context.WithoutCancel(ctx)))
	}
	return d, nil
}

func (d *Daemon) enliven(cfg *Config) {
	l := &live{Config: cfg, secrets: secretsOf(cfg, d.o.Source.Environ)}
	l.set = actions.New(cfg.actions(around{l.secrets, d.o.Launcher, d.keepers, d.o.Lang, d.instance, d.o.Doctor}))
	d.live.Store(l)
}

// open opens the database and makes the engine.
func (d *Daemon) open(ctx context.Context, cfg *Config) (err error) {
	where, err := StateOptions(cfg, d.o.Source.Environ)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(where.Dir, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	if d.st, err = state.Open(ctx, where); err != nil {
		return errors.New(mask.Text(err.Error()))
	}
	d.undo = append(d.undo, func(context.Context) error { return d.st.Close() })
	if d.instance, err = instance(ctx, d.st); err != nil {
		return err
	}
	if d.keepers = actions.NewKeepers(d.o.Launcher); d.keepers != nil {
		d.undo = append(d.undo, func(context.Context) error {
			d.keepers.Close()
			return nil
		})
	}
	d.enliven(cfg)
	if d.key, err = journal.OpenKey(filepath.Join(where.Dir, journal.KeyFile)); err != nil {
		return err
	}
	if d.lib, err = classify.Default(); err != nil {
		return err
	}
	if cfg.Fingerprints != "" {
		if d.lib, err = d.lib.With(os.DirFS(cfg.Fingerprints)); err != nil {
			return errors.New(classify.ErrorWords(err, d.o.Lang))
		}
	}
	d.dir = where.Dir
	d.programs = wire.Programs{Actions: func() *actions.Set { return d.live.Load().set }, Firing: d.st.Firing, Alone: d.o.alone}
	d.class = &wire.Classifier{Library: d.lib, Metrics: questions{d}, Lang: d.o.Lang, Failed: func(err error) {
		if d.live.Load().Prometheus != "" {
			d.log.Warn("metrics were not asked", "error", mask.Text(err.Error()))
		}
	}}
	d.metrics = newMetrics(d)
	opts := cfg.door(func(name string) (string, error) { return d.live.Load().secrets(name) })
	opts.Log = d.log
	if d.door, err = access.Open(d.st, opts); err != nil {
		return err
	}
	escalate := d.escalate
	if d.o.alone {
		escalate = nil
	}
	d.eng, err = autopilot.Open(ctx, d.st, autopilot.Options{
		Classifier: d.class, Compile: d.programs.Compile, Describe: d.programs.Describe, Escalate: escalate, Receivers: func() []string { return d.live.Load().Escalate.To }, May: may, EscalateAfter: cfg.Escalate.After,
		MaxRuns: cfg.MaxRuns, Workers: int(cfg.Workers), Jobs: jobs.Options{Log: slog.New(grave{d.log.Handler()})}, More: d.care(),
		AfterEffect: func(state.StepKey) { d.metrics.effects.Inc() },
		Began:       func(r state.Run) { d.log.Info("a run began", told(r)...) },
		Ended:       func(r state.Run) { d.log.Info("a run ended", append(told(r), "state", string(r.State))...) },
	})
	return err
}

// may tells whether who asks, through whichever door, has a role.
func may(ctx context.Context, role string) bool {
	p, ok := access.From(ctx)
	return ok && p.May(access.ScopeAPI, access.Role(role))
}

// told is what the log says of a run; the journal says all. The asset is foreign text.
func told(r state.Run) []any {
	asset := strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return unicode.ReplacementChar
		}
		return c
	}, clip(mask.Text(r.Asset)))
	return []any{"run", r.ID, "playbook", r.Playbook, "mode", r.Mode, "incident", r.Incident, "asset", asset}
}

// grave drops what is no warning: the queue tells of every migration.
type grave struct{ slog.Handler }

func (g grave) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && g.Handler.Enabled(ctx, l)
}

func (g grave) WithAttrs(attrs []slog.Attr) slog.Handler { return grave{g.Handler.WithAttrs(attrs)} }
func (g grave) WithGroup(name string) slog.Handler       { return grave{g.Handler.WithGroup(name)} }

// questions asks the Prometheus of the configuration; where there is none, nothing holds.
type questions struct{ d *Daemon }

func (q questions) Holds(ctx context.Context, promql string, at time.Time) (bool, error) {
	return q.d.live.Load().set.Holds(ctx, promql, at)
}

func (d *Daemon) mount(ctx context.Context, cfg *Config) error {
	if cfg.TLS.Cert != "" {
		var err error
		if d.cert, err = server.NewCertificate(cfg.TLS.Cert, cfg.TLS.Key); err != nil {
			return fmt.Errorf("reading the certificate: %w", err)
		}
		d.cert.Warn(d.log, time.Now())
	}
	mux := http.NewServeMux()
	for _, r := range d.routes() {
		mux.Handle(r.pattern, r.handler)
	}
	parts := Parts{
		State: d.st, Engine: d.eng, Door: d.door, Classifier: d.class, Compile: d.programs.Compile, Conditions: wire.Conditions(), Library: d.lib,
		Trust: d.trust(cfg), Stopping: d.stopping, Config: cfg, Log: d.log, Dir: d.dir, AtEnd: func(f func(context.Context) error) { d.undo = append(d.undo, f) },
	}
	for _, prefix := range slices.Sorted(maps.Keys(d.o.Mounts)) {
		h, err := d.o.Mounts[prefix](ctx, parts)
		if err != nil {
			return fmt.Errorf("making %s: %w", prefix, err)
		}
		if h != nil {
			mux.Handle(prefix, h)
		}
	}
	d.handler = d.hosts(d.door.Handler(mux))
	return nil
}

// Start begins to work and listens. ctx bounds the starting only.
func (d *Daemon) Start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, d.unwind(context.WithoutCancel(ctx)))
		}
	}()
	cfg := d.live.Load().Config
	if d.ln, err = server.Listen(ctx, cfg.Listen); err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	if beyond(d.ln.Addr().String()) && !beyond(cfg.Listen) && cfg.TLS.Cert == "" && !cfg.Open { // systemd's may be another
		return errors.Join(ConfigErrors{{Key: "serve.notls", Args: []any{d.ln.Addr().String()}}}, d.ln.Close())
	}
	// Closed by the server below, once that has begun.
	closing := d.ln
	begun := false
	d.undo = append(d.undo, func(context.Context) error {
		if begun {
			return nil
		}
		return closing.Close()
	})
	if err := d.eng.Start(ctx); err != nil {
		return err
	}
	d.undo = append(d.undo, d.farewell, d.eng.Stop)
	if d.key, err = journal.Enlist(ctx, d.st, filepath.Join(d.dir, journal.KeyFile), hostname()); err != nil {
		return err
	}
	if err := d.begin(ctx); err != nil {
		return err
	}
	seen := d.look() // before they are read: what changes meanwhile is read again
	if err := d.loadPlaybooks(ctx); err != nil {
		seen = ""
	}
	begun = true
	serving, halt := context.WithCancel(context.WithoutCancel(ctx))
	d.halt = halt
	watch := &server.Watcher{Log: d.log}
	if d.cert != nil {
		watch.Add("certificate", d.cert.Files(), d.cert.Load)
	}
	var work sync.WaitGroup
	work.Go(func() {
		d.ended <- server.Serve(serving, d.ln, server.Options{
			Server:      &http.Server{Handler: d.handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)},
			Certificate: d.cert, Grace: cfg.Grace, Watcher: watch,
			Stopping: func() { d.working.Store(false); close(d.stopping) },
		})
	})
	work.Go(func() { d.follow(serving, seen) })
	d.undo = append(d.undo, func(context.Context) error { halt(); work.Wait(); return nil })
	d.working.Store(true)
	if cfg.plain() {
		d.log.Warn("plain HTTP beyond this machine: whoever is on the way can read passwords, sessions and tokens (hint: set tls; or, where something before keepwell brings TLS, set url to its https:// address)", "listen", cfg.Listen)
	}
	d.log.Info("serving", "address", d.ln.Addr().String(), "database", string(d.st.Kind()), "node", d.eng.Queue().Node().Name)
	return nil
}

// trust says whose signatures of the journal count: this node's own, which it knows from
// its file, and those of others as the configuration says.
func (d *Daemon) trust(cfg *Config) journal.Trust {
	return journal.Trust{Pinned: append([]ed25519.PublicKey{d.key.Public()}, cfg.Journal.pinned...), FirstUse: len(cfg.Journal.pinned) == 0}
}

// hostname is this machine's, for people; "": it has none.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// Addr is where it listens, after Start.
func (d *Daemon) Addr() net.Addr { return d.ln.Addr() }

// Door is where people come in.
func (d *Daemon) Door() *access.Door { return d.door }

// Database tells where the data lies, for people.
func (d *Daemon) Database() string {
	if d.st.Kind() == state.SQLite {
		return "SQLite, " + d.st.Dir()
	}
	return "PostgreSQL"
}

// Secure tells whether it serves TLS.
func (d *Daemon) Secure() bool { return d.cert != nil }

// Grace is how long a Stop may take.
func (d *Daemon) Grace() time.Duration { return d.live.Load().Grace }

// Ended returns what ended the serving, without a Stop.
func (d *Daemon) Ended() <-chan error { return d.ended }

// Stop takes nothing new, waits for requests and effects until ctx ends, and lets go of
// everything.
func (d *Daemon) Stop(ctx context.Context) error { return d.unwind(ctx) }

func (d *Daemon) unwind(ctx context.Context) error {
	var errs []error
	for _, f := range slices.Backward(d.undo) {
		errs = append(errs, f(ctx))
	}
	d.undo = nil
	return errors.Join(errs...)
}

// Reload reads the configuration and the playbooks again. A configuration with problems
// changes nothing.
func (d *Daemon) Reload(ctx context.Context) error {
	d.loading.Lock()
	defer d.loading.Unlock()
	cfg, err := Load(d.o.Source)
	if err != nil {
		return err
	}
	before := d.live.Load().Config
	if keys := needsStart(before, cfg); len(keys) > 0 {
		d.log.Warn("these keys change with the next start only", "keys", keys)
	}
	d.enliven(cfg)
	return d.loadPlaybooks(ctx)
}

// needsStart are the keys that differ and hold from a start to the next.
func needsStart(a, b *Config) (keys []string) {
	for key, differs := range map[string]bool{
		"listen": a.Listen != b.Listen, "open": a.Open != b.Open, "tls": a.TLS != b.TLS, "data": a.Data != b.Data, "database": a.Database != b.Database, "url": a.URL != b.URL, "log": a.Log != b.Log,
		"fingerprints": a.Fingerprints != b.Fingerprints, "escalate.after": a.Escalate.After != b.Escalate.After, "max_runs": a.MaxRuns != b.MaxRuns, "workers": a.Workers != b.Workers,
		"oidc": !reflect.DeepEqual(a.OIDC, b.OIDC), "modules": !reflect.DeepEqual(a.Modules, b.Modules), "journal": !reflect.DeepEqual(a.Journal, b.Journal),
	} {
		if differs {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// instance is the name of the server, which the first of its nodes makes.
func instance(ctx context.Context, st *state.State) (name string, err error) {
	const key = "instance"
	err = st.Tx(ctx, func(tx *state.Tx) error {
		name, err = tx.FirstSetting(ctx, key, strings.ToLower(rand.Text()))
		return err
	})
	return name, err
}

// StateOptions tells which database a configuration means.
func StateOptions(cfg *Config, environ []string) (o state.Options, err error) {
	if o.Dir = cfg.Data; o.Dir == "" {
		if o.Dir, err = dataDir(environ); err != nil {
			return o, err
		}
	}
	o.Database, err = resolve(cfg.Database, secretsOf(cfg, environ))
	return o, err
}

// Actions gives the actions of a configuration, for plans: they make no effects.
func Actions(cfg *Config, environ []string, lang msg.Lang) func() *actions.Set {
	set := actions.New(cfg.actions(around{secrets: secretsOf(cfg, environ), lang: lang, instance: "plan", doctor: func(context.Context, string) (actions.Examination, error) {
		return actions.Examination{}, errors.New("a plan examines nothing")
	}}))
	return func() *actions.Set { return set }
}

// dataDir is where the data lies if nothing says so.
func dataDir(environ []string) (string, error) {
	if dir, _ := lookup(environ, "STATE_DIRECTORY"); dir != "" { // systemd's
		return dir, nil
	}
	if dir, _ := lookup(environ, "XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "keepwell", "serve"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("where the data should lie: %w (hint: --data DIR)", err)
	}
	return filepath.Join(home, ".local", "state", "keepwell", "serve"), nil
}
