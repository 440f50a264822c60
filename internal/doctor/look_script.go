package doctor

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/observe"
)

// mostScripts bounds the Go files that are read where there is no go.mod.
const mostScripts = 50

// goFiles are the Go sources in the directory itself.
func (c *Case) goFiles() []string {
	list, err := filepath.Glob(filepath.Join(c.Dir, "*.go"))
	if err != nil {
		return nil
	}
	return list[:min(len(list), mostScripts)]
}

// noModule is what is to be said of Go sources without a go.mod. A program of the
// standard library alone needs none: go run FILE works.
func (c *Case) noModule() (o Outcome, ok bool) {
	if c.gomod() != "" || c.gowork() != "" || c.Settings.Project.GoModHere || c.Settings.Env.Value("GO111MODULE") == "off" {
		return Outcome{}, false
	}
	files := c.goFiles()
	if len(files) == 0 {
		return Outcome{}, false
	}
	f := seen("local/no-go-mod", keepwell.SeverityError, 0.9, c.Say("doctor.modules.none", filepath.Base(files[0])))
	if scripts(files) {
		f.Severity = keepwell.SeverityInfo
		return Outcome{State: observe.Yes, Key: "doctor.modules.script", Tried: true, Works: true, Findings: []keepwell.Finding{f}}, true
	}
	return Outcome{State: observe.No, Key: "doctor.modules.bad", Tried: true, Findings: []keepwell.Finding{f}}, true
}

// scripts reports whether all files are programs that import the standard library only.
func scripts(files []string) bool {
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil || f.Name.Name != "main" {
			return false
		}
		for _, i := range f.Imports {
			if first, _, _ := strings.Cut(strings.Trim(i.Path.Value, `"`), "/"); strings.Contains(first, ".") {
				return false
			}
		}
	}
	return true
}
