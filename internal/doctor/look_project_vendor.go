package doctor

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell"
)

// usesVendor reports whether go builds from the vendor directory (cmd/go's
// setDefaultBuildMod).
func (c *Case) usesVendor(p *project) bool {
	if mode := flagValue(c.Settings.Env.Value("GOFLAGS"), "mod"); mode != "" {
		return mode == "vendor"
	}
	if len(p.mods) == 0 {
		return false
	}
	info, err := os.Stat(p.vendorDir())
	if err != nil || !info.IsDir() {
		return false
	}
	line := ""
	if p.work != nil {
		line = goLine(p.work.Go, "")
	} else if p.workName == "" && p.mods[0].file != nil {
		line = goLine(p.mods[0].file.Go, "")
	}
	if line == "" || olderGo(line, "1.14") {
		return false
	}
	data, _ := readRegular(filepath.Join(p.vendorDir(), "modules.txt"), largestMod)
	first, _, _ := bytes.Cut(data, []byte("\n"))
	forWork := bytes.HasPrefix(first, []byte("## workspace"))
	return forWork == (p.work != nil)
}

func (p *project) vendorDir() string {
	if p.workName != "" {
		return filepath.Join(filepath.Dir(p.workName), "vendor")
	}
	return filepath.Join(p.mods[0].dir(), "vendor")
}

// vendored is what vendor/modules.txt says of a module.
type vendored struct {
	explicit, listed bool
	replaced         module.Version
}

// readVendor reads vendor/modules.txt as go does (cmd/go's readVendorList).
func readVendor(data []byte) map[module.Version]*vendored {
	out := map[module.Version]*vendored{}
	var at *vendored
	for raw := range bytes.Lines(data) {
		line := strings.TrimRight(string(raw), "\r\n")
		if words, ok := strings.CutPrefix(line, "## "); ok && at != nil {
			for w := range strings.SplitSeq(words, ";") {
				at.explicit = at.explicit || strings.TrimSpace(w) == "explicit"
			}
			continue
		}
		words, ok := strings.CutPrefix(line, "# ")
		if !ok {
			if at != nil && line != "" {
				at.listed = true
			}
			continue
		}
		f := strings.Fields(words)
		if len(f) < 2 {
			continue
		}
		mod := module.Version{Path: f[0]}
		rest := f[1:]
		if semver.IsValid(f[1]) {
			mod.Version, rest = f[1], f[2:]
		} else if f[1] != "=>" {
			at = nil
			continue
		}
		if out[mod] == nil {
			out[mod] = &vendored{}
		}
		at = out[mod]
		if len(rest) > 1 && rest[0] == "=>" {
			at.replaced = module.Version{Path: rest[1]}
			if len(rest) > 2 {
				at.replaced.Version = rest[2]
			}
		}
	}
	return out
}

// lookVendor holds vendor/modules.txt to go.mod by go's own rule of consistency
// (cmd/go's checkVendorConsistency), for a single module; workspaces are left to go.
func (c *Case) lookVendor(p *project) {
	if !p.vendored || p.workName != "" || len(p.mods) == 0 || p.mods[0].file == nil || hasCode(p.findings, "local/go-mod-parse") {
		return
	}
	name := filepath.Join(p.vendorDir(), "modules.txt")
	data, err := readRegular(name, largestMod)
	file := p.mods[0].file
	if err != nil {
		if len(file.Require) > 0 {
			p.add("local/vendor", keepwell.SeverityError, 0.9, c.shownPath(name)+": "+reason(err), "path", c.shownPath(name))
		}
		return
	}
	if file.Go == nil || olderGo(file.Go.Version, "1.14") {
		return
	}
	differences := vendorDifferences(file, readVendor(data))
	if len(differences) == 0 {
		return
	}
	more := ""
	if len(differences) > mostSaid {
		more = "\n…"
	}
	text := strings.Join(differences[:min(len(differences), mostSaid)], "\n") + more
	p.add("local/vendor", keepwell.SeverityError, 0.95, text, "path", c.shownPath(name))
}

// vendorDifferences are go's own sentences.
func vendorDifferences(file *modfile.File, list map[module.Version]*vendored) []string {
	var out []string
	required := map[module.Version]bool{}
	for _, r := range file.Require {
		required[r.Mod] = true
		if v := list[r.Mod]; v == nil || !v.explicit {
			out = append(out, r.Mod.String()+": is explicitly required in go.mod, but not marked as explicit in vendor/modules.txt")
		}
	}
	replaces := map[module.Version]bool{}
	for _, r := range file.Replace {
		if file.Module != nil && r.Old.Path == file.Module.Mod.Path {
			continue
		}
		replaces[r.Old] = true
		switch v := list[r.Old]; {
		case v == nil || v.replaced == module.Version{}:
			out = append(out, r.Old.String()+": is replaced in go.mod, but not marked as replaced in vendor/modules.txt")
		case v.replaced != r.New:
			out = append(out, r.Old.String()+": is replaced by "+r.New.String()+" in go.mod, but marked as replaced by "+v.replaced.String()+" in vendor/modules.txt")
		}
	}
	for mod, v := range list {
		if v.explicit && v.listed && !required[mod] {
			out = append(out, mod.String()+": is marked as explicit in vendor/modules.txt, but not explicitly required in go.mod")
		}
		wild := module.Version{Path: mod.Path}
		if (v.replaced != module.Version{}) && !replaces[mod] && !replaces[wild] {
			out = append(out, mod.String()+": is marked as replaced in vendor/modules.txt, but not replaced in go.mod")
		}
	}
	return out
}
