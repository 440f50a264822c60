package cli

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/modcache"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/proc"
)

// otherCache is the cache of npm or pip.
type otherCache struct {
	Tool      string          `json:"tool"`
	Installed bool            `json:"installed"`
	Dir       string          `json:"dir,omitempty"`
	Total     modcache.Amount `json:"total"`
	Parts     []otherPart     `json:"parts"`
	// Error is why it could not be measured.
	Error string `json:"error,omitempty"`
}

type otherPart struct {
	Name   string          `json:"name"`
	Amount modcache.Amount `json:"amount"`
}

// otherCommands are what the tools themselves offer.
func otherCommand(tool, what string) []string {
	switch tool + " " + what {
	case "npm dir":
		return []string{"npm", "config", "get", "cache"}
	case "npm verify":
		return []string{"npm", "cache", "verify"}
	case "npm clean":
		return []string{"npm", "cache", "clean", "--force"}
	case "pip dir":
		return []string{pip(), "cache", "dir"}
	case "pip clean":
		return []string{pip(), "cache", "purge"}
	}
	return nil
}

// pip is what pip is called here.
func pip() string {
	for _, name := range []string{"pip", "pip3"} {
		if _, err := exec.LookPath(name); err == nil {
			return name
		}
	}
	return "pip"
}

// ask runs a tool for what it says on standard output.
func askTool(ctx context.Context, command []string) (string, error) {
	out, err := proc.Output(ctx, proc.Options{Timeout: 10 * time.Minute}, command[0], command[1:]...)
	if err != nil {
		return "", &failure{exit: exitError, key: "err.cache.toolfailed", args: []any{strings.Join(command, " "), mask.Text(err.Error())}, hint: "hint.cache.toolfailed", unwrapped: err}
	}
	return strings.TrimSpace(string(out)), nil
}

// statOther measures the cache of a tool; one that is not installed has none.
func statOther(ctx context.Context, tool string) (otherCache, error) {
	o := otherCache{Tool: tool, Parts: []otherPart{}}
	command := otherCommand(tool, "dir")
	if _, err := exec.LookPath(command[0]); err != nil {
		return o, nil //nolint:nilerr // then it is not installed
	}
	o.Installed = true
	dir, err := askTool(ctx, command)
	if err != nil || !filepath.IsAbs(dir) {
		return o, err
	}
	o.Dir = dir
	list, _ := os.ReadDir(dir) // a cache that is not there yet is empty
	for _, d := range list {
		if !d.IsDir() {
			continue
		}
		sum, err := modcache.Measure(ctx, filepath.Join(dir, d.Name()))
		if err != nil {
			return o, err
		}
		o.Parts = append(o.Parts, otherPart{d.Name(), sum})
	}
	slices.SortFunc(o.Parts, func(a, b otherPart) int {
		return cmp.Or(cmp.Compare(b.Amount.Disk, a.Amount.Disk), cmp.Compare(a.Name, b.Name))
	})
	o.Total, err = modcache.Measure(ctx, dir)
	return o, err
}

func (a *app) otherLines(o otherCache) []present.Line {
	if !o.Installed {
		return []present.Line{{Text: msg.Text(a.lang, "cache.other.absent", o.Tool)}}
	}
	if o.Error != "" {
		return []present.Line{{Text: msg.Text(a.lang, "cache.other.failed", o.Tool, o.Error), Tone: present.Warning}}
	}
	out := []present.Line{{Text: msg.Text(a.lang, "cache.other.head", o.Tool, home(o.Dir), amount(o.Total.Disk), grouped(o.Total.Files)), Tone: present.Bold}}
	var rows []present.Row
	for _, p := range o.Parts {
		rows = append(rows, present.Row{Cells: []string{p.Name, amount(p.Amount.Disk), grouped(p.Amount.Files), picture(p.Amount.Disk, o.Total.Disk, 30)}})
	}
	if len(rows) == 0 {
		return out
	}
	return append(out, present.Table(a.style(), []present.Column{
		{Title: msg.Text(a.lang, "cache.stat.part"), Most: 24},
		{Title: msg.Text(a.lang, "cache.stat.size"), Right: true},
		{Title: msg.Text(a.lang, "cache.stat.files"), Right: true},
		{},
	}, rows)...)
}

// wordsOf is an error in the reader's language, in a line.
func (a *app) wordsOf(err error) string {
	var f *failure
	if errors.As(err, &f) {
		return msg.Text(a.lang, f.key, f.args...)
	}
	return mask.Text(err.Error())
}

// verifiedOther is what a tool said of its own cache.
type verifiedOther struct {
	Tool   string `json:"tool"`
	Offers bool   `json:"offers_verify"`
	Said   string `json:"said,omitempty"`
}

// verifyOthers has the tools verify their caches, where they can.
func (a *app) verifyOthers(ctx context.Context, tools []string) error {
	doc := struct {
		Command string          `json:"command"`
		Others  []verifiedOther `json:"others"`
	}{"cache verify", []verifiedOther{}}
	for _, tool := range tools {
		v := verifiedOther{Tool: tool}
		if command := otherCommand(tool, "verify"); command != nil {
			v.Offers = true
			said, err := askTool(ctx, command)
			if err != nil {
				return err
			}
			v.Said = mask.Text(said)
		}
		doc.Others = append(doc.Others, v)
		if a.machine() {
			continue
		}
		if !v.Offers {
			a.sayOut("cache.other.noverify")
			continue
		}
		a.sayOut("cache.other.verify")
		for line := range strings.Lines(v.Said) {
			if err := present.Outline(a.out, a.style(), []present.Line{{Gutter: "  ", Rest: "  ", Text: strings.TrimSpace(line)}}); err != nil {
				return shown(a, err)
			}
		}
	}
	if a.machine() {
		return shown(a, writeDocument(a, doc))
	}
	return nil
}

// cleanedOther is a cache before and after.
type cleanedOther struct {
	Tool    string          `json:"tool"`
	Command string          `json:"command"`
	Before  modcache.Amount `json:"before"`
	After   modcache.Amount `json:"after"`
}

// cleanOthers has the tools empty their caches: all of it comes again when it is wanted.
func (a *app) cleanOthers(ctx context.Context, o cacheCleanOptions, tools []string) error {
	doc := struct {
		Command string         `json:"command"`
		Applied bool           `json:"applied"`
		Others  []cleanedOther `json:"others"`
	}{"cache clean", !o.dryRun, []cleanedOther{}}
	for _, tool := range tools {
		s, err := statOther(ctx, tool)
		if err != nil {
			return err
		}
		if !s.Installed {
			a.say("cache.other.absent", tool)
			continue
		}
		c := cleanedOther{Tool: tool, Command: strings.Join(otherCommand(tool, "clean"), " "), Before: s.Total, After: s.Total}
		if !a.machine() {
			a.sayOut("cache.other.would", tool, c.Command, amount(c.Before.Disk))
		}
		doc.Others = append(doc.Others, c)
	}
	if o.dryRun || len(doc.Others) == 0 {
		return a.othersDocument(doc)
	}
	if err := a.agreeToClean(ctx, o); err != nil || a.exit == exitApproval {
		return err
	}
	for i, c := range doc.Others {
		if _, err := askTool(ctx, otherCommand(c.Tool, "clean")); err != nil {
			return err
		}
		s, err := statOther(ctx, c.Tool)
		if err != nil {
			return err
		}
		doc.Others[i].After = s.Total
		if !a.machine() {
			a.sayOut("cache.other.cleaned", c.Tool, amount(c.Before.Disk), amount(s.Total.Disk))
		}
	}
	return a.othersDocument(doc)
}

func (a *app) othersDocument(doc any) error {
	if a.machine() {
		return shown(a, writeDocument(a, doc))
	}
	return nil
}
