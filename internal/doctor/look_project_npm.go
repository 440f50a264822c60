package doctor

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keepwell/keepwell"
)

// locks are the lock files of package managers that read package.json, by manager.
func locks() [][2]string {
	return [][2]string{
		{"package-lock.json", "npm"},
		{"npm-shrinkwrap.json", "npm"},
		{"yarn.lock", "Yarn"},
		{"pnpm-lock.yaml", "pnpm"},
		{"bun.lock", "Bun"},
		{"bun.lockb", "Bun"},
	}
}

// packageJSON is what of a package.json matters here.
type packageJSON struct {
	Dependencies, DevDependencies, OptionalDependencies map[string]string
	Workspaces                                          json.RawMessage
	PackageManager                                      string
}

// lookPackageJSON reads package.json and looks for its lock file.
func (c *Case) lookPackageJSON(p *project) {
	if len(c.Asked) > 0 || !c.exists("package.json") {
		return
	}
	add := func(code keepwell.Code, severity keepwell.Severity, text string, pairs ...string) {
		f := seen(code, severity, 0.9, text, pairs...)
		f.Tool = "npm"
		p.findings = append(p.findings, f)
	}
	data, err := readRegular(filepath.Join(c.Dir, "package.json"), largestMod)
	if err != nil {
		add("local/go-mod-parse", keepwell.SeverityWarning, "package.json: "+reason(err), "path", "package.json")
		return
	}
	parsed, err := parsePackageJSON(data)
	if err != nil {
		text := "package.json: " + err.Error()
		if line := conflictLine(data); line > 0 {
			text = c.Say("doctor.project.conflict", "package.json", number(line))
		} else if at := (*json.SyntaxError)(nil); errors.As(err, &at) {
			text = "package.json:" + number(1+strings.Count(string(data[:min(int(at.Offset), len(data))]), "\n")) + ": " + err.Error()
		}
		add("local/go-mod-parse", keepwell.SeverityError, text, "path", "package.json")
		return
	}
	var names, managers []string
	for dir, up := absolute(c.Dir), 0; dir != "" && up < 6 && len(names) == 0; dir, up = filepath.Dir(dir), up+1 {
		for _, l := range locks() {
			if _, err := os.Stat(filepath.Join(dir, l[0])); err == nil {
				names = append(names, l[0])
				if !slices.Contains(managers, l[1]) {
					managers = append(managers, l[1])
				}
			}
		}
	}
	switch {
	case len(managers) > 1:
		p.notes = append(p.notes, c.Say("doctor.project.two-locks", strings.Join(names, ", ")))
	case len(names) == 0 && len(parsed.Dependencies)+len(parsed.DevDependencies)+len(parsed.OptionalDependencies) > 0:
		p.notes = append(p.notes, c.Say("doctor.project.no-lock"))
	}
}

// parsePackageJSON reads as npm does: a byte order mark is passed over, only the syntax
// and an object count.
func parsePackageJSON(data []byte) (packageJSON, error) {
	data = []byte(strings.TrimPrefix(string(data), "\uFEFF"))
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return packageJSON{}, err
	}
	var out packageJSON
	for key, to := range map[string]*map[string]string{"dependencies": &out.Dependencies, "devDependencies": &out.DevDependencies, "optionalDependencies": &out.OptionalDependencies} {
		_ = json.Unmarshal(fields[key], to) // npm has its own words for a wrong shape
	}
	out.Workspaces = fields["workspaces"]
	_ = json.Unmarshal(fields["packageManager"], &out.PackageManager)
	return out, nil
}
