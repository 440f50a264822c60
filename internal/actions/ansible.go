package actions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/playbook"
	"github.com/keepwell/keepwell/internal/proc"
)

// Ansible says where playbooks of Ansible are and how they are run.
type Ansible struct {
	// Program is the path of ansible-playbook; "": found in PATH.
	Program string
	// Dirs are the directories that playbooks and inventories are taken from, in this order.
	Dirs []string
	// Home is where Ansible may keep what it needs; "": a directory of the run alone.
	Home string
	// Env is added to the environment: SSH_AUTH_SOCK, ANSIBLE_PRIVATE_KEY_FILE, …
	Env []string
}

// ansible runs playbooks.
type ansible struct{ s *Set }

// command is what would be run; variables lie in a file of their own, name or "".
func (a ansible) command(r Request, vars string) (dir string, argv []string, err error) {
	o := a.s.o.Ansible
	if len(o.Dirs) == 0 {
		return "", nil, msg.Wrong("do.ansible.nodir")
	}
	paths := map[string]string{}
	for _, name := range []string{"playbook", "inventory"} {
		if paths[name], err = within(o.Dirs, r.text(name, ""), "the "+name); err != nil {
			return "", nil, err
		}
		info, err := os.Stat(paths[name])
		if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 {
			return "", nil, msg.Wrong("do.ansible.file", name, paths[name])
		}
	}
	program := o.Program
	if program == "" {
		program = "ansible-playbook"
	}
	argv = []string{program, "--inventory", paths["inventory"]}
	if limit := r.text("limit", ""); limit != "" {
		if !playbook.HostList(limit) {
			return "", nil, msg.Wrong("do.ansible.limit", short(limit, 100))
		}
		argv = append(argv, "--limit", limit)
	}
	if vars != "" {
		argv = append(argv, "--extra-vars", "@"+vars)
	}
	if tags := r.Params["tags"].Texts; len(tags) > 0 {
		argv = append(argv, "--tags", strings.Join(tags, ","))
	}
	if r.text("mode", "") == "check" {
		argv = append(argv, "--check", "--diff")
	}
	return filepath.Dir(paths["playbook"]), append(argv, "--", paths["playbook"]), nil
}

func (a ansible) plan(r Request) (lines []msg.Reason, err error) {
	vars := ""
	if len(r.Params["vars"].Pairs) > 0 {
		vars = "VARIABLES"
	}
	_, argv, err := a.command(r, vars)
	if argv == nil {
		argv = []string{"ansible-playbook", r.text("playbook", "")}
	}
	lines = append(lines, msg.Because("plan.line.run.ansible", fmt.Sprintf("%q", argv)))
	for _, p := range r.Params["vars"].Pairs {
		lines = append(lines, msg.Because("plan.line.with", p.Name, strconv.Quote(p.Text.String())))
	}
	return lines, err
}

func (a ansible) do(ctx context.Context, r Request) (res Result, err error) {
	work, err := os.MkdirTemp("", "keepwell-ansible")
	if err != nil {
		return res, err
	}
	defer func() { _ = os.RemoveAll(work) }()
	vars := ""
	if len(r.Params["vars"].Pairs) > 0 {
		vars = filepath.Join(work, "vars.yml")
		if err := os.WriteFile(vars, unsafeVars(r), 0o600); err != nil {
			return res, err
		}
	}
	dir, argv, err := a.command(r, vars)
	if err != nil {
		return res, err
	}
	home := a.s.o.Ansible.Home
	if home == "" {
		home = work
	}
	env := append([]string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=" + home, "ANSIBLE_HOME=" + home, "ANSIBLE_LOCAL_TEMP=" + work,
		"ANSIBLE_STDOUT_CALLBACK=ansible.posix.json", "ANSIBLE_NOCOLOR=1", "ANSIBLE_RETRY_FILES_ENABLED=0", "ANSIBLE_DEPRECATION_WARNINGS=0", "KEEPWELL_KEY=" + r.Key,
	}, a.s.o.Ansible.Env...)
	const most = 8 << 20
	ran, err := proc.Run(ctx, proc.Options{Dir: dir, Timeout: time.Hour, MaxOut: most, Env: env, Alone: true, EndAll: true, Keepers: a.s.o.Scripts.Keepers}, argv[0], argv[1:]...)
	switch {
	case ran.Late, ctx.Err() != nil:
		return res, msg.Wrong("do.ansible.late", ErrUnsure)
	case err != nil:
		return res, msg.Wrong("do.ansible.start", err)
	}
	return judged(ran, r)
}

// unsafeVars are variables whose values Ansible takes as they are: it would read {{ }} in
// others as templates, which can run anything. The escapes of Go are escapes of YAML; what
// is not escaped is ASCII, since YAML refuses some of the other characters.
func unsafeVars(r Request) []byte {
	var b bytes.Buffer
	for _, p := range r.Params["vars"].Pairs {
		fmt.Fprintf(&b, "%s: !unsafe %s\n", p.Name, strconv.QuoteToASCII(p.Text.String()))
	}
	return b.Bytes()
}

// hostState is what a host came to.
type hostState struct {
	OK          int `json:"ok"`
	Changed     int `json:"changed"`
	Failures    int `json:"failures"`
	Unreachable int `json:"unreachable"`
	Skipped     int `json:"skipped"`
	// Failed are the tasks that failed, with what they said.
	Failed []string `json:"failed,omitempty"`
}

// judged reads what the JSON callback wrote.
func judged(ran proc.Ran, r Request) (res Result, err error) {
	var doc struct {
		Plays []struct {
			Tasks []struct {
				Task  struct{ Name string }
				Hosts map[string]struct {
					Failed, Unreachable bool
					Msg, Stderr         any
				}
			}
		}
		Stats map[string]*hostState
	}
	start := max(bytes.IndexByte(ran.Stdout, '{'), 0) // warnings may stand before it
	if json.Unmarshal(ran.Stdout[start:], &doc) != nil || doc.Stats == nil {
		hint := ""
		if bytes.Contains(ran.Output, []byte("Invalid callback")) {
			hint = " (hint: its JSON callback is missing: ansible-galaxy collection install ansible.posix, or Debian's package ansible)"
		}
		return Result{Code: ran.Exit, Output: short(strings.ToValidUTF8(string(ran.Output), "?"), replyRoom)}, msg.Wrong("do.ansible.noresult", ran.Exit, hint)
	}
	const mostHosts, mostTasks, line = 100, 10, 300
	for _, play := range doc.Plays {
		for _, task := range play.Tasks {
			for host, h := range task.Hosts {
				if s := doc.Stats[host]; s != nil && (h.Failed || h.Unreachable) && len(s.Failed) < mostTasks {
					s.Failed = append(s.Failed, short(strings.TrimSpace(fmt.Sprintf("%s: %v", task.Task.Name, h.Msg)), line))
				}
			}
		}
	}
	hosts := slices.Sorted(maps.Keys(doc.Stats))
	kept, out, sum := map[string]*hostState{}, strings.Builder{}, hostState{}
	for _, host := range hosts {
		s := doc.Stats[host]
		sum.Changed, sum.Failures, sum.Unreachable = sum.Changed+s.Changed, sum.Failures+s.Failures, sum.Unreachable+s.Unreachable
		if len(kept) < mostHosts {
			kept[host] = s
			fmt.Fprintf(&out, "%s: ok %d, changed %d, failed %d, unreachable %d\n", host, s.OK, s.Changed, s.Failures, s.Unreachable)
			for _, f := range s.Failed {
				fmt.Fprintf(&out, "  %s\n", f)
			}
		}
	}
	verb := "changed"
	if r.text("mode", "") == "check" {
		verb = "would change"
	}
	res = Result{
		Code: ran.Exit, Output: short(out.String(), replyRoom), Data: map[string]any{"hosts": kept, "changed": sum.Changed, "failures": sum.Failures, "unreachable": sum.Unreachable},
		Summary: fmt.Sprintf("%s: %d hosts, %s %d, failed %d, unreachable %d", r.text("playbook", ""), len(hosts), verb, sum.Changed, sum.Failures, sum.Unreachable),
	}
	if ran.Exit == 0 {
		return res, nil
	}
	err = errors.New(res.Summary)
	if sum.Failures == 0 && sum.Changed == 0 && sum.Unreachable > 0 {
		err = msg.Wrong("do.pair", err, ErrAgain)
	}
	return res, err
}
