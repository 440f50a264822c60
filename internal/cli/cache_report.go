package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/modcache"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/proc"
	"github.com/keepwell/keepwell/internal/scratch"
)

// cacheReport compares the cache before and after a change.
type cacheReport struct {
	Before cacheState `json:"before"`
	After  cacheState `json:"after"`
}

// cacheState is what counts of a cache for who builds with it.
type cacheState struct {
	Size modcache.Amount `json:"size"`
	// Project is the go.mod here; empty where there is none, and then nothing is built.
	Project string `json:"project,omitempty"`
	// Build is how long the project takes without a build cache; BuildError why it fails.
	Build      float64 `json:"build_seconds,omitempty"`
	BuildError string  `json:"build_error,omitempty"`
	// Faults are those of versions that the project's go.sum names.
	Faults int `json:"faults"`
	// Refused says that go did not build because of what go.mod and go.sum say.
	Refused bool `json:"sums_refused"`
}

// reporting measures the state now, and returns what measures it again and shows both;
// where no report is wanted it does nothing.
func (a *app) reporting(ctx context.Context, wanted bool, c modcache.Cache, env goenv.Env) (func() (*cacheReport, error), error) {
	if !wanted {
		return func() (*cacheReport, error) { return nil, nil }, nil //nolint:nilnil // no report is none
	}
	var r cacheReport
	var err error
	if r.Before, err = a.cacheState(ctx, c, env); err != nil {
		return nil, err
	}
	return func() (*cacheReport, error) {
		var err error
		if r.After, err = a.cacheState(ctx, c, env); err != nil || a.machine() {
			return &r, err
		}
		return &r, shown(a, present.Outline(a.out, a.style(), a.reportLines(r)))
	}, nil
}

func (a *app) cacheState(ctx context.Context, c modcache.Cache, env goenv.Env) (cacheState, error) {
	var s cacheState
	stats, err := modcache.Stat(ctx, c) // before the build: it fetches what it needs
	if err != nil {
		return s, err
	}
	s.Size = stats.Total
	if mod := env.Value("GOMOD"); filepath.IsAbs(mod) && mod != os.DevNull {
		s.Project = mod
		if err := a.timeBuild(ctx, &s); err != nil {
			return s, err
		}
	}
	p, err := readProjectSums(nil, env)
	if err != nil {
		return s, err
	}
	r, err := a.verifyCache(ctx, c, env, p.agreed(), false)
	if err != nil {
		return s, err
	}
	for _, f := range r.Faults {
		if f.Severity != keepwell.SeverityInfo && (p.sums[f.Module+" "+f.Version] != "" || p.sums[f.Module+" "+f.Version+"/go.mod"] != "") {
			s.Faults++
		}
	}
	return s, nil
}

// timeBuild builds the project with a build cache of its own.
func (a *app) timeBuild(ctx context.Context, s *cacheState) error {
	dir, err := os.MkdirTemp("", "keepwell-build-")
	if err != nil {
		return err
	}
	defer scratch.Remove(dir)
	done := a.progress(func() string { return msg.Text(a.lang, "cache.report.building") })
	defer done()
	began := time.Now()
	r, err := proc.Run(ctx, proc.Options{Dir: filepath.Dir(s.Project), Timeout: time.Hour, Env: []string{"GOCACHE=" + dir}}, "go", "build", "-o", os.DevNull, "./...")
	if err != nil {
		return err
	}
	if s.Build = time.Since(began).Seconds(); r.Exit != 0 {
		s.BuildError, s.Refused = buildError(string(r.Output))
	}
	return nil
}

// buildError is the first line of what go said that is no report of its progress;
// refused where it is about go.mod and go.sum.
func buildError(out string) (line string, refused bool) {
	for l := range strings.Lines(out) {
		if l = strings.TrimSpace(l); l != "" && line == "" && !strings.HasPrefix(l, "go: downloading ") && !strings.HasPrefix(l, "# ") {
			line = mask.Text(l)
		}
	}
	for _, words := range []string{"checksum mismatch", "missing go.sum entry", "updates to go.mod needed", "updates to go.sum needed", "verifying module", "errors parsing go.mod"} {
		refused = refused || strings.Contains(out, words)
	}
	return line, refused
}

func (a *app) reportLines(r cacheReport) []present.Line {
	say := func(key string, args ...any) string { return msg.Text(a.lang, key, args...) }
	row := func(key string, of func(cacheState) string) present.Row {
		return present.Row{Cells: []string{say(key), of(r.Before), of(r.After)}}
	}
	rows := []present.Row{
		row("cache.report.size", func(s cacheState) string { return amount(s.Size.Disk) }),
		row("cache.report.files", func(s cacheState) string { return grouped(s.Size.Files) }),
		row("cache.report.build", func(s cacheState) string {
			switch {
			case s.Project == "":
				return say("cache.report.none")
			case s.BuildError != "":
				return say("cache.report.fails")
			}
			return fmt.Sprintf("%.1f s", s.Build)
		}),
		row("cache.report.sums", func(s cacheState) string {
			if s.Faults > 0 {
				return say("cache.report.faults", s.Faults)
			}
			if s.Refused {
				return say("cache.report.refused")
			}
			return say("cache.report.same")
		}),
	}
	out := append([]present.Line{{}}, present.Table(a.style(), []present.Column{
		{Title: say("cache.report")}, {Title: say("cache.report.before"), Right: true}, {Title: say("cache.report.after"), Right: true},
	}, rows)...)
	for _, s := range []cacheState{r.Before, r.After} {
		if s.BuildError != "" {
			out = append(out, present.Line{Text: say("cache.report.why", s.BuildError)})
		}
	}
	return out
}
