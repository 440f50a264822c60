package doctor

import (
	"errors"
	"syscall"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
)

// longestPath is the longest module path that a file system could hold, with room: what
// is longer was not written by anybody.
const longestPath = 4 << 10

// lookPaths finds requirements that nobody could be asked for: go says so only when it
// fetches them. Names of replaced modules are the project's own affair.
func (c *Case) lookPaths(p *project) {
	replaced := map[string]bool{}
	note := func(list []*modfile.Replace) {
		for _, r := range list {
			replaced[r.Old.Path] = true
		}
	}
	for _, m := range p.read() {
		note(m.file.Replace)
	}
	if p.work != nil {
		note(p.work.Replace)
		for _, m := range p.read() { // a module of the workspace is not fetched either
			if m.file.Module != nil {
				replaced[m.file.Module.Mod.Path] = true
			}
		}
	}
	for _, m := range p.read() {
		for _, r := range m.file.Require {
			err := module.CheckPath(r.Mod.Path)
			if err == nil && len(r.Mod.Path) > longestPath {
				err = syscall.ENAMETOOLONG
			}
			if err == nil || replaced[r.Mod.Path] || p.vendored {
				continue
			}
			if why := (*module.InvalidPathError)(nil); errors.As(err, &why) {
				err = why.Err
			}
			at := c.shownPath(m.name) + ":" + number(r.Syntax.Start.Line)
			p.add("module/bad-path", keepwell.SeverityError, 0.95, c.Say("doctor.project.path", at, clip(r.Mod.Path), mask.Text(err.Error())), "module", r.Mod.Path)
		}
	}
}
