package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/diagnose"
	"github.com/keepwell/keepwell/internal/fingerprint"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/normalise"
	"github.com/keepwell/keepwell/internal/present"
)

// memoryLimit is the soft limit of one explanation, in bytes.
const memoryLimit = 40 << 20

type explainOptions struct {
	name    string // "-" is standard input
	context bool
	probe   bool
}

func newExplainCmd(a *app) *cobra.Command {
	var o explainOptions
	cmd := &cobra.Command{
		Use:   "explain [FILE|-]",
		Short: "Name the fault in the output of go, npm, pip or git / 指出 go、npm、pip、git 输出中的故障",
		Long: "explain reads the output of a failed command from a file or from standard input and names the fault,\n" +
			"whose it is, whether a retry helps, the proof, and the mend. It claims nothing for compile errors,\n" +
			"failing tests and panics.",
		Example: "  go mod download 2>&1 | keepwell explain\n  keepwell explain --context build.log\n  keepwell explain --format github ci.log",
		Args:    atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = "-"
			if len(args) == 1 {
				o.name = args[0]
			}
			return runExplain(cmd.Context(), a, o)
		},
	}
	cmd.Flags().BoolVar(&o.context, "context", false, "also use what this machine knows: go env, Go's version, go.mod, git's insteadOf / 同时参考本机信息：go env、Go 版本、go.mod、git 的 insteadOf")
	cmd.Flags().BoolVar(&o.probe, "probe", false, "put what the text leaves open to the server that knows; of servers that no setting names it asks first\n向相关服务器核实文本中无法断定之处；设置里没有提到的服务器会先询问你")
	return cmd
}

func runExplain(ctx context.Context, a *app, o explainOptions) error {
	in, closeInput, err := openInput(a, o.name)
	if err != nil {
		return err
	}
	defer closeInput()
	// The live heap is a few MiB whatever the input; without a limit the collector
	// lets garbage grow to a multiple of it.
	debug.SetMemoryLimit(memoryLimit)
	handler, err := present.New(present.Format(a.format), a.out, a.style())
	if err != nil {
		return err
	}
	var machine *diagnose.Machine
	if o.context || o.probe {
		machine = lookAround(ctx, a)
	}
	show, wipe := progress(a)
	findings, target, err := diagnose.Read(ctx, &interruptible{ctx: ctx, r: in}, fingerprint.Default(), machine, show)
	wipe()
	if err != nil {
		return inputFailure(o.name, err)
	}
	if o.probe {
		if findings, err = settleByProbes(ctx, a, o, findings); err != nil {
			return err
		}
	}
	target.Name = mask.Text(o.name) // a log often lies in somebody's home
	if findings, err = described(a.marked(findings), a.lang); err != nil {
		return err
	}
	addNear(findings, machine, a.lang)
	if err := stream(handler, "explain", target, findings); err != nil {
		return err
	}
	a.exit = exitFor(findings, present.Format(a.format))
	return nil
}

// described are findings put into words.
func described(findings []keepwell.Finding, lang msg.Lang) ([]keepwell.Finding, error) {
	out := slices.Clone(findings)
	for i := range out {
		if err := faults.Describe(&out[i], string(lang)); err != nil {
			return nil, &failure{exit: exitError, key: "err.internal", args: []any{err}, hint: "hint.internal", unwrapped: err}
		}
	}
	return out, nil
}

// emit sends findings, put into words, as one stream of events.
func emit(h keepwell.Handler, command string, target keepwell.Target, findings []keepwell.Finding, lang msg.Lang) error {
	events := []keepwell.Event{keepwell.Started{Command: command, Target: target}}
	for _, f := range findings {
		if err := faults.Describe(&f, string(lang)); err != nil {
			return &failure{exit: exitError, key: "err.internal", args: []any{err}, hint: "hint.internal", unwrapped: err}
		}
		events = append(events, keepwell.Found{Finding: f})
	}
	events = append(events, keepwell.Finished{Target: target})
	for _, e := range events {
		if err := h.Handle(e); err != nil {
			return &failure{exit: exitError, key: "err.write", args: []any{err}, unwrapped: err}
		}
	}
	return nil
}

// exitFor says whether faults count in the exit code: hygiene does not, and
// programs that read JSON look at the findings.
func exitFor(findings []keepwell.Finding, f present.Format) int {
	if f.Machine() {
		return exitFine
	}
	for _, x := range findings {
		if x.Severity != keepwell.SeverityInfo {
			return exitFaults
		}
	}
	return exitFine
}

func openInput(a *app, name string) (io.Reader, func(), error) {
	if name == "-" {
		if _, isTerminal := terminal(a.in); isTerminal {
			fmt.Fprintln(a.errs, msg.Text(a.lang, "waiting"))
		}
		return a.in, func() {}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, &failure{exit: exitError, key: "err.open", args: []any{name, cause(err)}, hint: "hint.open", unwrapped: err}
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, nil, &failure{exit: exitError, key: "err.directory", args: []any{name}, hint: "hint.directory"}
	}
	return f, func() { f.Close() }, nil
}

// cause strips the operation and path that a message already names.
func cause(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func inputFailure(name string, err error) error {
	switch {
	case errors.Is(err, normalise.ErrEmpty):
		return &failure{exit: exitError, key: "err.empty", args: []any{name}, hint: "hint.empty", unwrapped: err}
	case errors.Is(err, normalise.ErrBinary):
		return &failure{exit: exitError, key: "err.binary", args: []any{name}, hint: "hint.binary", unwrapped: err}
	case errors.Is(err, syscall.EISDIR): // `keepwell explain < directory`
		return &failure{exit: exitError, key: "err.directory", args: []any{name}, hint: "hint.directory", unwrapped: err}
	}
	return &failure{exit: exitError, key: "err.read", args: []any{name, cause(err)}, hint: "hint.read", unwrapped: err}
}

// progress returns a function that shows, once a second after the first, how much
// has been read, and one that wipes that away. Where standard error is no terminal
// the first is nil.
func progress(a *app) (show func(int64), wipe func()) {
	if _, ok := terminal(a.errs); !ok {
		return nil, func() {}
	}
	last, shown := time.Now(), false
	show = func(n int64) {
		if time.Since(last) < time.Second {
			return
		}
		last, shown = time.Now(), true
		fmt.Fprintf(a.errs, "\r\x1b[K%s", msg.Text(a.lang, "progress", bytesText(n)))
	}
	return show, func() {
		if shown {
			fmt.Fprintf(a.errs, "\r\x1b[K")
		}
	}
}

// interruptible ends a Read when the context ends: a pipe whose other end is
// silent would keep the process for ever. The Read that is left behind ends with
// the process.
type interruptible struct {
	ctx context.Context //nolint:containedctx // lives as long as one command
	r   io.Reader
	buf []byte
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := context.Cause(i.ctx); err != nil {
		return 0, err
	}
	type result struct {
		n   int
		err error
	}
	if len(i.buf) < len(p) { // of its own: p is the caller's again when the context ends
		i.buf = make([]byte, len(p))
	}
	buf := i.buf[:len(p)]
	done := make(chan result, 1)
	go func() {
		n, err := i.r.Read(buf)
		done <- result{n, err}
	}()
	select {
	case r := <-done:
		return copy(p, buf[:r.n]), r.err
	case <-i.ctx.Done():
		return 0, context.Cause(i.ctx)
	}
}

func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
