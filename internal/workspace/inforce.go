package workspace

import (
	"context"
	"errors"
	"go/version"
	"os"
	"path/filepath"
	"strings"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/proc"
)

// Setting is a setting of go that decides what the workspace is, and who sets it.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Origin is the place that sets it; "found" for a go.work that go found by itself.
	Origin string `json:"origin"`
	File   string `json:"file,omitempty"`
}

// InForce is what decides how go builds here.
type InForce struct {
	Settings []Setting `json:"settings"`
	// Vendor is the vendor directory that go builds from; "" where it does not.
	Vendor string `json:"vendor,omitempty"`
	// Git is how go.work and go.work.sum are kept: "committed", "changed", "ignored",
	// "untracked", "absent", or "" where there is no git.
	Git map[string]string `json:"git"`
	// Problems come of all that.
	Problems []Problem `json:"-"`
}

// Settings says what is in force in dir, for the workspace that go sees there.
func (w *Workspace) Settings(ctx context.Context, dir string, layers goenv.Layers) InForce {
	env := layers.Env()
	f := InForce{Git: map[string]string{}}
	for _, name := range []string{"GOWORK", "GOFLAGS", "GO111MODULE", "GOTOOLCHAIN"} {
		s, ok := env[name]
		switch {
		case name == "GOWORK" && layers.OS[name] == "" && layers.User[name] == "" && w.Work != "":
			f.Settings = append(f.Settings, Setting{name, w.Work, "found", ""})
		case name == "GOWORK" && layers.OS[name] == "" && layers.User[name] == "":
			f.Settings = append(f.Settings, Setting{name, "", string(goenv.FromDefault), ""})
		case ok && (s.Value != "" || name == "GOFLAGS"):
			f.Settings = append(f.Settings, Setting{name, s.Value, string(s.Origin), s.File})
		}
	}
	f.lookGowork(w, dir, env)
	f.lookFlags(w, env.Value("GOFLAGS"))
	f.lookVendor(w, env.Value("GOFLAGS"))
	f.lookGit(ctx, w)
	Order(f.Problems)
	return f
}

func (f *InForce) lookGowork(w *Workspace, dir string, env goenv.Env) {
	at, err := canonical(dir)
	if err != nil {
		return
	}
	found := above(at, "go.work")
	if found == "" {
		return
	}
	name := filepath.Join(found, "go.work")
	switch {
	case env.Value("GOWORK") == "off":
		f.Problems = append(f.Problems, Problem{WorkOff, "", keepwell.SeverityInfo, name, 0, []string{string(env["GOWORK"].Origin)}})
	case w.Work != "" && w.Work != name:
		f.Problems = append(f.Problems, Problem{Elsewhere, "local/workspace", keepwell.SeverityWarning, name, 0, []string{w.Work}})
	}
}

// modFlag is the value of -mod in GOFLAGS.
func modFlag(flags, name string) string {
	value := ""
	for _, flag := range strings.Fields(flags) {
		if v, ok := strings.CutPrefix(strings.TrimLeft(flag, "-"), name+"="); ok {
			value = v
		}
	}
	return value
}

func (f *InForce) lookFlags(w *Workspace, flags string) {
	if w.Work == "" {
		return
	}
	if modFlag(flags, "mod") == "mod" {
		f.Problems = append(f.Problems, workspaceError(FlagsMod, "", 0, flags))
	}
	if modFlag(flags, "modfile") != "" {
		f.Problems = append(f.Problems, workspaceError(FlagsModFile, "", 0, flags))
	}
}

func hasVendor(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, "vendor", "modules.txt"))
	return err == nil && info.Mode().IsRegular()
}

// lookVendor follows go: a vendor directory is used by itself where the go line is 1.14
// or newer, beside a go.work 1.22, and where it was made for just that.
func (f *InForce) lookVendor(w *Workspace, flags string) {
	newest, least := "", "go1.14"
	if w.Work != "" {
		least = "go1.22"
		if w.File.Go != nil {
			newest = w.File.Go.Version
		}
	} else if len(w.Modules) > 0 {
		newest = w.Modules[0].Go()
	}
	mod := modFlag(flags, "mod")
	if hasVendor(w.Root) {
		made := vendoredFor(w.Root)
		asked := mod == "vendor" || mod == "" && newest != "" && version.Compare("go"+newest, least) >= 0
		switch {
		case asked && made == (w.Work != ""):
			f.Vendor = filepath.Join(w.Root, "vendor")
		case asked && mod == "vendor":
			f.Problems = append(f.Problems, workspaceError(VendorStale, filepath.Join(w.Root, "vendor"), 0))
		case asked:
			f.Problems = append(f.Problems, Problem{VendorStale, "", keepwell.SeverityInfo, filepath.Join(w.Root, "vendor"), 0, nil})
		}
	}
	if w.Work == "" {
		return
	}
	for _, m := range w.Modules {
		if m.Dir != w.Root && hasVendor(m.Dir) {
			f.Problems = append(f.Problems, Problem{VendorIgnored, "", keepwell.SeverityInfo, filepath.Join(m.Dir, "vendor"), 0, []string{m.Rel}})
		}
	}
}

// vendoredFor reports whether a vendor directory was made by `go work vendor`.
func vendoredFor(dir string) bool {
	file, err := os.Open(filepath.Join(dir, "vendor", "modules.txt"))
	if err != nil {
		return false
	}
	defer file.Close()
	head := make([]byte, 256)
	n, _ := file.Read(head)
	line, _, _ := strings.Cut(string(head[:n]), "\n")
	return strings.HasPrefix(line, "## workspace")
}

// lookGit says how go.work is kept, and whether go.work.sum is kept likewise.
func (f *InForce) lookGit(ctx context.Context, w *Workspace) {
	if w.Work == "" {
		return
	}
	name, sum := filepath.Base(w.Work), filepath.Base(w.Work)+".sum"
	out, err := proc.Output(ctx, proc.Options{Dir: w.Root}, "git", "status", "--porcelain=v1", "-z", "--ignored", "--untracked-files=all", "--", name, sum)
	if err != nil { // no git, or no repository
		return
	}
	states := map[string]string{}
	for entry := range strings.SplitSeq(string(out), "\x00") {
		if len(entry) < 4 {
			continue
		}
		state := "changed"
		switch entry[:2] {
		case "!!":
			state = "ignored"
		case "??":
			state = "untracked"
		}
		states[filepath.Base(entry[3:])] = state
	}
	for _, n := range []string{name, sum} {
		if _, err := os.Stat(filepath.Join(w.Root, n)); errors.Is(err, os.ErrNotExist) {
			f.Git[n] = "absent"
		} else if f.Git[n] = states[n]; f.Git[n] == "" {
			f.Git[n] = "committed"
		}
	}
	kept := func(n string) bool { return f.Git[n] == "committed" || f.Git[n] == "changed" }
	switch {
	case f.Git[name] == "untracked":
		f.Problems = append(f.Problems, Problem{Undecided, "", keepwell.SeverityWarning, w.Work, 0, nil})
	case f.Git[sum] != "absent" && kept(name) != kept(sum):
		f.Problems = append(f.Problems, Problem{SumApart, "", keepwell.SeverityWarning, w.Work + ".sum", 0, []string{f.Git[name], f.Git[sum]}})
	case kept(name):
		f.Problems = append(f.Problems, Problem{Committed, "", keepwell.SeverityInfo, w.Work, 0, nil})
	}
}
