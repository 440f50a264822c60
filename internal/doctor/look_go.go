package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/diagnose"
	"github.com/keepwell/keepwell/internal/fingerprint"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/proc"
	"github.com/keepwell/keepwell/internal/scratch"
)

func number(n int) string { return strconv.Itoa(n) }

// goProject reports whether go can be asked about what is here or about what it is
// asked for.
func goProject(c *Case, _ []Outcome) bool { return c.wantsGo() && len(c.Settings.Gos) > 0 }

// alone are the settings with which go asks nobody: a private module would be fetched
// from its repository whatever GOPROXY says.
func alone() []string {
	return []string{"GOPROXY=off", "GONOPROXY=none", "GOPRIVATE=none", "GONOSUMDB=none", "GOSUMDB=off", "GOTOOLCHAIN=local"}
}

// toolRun is one run of a tool.
type toolRun struct {
	proc.Ran
	findings []keepwell.Finding
	steps    steps
	err      error
}

func (r toolRun) ok() bool { return r.err == nil && r.Exit == 0 && !r.Late }

// runGo runs go and diagnoses what it says where it fails.
func (c *Case) runGo(ctx context.Context, dir string, env []string, args ...string) toolRun {
	name, more := c.goCommand()
	return c.runTool(ctx, dir, append(more, env...), name, args...)
}

// runTool runs a tool until the end of ctx and diagnoses what it says where it fails.
func (c *Case) runTool(ctx context.Context, dir string, env []string, name string, args ...string) toolRun {
	var r toolRun
	timeout := 30 * time.Second
	if d, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(d), time.Millisecond)
	}
	ran, err := proc.Run(context.WithoutCancel(ctx), proc.Options{Dir: dir, Timeout: timeout, MaxOut: 8 << 20, Env: env}, name, args...)
	r.Ran, r.err = ran, err
	if slices.Contains(args, "-x") {
		r.steps, r.Output = readSteps(ran.Output)
	}
	if r.ok() || err != nil {
		return r
	}
	r.findings = c.diagnose(ctx, r.Output)
	return r
}

// diagnose reads what a tool printed as explain would, knowing this machine.
func (c *Case) diagnose(ctx context.Context, output []byte) []keepwell.Finding {
	if len(bytes.TrimSpace(output)) == 0 {
		return nil
	}
	list, _, err := diagnose.Read(context.WithoutCancel(ctx), bytes.NewReader(readable(output)), fingerprint.Default(), c.Machine, nil)
	if err != nil {
		return nil
	}
	for i := range list {
		for j := range list[i].Evidence {
			list[i].Evidence[j].Line = 0
			if list[i].Evidence[j].Source == "input" {
				list[i].Evidence[j].Source = "tool"
			}
		}
	}
	return list
}

// readable is what a person would read of a tool's output: no endless line, and of a
// flood its beginning and its end.
func readable(output []byte) []byte {
	const line, half = 16 << 10, 256 << 10
	if len(output) > 2*half {
		output = slices.Concat(output[:half], []byte("\n"), output[len(output)-half:])
	}
	var out []byte
	for l := range bytes.Lines(output) {
		if len(l) > line {
			l = append(bytes.ToValidUTF8(l[:line:line], nil), '\n')
		}
		out = append(out, l...)
	}
	return out
}

// lookModules asks go itself, without a network, whether it has all that it needs: it
// loads the packages and the modules of the project from the module cache.
func lookModules(ctx context.Context, c *Case, seen []Outcome) Outcome {
	if len(c.Asked) > 0 {
		return c.lookAsked(ctx, seen)
	}
	if o, ok := c.noModule(); ok {
		return o
	}
	if o := c.lookSwitch(seen); o != nil {
		return *o
	}
	limited, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	flags, done := c.aside()
	defer done()
	modules := make(chan toolRun, 1)
	go func() {
		modules <- c.runGo(limited, "", alone(), slices.Concat([]string{"mod", "download", "-json"}, flags)...)
	}()
	var aside []string
	if flagValue(c.Settings.Env.Value("GOFLAGS"), "mod") == "mod" { // then go list writes too
		aside = flags
	}
	packages := c.runGo(limited, "", alone(), slices.Concat([]string{"list", "-deps", "-test", "-f", "{{with .Error}}{{end}}"}, aside, c.patterns())...)
	all := <-modules
	missing := missingModules(all.Stdout)
	switch {
	case packages.ok() && all.ok():
		// What builds is not what go.sum vouches for; that go cannot write is no matter now.
		if found := damagedOnly(spoilt(seen)); len(found) > 0 {
			return Outcome{State: observe.No, Key: "doctor.modules.damaged", Tried: true, Findings: found}
		}
		return Outcome{State: observe.Yes, Key: "doctor.modules.fine", Tried: true, Works: true}
	case packages.Late:
		return Outcome{State: observe.NotChecked, Key: "doctor.modules.late", Wants: true}
	}
	if found := c.unlessOff(packages.findings); len(found) > 0 && !packages.ok() {
		return Outcome{State: observe.No, Key: "doctor.modules.bad", Tried: true, Findings: found, Missing: missing}
	}
	if found := c.unlessOff(all.findings); len(found) > 0 && !all.ok() {
		return Outcome{State: observe.No, Key: "doctor.modules.bad", Tried: true, Findings: found, Missing: missing, Side: packages.ok()}
	}
	if packages.ok() && len(missing) == 0 && !wantsNet(all.Output) || !packages.ok() && !wantsNet(packages.Output) && !wantsNet(all.Output) {
		// It fails for a reason that is none of keepwell's: a syntax error, no Go files.
		return Outcome{State: observe.NotChecked, Key: "doctor.modules.other", Args: []string{lastLine(packages.Output)}, Missing: missing, Wants: len(missing) > 0}
	}
	return Outcome{State: observe.No, Key: "doctor.modules.missing", Args: []string{number(max(len(missing), 1))}, Wants: true, Missing: missing, Side: packages.ok()}
}

// patterns are the packages in question: those of the module here or, at the root of a
// workspace, of all its modules.
func (c *Case) patterns() []string {
	work := c.gowork()
	if work == "" || c.gomod() != "" {
		return []string{"./..."}
	}
	data, err := plainfile.Read(work)
	if err != nil {
		return []string{"./..."}
	}
	f, err := modfile.ParseWork(work, data, nil)
	if err != nil || len(f.Use) == 0 {
		return []string{"./..."} // go says what is wrong with it
	}
	var list []string
	for _, use := range f.Use {
		dir := filepath.FromSlash(use.Path)
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(filepath.Dir(work), dir)
		}
		list = append(list, filepath.Join(dir, "..."))
	}
	return list
}

// aside lets go write its checksums to copies of go.mod and go.sum: go mod download adds
// to go.sum, and a look changes nothing. A workspace knows no such flag.
func (c *Case) aside() (flags []string, done func()) {
	name := c.gomod()
	if name == "" || c.gowork() != "" || flagValue(c.Settings.Env.Value("GOFLAGS"), "modfile") != "" {
		return nil, func() {}
	}
	dir, err := os.MkdirTemp("", "keepwell-doctor-")
	if err != nil {
		return nil, func() {}
	}
	done = func() { scratch.Remove(dir) }
	for from, to := range map[string]string{name: "go.mod", strings.TrimSuffix(name, ".mod") + ".sum": "go.sum"} {
		if data, err := plainfile.Read(from); err == nil {
			err = os.WriteFile(filepath.Join(dir, to), data, 0o600)
			if err != nil {
				done()
				return nil, func() {}
			}
		}
	}
	return []string{"-modfile=" + filepath.Join(dir, "go.mod")}, done
}

// lookAsked asks whether the module cache has the modules in question.
func (c *Case) lookAsked(ctx context.Context, seen []Outcome) Outcome {
	limited, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	flags, done := c.aside()
	defer done()
	o := Outcome{State: observe.Yes, Key: "doctor.modules.cached"}
	for _, s := range c.Asked {
		if s.Ecosystem != Go {
			continue
		}
		if dir := c.OwnModule(s.Path); dir != "" && s.Version == "" { // nobody is asked about it
			o.Key, o.Args = "doctor.modules.own", []string{here(c.Dir, dir)}
			continue
		}
		err := module.CheckImportPath(s.Path)
		if err == nil {
			host, _, _ := strings.Cut(s.Path, "/")
			if _, e := observe.Parse(host, c.Observe); errors.Is(e, observe.ErrForbidden) {
				err = e
			}
		}
		if err != nil {
			return c.badPath(s, err)
		}
		if !exactVersion(s.Version) || module.CheckPath(s.Path) != nil {
			o.Wants = true
			continue
		}
		r := c.runGo(limited, "", alone(), slices.Concat([]string{"mod", "download"}, flags, []string{s.String()})...)
		if r.ok() {
			continue
		}
		if found := c.unlessOff(r.findings); len(found) > 0 && !wantsNet(r.Output) {
			return Outcome{State: observe.No, Key: "doctor.modules.bad", Tried: true, Findings: found}
		}
		o.Wants = true
		o.Missing = append(o.Missing, module.Version{Path: s.Path, Version: s.Version})
	}
	if o.Wants {
		o.State, o.Key, o.Args = observe.No, "doctor.modules.asked", nil
		return o
	}
	if found := spoilt(seen); len(found) > 0 { // go does not look again at what it has
		return Outcome{State: observe.No, Key: "doctor.modules.damaged", Tried: true, Findings: found}
	}
	if found := c.identity(c.Settings.Env.Value("GOMODCACHE")); len(found) > 0 {
		return Outcome{State: observe.No, Key: "doctor.modules.bad", Tried: true, Findings: found}
	}
	o.Tried, o.Works, o.Findings = true, true, c.cachedAdvice(limited)
	return o
}

// badPath is a question that no go command could ask a server.
func (c *Case) badPath(s Subject, err error) Outcome {
	text := clip(mask.Text(err.Error()))
	return Outcome{State: observe.No, Key: "doctor.modules.path", Args: []string{text}, Tried: true, Findings: []keepwell.Finding{{
		Code: "module/bad-path", Confidence: 0.95, Owner: keepwell.OwnerYou,
		Evidence: []keepwell.Evidence{{Source: "environment", Text: clip(mask.Text(s.String())) + "\n" + text}},
	}}}
}

func exactVersion(v string) bool { return semver.IsValid(v) && module.CanonicalVersion(v) == v }

// unlessOff leaves out what only the run without a network brings about.
func (c *Case) unlessOff(list []keepwell.Finding) []keepwell.Finding {
	users := strings.FieldsFunc(c.Settings.Env.Value("GOPROXY"), func(r rune) bool { return r == ',' || r == '|' })
	off := len(users) > 0 && users[0] == "off"
	return slices.DeleteFunc(slices.Clone(list), func(f keepwell.Finding) bool {
		return severity(f) == keepwell.SeverityInfo || f.Code == "proxy/off" && !off
	})
}

// wantsNet reports whether go stopped only because it may ask nobody.
func wantsNet(output []byte) bool {
	return bytes.Contains(output, []byte("GOPROXY=off")) || bytes.Contains(output, []byte("looking for missing dependencies"))
}

// missingModules are those which go mod download -json could not find.
func missingModules(out []byte) []module.Version {
	var list []module.Version
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var m struct{ Path, Version, Error string }
		if err := dec.Decode(&m); err != nil {
			return list
		}
		if m.Error != "" && m.Version != "" && len(m.Path)+len(m.Version) < 2000 {
			list = append(list, module.Version{Path: m.Path, Version: m.Version})
		}
	}
}

func lastLine(out []byte) string {
	text := strings.TrimSpace(string(out))
	return clip(mask.Text(text[strings.LastIndexByte(text, '\n')+1:]))
}

// wantsFetch reports whether something has to come over the network, and go can be
// asked to fetch it.
func wantsFetch(c *Case, seen []Outcome) bool {
	o := find(seen, "modules")
	return o != nil && o.Wants
}

// most bounds the modules that are fetched to see why they fail.
const most = 12

// lookFetch lets the real go command fetch what is missing, in the user's settings but
// into a directory of its own, and reads what it says.
func lookFetch(ctx context.Context, c *Case, seen []Outcome) Outcome {
	dir, err := os.MkdirTemp("", "keepwell-doctor-")
	if err != nil {
		return Outcome{State: observe.NotChecked, Key: "doctor.fetch.scratch", Args: []string{mask.Text(err.Error())}}
	}
	defer scratch.Remove(dir)
	side := false
	var missing []module.Version
	if o := find(seen, "modules"); o != nil {
		side, missing = o.Side, o.Missing
	}
	began := time.Now()
	r := c.fetch(ctx, dir, missing)
	o := Outcome{State: observe.Yes, Key: "doctor.fetch.fine", Tried: true, Works: r.ok(), Side: side, Findings: r.findings}
	switch took := number(int(time.Since(began).Round(time.Second).Seconds())); {
	case r.ok():
		if found := spoilt(seen); len(found) > 0 {
			o.State, o.Key, o.Works, o.Findings = observe.No, "doctor.fetch.spoilt", false, found
		} else if found := c.identity(filepath.Join(dir, "mod")); len(found) > 0 {
			o.State, o.Key, o.Works, o.Findings = observe.No, "doctor.fetch.bad", false, found
		} else {
			o.Findings = c.advice(ctx, dir)
		}
	case r.Late && len(r.findings) == 0 && steady(dir, time.Since(began)):
		o.Key, o.Args, o.Works = "doctor.fetch.running", []string{took}, true
	case r.Late && len(r.findings) == 0:
		o.State, o.Key, o.Args, o.Hung = observe.No, "doctor.fetch.hung", []string{took}, true
		o.Findings = c.waited(r.steps, took)
	case len(r.findings) == 0:
		o.State, o.Key, o.Args = observe.No, "doctor.fetch.unknown", []string{lastLine(r.Output)}
		o.Tried = false
	default:
		o.State, o.Key = observe.No, "doctor.fetch.bad"
	}
	return o
}

// fetch runs the commands that would fetch what is missing, until one fails.
func (c *Case) fetch(ctx context.Context, dir string, missing []module.Version) toolRun {
	if err := c.scratch(dir); err != nil {
		return toolRun{err: err}
	}
	env := []string{
		"GOTOOLCHAIN=local", "GOWORK=off", "GOMODCACHE=" + filepath.Join(dir, "mod"), "GOTMPDIR=",
		"GOFLAGS=" + fetchFlags(c.Settings.Env.Value("GOFLAGS")),
	}
	var last toolRun
	for _, s := range c.Asked {
		if s.Ecosystem != Go || s.Version == "" && c.OwnModule(s.Path) != "" {
			continue
		}
		args := []string{"get", "-x", s.String()}
		if exactVersion(s.Version) {
			args = []string{"mod", "download", "-x", s.String()}
		}
		if last = c.runGo(ctx, dir, env, args...); !last.ok() {
			return last
		}
	}
	if len(c.Asked) > 0 {
		return last
	}
	if len(missing) == 0 { // the build list itself could not be loaded
		overlay := "GOPROXY=file://" + filepath.ToSlash(filepath.Join(c.Settings.Env.Value("GOMODCACHE"), "cache", "download")) + "," + c.Settings.Env.Value("GOPROXY")
		r := c.runGo(ctx, c.projectDir(), append(slices.Clone(env[:1]), env[2], env[3], overlay, "GOFLAGS="+keptFlags(c.Settings.Env.Value("GOFLAGS"))), "list", "-x", "-m", "all")
		if missing = c.needed(r.Stdout, dir); !r.ok() || len(missing) == 0 {
			return r
		}
	}
	if missing[0].Path == "golang.org/toolchain" {
		return c.fetchToolchain(ctx, dir, env, missing[0])
	}
	args := []string{"mod", "download", "-x"}
	for _, m := range missing[:min(len(missing), most)] {
		args = append(args, m.Path+"@"+m.Version)
	}
	return c.runGo(ctx, dir, env, args...)
}

// needed are the modules of a build list whose zips the project uses: those of which
// its go.sum knows the zip, or those that go.mod itself names.
func (c *Case) needed(list []byte, dir string) []module.Version {
	sums, err := plainfile.Read(filepath.Join(dir, "go.sum"))
	wanted := func(path, version string) bool {
		return strings.Contains("\n"+string(sums), "\n"+path+" "+version+" h1:")
	}
	if err != nil && c.Machine.GoMod != nil {
		wanted = func(path, _ string) bool {
			return slices.ContainsFunc(c.Machine.GoMod.Require, func(r *modfile.Require) bool { return r.Mod.Path == path && !r.Indirect })
		}
	}
	var out []module.Version
	for line := range strings.Lines(string(list)) {
		fields := strings.Fields(line)
		if len(fields) == 2 && module.Check(fields[0], fields[1]) == nil && wanted(fields[0], fields[1]) {
			out = append(out, module.Version{Path: fields[0], Version: fields[1]})
		}
	}
	return out
}

func (c *Case) projectDir() string {
	if mod := c.gomod(); mod != "" {
		return filepath.Dir(mod)
	}
	return c.Dir
}

// fetchFlags are GOFLAGS without what only fits the project.
func fetchFlags(flags string) string {
	return flagsWithout(flags, func(name, _ string) bool { return name == "mod" || name == "modfile" })
}

// keptFlags are GOFLAGS for reading the project: nothing is written.
func keptFlags(flags string) string {
	return flagsWithout(flags, func(name, value string) bool { return name == "mod" && value == "mod" })
}

// flagsWithout are GOFLAGS but for some, with a module cache that can be removed.
func flagsWithout(flags string, drop func(name, value string) bool) string {
	var keep []string
	for f := range strings.FieldsSeq(flags) {
		if name, value, ok := strings.Cut(strings.TrimLeft(f, "-"), "="); !ok || !drop(name, value) {
			keep = append(keep, f)
		}
	}
	return strings.Join(append(keep, "-modcacherw"), " ")
}

// scratch makes a module beside the project: with the project's go.sum, so that what
// comes is held to it.
func (c *Case) scratch(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module keepwell.invalid/try\n\ngo "+c.scratchGo()+"\n"), 0o600); err != nil {
		return err
	}
	mod := c.gomod()
	if mod == "" {
		return nil
	}
	data, err := plainfile.Read(strings.TrimSuffix(mod, ".mod") + ".sum")
	if err != nil {
		return nil //nolint:nilerr // no go.sum is an empty one
	}
	return os.WriteFile(filepath.Join(dir, "go.sum"), data, 0o600)
}
