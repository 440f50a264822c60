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
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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

	exitApproval = 4 // needs approval or credentials
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
	// ended says that the command took a signal as a wish to end, and did: exit counts.
	ended bool
	// groups order the help of some commands.
	groups groupsOf
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
	if len(args) > 0 && args[0] == launchScript {
		return launch(args[1:], errs)
	}
	ctx, stop := untilSignal()
	defer stop()
	a := &app{in: in, out: out, errs: errs, lang: msg.FromEnvironment()}
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	switch {
	case ctx.Err() != nil && !a.ended:
		fmt.Fprintln(errs, msg.Text(a.lang, "error", msg.Text(a.lang, "interrupted")))
		return signalled(ctx)
	case err != nil:
		if !root.PersistentFlags().Changed("lang") { // cobra stops at an unknown command
			a.langFlag = langIn(args)
		}
		return a.report(unknownCommand(root, err), usageOf(root, args))
	}
	return a.exit
}

// interrupt is the cause of a context that a signal ended.
type interrupt struct{ syscall.Signal }

func (i interrupt) Error() string { return i.String() }

// untilSignal returns a context that the first SIGINT or SIGTERM ends; its cause
// is an [interrupt]. stop must be called.
func untilSignal() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case s := <-signals:
			if number, ok := s.(syscall.Signal); ok {
				cancel(interrupt{number})
			}
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
		<-done
	}
}

// signalled is the exit code of a process that a signal ended: 128+n.
func signalled(ctx context.Context) int {
	var i interrupt
	if errors.As(context.Cause(ctx), &i) {
		return 128 + int(i.Signal)
	}
	return exitError
}

// usageOf names the command whose help answers a wrong call.
func usageOf(root *cobra.Command, args []string) string {
	cmd, _, err := root.Find(args)
	if err != nil {
		cmd = root
	}
	return cmd.CommandPath()
}

// report tells an error and what to do next, on standard error.
func (a *app) report(err error, usage string) int {
	var f *failure
	if lang, err := msg.ParseLang(a.langFlag); err == nil { // where the call failed before the flags were settled
		a.lang = lang
	}
	if !errors.As(err, &f) { // cobra's own complaints are about usage
		f = wrongFlag(err)
	}
	if f.exit == exitUsage && f.hint == "" {
		f.hint, f.hintArgs = "hint.usage", []any{usage}
	}
	fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "error", msg.Text(a.lang, f.key, f.args...)), true))
	if f.hint != "" {
		fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "hint", msg.Text(a.lang, f.hint, f.hintArgs...)), true))
	}
	return f.exit
}

// langIn is the value of --lang in a command line that was not parsed.
func langIn(args []string) string {
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--lang="); ok {
			return value
		}
		if arg == "--lang" && i+1 < len(args) {
			return args[i+1]
		}
		if arg == "--" {
			break
		}
	}
	return ""
}

// wrongFlag words what cobra has to say of a command line.
func wrongFlag(err error) *failure {
	var unknown *pflag.NotExistError
	var bare *pflag.ValueRequiredError
	var value *pflag.InvalidValueError
	dashed := func(long, short string) string {
		if short != "" {
			return "-" + short
		}
		return "--" + long
	}
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return misused("err.flag", "-"+unknown.GetSpecifiedShortnames())
	case errors.As(err, &unknown):
		return misused("err.flag", "--"+unknown.GetSpecifiedName())
	case errors.As(err, &bare):
		return misused("err.flag.value", dashed(bare.GetSpecifiedName(), bare.GetSpecifiedShortnames()))
	case errors.As(err, &value):
		return misused("err.flag.bad", "--"+value.GetFlag().Name, value.GetValue(), value.GetFlag().Value.Type())
	}
	return misused("err.usage", err)
}

// unknownCommand words cobra's complaint, which has no type.
func unknownCommand(root *cobra.Command, err error) error {
	rest, ok := strings.CutPrefix(err.Error(), "unknown command ")
	if !ok {
		return err
	}
	quoted, quoteErr := strconv.QuotedPrefix(rest)
	if quoteErr != nil {
		return err
	}
	name, _ := strconv.Unquote(quoted) // it is quoted
	return noCommand(root, name)
}

func noCommand(group *cobra.Command, name string) *failure {
	f := misused("err.command", name)
	group.SuggestionsMinimumDistance = 2
	if near := group.SuggestionsFor(name); len(near) > 0 {
		f.hint, f.hintArgs = "faults.suggest", []any{strings.Join(near, ", ")}
	}
	return f
}

// refuseUnknown makes groups of commands refuse what is none of theirs; cobra would show
// the help, as a success.
func refuseUnknown(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		refuseUnknown(c)
	}
	if cmd.HasParent() && cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return noCommand(cmd, args[0])
			}
			return cmd.Help()
		}
	}
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "keepwell",
		Short: "Find out why a dependency download fails, and mend it / 找出依赖下载失败的原因并解决",
		Long: "keepwell finds out why a dependency download fails, says it in one sentence with proof, and says how to mend it.\n" +
			"keepwell 找出依赖下载失败的原因，用一句话说明并给出证据和解决办法。",
		Version:           version(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.settle() },
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.format, "format", "text", "output: text, json, jsonl, sarif, github or junit / 输出格式：text、json、jsonl、sarif、github 或 junit")
	flags.BoolVar(&a.asJSON, "json", false, "the same as --format json / 等同于 --format json")
	flags.StringVar(&a.langFlag, "lang", "", "language: en or zh (default: the locale's) / 语言：en 或 zh（默认取系统语言）")
	flags.StringVar(&a.color, "color", "auto", "colour: auto, always or never / 颜色：auto、always 或 never")
	root.AddCommand(
		newExplainCmd(a),
		newFaultsCmd(a),
		newEnvCmd(a),
		newRouteCmd(a),
		newTraceCmd(a), newVersionsCmd(a),
		newProbeCmd(a),
		newDoctorCmd(a),
		newMirrorsCmd(a),
		newCacheCmd(a),
		newWorkCmd(a),
		newMarksCmd(a),
		newRunCmd(a),
		newProxyCmd(a),
		newBundleCmd(a), newWarmCmd(a),
		newServeCmd(a),
		newPlaybookCmd(a),
	)
	refuseUnknown(root)
	root.InitDefaultHelpFlag() // else `--help --lang zh` takes --lang for the value of --help
	root.InitDefaultVersionFlag()
	a.helpInOneLanguage(root)
	return root
}

// settle checks the flags that all commands share.
func (a *app) settle() error {
	if a.langFlag != "" {
		lang, err := msg.ParseLang(a.langFlag)
		if err != nil {
			return misused("err.lang", a.langFlag)
		}
		a.lang = lang
	}
	if a.asJSON {
		a.format = string(present.JSON)
	}
	if a.color != "auto" && a.color != "always" && a.color != "never" {
		return misused("err.color", a.color)
	}
	if err := present.Format(a.format).Validate(); err != nil {
		return misused("err.format", a.format, names(present.Formats()))
	}
	return nil
}

// misused is a failure of usage; the hint names the command's help.
func misused(key string, args ...any) *failure {
	return &failure{exit: exitUsage, key: key, args: args}
}

// atMostOne is cobra.MaximumNArgs(1) in the reader's language.
func atMostOne(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return misused("err.args", len(args))
	}
	return nil
}

// names joins the values of an enumeration for a message.
func names[T ~string](list []T) string {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = string(v)
	}
	return strings.Join(words, ", ")
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
