package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/proc"
)

// Scripts says which scripts there are and how they are held.
type Scripts struct {
	// Dirs are the directories that scripts are taken from, in this order.
	Dirs []string
	// Launcher is a program with arguments that calls [Launch] with what follows: this
	// program with a hidden command. Empty: limits and users cannot be set, and scripts
	// are refused where Limits asks for either; and what leaves the process group of a
	// script outlives it.
	Launcher []string
	// Keepers are what [NewKeepers] makes of the launcher, for all sets of a server; nil:
	// the set has its own.
	Keepers *proc.Keepers
	Limits  Limits
	// MaxOutput bounds what is kept of the output; 0: 64 KiB.
	MaxOutput int
}

// exitAgain is EX_TEMPFAIL of sysexits.h.
const exitAgain = 75

// NewKeepers are who scripts and Ansible are started by, so that nothing of them lives on;
// see [proc.Keepers]. Without a launcher there are none.
func NewKeepers(launcher []string) *proc.Keepers {
	if len(launcher) == 0 {
		return nil
	}
	return &proc.Keepers{Launcher: slices.Concat(launcher, []string{launchKeeper})}
}

type script struct {
	o Scripts
	s *Set
}

// find resolves a script and holds it to the directories: what is run is a regular file
// below one of them, which nobody but its owner can write.
func (a script) find(name string) (string, error) {
	if len(a.o.Dirs) == 0 {
		return "", msg.Wrong("do.script.nodir")
	}
	path, err := within(a.o.Dirs, name, "script")
	if err != nil {
		return "", err
	}
	return path, safe(path)
}

// within finds a file below one of some directories, also by symbolic links. A name may
// begin with the directory's own: scripts/x.sh is x.sh of /srv/scripts.
func within(dirs []string, name, what string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", msg.Wrong("do.script.leaves", what, name)
	}
	for _, dir := range dirs {
		root, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return "", msg.Wrong("do.script.dir", err)
		}
		local := filepath.FromSlash(name)
		path, err := filepath.EvalSymlinks(filepath.Join(root, local))
		if rest, ok := strings.CutPrefix(local, filepath.Base(dir)+string(filepath.Separator)); ok && errors.Is(err, fs.ErrNotExist) {
			path, err = filepath.EvalSymlinks(filepath.Join(root, rest))
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", msg.Wrong("do.script.find", what, name, err)
		}
		if rel, err := filepath.Rel(root, path); err != nil || !filepath.IsLocal(rel) {
			return "", msg.Wrong("do.script.link", what, name)
		}
		return path, nil
	}
	return "", msg.Wrong("do.script.nowhere", what, name, strings.Join(dirs, ", "))
}

func safe(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return msg.Wrong("do.script.regular", path)
	case info.Mode().Perm()&0o111 == 0:
		return msg.Wrong("do.script.executable", path)
	case info.Mode().Perm()&0o022 != 0:
		return msg.Wrong("do.script.writable", path)
	}
	return nil
}

func (a script) plan(r Request) (lines []msg.Reason, err error) {
	path, err := a.find(r.text("script", ""))
	if path == "" {
		path = r.text("script", "")
	}
	lines = append(lines, msg.Because("plan.line.run", path, fmt.Sprintf("%q", r.Params["args"].Texts)))
	for _, p := range r.Params["env"].Pairs {
		lines = append(lines, msg.Because("plan.line.with", p.Name, strconv.Quote(p.Text.String())))
	}
	if !a.o.Limits.none() {
		lines = append(lines, msg.Because("plan.line.held", a.o.Limits.String()), a.o.Limits.held())
	}
	return lines, err
}

// told is what else there is to say of a script that ran: how it was held, and what it
// left running; nil: nothing.
func (a script) told(ran proc.Ran) any {
	data := map[string]any{}
	if !a.o.Limits.none() {
		data["held"] = a.o.Limits.held().In(a.s.o.Lang)
	}
	if ran.Ended > 0 {
		data["ended"] = msg.Because("do.script.ended", ran.Ended).In(a.s.o.Lang)
	}
	if ran.Left > 0 {
		data["left"] = msg.Because("do.script.left", ran.Left).In(a.s.o.Lang)
	}
	if len(data) == 0 {
		return nil
	}
	return data
}

func (a script) do(ctx context.Context, r Request) (res Result, err error) {
	path, err := a.find(r.text("script", ""))
	if err != nil {
		return res, err
	}
	env := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/",
		"KEEPWELL_KEY=" + r.Key, fmt.Sprintf("KEEPWELL_RUN=%d", r.About.Run), fmt.Sprintf("KEEPWELL_INCIDENT=%d", r.About.Incident),
	}
	for _, about := range [][2]string{
		{"PLAYBOOK", r.About.Playbook},
		{"ALERT", r.About.Alert},
		{"CODE", r.About.Code},
		{"ASSET", r.About.Asset},
		{"PRIORITY", r.About.Priority},
	} {
		env = append(env, "KEEPWELL_"+about[0]+"="+strings.ReplaceAll(about[1], "\x00", ""))
	}
	for _, p := range r.Params["env"].Pairs {
		v, err := p.Text.Open(vaultOf(ctx).get)
		if err != nil {
			return res, err
		}
		if strings.ContainsRune(v, 0) {
			return res, msg.Wrong("do.script.nul", p.Name)
		}
		env = append(env, p.Name+"="+v)
	}
	argv := append([]string{path}, r.Params["args"].Texts...)
	if !a.o.Limits.none() {
		if len(a.o.Launcher) == 0 {
			return res, msg.Wrong("do.script.nolauncher")
		}
		limits, err := json.Marshal(a.o.Limits)
		if err != nil {
			return res, err
		}
		argv = slices.Concat(a.o.Launcher, []string{launchConfined, string(limits)}, argv)
	}
	most := a.o.MaxOutput
	if most <= 0 {
		most = 64 << 10
	}
	ran, err := proc.Run(ctx, proc.Options{Dir: filepath.Dir(path), Timeout: time.Hour, MaxOut: most, Env: env, Alone: true, EndAll: true, Keepers: a.o.Keepers}, argv[0], argv[1:]...)
	if err != nil && ctx.Err() == nil {
		return res, msg.Wrong("do.script.start", filepath.Base(path), err)
	}
	res = Result{Output: string(ran.Output), Code: ran.Exit, Summary: fmt.Sprintf("%s ended with exit code %d", r.text("script", ""), ran.Exit)}
	res.Data = a.told(ran)
	switch {
	case ran.Late, ctx.Err() != nil:
		return res, msg.Wrong("do.script.late", r.text("script", ""), ErrUnsure)
	case expected(r.Params["ok"].Numbers, ran.Exit, func(code int) bool { return code == 0 }):
		return res, nil
	case ran.Exit == exitAgain:
		return res, msg.Wrong("do.about", res.Summary, ErrAgain)
	case ran.Exit == exitConfine && !a.o.Limits.none():
		return res, msg.Wrong("do.script.confine", r.text("script", ""))
	}
	return res, errors.New(res.Summary)
}
