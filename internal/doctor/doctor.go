// Package doctor looks at a project and its machine, decides, and looks again: cheap
// checks first, then go itself without a network, and only where something has to be
// fetched the network, by trying the real command while the servers on its way are
// probed. What is next is a pure function of what was seen ([Next]); what is the root
// cause is one too ([Judge]).
//
// It changes nothing of the project and fetches into a directory of its own; what can
// be mended is proposed as steps of package act ([Mends]). Words are made by the caller
// ([Case.Say]).
//
// To add a check, write its function in the file of its stage, name it in checks, and
// its words "doctor.<id>" and "doctor.<id>.*" in internal/msg/doctor.go. To add a mend,
// see mend.go.
package doctor

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/diagnose"
	"github.com/keepwell/keepwell/internal/marks"
	"github.com/keepwell/keepwell/internal/moved"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/route"
	"github.com/keepwell/keepwell/internal/settings"
)

// Ecosystem is whose package a [Subject] is.
type Ecosystem string

// The ecosystems.
const (
	Go   Ecosystem = "go"
	Npm  Ecosystem = "npm"
	PyPI Ecosystem = "pypi"
)

// Subject is a module or package that the doctor is asked about.
type Subject struct {
	Ecosystem Ecosystem
	// Path is a module, an import path or a package name; Version may be empty.
	Path, Version string
}

// String is the subject as it is typed for its tool.
func (s Subject) String() string {
	switch {
	case s.Version == "":
		return s.Path
	case s.Ecosystem == PyPI:
		return s.Path + "==" + s.Version
	}
	return s.Path + "@" + s.Version
}

// Case is what is looked at, and with what. The fields are set once, before [Examine].
type Case struct {
	// Dir is where the doctor was called.
	Dir string
	// Asked are the modules in question; empty: the project here and the machine.
	Asked    []Subject
	Settings *settings.Settings
	Machine  *diagnose.Machine
	Route    route.Config
	Observe  observe.Options
	// Say puts a key of internal/msg into the reader's words.
	Say func(key string, args ...string) string
	// Lang is the reader's language, for what is written down; empty is English. Signed says
	// who marks a dependency today: By and Since.
	Lang   msg.Lang
	Signed marks.Mark
	// Timeout bounds the whole; 0 means 10 s.
	Timeout time.Duration
	// Only and Skip choose checks by ID; empty: all.
	Only, Skip []string
	// Progress, if set, is told which checks are under way.
	Progress func(ids []string)

	readOnce sync.Once
	files    *project
	chooseGo sync.Once
	chosenGo choice
}

// Stage is the price of a check; cheaper ones come first.
type Stage int

// The stages.
const (
	Files   Stage = iota // reads files, asks nobody
	Offline              // runs tools that ask nobody
	Online               // asks servers
	Further              // settles what is still open
)

// Check is one look.
type Check struct {
	ID    string
	Stage Stage
	// When decides, from what was seen, whether it makes sense; nil means always.
	When func(c *Case, seen []Outcome) bool
	Look func(ctx context.Context, c *Case, seen []Outcome) Outcome
}

// Outcome is what a check saw.
type Outcome struct {
	Check string
	State observe.State
	// Key and Args are the observation in words of internal/msg.
	Key  string
	Args []string
	// Findings are faults, without the catalogue's words.
	Findings []keepwell.Finding
	// Layers are what the probes of this check saw.
	Layers []Looked
	// Missing are modules that have to be fetched.
	Missing []module.Version
	// Wants says that something has to be fetched; Tried that the real command ran and
	// its findings are what the user sees, Works that it succeeded, Hung that it did
	// not end.
	Wants, Tried, Works, Hung bool
	// Settles is the code of what a tool said that the findings here tell more exactly;
	// empty where they are of their own.
	Settles keepwell.Code
	// Moved is what became of a name that cannot be fetched; nil where that was not asked.
	Moved *moved.Report
	// Side says that the failure does not stop a build.
	Side bool
	Took time.Duration
}

// Looked is what the probes of one server saw.
type Looked struct {
	Target  observe.Target
	Results []observe.Result
}

// Report is the result of an examination.
type Report struct {
	Outcomes []Outcome
	// Findings are faults, root cause first, hygiene last, without the catalogue's words.
	Findings []keepwell.Finding
	// Moved is what became of the name that cannot be fetched, with proposals, which are
	// put to a person; nil where nothing was looked for.
	Moved *moved.Report
}

// checks in the order in which they are shown.
func checks() []Check {
	return []Check{
		{ID: "toolchain", Stage: Files, Look: lookToolchain},
		{ID: "settings", Stage: Files, Look: lookSettings},
		{ID: "project", Stage: Files, When: hasProject, Look: lookProject},
		{ID: "cache", Stage: Files, When: wantsCache, Look: lookCache},
		{ID: "credentials", Stage: Offline, Look: lookCredentials},
		{ID: "vcs", Stage: Offline, Look: lookVCS},
		{ID: "modules", Stage: Offline, When: goProject, Look: lookModules},
		{ID: "npm", Stage: Online, When: func(c *Case, _ []Outcome) bool { return c.wantsNpm() }, Look: lookNpm},
		{ID: "pip", Stage: Online, When: func(c *Case, _ []Outcome) bool { return c.wantsPip() }, Look: lookPip},
		{ID: "fetch", Stage: Online, When: wantsFetch, Look: lookFetch},
		{ID: "network", Stage: Online, When: wantsNetwork, Look: lookNetwork},
		{ID: "sums", Stage: Further, When: wantsSums, Look: lookSums},
		{ID: "complete", Stage: Further, When: wantsComplete, Look: lookComplete},
		{ID: "clone", Stage: Further, When: wantsClone, Look: lookClone},
		{ID: "moved", Stage: Further, When: wantsMoved, Look: lookMoved},
		{ID: "private", Stage: Further, When: wantsPrivate, Look: lookPrivate},
	}
}

// IDs are the names of all checks, in the order in which they are shown.
func IDs() []string {
	var ids []string
	for _, c := range checks() {
		ids = append(ids, c.ID)
	}
	return ids
}

// Next is the plan: the checks to make now, given what was seen. They do not need each
// other and run at once. Nothing is left to do when it is empty.
func Next(c *Case, seen []Outcome) []Check {
	var left []Check
	for _, k := range checks() {
		done := slices.ContainsFunc(seen, func(o Outcome) bool { return o.Check == k.ID })
		if done || !c.chosen(k.ID) || k.When != nil && !k.When(c, seen) {
			continue
		}
		left = append(left, k)
	}
	if len(left) == 0 {
		return nil
	}
	now := slices.MinFunc(left, func(a, b Check) int { return cmp.Compare(a.Stage, b.Stage) }).Stage
	for _, o := range seen { // a stage that is past does not come back
		now = max(now, stageOf(o.Check))
	}
	return slices.DeleteFunc(left, func(k Check) bool { return k.Stage != now })
}

func stageOf(id string) Stage {
	for _, k := range checks() {
		if k.ID == id {
			return k.Stage
		}
	}
	return Files
}

func (c *Case) chosen(id string) bool {
	return (len(c.Only) == 0 || slices.Contains(c.Only, id)) && !slices.Contains(c.Skip, id)
}

// reserve is kept of the time for judging and writing.
const reserve = 500 * time.Millisecond

// Examine makes the checks and judges what they saw. It ends within the Timeout.
func Examine(ctx context.Context, c *Case) Report {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.Timeout, 10*time.Second)-reserve)
	defer cancel()
	var seen []Outcome
	for now := Next(c, seen); len(now) > 0 && ctx.Err() == nil; now = Next(c, seen) {
		if c.Progress != nil {
			var ids []string
			for _, k := range now {
				ids = append(ids, k.ID)
			}
			c.Progress(ids)
		}
		got := make([]Outcome, len(now))
		var wg sync.WaitGroup
		for i, k := range now {
			wg.Go(func() {
				began := time.Now()
				got[i] = k.Look(ctx, c, seen)
				got[i].Check, got[i].Took = k.ID, time.Since(began)
			})
		}
		wg.Wait()
		seen = append(seen, got...)
	}
	findings := c.named(Judge(seen))
	report := Report{Outcomes: unneeded(inOrder(seen)), Findings: findings}
	if o := find(seen, "moved"); o != nil {
		report.Moved = o.Moved
	}
	return report
}

// unneeded takes the blame from servers that stay silent where go got all from others.
func unneeded(seen []Outcome) []Outcome {
	fetch, network := find(seen, "fetch"), find(seen, "network")
	if fetch != nil && fetch.Works && network != nil && network.State == observe.No {
		network.State, network.Key, network.Findings = observe.NotChecked, "doctor.network.unneeded", nil
	}
	return seen
}

// inOrder puts outcomes in the order of the checks.
func inOrder(seen []Outcome) []Outcome {
	ids := IDs()
	slices.SortStableFunc(seen, func(a, b Outcome) int { return cmp.Compare(slices.Index(ids, a.Check), slices.Index(ids, b.Check)) })
	return seen
}

// find returns the outcome of a check, nil where it was not made.
func find(seen []Outcome, id string) *Outcome {
	for i := range seen {
		if seen[i].Check == id {
			return &seen[i]
		}
	}
	return nil
}
