package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/daemon/wire"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/playbook"
	"github.com/keepwell/keepwell/internal/state"
)

// fromFile begins the origin of playbooks that the directory brought.
const fromFile = "file:"

// author is who puts playbooks of the directory in force.
const author = "keepwell:files"

// errAgain is that the database could not take a playbook: no fault of its file.
var errAgain = errors.New("it is tried again")

// loadPlaybooks puts the playbooks of the directory in force. What cannot be used leaves
// the version before; a file that is gone switches its playbook off. A mode that a person
// set stays until the text changes. Only what another try may mend is an error, errAgain.
func (d *Daemon) loadPlaybooks(ctx context.Context) (again error) {
	cfg := d.live.Load().Playbooks
	if cfg.Dir == "" {
		return nil
	}
	files, err := bookFiles(cfg.Dir)
	if err != nil {
		d.log.Error("cannot list the playbooks; those before stay", "error", err.Error())
		return nil
	}
	there, whole := map[string]string{}, true
	for _, file := range files {
		name, err := d.loadPlaybook(ctx, file, there)
		if err != nil {
			d.log.Error("cannot use a playbook; its version before stays, if there is one", "file", file, "error", err.Error())
			if whole = false; errors.Is(err, errAgain) {
				again = err
			}
			continue
		}
		there[name] = file
	}
	if !whole {
		return again // what cannot be read has no name: its playbook is not gone
	}
	if err := d.dropPlaybooks(ctx, there); err != nil {
		return fmt.Errorf("switching off playbooks whose files are gone: %w: %w", err, errAgain)
	}
	return nil
}

func bookFiles(dir string) (files []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); (ext == ".yaml" || ext == ".yml") && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files, err
}

// bookName is what a playbook is called where it does not say so.
func bookName(file string) string { return strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)) }

func (d *Daemon) loadPlaybook(ctx context.Context, file string, there map[string]string) (name string, err error) {
	text, err := plainfile.Read(file)
	if err != nil {
		return "", err
	}
	p, problems := playbook.Read(text, playbook.Options{Conditions: wire.Conditions(), Name: bookName(file)})
	if p == nil {
		var lines []string
		for _, pr := range problems {
			lines = append(lines, fmt.Sprintf("%s:%d:%d: %s", file, pr.Line, pr.Column, pr.In(d.o.Lang)))
		}
		return "", errors.New(strings.Join(lines, "; "))
	}
	if other, ok := there[p.Name]; ok {
		return "", fmt.Errorf("%s is called %s, too", other, p.Name)
	}
	for _, f := range d.programs.Faults(p) {
		d.log.Warn("a step of a playbook cannot be done as things are", "playbook", p.Name, "step", f.Step, "error", f.Why.In(d.o.Lang), "file", file)
	}
	current, err := d.st.CurrentPlaybook(ctx, p.Name)
	switch {
	case err == nil && current.Version == p.Version && current.By != author+" (gone)":
		return p.Name, nil
	case err != nil && !errors.Is(err, state.ErrNotFound):
		return "", fmt.Errorf("%w: %w", err, errAgain)
	}
	want := state.ModeObserve
	if p.Mode == playbook.ModeActive {
		want = state.ModeActive
	}
	if err := d.eng.Install(ctx, p.Name, autopilot.AnyVersion, p.Text, fromFile+file, want, d.live.Load().Playbooks.Hold, author); err != nil {
		if _, bad := d.programs.Compile(p.Text); bad != nil {
			return "", err // whoever tries again fails again
		}
		return "", fmt.Errorf("%w: %w", err, errAgain)
	}
	d.log.Info("playbook in force", "playbook", p.Name, "version", p.Version[:12], "wants", string(want), "file", file)
	return p.Name, nil
}

// dropPlaybooks switches off what came from files that are gone.
func (d *Daemon) dropPlaybooks(ctx context.Context, there map[string]string) error {
	current, err := d.st.CurrentPlaybooks(ctx)
	if err != nil {
		return err
	}
	for _, c := range current {
		if _, ok := there[c.Name]; ok || c.Mode == state.ModeOff || !strings.HasPrefix(c.Origin, fromFile) {
			continue
		}
		if err := d.eng.SetMode(ctx, c.Name, c.Version, state.ModeOff, author+" (gone)", msg.Because("why.gone")); err != nil {
			return err
		}
		d.log.Warn("playbook is off: its file is gone", "playbook", c.Name)
	}
	return nil
}

// often is how long a change of a file may go unseen.
const often = 2 * time.Second

// follow loads anew what changes after it was seen, and everything on SIGHUP, until the
// end of ctx.
func (d *Daemon) follow(ctx context.Context, seen string) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		case <-tick.C:
			if d.look() == seen {
				continue
			}
		}
		seen = d.look()
		if err := d.Reload(ctx); err != nil {
			d.log.Error("cannot load anew; what was loaded before stays", "error", err.Error())
			if errors.Is(err, errAgain) {
				seen = ""
			}
			continue
		}
		d.log.Info("loaded anew")
	}
}

// look tells states of the followed files apart without reading them.
func (d *Daemon) look() string {
	var b strings.Builder
	files := []string{d.o.Source.File}
	if dir := d.live.Load().Playbooks.Dir; dir != "" {
		list, err := bookFiles(dir)
		fmt.Fprintln(&b, err)
		files = append(files, list...)
	}
	for _, f := range files {
		if st, err := os.Stat(f); err == nil {
			fmt.Fprintln(&b, f, st.ModTime().UnixNano(), st.Size())
		}
	}
	return b.String()
}
