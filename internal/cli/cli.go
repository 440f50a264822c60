// Package cli is the command line: one file per command, each an options struct,
// a constructor and a run function. It joins the rooms of the house and holds no
// knowledge of its own. To add a command, write its file and name it in newRoot.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
)

// Exit codes, for every command.
const (
	exitFine   = 0
	exitError  = 1 // could not run
	exitUsage  = 2
	exitFaults = 3 // faults found (0 under --format json|jsonl)
)

// app is what all commands share.
type app struct {
	in        io.Reader
	out, errs io.Writer
	format    string
	asJSON    bool
	langFlag  string
	color     string
	lang      msg.Lang
	exit      int
}

// failure is an error in the reader's language with a hint and an exit code.
type failure struct {
	exit      int
	key       string
	args      []any
	hint      string
	hintArgs  []any
	unwrapped error
}

func (f *failure) Error() string { return msg.Text(msg.EN, f.key, f.args...) }
func (f *failure) Unwrap() error { return f.unwrapped }

// Main runs one command line and returns the exit code. in, out and errs stand
// for the process's standard streams.
func Main(args []string, in io.Reader, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{in: in, out: out, errs: errs, lang: msg.FromEnvironment()}
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(errs, msg.Text(a.lang, "error", msg.Text(a.lang, "interrupted")))
		return 128 + int(syscall.SIGINT)
	case err != nil:
		return a.report(err)
	}
	return a.exit
}

// report tells an error and what to do next, on standard error.
func (a *app) report(err error) int {
	var f *failure
	if !errors.As(err, &f) { // cobra's own complaints are about usage
		f = &failure{exit: exitUsage, key: "err.usage", args: []any{err}, hint: "hint.usage", hintArgs: []any{""}}
	}
	fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "error", msg.Text(a.lang, f.key, f.args...)), true))
	if f.hint != "" {
		fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "hint", msg.Text(a.lang, f.hint, f.hintArgs...)), true))
	}
	return f.exit
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "keepwell",
		Short: "Find out why a dependency download fails, and mend it",
		Long: "keepwell finds out why a dependency download fails, says it in one sentence with proof, and says how to mend it.\n" +
			"keepwell 找出依赖下载失败的原因，用一句话说明并给出证据和解决办法。",
		Version:           version(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.settle() },
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.format, "format", "text", "output: text, json, jsonl, sarif, github or junit")
	flags.BoolVar(&a.asJSON, "json", false, "the same as --format json")
	flags.StringVar(&a.langFlag, "lang", "", "language: en or zh (default: the locale's)")
	flags.StringVar(&a.color, "color", "auto", "colour: auto, always or never")
	root.AddCommand(newExplainCmd(a), newFaultsCmd(a))
	return root
}

// settle checks the flags that all commands share.
func (a *app) settle() error {
	if a.langFlag != "" {
		lang, err := msg.ParseLang(a.langFlag)
		if err != nil {
			return err
		}
		a.lang = lang
	}
	if a.asJSON {
		a.format = string(present.JSON)
	}
	if a.color != "auto" && a.color != "always" && a.color != "never" {
		return fmt.Errorf("--color %q is none of auto, always, never", a.color)
	}
	return present.Format(a.format).Validate()
}

// style decides how text looks on the standard output.
func (a *app) style() present.Style {
	s := present.Style{Lang: a.lang, Width: 80, Version: version()}
	fd, isTerminal := terminal(a.out)
	if isTerminal {
		if w, _, err := term.GetSize(fd); err == nil && w > 20 {
			s.Width = min(w, 120)
		}
	}
	s.Color = a.color == "always" || a.color == "auto" && isTerminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return s
}

func terminal(stream any) (fd int, ok bool) {
	f, isFile := stream.(*os.File)
	if !isFile {
		return 0, false
	}
	return int(f.Fd()), term.IsTerminal(int(f.Fd()))
}

// version reads what the Go command stamped into the binary.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
