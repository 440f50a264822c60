package workspace

import (
	"cmp"
	"errors"
	"go/version"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/keepwell/keepwell"
)

// Kind says what is wrong, or worth knowing; it names the words.
type Kind string

// The kinds.
const (
	Unreadable    Kind = "unreadable"     // a go.mod that is none: File, what is wrong
	UseGone       Kind = "use-gone"       // go.work names a directory that is not there
	UseTwice      Kind = "use-twice"      // go.work names a directory twice
	SamePath      Kind = "same-path"      // two modules have the same path
	GoLine        Kind = "go-line"        // go.work's go line is older than a module's
	ReplaceGone   Kind = "replace-gone"   // a replacement leads nowhere
	ReplaceOwn    Kind = "replace-own"    // a replacement of what go.work uses anyway
	ReplaceApart  Kind = "replace-apart"  // the same, of what was never released: builds without go.work need it
	ReplaceUnused Kind = "replace-unused" // a replacement of what nothing requires
	ReplaceClash  Kind = "replace-clash"  // modules replace the same one differently
	NotUsed       Kind = "not-used"       // a module of the repository that go.work leaves out
	FlagsMod      Kind = "flags-mod"      // GOFLAGS=-mod=mod: go refuses it in a workspace
	FlagsModFile  Kind = "flags-modfile"  // GOFLAGS=-modfile: refused likewise
	WorkOff       Kind = "work-off"       // GOWORK=off although there is a go.work
	Elsewhere     Kind = "elsewhere"      // GOWORK names another file than the one above
	VendorIgnored Kind = "vendor-ignored" // a module's own vendor directory, which go.work turns off
	VendorStale   Kind = "vendor-stale"   // the vendor directory is another set of modules'
	Undecided     Kind = "undecided"      // go.work is neither committed nor ignored
	SumApart      Kind = "sum-apart"      // go.work.sum is kept in another way than go.work
	Committed     Kind = "committed"      // go.work is committed: CI builds with it too
)

// Problem is something that status tells.
type Problem struct {
	Kind     Kind              `json:"kind"`
	Code     keepwell.Code     `json:"code,omitempty"`
	Severity keepwell.Severity `json:"severity"`
	File     string            `json:"file,omitempty"`
	Line     int               `json:"line,omitempty"`
	// Args fill the words.
	Args []string `json:"args,omitempty"`
}

func workspaceError(k Kind, file string, line int, args ...string) Problem {
	return Problem{k, "local/workspace", keepwell.SeverityError, file, line, args}
}

// Problems is all that the files say, errors first.
func (w *Workspace) Problems() []Problem {
	out := []Problem{}
	for _, look := range []func(*Workspace) []Problem{unreadable, lookUses, lookPaths, lookGoLines, lookReplaces, lookOutside} {
		out = append(out, look(w)...)
	}
	Order(out)
	return out
}

// Order puts errors first.
func Order(list []Problem) {
	rank := map[keepwell.Severity]int{keepwell.SeverityError: 0, keepwell.SeverityWarning: 1, keepwell.SeverityInfo: 2}
	slices.SortStableFunc(list, func(a, b Problem) int { return cmp.Compare(rank[a.Severity], rank[b.Severity]) })
}

func unreadable(w *Workspace) (out []Problem) {
	for _, m := range w.Modules {
		if m.Err != nil {
			text, _, _ := strings.Cut(m.Err.Error(), "\n")
			out = append(out, workspaceError(Unreadable, m.Name(), 0, text))
		}
	}
	return out
}

func lookUses(w *Workspace) (out []Problem) {
	if w.File == nil {
		return nil
	}
	for _, u := range w.Gone {
		out = append(out, workspaceError(UseGone, w.Work, u.Syntax.Start.Line, u.Path))
	}
	seen := map[string]bool{}
	for _, u := range w.File.Use {
		at := Place(w.Root, u.Path)
		if seen[at] {
			out = append(out, workspaceError(UseTwice, w.Work, u.Syntax.Start.Line, u.Path))
		}
		seen[at] = true
	}
	return out
}

func lookPaths(w *Workspace) (out []Problem) {
	first := map[string]*Module{}
	for _, m := range w.Modules {
		if o := first[m.Path]; o != nil && m.Path != "" {
			out = append(out, workspaceError(SamePath, m.Name(), 0, m.Path, o.Rel, m.Rel))
			continue
		}
		first[m.Path] = m
	}
	return out
}

func lookGoLines(w *Workspace) (out []Problem) {
	if w.File == nil {
		return nil
	}
	lists := "1.18"
	line := 0
	if w.File.Go != nil {
		lists, line = w.File.Go.Version, w.File.Go.Syntax.Start.Line
	}
	for _, m := range w.Modules {
		if g := m.Go(); g != "" && version.Compare("go"+lists, "go"+g) < 0 {
			out = append(out, workspaceError(GoLine, w.Work, line, lists, m.Rel, g))
		}
	}
	return out
}

// replacement is a replace line with the file that it stands in.
type replacement struct {
	*modfile.Replace
	file, dir string
}

// at is the directory that it leads to; "" where it is another module.
func (r replacement) at() string {
	if r.New.Version != "" {
		return ""
	}
	return Place(r.dir, r.New.Path)
}

func (w *Workspace) replacements() (out []replacement) {
	if w.File != nil {
		for _, r := range w.File.Replace {
			out = append(out, replacement{r, w.Work, w.Root})
		}
	}
	for _, m := range w.Modules {
		if m.File == nil {
			continue
		}
		for _, r := range m.File.Replace {
			out = append(out, replacement{r, m.Name(), m.Dir})
		}
	}
	return out
}

func lookReplaces(w *Workspace) (out []Problem) {
	own, required, unreleased := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, m := range w.Modules {
		own[m.Path] = true
		if m.File != nil {
			for _, r := range m.File.Require {
				required[r.Mod.Path] = true
				unreleased[m.Name()+" "+r.Mod.Path] = r.Mod.Version == "v0.0.0" || strings.HasPrefix(r.Mod.Version, "v0.0.0-00010101000000-")
			}
		}
	}
	chosen := map[string]replacement{} // by path@version
	for _, r := range w.replacements() {
		key := r.Old.String()
		add := func(k Kind, s keepwell.Severity, args ...string) {
			out = append(out, Problem{k, "local/replace", s, r.file, r.Syntax.Start.Line, args})
		}
		switch at := r.at(); {
		case at != "" && !hasMod(at) && required[r.Old.Path]: // also of a module in go.work: go reads it there
			add(ReplaceGone, keepwell.SeverityError, r.Old.Path, target(r))
		case own[r.Old.Path] && w.Work != "" && at != "" && unreleased[r.file+" "+r.Old.Path]:
			add(ReplaceApart, keepwell.SeverityInfo, r.Old.Path, target(r))
		case own[r.Old.Path] && w.Work != "":
			add(ReplaceOwn, keepwell.SeverityInfo, r.Old.Path, target(r))
		case at != "" && !hasMod(at):
			add(ReplaceGone, keepwell.SeverityInfo, r.Old.Path, target(r))
		case !required[r.Old.Path] && r.file != w.Work:
			add(ReplaceUnused, keepwell.SeverityInfo, r.Old.Path, target(r))
		}
		first, ok := chosen[key]
		if !ok {
			chosen[key] = r
			continue
		}
		// go.work's own replacement overrides those of modules, and comes first here.
		if first.file != w.Work && (first.at() != r.at() || first.New.Version != r.New.Version || r.at() == "" && first.New.Path != r.New.Path) {
			add(ReplaceClash, keepwell.SeverityError, r.Old.Path, target(r), target(first), relative(w.Root, first.file))
		}
	}
	return out
}

func target(r replacement) string {
	if r.New.Version != "" {
		return r.New.String()
	}
	return r.New.Path
}

func hasMod(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return !errors.Is(err, fs.ErrNotExist)
}

func lookOutside(w *Workspace) (out []Problem) {
	if w.File == nil {
		return nil
	}
	for _, m := range w.Outside {
		out = append(out, Problem{NotUsed, "", keepwell.SeverityInfo, m.Name(), 0, []string{m.Rel, cmp.Or(m.Path, "?")}})
	}
	return out
}
