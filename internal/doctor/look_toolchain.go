package doctor

import (
	"context"
	"go/version"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/observe"
)

// choice is the release of go that the project and GOTOOLCHAIN choose.
type choice struct {
	// name is such as "go1.99.0"; "" where the go in PATH runs.
	name string
	// at is its go command; "" where it would have to be fetched.
	at string
}

// choice decides once, as go does when it starts.
func (c *Case) choice() choice {
	c.chooseGo.Do(func() {
		c.chosenGo.name = c.toolchain(c.project())
		if c.chosenGo.name != "" {
			c.chosenGo.at = c.toolchainAt(c.chosenGo.name)
		}
	})
	return c.chosenGo
}

// goCommand is the go command that would run, with what its environment lacks: go sets
// GOROOT for another release.
func (c *Case) goCommand() (name string, env []string) {
	if chosen := c.choice(); chosen.at != "" {
		return chosen.at, []string{"GOROOT="}
	}
	return "go", nil
}

// scratchGo is the go line of a module that the chosen go can read.
func (c *Case) scratchGo() string {
	v := c.Machine.GoVersion
	if chosen := c.choice(); chosen.at != "" {
		v = strings.TrimPrefix(release(chosen.name), "go")
	}
	if v == "" {
		return "1.21"
	}
	if olderGo(v, "1.21") { // which knew no other form
		return strings.TrimPrefix(version.Lang("go"+v), "go")
	}
	return v
}

// lookSwitch says what keeps go from starting as the release that it has to be; nil where
// nothing does.
func (c *Case) lookSwitch(seen []Outcome) *Outcome {
	for _, id := range []string{"settings", "project"} {
		o := find(seen, id)
		if o == nil {
			continue
		}
		stops := slices.DeleteFunc(slices.Clone(o.Findings), func(f keepwell.Finding) bool {
			return f.Code != "version/toolchain" || severity(f) != keepwell.SeverityError
		})
		if len(stops) > 0 {
			return &Outcome{State: observe.No, Key: "doctor.modules.bad", Tried: true, Findings: stops}
		}
	}
	chosen := c.choice()
	if chosen.name == "" || chosen.at != "" {
		return nil
	}
	return &Outcome{
		State: observe.No, Key: "doctor.modules.toolchain", Args: []string{chosen.name},
		Wants: true, Missing: []module.Version{toolchainModule(chosen.name)},
	}
}

// fetchToolchain asks for a release of go as go would, but only whether it is there: the
// whole is some hundred megabytes.
func (c *Case) fetchToolchain(ctx context.Context, dir string, env []string, m module.Version) toolRun {
	r := c.runGo(ctx, dir, env, "list", "-x", "-m", m.String())
	absent := slices.ContainsFunc(r.findings, func(f keepwell.Finding) bool {
		return f.Code == "proxy/not-found" || strings.HasPrefix(string(f.Code), "module/") || f.Code == "version/unknown-revision" || f.Code == "version/no-match"
	})
	if r.ok() || !absent {
		return r
	}
	name := c.choice().name
	f := keepwell.Finding{Code: "version/toolchain", Confidence: 0.93, Tool: "go", Facts: keepwell.Facts{}}
	f.Evidence = append(f.Evidence, keepwell.Evidence{Source: "environment", Text: c.Say("doctor.modules.asks", name)})
	for _, said := range r.findings {
		f.Evidence = append(f.Evidence, said.Evidence...)
	}
	if v := strings.TrimPrefix(release(name), "go"); keepwell.ValidFact("goversion", v) {
		f.Facts["goversion"] = v
	}
	r.findings = []keepwell.Finding{f}
	return r
}
