package doctor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/modfile"

	"github.com/keepwell/keepwell"
)

// readWork reads the workspace and its modules.
func (c *Case) readWork(p *project, name string) {
	p.workName = name
	data, ok := c.readOwn(p, name)
	if !ok {
		return
	}
	shown := c.shownPath(name)
	var err error
	if p.work, err = modfile.ParseWork(shown, data, strictVersion); err != nil {
		c.parseErrors(p, shown, err)
		p.work = nil
		return
	}
	for _, u := range p.work.Use[:min(len(p.work.Use), mostMods)] {
		mod := filepath.Join(p.useDir(u), "go.mod")
		if info, err := os.Stat(mod); err == nil && info.Mode().IsRegular() {
			p.mods = append(p.mods, c.readMod(p, mod))
		}
	}
}

func (p *project) useDir(u *modfile.Use) string {
	dir := filepath.FromSlash(u.Path)
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(filepath.Dir(p.workName), dir)
	}
	return dir
}

// lookUses holds the list of directories in go.work to what is on the disk.
func (c *Case) lookUses(p *project) {
	if p.work == nil {
		return
	}
	shown := c.shownPath(p.workName)
	used := map[string]bool{}
	for _, u := range p.work.Use[:min(len(p.work.Use), mostMods)] {
		dir := p.useDir(u)
		at := shown + ":" + number(u.Syntax.Start.Line)
		if used[dir] {
			p.add("local/workspace", keepwell.SeverityError, 0.95, c.Say("doctor.project.use-twice", at, u.Path), "path", u.Path)
		}
		used[dir] = true
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		key := "doctor.project.use-no-mod"
		if _, err := os.Stat(dir); err != nil {
			key = "doctor.project.use-gone"
		}
		p.add("local/workspace", keepwell.SeverityError, 0.97, c.Say(key, at, u.Path), "path", u.Path)
	}
	lists := goLine(p.work.Go, "1.18")
	for _, m := range p.mods {
		if m.file != nil && olderGo(lists, goLine(m.file.Go, "1.16")) && !olderGo(goLine(m.file.Go, "1.16"), "1.21") {
			p.add("local/workspace", keepwell.SeverityError, 0.9, c.Say("doctor.project.work-go", c.shownPath(m.name), goLine(m.file.Go, ""), shown, lists), "path", shown)
		}
	}
	if mod := c.gomod(); mod != "" && len(p.work.Use) <= mostMods && !used[filepath.Dir(mod)] {
		p.add("local/workspace", keepwell.SeverityError, 0.9, c.Say("doctor.project.not-used", c.shownPath(mod), shown), "path", shown)
	}
}

// lookReplaces looks for the directories that stand in for modules. Only a replacement
// of something required can hurt, and none where go builds from the vendor directory.
func (c *Case) lookReplaces(p *project) {
	here, required := map[string]bool{}, map[string]bool{}
	for _, m := range p.read() {
		if m.file.Module != nil {
			here[m.file.Module.Mod.Path] = true
		}
		for _, r := range m.file.Require {
			required[r.Mod.Path], required[r.Mod.String()] = true, true
		}
	}
	check := func(name string, list []*modfile.Replace) {
		for _, r := range list {
			if here[r.Old.Path] {
				continue
			}
			severity := keepwell.SeverityError
			if !required[r.Old.String()] || p.vendored {
				severity = keepwell.SeverityInfo
			}
			if key := replaceFault(name, r); key != "" {
				text := c.Say(key, c.shownPath(name)+":"+number(r.Syntax.Start.Line), r.Old.Path, r.New.Path)
				p.add("local/replace", severity, 0.96, text, "module", r.Old.Path, "path", r.New.Path)
			}
		}
	}
	for _, m := range p.read() {
		check(m.name, m.file.Replace)
	}
	if p.work != nil {
		check(p.workName, p.work.Replace)
	}
}

// replaceFault names what is wrong with the directory of a replacement in the file name;
// "" where it can be used, or is no directory.
func replaceFault(name string, r *modfile.Replace) string {
	if r.New.Version != "" {
		return ""
	}
	dir := filepath.FromSlash(r.New.Path)
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(filepath.Dir(name), dir)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if _, err := os.Stat(dir); err != nil {
		return "doctor.project.replace-gone"
	}
	return "doctor.project.replace-no-mod"
}

// read are the main modules whose go.mod could be read.
func (p *project) read() []mainModule {
	return slices.DeleteFunc(slices.Clone(p.mods), func(m mainModule) bool { return m.file == nil })
}
