package doctor

import (
	"context"
	"path/filepath"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/observe"
)

// lookToolchain looks for the go command and what it says of itself.
func lookToolchain(_ context.Context, c *Case, _ []Outcome) Outcome {
	s := c.Settings
	if len(s.Gos) == 0 {
		if !c.wantsGo() {
			return Outcome{State: observe.NotChecked, Key: "doctor.toolchain.none"}
		}
		return Outcome{State: observe.No, Key: "doctor.toolchain.none", Findings: []keepwell.Finding{{
			Code: "local/goroot", Confidence: 0.6, Evidence: []keepwell.Evidence{{Source: "environment", Text: c.Say("doctor.toolchain.none")}},
		}}}
	}
	if c.Machine.GoVersion == "" {
		return Outcome{State: observe.No, Key: "doctor.toolchain.mute", Args: []string{s.Gos[0].Path}}
	}
	if chosen := c.choice(); chosen.name != "" {
		return Outcome{State: observe.Yes, Key: "doctor.toolchain.switches", Args: []string{c.Machine.GoVersion, s.Gos[0].Path, chosen.name}}
	}
	return Outcome{State: observe.Yes, Key: "doctor.toolchain.version", Args: []string{c.Machine.GoVersion, s.Gos[0].Path}}
}

// wantsGo reports whether anything of go is in question.
func (c *Case) wantsGo() bool {
	for _, s := range c.Asked {
		if s.Ecosystem == Go {
			return true
		}
	}
	return len(c.Asked) == 0 && (c.gomod() != "" || c.gowork() != "" || c.Settings.Project.GoModHere || len(c.goFiles()) > 0)
}

// gomod is the main module's file; "" where there is none.
func (c *Case) gomod() string {
	name := c.Settings.Env.Value("GOMOD")
	if filepath.Base(name) != "go.mod" {
		return ""
	}
	return name
}

// gowork is the workspace's file; "" where there is none.
func (c *Case) gowork() string {
	if w := c.Settings.Env.Value("GOWORK"); w != "off" {
		return w
	}
	return ""
}

// lookSettings turns what is wrong with a setting into findings.
func lookSettings(_ context.Context, c *Case, _ []Outcome) Outcome {
	var out []keepwell.Finding
	worst := 0
	for _, l := range c.Settings.Lints() {
		if l.Severity != keepwell.SeverityInfo {
			worst++
		}
		if l.Code == "" {
			continue
		}
		f := keepwell.Finding{
			Code: l.Code, Severity: l.Severity, Confidence: 0.9, Owner: keepwell.OwnerYou,
			Evidence: []keepwell.Evidence{{Source: "environment", Text: c.proof(l.Name) + c.Say("lint."+l.ID, l.Args...)}},
			Facts:    keepwell.Facts{"setting": l.Name},
		}
		if l.ID == "leak" && len(l.Args) > 0 && keepwell.ValidFact("module", l.Args[0]) {
			f.Facts["module"] = l.Args[0]
		}
		out = append(out, f)
	}
	switch {
	case worst > 0:
		return Outcome{State: observe.No, Key: "doctor.settings.bad", Args: []string{number(worst)}, Findings: out}
	case c.Settings.Env.Value("GOPROXY") == "":
		return Outcome{State: observe.Yes, Key: "doctor.settings.none", Findings: out}
	}
	return Outcome{State: observe.Yes, Key: "doctor.settings.fine", Args: []string{c.shown("GOPROXY"), c.shown("GOSUMDB")}, Findings: out}
}

// shown is the value of a setting, masked.
func (c *Case) shown(name string) string {
	for _, g := range c.Settings.Groups() {
		for _, r := range g.Rows {
			if r.Name == name {
				return r.Value
			}
		}
	}
	return ""
}

// proof is a setting as an assignment, where it is set.
func (c *Case) proof(name string) string {
	if v := c.shown(name); v != "" {
		return name + "=" + v + "\n"
	}
	return ""
}
