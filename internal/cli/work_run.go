package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/proc"
	"github.com/keepwell/keepwell/internal/workspace"
)

type workRunOptions struct {
	sinceOptions
	affected, keepGoing bool
	jobs                int
	command             []string
}

func newWorkRunCmd(a *app) *cobra.Command {
	var o workRunOptions
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARG ...]",
		Short: "Run a command in every module, or every affected one / 在每个（或每个受影响的）模块中运行命令",
		Long: "run runs COMMAND in the directory of each module, modules that others need first, as many at once as -j says. What\n" +
			"each writes is kept together and shown under its name when it ends; with -j 1 it is shown as it comes. After a\n" +
			"failure nothing more begins; with --keep-going all that does not need what failed still runs. The exit code is that\n" +
			"of the first that failed.\n" +
			"run 在每个模块的目录中运行命令，被依赖的模块在前，同时运行的数目由 -j 决定。每个模块的输出保持完整，结束时连同名称\n" +
			"一起显示；-j 1 时实时显示。出现失败后不再启动新的；--keep-going 时，不依赖失败模块的仍会运行。退出码为最先失败者的退出码。",
		Example: "  keepwell work run -- go vet ./...\n  keepwell work run --since origin/main --keep-going -- go test ./...\n  keepwell work run -j 1 -- golangci-lint run",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.command = args
			o.affected = o.affected || cmd.Flags().Changed("since") || cmd.Flags().Changed("committed") || cmd.Flags().Changed("direct")
			return runWorkRun(cmd.Context(), a, o)
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	o.register(cmd)
	flags.BoolVar(&o.affected, "affected", false, "only in modules that a change touches (--since: which) / 只在受改动影响的模块中运行")
	flags.BoolVarP(&o.keepGoing, "keep-going", "k", false, "go on with what does not need what failed / 继续运行不依赖失败模块的模块")
	flags.IntVarP(&o.jobs, "jobs", "j", runtime.GOMAXPROCS(0), "how many at once / 同时运行的数目")
	return cmd
}

// workRunDocument is what `work run` says to programs.
type workRunDocument struct {
	Command string          `json:"command"`
	Root    string          `json:"root"`
	Run     []string        `json:"run"`
	Modules []workRunModule `json:"modules"`
	Cycles  [][]string      `json:"cycles,omitempty"`
	Seconds float64         `json:"seconds"`
	Exit    int             `json:"exit"`
}

type workRunModule struct {
	Dir     string  `json:"dir"`
	Path    string  `json:"path"`
	State   string  `json:"state"`
	Exit    int     `json:"exit"`
	Seconds float64 `json:"seconds"`
	// Because is the module whose failure skipped this one, or after whose failure nothing
	// more began; empty where the whole was stopped.
	Because string `json:"because,omitempty"`
	Error   string `json:"error,omitempty"`
	// Output is what it wrote, up to its last MiB.
	Output string `json:"output"`
}

func runWorkRun(ctx context.Context, a *app, o workRunOptions) error {
	if err := a.onlyTextOrDocument(); err != nil {
		return err
	}
	switch {
	case len(o.command) == 0:
		return misused("err.work.nocommand")
	case o.jobs < 1:
		return misused("err.work.jobs", o.jobs)
	}
	w, layers, err := openWorkspace(ctx)
	if err != nil {
		return err
	}
	modules := w.Modules
	if o.affected {
		found, err := a.affected(ctx, w, layers, o.sinceOptions)
		if err != nil {
			return err
		}
		modules = slices.DeleteFunc(slices.Clone(modules), func(m *workspace.Module) bool {
			return !slices.ContainsFunc(found.Modules, func(f workspace.AffectedModule) bool { return f.Path == m.Path })
		})
	}
	done := a.progress(func() string { return msg.Text(a.lang, "work.reading") })
	defer done()
	graph, err := w.Graph(ctx)
	if err != nil {
		return workFailure(err)
	}
	done()
	if graph.Why != "" {
		a.say("work.run.unlisted", mask.Text(graph.Why))
	}
	order := graph.Order(modules)
	for _, c := range order.Cycles {
		a.say("work.run.cycle", strings.Join(c, ", "))
	}
	return a.runModules(ctx, w, order, o)
}

// runModules runs the command and tells what became of it.
func (a *app) runModules(ctx context.Context, w *workspace.Workspace, order workspace.Ordered, o workRunOptions) error {
	b := &board{a: a, all: len(order.Modules), live: o.jobs == 1 && !a.machine(), outputs: map[string]*spool{}}
	defer b.removeAll()
	cry := newCry()
	r := workspace.Runner{Jobs: o.jobs, KeepGoing: o.keepGoing, Started: b.started, Ended: b.ended}
	r.Do = func(m *workspace.Module) (int, error) {
		f := proc.Followed{Dir: m.Dir, Env: append(os.Environ(), "PWD="+m.Dir), Out: a.out, Errs: a.errs, Group: true}
		if !b.live {
			out, err := b.spool(m)
			if err != nil {
				return 0, err
			}
			f.Out, f.Errs = out.file, out.file
		}
		signals, stop := cry.listen()
		defer stop()
		f.Signals = signals
		return proc.Follow(f, o.command[0], o.command[1:]...)
	}
	begin := time.Now()
	running, stopRunning := context.WithCancel(ctx)
	defer stopRunning()
	cry.start(stopRunning)
	b.show()
	outcomes := r.Run(running, order)
	b.hide()
	last := cry.stop()
	doc := workRunDocument{Command: "work run", Root: w.Root, Run: o.command, Modules: []workRunModule{}, Cycles: order.Cycles, Seconds: time.Since(begin).Seconds(), Exit: b.exit}
	for _, x := range outcomes {
		doc.Modules = append(doc.Modules, b.document(x))
	}
	a.exit = b.exit
	if number, ok := last.(syscall.Signal); ok && ctx.Err() == nil { // one that does not end keepwell by itself
		a.exit, a.ended = signalBase+int(number), true
		doc.Exit = a.exit
	}
	if a.machine() {
		return shown(a, writeDocument(a, doc))
	}
	return shown(a, present.Outline(a.out, a.style(), a.runLines(doc)))
}

// signalBase is added to a signal's number in exit codes.
const signalBase = 128

// runLines is the summary.
func (a *app) runLines(doc workRunDocument) []present.Line {
	count := map[string]int{}
	for _, m := range doc.Modules {
		count[m.State]++
	}
	head := present.Line{Text: msg.Text(a.lang, "work.run.summary", len(doc.Modules), count[workspace.RunOK], count[workspace.RunFailed], count[workspace.RunSkipped]+count[workspace.RunNot], seconds(doc.Seconds)), Tone: present.Bold}
	if len(doc.Modules) == 0 {
		return []present.Line{{Text: msg.Text(a.lang, "work.run.none"), Tone: present.Bold}}
	}
	out := []present.Line{{}, head}
	var rows []present.Row
	for _, m := range doc.Modules {
		how := msg.Text(a.lang, "work.run."+m.State)
		switch m.State {
		case workspace.RunFailed:
			how = msg.Text(a.lang, "work.run.exit", m.Exit)
			if m.Error != "" {
				how = m.Error
			}
		case workspace.RunSkipped:
			how = msg.Text(a.lang, "work.run.because", m.Because)
		case workspace.RunNot:
			if how = msg.Text(a.lang, "work.run.interrupted"); m.Because != "" {
				how = msg.Text(a.lang, "work.run.after", m.Because)
			}
		}
		took := ""
		if m.State == workspace.RunOK || m.State == workspace.RunFailed {
			took = seconds(m.Seconds)
		}
		rows = append(rows, present.Row{Cells: []string{m.Dir, took, how}})
	}
	return append(out, present.Table(a.style(), []present.Column{
		{Title: msg.Text(a.lang, "work.status.dir"), Most: 40}, {Title: msg.Text(a.lang, "work.run.took"), Right: true}, {Title: msg.Text(a.lang, "work.run.how")},
	}, rows)...)
}

func seconds(s float64) string { return fmt.Sprintf("%.1f s", s) }

// cry hands the signals that keepwell gets to all that runs: each has a process group of
// its own, which a terminal's keys do not reach.
type cry struct {
	mu        sync.Mutex
	listeners map[chan os.Signal]bool
	last      os.Signal
	signals   chan os.Signal
	quit      chan struct{}
	work      sync.WaitGroup
}

func newCry() *cry {
	return &cry{listeners: map[chan os.Signal]bool{}, signals: make(chan os.Signal, 8), quit: make(chan struct{})}
}

// start begins to listen; end is called at the first signal that asks to end.
func (c *cry) start(end func()) {
	signal.Notify(c.signals, proc.Passed()...)
	c.work.Go(func() {
		for {
			select {
			case s := <-c.signals:
				c.mu.Lock()
				if ends(s) {
					c.last = s
					end()
				}
				for l := range c.listeners {
					select {
					case l <- s:
					default: // it has not taken the last ones yet
					}
				}
				c.mu.Unlock()
			case <-c.quit:
				return
			}
		}
	})
}

// ends tells the signals that ask a program to end from those that only tell it something.
func ends(s os.Signal) bool {
	switch s {
	case os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT:
		return true
	}
	return false
}

// listen is a channel with all signals from now on; who comes late gets the last that
// asked to end.
func (c *cry) listen() (<-chan os.Signal, func()) {
	l := make(chan os.Signal, 8)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners[l] = true
	if c.last != nil {
		l <- c.last
	}
	return l, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.listeners, l)
	}
}

// stop ends listening and returns the last signal that asked to end; nil none.
func (c *cry) stop() os.Signal {
	signal.Stop(c.signals)
	close(c.quit)
	c.work.Wait()
	return c.last
}

// board shows what runs, and what was written by what has ended.
type board struct {
	a    *app
	all  int
	live bool // outputs are not kept but shown as they come

	mu      sync.Mutex
	outputs map[string]*spool
	running []string
	done    int
	failed  int
	exit    int // of the first that failed
	begin   time.Time
	drawn   bool
	quit    chan struct{}
	work    sync.WaitGroup
}

// spool is the output of a module.
type spool struct{ file *os.File }

func (b *board) spool(m *workspace.Module) (*spool, error) {
	f, err := os.CreateTemp("", "keepwell-output-")
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outputs[m.Dir] = &spool{f}
	return b.outputs[m.Dir], nil
}

func (b *board) removeAll() {
	for _, s := range b.outputs {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
	}
}

func (b *board) started(m *workspace.Module) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running = append(b.running, m.Rel)
	if b.live {
		b.title(m, "work.run.begins")
	}
}

func (b *board) title(m *workspace.Module, key string, args ...any) {
	line := present.Line{Text: msg.Text(b.a.lang, key, append([]any{m.Rel}, args...)...), Tone: present.Bold}
	_ = present.Outline(b.a.out, b.a.style(), []present.Line{line})
}

func (b *board) ended(o workspace.Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running = slices.DeleteFunc(b.running, func(rel string) bool { return rel == o.Module.Rel })
	b.done++
	if o.State == workspace.RunFailed {
		if b.failed++; b.exit == 0 {
			b.exit = exitOf(o)
		}
	}
	if b.live || b.a.machine() || o.State == workspace.RunSkipped || o.State == workspace.RunNot {
		return
	}
	b.clear()
	if o.State == workspace.RunOK {
		b.title(o.Module, "work.run.title.ok", seconds(o.Took.Seconds()))
	} else {
		b.title(o.Module, "work.run.title.failed", exitOf(o), seconds(o.Took.Seconds()))
	}
	if s := b.outputs[o.Module.Dir]; s != nil {
		if _, err := s.file.Seek(0, io.SeekStart); err == nil {
			ends := &lastByte{}
			_, _ = io.Copy(io.MultiWriter(b.a.out, ends), s.file)
			if ends.b != '\n' && ends.b != 0 {
				fmt.Fprintln(b.a.out)
			}
		}
	}
	b.draw()
}

// lastByte remembers the last byte written to it.
type lastByte struct{ b byte }

func (l *lastByte) Write(p []byte) (int, error) {
	if len(p) > 0 {
		l.b = p[len(p)-1]
	}
	return len(p), nil
}

// exitOf is the code of a command, or what a shell would say where there is none.
func exitOf(o workspace.Outcome) int {
	switch {
	case o.Err == nil:
		return o.Exit
	case errors.Is(o.Err, exec.ErrNotFound), errors.Is(o.Err, os.ErrNotExist):
		return exitNotFound
	case errors.Is(o.Err, os.ErrPermission):
		return exitNotExecutable
	}
	return exitError
}

// mostOutput bounds what a document holds of a module's output.
const mostOutput = 1 << 20

func (b *board) document(o workspace.Outcome) workRunModule {
	m := workRunModule{Dir: o.Module.Rel, Path: o.Module.Path, State: o.State, Exit: exitOf(o), Seconds: o.Took.Seconds(), Because: o.Because}
	if o.Err != nil {
		m.Error = mask.Text(o.Err.Error())
	}
	if s := b.outputs[o.Module.Dir]; s != nil && b.a.machine() {
		var text bytes.Buffer
		if size, err := s.file.Seek(0, io.SeekEnd); err == nil {
			_, _ = s.file.Seek(max(0, size-mostOutput), io.SeekStart)
			_, _ = io.Copy(&text, s.file)
		}
		m.Output = strings.ToValidUTF8(text.String(), "�")
	}
	return m
}

// show draws what runs in one line of a terminal, from now until hide.
func (b *board) show() {
	if _, isTerminal := terminal(b.a.errs); !isTerminal || b.live {
		return
	}
	b.begin, b.quit = time.Now(), make(chan struct{})
	b.work.Go(func() {
		tick := time.NewTicker(time.Second / 4)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				b.mu.Lock()
				b.draw()
				b.mu.Unlock()
			case <-b.quit:
				return
			}
		}
	})
}

func (b *board) hide() {
	if b.quit == nil {
		return
	}
	close(b.quit)
	b.work.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
}

func (b *board) clear() {
	if b.drawn {
		fmt.Fprint(b.a.errs, "\r\x1b[K") //nolint:errcheck // the terminal
		b.drawn = false
	}
}

func (b *board) draw() {
	if b.quit == nil {
		return
	}
	width := 80
	if fd, ok := terminal(b.a.errs); ok {
		if w, _, err := term.GetSize(fd); err == nil && w > 0 {
			width = w
		}
	}
	text := meter(b.done, b.all) + " " + msg.Text(b.a.lang, "work.run.progress", b.done, b.all, b.failed, seconds(time.Since(b.begin).Seconds()), strings.Join(b.running, " "))
	fmt.Fprint(b.a.errs, "\r\x1b[K"+runewidth.Truncate(present.Visible(text, true), width-1, "")) //nolint:errcheck // the terminal
	b.drawn = true
}
