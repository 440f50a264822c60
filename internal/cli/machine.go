package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/modfile"

	"github.com/keepwell/keepwell/internal/diagnose"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/proc"
)

// lookAround asks this machine what it knows. What cannot be learnt is said on
// standard error and left out: a missing go must not stop an explanation.
func lookAround(ctx context.Context, a *app) *diagnose.Machine {
	env, err := goenv.Load(ctx, "")
	if err != nil {
		fmt.Fprintln(a.errs, msg.Text(a.lang, "context.partial", err))
	}
	return machineWith(ctx, env)
}

// machineWith is what this machine knows beside go's settings; env is empty where go could
// not be asked.
func machineWith(ctx context.Context, env goenv.Env) *diagnose.Machine {
	m := &diagnose.Machine{Now: time.Now(), InsteadOf: map[string]string{}}
	if len(env) > 0 {
		m.Env = env
		m.GoVersion = strings.TrimPrefix(env.Value("GOVERSION"), "go")
		if info, err := os.Stat(filepath.Join(env.Value("GOROOT"), "VERSION")); err == nil {
			m.Newest = info.ModTime()
		}
		m.GoMod = readGoMod(env.Value("GOMOD"))
	}
	readInsteadOf(ctx, m.InsteadOf)
	return m
}

func readGoMod(name string) *modfile.File {
	if name == "" || name == os.DevNull {
		return nil
	}
	data, err := plainfile.Read(name)
	if err != nil || len(data) > 4<<20 { // nothing that is ever required fills that
		return nil
	}
	f, err := modfile.Parse(name, data, nil)
	if err != nil { // written for another Go, or broken: the lax parser still reads what is required
		if f, err = modfile.ParseLax(name, data, nil); err != nil {
			return nil
		}
	}
	return f
}

// readInsteadOf fills rules with git's url.<base>.insteadOf, what -> by what. No
// git and no such rule are the same.
func readInsteadOf(ctx context.Context, rules map[string]string) {
	out, err := proc.Output(ctx, proc.Options{}, "git", "config", "--null", "--get-regexp", `^url\..*\.insteadof$`)
	if err != nil {
		return
	}
	for record := range strings.SplitSeq(string(out), "\x00") {
		key, value, ok := strings.Cut(record, "\n")
		base := strings.TrimSuffix(strings.TrimPrefix(key, "url."), ".insteadof")
		if ok && base != "" {
			rules[value] = base
		}
	}
}
