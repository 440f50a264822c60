package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/daemon"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/state"
)

// newServePeople are the commands about who may use the server. They work on its data,
// whether it runs or not.
func newServePeople(a *app) []*cobra.Command {
	user := &cobra.Command{
		Use: "user", Short: "Who may use the server / 服务器的用户", Args: cobra.NoArgs,
		Long: "Who may use the server: viewers see, operators act, admins change people and playbooks.\n服务器的用户：viewer 查看，operator 操作，admin 管理用户和剧本。",
	}
	user.AddCommand(newUserAdd(a), newUserSet(a), newUserList(a))
	token := &cobra.Command{
		Use: "token", Short: "By what programs use the server / 供程序使用的令牌", Args: cobra.NoArgs,
		Long: "Tokens let programs act for a user: api (the interface), hooks (sending alerts), mod (the module proxy).\n令牌让程序代表某个用户：api（接口）、hooks（发送告警）、mod（模块代理）。",
	}
	token.AddCommand(newTokenAdd(a), newTokenRevoke(a), newTokenList(a))
	return []*cobra.Command{user, token, newServeJournal(a)}
}

// peopleFlags are where the data is.
func peopleFlags(cmd *cobra.Command) *serveOptions {
	o := &serveOptions{flags: cmd.Flags()}
	o.flags.StringVar(&o.config, "config", "", "read a `FILE` (docs/serve.md) / 读取配置文件")
	for _, known := range serveFlags() {
		if known.path == "data" || known.path == "database" {
			o.flags.String(flagOf(known.path), "", known.usage)
		}
	}
	return o
}

// atDoor opens the server's data and has f do something at its door.
func atDoor(ctx context.Context, a *app, o *serveOptions, f func(*access.Door) error) error {
	if _, err := daemon.Load(o.source()); err != nil {
		return a.badServeConfig(err)
	}
	d, err := daemon.New(ctx, daemon.Options{Source: o.source(), Lang: a.lang, Log: slog.New(slog.DiscardHandler), Version: version()})
	if err != nil {
		return a.badServeConfig(err)
	}
	err = errors.Join(f(d.Door()), d.Stop(context.WithoutCancel(ctx)))
	var told *failure
	if err != nil && !errors.As(err, &told) {
		return &failure{exit: exitError, key: "people.failed", args: []any{wordsOf(a.lang, err)}, unwrapped: err}
	}
	return err
}

// wordsOf tells apart what people can mend.
func wordsOf(lang msg.Lang, err error) string {
	if errors.Is(err, state.ErrNotFound) {
		return msg.Text(lang, "people.none")
	}
	if words := access.Words(lang, err); words != "" {
		return words
	}
	return err.Error()
}

// conflict gives a conflict words of its own; other errors stay as they are.
func (a *app) conflict(err error, key string, args ...any) error {
	if !errors.Is(err, state.ErrConflict) {
		return err
	}
	return &failure{exit: exitError, key: "people.failed", args: []any{msg.Text(a.lang, key, args...)}, unwrapped: err}
}

func newUserAdd(a *app) *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Add a user; the password is read from the terminal or standard input / 新增用户，密码从终端或标准输入读取", Args: cobra.ExactArgs(1),
		Example: "  keepwell serve user add ann --role admin --data /var/lib/keepwell\n  pass show keepwell/ann | keepwell serve user add ann --role operator",
	}
	cmd.Flags().StringVar(&role, "role", string(access.Viewer), "viewer, operator or admin / 角色")
	machine := cmd.Flags().Bool("no-password", false, "has tokens only / 仅使用令牌，不设密码")
	o := peopleFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		as, err := access.ParseRole(role)
		if err != nil {
			return misused("people.role", role)
		}
		password := ""
		if !*machine {
			if password, err = readPassword(a); err != nil {
				return err
			}
		}
		return atDoor(cmd.Context(), a, o, func(d *access.Door) error {
			u, err := d.AddUser(cmd.Context(), "cli", args[0], as, password)
			if err != nil {
				return a.conflict(err, "people.taken")
			}
			return a.sayPeople("people.added", u.Name, u.Role)
		})
	}
	return cmd
}

func newUserSet(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "set NAME", Short: "Change a user, which ends their sessions / 修改用户，并结束其会话", Args: cobra.ExactArgs(1),
		Example: "  keepwell serve user set ann --role operator\n  keepwell serve user set ann --password\n  keepwell serve user set ann --disabled",
	}
	role := cmd.Flags().String("role", "", "viewer, operator or admin / 角色")
	disabled := cmd.Flags().Bool("disabled", false, "may not log in; --disabled=false may again / 禁用；--disabled=false 恢复")
	renew := cmd.Flags().Bool("password", false, "read a new password from the terminal or standard input / 从终端或标准输入读取新密码")
	o := peopleFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var c access.Change
		if *role != "" {
			as, err := access.ParseRole(*role)
			if err != nil {
				return misused("people.role", *role)
			}
			c.Role = &as
		}
		if cmd.Flags().Changed("disabled") {
			c.Disabled = disabled
		}
		if *renew {
			password, err := readPassword(a)
			if err != nil {
				return err
			}
			c.Password = &password
		}
		if c == (access.Change{}) {
			return misused("people.nothing")
		}
		return atDoor(cmd.Context(), a, o, func(d *access.Door) error {
			u, err := d.ChangeUser(cmd.Context(), "cli", args[0], c, time.Time{})
			if err != nil {
				return err
			}
			return a.sayPeople("people.changed", u.Name, u.Role)
		})
	}
	return cmd
}

func newUserList(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the users / 列出用户", Args: cobra.NoArgs}
	o := peopleFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return atDoor(cmd.Context(), a, o, func(d *access.Door) error {
			all, err := d.Users(cmd.Context())
			if err != nil {
				return err
			}
			if a.format == string(present.JSON) {
				return a.document(map[string]any{"users": all})
			}
			for _, u := range all {
				off := ""
				if u.Disabled {
					off = msg.Text(a.lang, "people.disabled")
				}
				fmt.Fprintln(a.out, strings.TrimRight(fmt.Sprintf("%-24s %-9s %s", u.Name, u.Role, off), " "))
			}
			return nil
		})
	}
	return cmd
}

func newTokenAdd(a *app) *cobra.Command {
	wish := access.TokenWish{}
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Make a token, which is shown once / 创建令牌（仅显示一次）", Args: cobra.ExactArgs(1),
		Example: "  keepwell serve token add alertmanager --user ops --role viewer --scope hooks\n  keepwell serve token add ci --user ci --role viewer --scope mod --days 365",
	}
	role := cmd.Flags().String("role", string(access.Viewer), "not above the user's / 角色，不高于用户")
	cmd.Flags().StringVar(&wish.User, "user", "", "whom it acts for / 所属用户")
	cmd.Flags().StringSliceVar(&wish.Scopes, "scope", nil, "api, hooks, mod / 范围")
	days := cmd.Flags().Int("days", 90, "how long it lives; 0: for ever / 有效天数，0 表示不过期")
	o := peopleFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		as, err := access.ParseRole(*role)
		if err != nil {
			return misused("people.role", *role)
		}
		if wish.User == "" || len(wish.Scopes) == 0 || *days < 0 {
			return misused("people.token")
		}
		wish.Name, wish.Role = args[0], as
		if *days > 0 {
			wish.Expires = time.Now().AddDate(0, 0, *days)
		}
		return atDoor(cmd.Context(), a, o, func(d *access.Door) error {
			secret, t, err := d.AddToken(cmd.Context(), "cli", wish)
			if err != nil {
				return a.conflict(err, "people.tokens", wish.User)
			}
			_, err = fmt.Fprintf(a.out, "%s\n  %s\n", msg.Text(a.lang, "people.token.added", t.ID, t.Name), secret)
			return err
		})
	}
	return cmd
}

func newTokenRevoke(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "revoke ID", Short: "End a token / 撤销令牌", Args: cobra.ExactArgs(1)}
	o := peopleFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var id int64
		if _, err := fmt.Sscanf(args[0], "%d", &id); err != nil || fmt.Sprint(id) != args[0] {
			return misused("people.id", args[0])
		}
		return atDoor(cmd.Context(), a, o, func(d *access.Door) error {
			if err := d.RevokeToken(cmd.Context(), "cli", id, 0); err != nil {
				return a.conflict(err, "people.gone")
			}
			return a.sayPeople("people.token.revoked", id)
		})
	}
	return cmd
}

func newTokenList(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the tokens, without their secrets / 列出令牌（不含密文）", Args: cobra.NoArgs}
	o := peopleFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return atDoor(cmd.Context(), a, o, func(d *access.Door) error {
			all, err := d.Tokens(cmd.Context())
			if err != nil {
				return err
			}
			if a.format == string(present.JSON) {
				return a.document(map[string]any{"tokens": all})
			}
			for _, t := range all {
				end := "-"
				switch {
				case !t.Revoked.IsZero():
					end = msg.Text(a.lang, "people.revoked")
				case !t.Expires.IsZero():
					end = t.Expires.Format(time.DateOnly)
				}
				fmt.Fprintf(a.out, "%-5d %-24s %-9s %-15s %s\n", t.ID, t.Name, t.Role, t.Scope, end)
			}
			return nil
		})
	}
	return cmd
}

// sayPeople writes one line.
func (a *app) sayPeople(key string, args ...any) error {
	_, err := fmt.Fprintln(a.out, msg.Text(a.lang, key, args...))
	return err
}

// readPassword reads a password from the terminal, twice and unseen, or one line of
// standard input. It is never an argument: others see those.
func readPassword(a *app) (string, error) {
	wrong := func(err error) error {
		return &failure{exit: exitError, key: "people.unread", args: []any{err}, unwrapped: err}
	}
	if f, ok := a.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		var typed [2]string
		for i, key := range []string{"people.type", "people.again"} {
			fmt.Fprintf(a.errs, "%s", msg.Text(a.lang, key))
			text, err := term.ReadPassword(int(f.Fd()))
			fmt.Fprintln(a.errs)
			if err != nil {
				return "", wrong(err)
			}
			typed[i] = string(text)
		}
		if typed[0] != typed[1] {
			return "", misused("people.differ")
		}
		return typed[0], nil
	}
	const most = 4096
	line, err := bufio.NewReader(io.LimitReader(a.in, most)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", wrong(err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", misused("people.empty")
	}
	return line, nil
}
