package cli

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/daemon"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/state"
)

type serveOptions struct {
	config   string
	check    bool
	newAdmin string
	flags    *pflag.FlagSet
}

func newServeCmd(a *app) *cobra.Command {
	o := &serveOptions{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer alerts by playbooks: the server / 服务器：按剧本处理告警",
		Long: "serve takes alerts (Alertmanager, Grafana, any JSON), finds out which fault they show, and does what playbooks say,\n" +
			"with a journal of every why. It answers on this machine only, unless the configuration says otherwise. The log goes\n" +
			"to standard error. SIGHUP reads configuration and playbooks anew; so does a change of their files. See docs/serve.md.\n" +
			"接收告警（Alertmanager、Grafana、任意 JSON），识别故障，按剧本处理，并记录每个决定的原因。默认只在本机监听。\n" +
			"日志写到标准错误。SIGHUP 或文件变化会重新读取配置和剧本。见 docs/serve.zh-CN.md。",
		Example: "  keepwell serve --config /etc/keepwell/serve.yaml\n  keepwell serve --data /var/lib/keepwell --playbooks playbooks",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return misused("serve.arguments", args[0])
			}
			return runServe(cmd.Context(), a, o)
		},
	}
	o.flags = cmd.Flags()
	o.flags.StringVar(&o.config, "config", "", "read a `FILE` (docs/serve.md); KEEPWELL_ variables and flags outrank it / 读取配置文件；KEEPWELL_ 环境变量和命令行参数优先")
	o.flags.BoolVar(&o.check, "check", false, "tell what is wrong with the configuration, and end / 只检查配置，然后退出")
	o.flags.StringVar(&o.newAdmin, "new-admin", "", "make an account `NAME` that may do everything, print its password, and end / 创建管理员账号，显示密码，然后退出")
	for _, f := range serveFlags() {
		o.flags.String(flagOf(f.path), "", f.usage)
	}
	cmd.AddCommand(newServePeople(a)...)
	return cmd
}

// serveFlags are the keys of the configuration that have a flag.
func serveFlags() []struct{ path, usage string } {
	return []struct{ path, usage string }{
		{"listen", "listen at this `ADDRESS` and port (default 127.0.0.1:9620) / 监听的地址和端口（默认 127.0.0.1:9620）"},
		{"data", "keep the data in this `DIR` / 数据目录"},
		{"database", "keep it in PostgreSQL, at this `URL` (postgres://…) / 使用 PostgreSQL（postgres://…）"},
		{"playbooks.dir", "take the playbooks of this `DIR` / 剧本目录"},
		{"log", "write the log in this `FORM`: json or text / 日志格式：json 或 text"},
	}
}

func flagOf(path string) string {
	if path == "playbooks.dir" {
		return "playbooks"
	}
	return path
}

// source is where the configuration comes from.
func (o *serveOptions) source() daemon.Source {
	s := daemon.Source{File: o.config, Environ: os.Environ(), Flags: map[string]string{}}
	for _, known := range serveFlags() {
		if f := o.flags.Lookup(flagOf(known.path)); f != nil && f.Changed {
			s.Flags[known.path] = f.Value.String()
		}
	}
	return s
}

func runServe(ctx context.Context, a *app, o *serveOptions) error {
	look := daemon.Load
	if o.check {
		look = daemon.Check
	}
	cfg, err := look(o.source())
	if err != nil {
		return a.badServeConfig(err)
	}
	if o.check {
		fmt.Fprintln(a.out, msg.Text(a.lang, "serve.fine"))
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		return &failure{exit: exitError, key: "serve.start", args: []any{err}, unwrapped: err}
	}
	var form slog.Handler = slog.NewJSONHandler(a.errs, nil)
	if cfg.Log == "text" {
		form = slog.NewTextHandler(a.errs, nil)
	}
	d, err := daemon.New(ctx, daemon.Options{
		Source: o.source(), Lang: a.lang, Log: slog.New(form), Version: version(), Launcher: []string{program, launchScript}, Mounts: a.serveMounts(), Doctor: a.examine,
	})
	if err != nil {
		return a.badServeConfig(err)
	}
	if o.newAdmin != "" {
		return errors.Join(a.addAdmin(ctx, d, o.newAdmin), d.Stop(context.WithoutCancel(ctx)))
	}
	if err := d.Start(ctx); err != nil {
		return a.badServeConfig(err)
	}
	scheme := map[bool]string{true: "https", false: "http"}[d.Secure()]
	fmt.Fprintln(a.errs, msg.Text(a.lang, "serve.ready", scheme+"://"+d.Addr().String(), d.Database()))
	select {
	case <-ctx.Done():
		err = nil
	case err = <-d.Ended():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.Grace())
	defer cancel()
	if err := errors.Join(err, d.Stop(end)); err != nil {
		return &failure{exit: exitError, key: "serve.stop", args: []any{err}, unwrapped: err}
	}
	a.ended = true // a service ends by a signal: that is no failure
	return nil
}

// badServeConfig tells problems a line each, and other errors in one.
func (a *app) badServeConfig(err error) error {
	problems, ok := errors.AsType[daemon.ConfigErrors](err)
	if !ok {
		return &failure{exit: exitError, key: "serve.start", args: []any{err}, unwrapped: err}
	}
	lines := bufio.NewWriter(a.errs)
	for _, p := range problems {
		fmt.Fprintln(lines, present.Visible(p.In(a.lang), true))
	}
	if err := lines.Flush(); err != nil {
		return shown(a, err)
	}
	return &failure{exit: exitUsage, key: "serve.wrong", args: []any{len(problems)}, hint: "hint.serve.wrong", unwrapped: err}
}

func (a *app) addAdmin(ctx context.Context, d *daemon.Daemon, name string) error {
	password := rand.Text()
	if _, err := d.Door().AddUser(ctx, "cli", name, access.Admin, password); err != nil {
		words := wordsOf(a.lang, err)
		if errors.Is(err, state.ErrConflict) {
			words = msg.Text(a.lang, "people.taken")
		}
		return &failure{exit: exitError, key: "serve.noadmin", args: []any{words}, unwrapped: err}
	}
	_, err := fmt.Fprintf(a.out, "%s\n  %s\n", msg.Text(a.lang, "serve.admin", name), password)
	return err
}
