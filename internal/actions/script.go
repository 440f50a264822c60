package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/proc"
)

// Scripts says which scripts there are and how they are held.
type Scripts struct {
	// Dirs are the directories that scripts are taken from, in this order.
	Dirs []string
	// Launcher is a program with arguments that calls [Confine] with what follows: this
	// program with a hidden command. Empty: limits and users cannot be set, and scripts
	// are refused where Limits asks for either.
	Launcher []string
	Limits   Limits
	// MaxOutput bounds what is kept of the output; 0: 64 KiB.
	MaxOutput int
}

// exitAgain is EX_TEMPFAIL of sysexits.h.
const exitAgain = 75

type script struct {
	o Scripts
	s *Set
}

// find resolves a script and holds it to the directories: what is run is a regular file
// below one of them, which nobody but its owner can write.
func (a script) find(name string) (string, error) {
	if len(a.o.Dirs) == 0 {
		return "", errors.New("no script directory is configured (hint: scripts.dirs of the server's configuration)")
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
		return "", fmt.Errorf("%s %q leaves its directory", what, name)
	}
	for _, dir := range dirs {
		root, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return "", fmt.Errorf("a directory of the configuration: %w", err)
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
			return "", fmt.Errorf("%s %s: %w", what, name, err)
		}
		if rel, err := filepath.Rel(root, path); err != nil || !filepath.IsLocal(rel) {
			return "", fmt.Errorf("%s %s leads out of its directory (hint: a symbolic link may point only to files below it)", what, name)
		}
		return path, nil
	}
	return "", fmt.Errorf("%s %s is in none of the directories %s", what, name, strings.Join(dirs, ", "))
}

func safe(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file", path)
	case info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("%s is not executable (hint: chmod +x)", path)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s can be written by others than its owner (hint: chmod go-w)", path)
	}
	return nil
}

func (a script) plan(r Request) ([]string, error) {
	path, err := a.find(r.text("script", ""))
	lines := []string{fmt.Sprintf("run %s %q", path, r.Params["args"].Texts)}
	for _, p := range r.Params["env"].Pairs {
		lines = append(lines, fmt.Sprintf("with %s as %q", p.Name, p.Text.String()))
	}
	if !a.o.Limits.none() {
		lines = append(lines, "held to "+a.o.Limits.String(), a.o.Limits.held())
	}
	return lines, err
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
			return res, fmt.Errorf("variable %s holds NUL", p.Name)
		}
		env = append(env, p.Name+"="+v)
	}
	argv := append([]string{path}, r.Params["args"].Texts...)
	if !a.o.Limits.none() {
		if len(a.o.Launcher) == 0 {
			return res, errors.New("scripts are to be held to limits, and nothing is there to hold them")
		}
		limits, err := json.Marshal(a.o.Limits)
		if err != nil {
			return res, err
		}
		argv = append(append(append([]string{}, a.o.Launcher...), string(limits)), argv...)
	}
	most := a.o.MaxOutput
	if most <= 0 {
		most = 64 << 10
	}
	ran, err := proc.Run(ctx, proc.Options{Dir: filepath.Dir(path), Timeout: time.Hour, MaxOut: most, Env: env, Alone: true, EndAll: true}, argv[0], argv[1:]...)
	if err != nil && ctx.Err() == nil {
		return res, fmt.Errorf("starting %s: %w", filepath.Base(path), err)
	}
	res = Result{Output: string(ran.Output), Code: ran.Exit, Summary: fmt.Sprintf("%s ended with exit code %d", r.text("script", ""), ran.Exit)}
	if !a.o.Limits.none() {
		res.Data = map[string]any{"held": a.o.Limits.held()}
	}
	switch {
	case ran.Late, ctx.Err() != nil:
		return res, fmt.Errorf("%s took too long or was stopped, and was ended with all that it had started: %w", r.text("script", ""), ErrUnsure)
	case expected(r.Params["ok"].Numbers, ran.Exit, func(code int) bool { return code == 0 }):
		return res, nil
	case ran.Exit == exitAgain:
		return res, fmt.Errorf("%s: %w", res.Summary, ErrAgain)
	case ran.Exit == exitConfine && len(a.o.Launcher) > 0:
		return res, fmt.Errorf("%s was not started: it could not be held to its limits", r.text("script", ""))
	}
	return res, errors.New(res.Summary)
}
