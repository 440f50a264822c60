package cli

import (
	"slices"
	"strings"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/diagnose"
	"github.com/keepwell/keepwell/internal/moved"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/spelling"
)

// nearCodes are the faults behind which a name may be that is spelt wrongly.
func nearCodes() []keepwell.Code {
	return []keepwell.Code{
		"module/missing-or-private", "module/repo-gone", "module/vanity", "module/not-required", "module/bad-path", "proxy/not-found", "auth/git-prompt", "net/dns",
		"module/not-in-std", "sum/sumdb-not-found", "version/no-match",
	}
}

// addNear puts before the other remedies which trusted name may have been meant, where
// one is near. Nobody is asked: whether the name in question exists is not known here.
func addNear(findings []keepwell.Finding, machine *diagnose.Machine, lang msg.Lang) {
	var known []spelling.Known
	if machine != nil && machine.GoMod != nil {
		for _, r := range machine.GoMod.Require {
			known = append(known, spelling.Known{Path: r.Mod.Path, From: spelling.Required})
		}
	}
	for i := range findings {
		f := &findings[i]
		if !slices.Contains(nearCodes(), f.Code) || f.Severity == keepwell.SeverityInfo {
			continue
		}
		typed, to := near(f, known)
		if to == "" {
			continue
		}
		command := "keepwell doctor " + faults.Quote(typed)
		f.Remedies = slices.Insert(slices.Clone(f.Remedies), 0, keepwell.Remedy{
			ID: "near-name", Title: msg.Text(lang, "explain.near", to), Command: command, Safety: keepwell.SafetySafe,
		})
	}
}

// near is the name in a finding, as doctor takes it, and the trusted one that is near;
// "" for none.
func near(f *keepwell.Finding, known []spelling.Known) (typed, to string) {
	name := f.Facts["module"]
	if name == "" {
		name = f.Facts["package"]
	}
	if name == "" || len(name) > 300 {
		return "", ""
	}
	switch f.Tool {
	case "npm":
		if next, ok := spelling.NpmSuccessors()[name]; ok {
			return "npm:" + name, next
		}
		return "npm:" + name, nearestName(spelling.Words(name, nil, spelling.NpmPackages()))
	case "pip":
		name = moved.NormalPyPI(name)
		if next, ok := spelling.PyPIImports()[name]; ok {
			return "pypi:" + name, next
		}
		return "pypi:" + name, nearestName(spelling.Words(name, nil, spelling.PyPIProjects()))
	case "go", "git", "":
		if f.Code == "net/dns" || f.Code == "module/not-in-std" || f.Code == "version/no-match" || f.Code == "module/not-required" { // a name of its own mostly
			known = nil
		}
		if next, ok := spelling.Successors()[name]; ok {
			return name, next
		}
		list := spelling.Paths(name, known)
		list = slices.DeleteFunc(list, func(g spelling.Guess) bool {
			return g.What == spelling.InMajor || g.What == spelling.Within || g.From == spelling.OnlyHost && f.Code != "net/dns" || f.Code == "net/dns" && g.What != spelling.InHost
		})
		return name, nearestName(list)
	}
	return "", ""
}

// nearestName is the first guess, where it is near enough to be worth a line.
func nearestName(list []spelling.Guess) string {
	if len(list) == 0 || list[0].Cost > 1.2 || strings.TrimSpace(list[0].Path) == "" {
		return ""
	}
	return list[0].Path
}
