package modcache

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/scratch"
)

// Reason says why something would go, or stays.
type Reason string

// The reasons to go.
const (
	ByPattern   Reason = "module"    // a pattern names it
	ByUnused    Reason = "unused"    // nobody used it for that long
	ByNoProject Reason = "unneeded"  // none of the projects that are kept needs it
	ByQuota     Reason = "quota"     // the least recently used ones go until the rest fits
	ByToolchain Reason = "toolchain" // another go command than those in use
	ByVCS       Reason = "vcs"       // a clone of a repository
	ByLeftover  Reason = "leftover"  // what a killed process left
)

// The reasons to stay.
const (
	StaysNeeded    Reason = "needed"     // a project that is kept needs it
	StaysCurrent   Reason = "current"    // the go command that is in use
	StaysHeld      Reason = "held"       // a running go is at work on it
	StaysForeign   Reason = "foreign"    // it belongs to somebody else
	StaysNoProxy   Reason = "off"        // GOPROXY allows nobody to be asked
	StaysPrivate   Reason = "private"    // its name looks private, and only public servers could be asked
	StaysNotServed Reason = "not-served" // all that may be asked say that they do not have it
	StaysNoAnswer  Reason = "no-answer"  // whether it would come again could not be learnt
)

// Wanted is what would go, and would have to come again.
type Wanted struct {
	module.Version
	// Zip says that more than the go.mod goes.
	Zip bool
	// Clone is set in place of a version.
	Clone *Clone
}

// Doubt is why something might not come again; its zero value says that it would.
type Doubt struct {
	Why Reason
	// Detail is what was answered.
	Detail string
}

// Selection says what is to go. Empty selects nothing.
type Selection struct {
	// Patterns are those of GOPRIVATE, each with an optional @version.
	Patterns []string
	// Unused is how long nobody used it; 0: whatever.
	Unused time.Duration
	// Unneeded selects what no kept project needs.
	Unneeded bool
	// Quota is how much the cache may take of the disk; 0: any. Where it is set, the
	// others say what may go for it, the least recently used first: versions of modules, of
	// the patterns where there are any, and toolchains and clones where those are selected.
	Quota int64
	// Toolchains, VCS and Leftovers select those; leftovers go whatever the quota.
	Toolchains, VCS, Leftovers bool
	// Sums are those of the projects whose needs stay, as in Check.
	Sums map[string]string
	// Keep are toolchains that stay, as versions of go: "go1.25.7".
	Keep []string
	// Ask says of each thing that would go why it might not come again; nil: all that is
	// selected goes, whether it comes again or not.
	Ask func(ctx context.Context, list []Wanted) ([]Doubt, error)
	Now time.Time
}

// Item is something that would go, or that was selected and stays.
type Item struct {
	module.Version
	// Name is the path below the cache of what is no version: a clone, a leftover.
	Name  string
	Why   Reason
	Stays Reason // "" where it goes
	// Detail is what was answered where it stays for that.
	Detail  string
	Disk    int64
	Inodes  int64
	LastUse time.Time
	// Paths are what is removed, in this order, below the cache.
	Paths []string
}

// CleanPlan is what would go, exactly.
type CleanPlan struct {
	Before Amount
	Go     []Item
	Stay   []Item
	// NotesUse is as in Stats.
	NotesUse bool
}

// Frees is what the plan would give back.
func (p *CleanPlan) Frees() (a Amount) {
	for _, i := range p.Go {
		a.Disk += i.Disk
		a.Inodes += i.Inodes
	}
	return a
}

// PlanClean looks at the cache and says what of the selection goes. It changes nothing.
func PlanClean(ctx context.Context, c Cache, sel Selection) (*CleanPlan, error) {
	s, err := Stat(ctx, c)
	if err != nil {
		return nil, err
	}
	if len(s.Unread) > 0 {
		return nil, fmt.Errorf("reading %s: %w", s.Unread[0].Path, s.Unread[0].Err)
	}
	inv, err := takeInventory(ctx, c)
	if err != nil {
		return nil, err
	}
	p := &cleaning{ctx: ctx, cache: c, sel: sel, inv: inv, plan: &CleanPlan{Before: s.Total, NotesUse: s.NotesUse}}
	if sel.Leftovers {
		if err := p.leftovers(); err != nil {
			return nil, err
		}
	}
	if list := p.candidates(s); sel.Quota > 0 {
		err = p.quota(s.Total.Disk, list)
	} else {
		for _, c := range list {
			c.add()
		}
		err = p.settle()
	}
	if err != nil {
		return nil, err
	}
	order := func(a, b Item) int {
		return cmp.Or(cmp.Compare(b.Disk, a.Disk), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Version.Version, b.Version.Version), cmp.Compare(a.Name, b.Name))
	}
	slices.SortFunc(p.plan.Go, order)
	slices.SortFunc(p.plan.Stay, order)
	return p.plan, nil
}

type cleaning struct {
	ctx   context.Context
	cache Cache
	sel   Selection
	inv   *inventory
	plan  *CleanPlan
	// open are items that go if they would come again, wants what to ask for each.
	open  []Item
	wants []Wanted
}

// candidate is something that may go.
type candidate struct {
	used time.Time
	add  func()
}

// candidates are what the selection names, the least recently used first.
func (p *cleaning) candidates(s *Stats) (out []candidate) {
	for _, u := range s.Units {
		if why := p.selected(u); why != "" && p.idle(u.LastUse) {
			out = append(out, candidate{u.LastUse, func() { p.add(u, why) }})
		}
	}
	for _, c := range s.Clones {
		if p.sel.VCS && p.idle(c.LastUse) {
			out = append(out, candidate{c.LastUse, func() { p.clone(c) }})
		}
	}
	slices.SortStableFunc(out, func(a, b candidate) int { return a.used.Compare(b.used) })
	return out
}

func (p *cleaning) idle(used time.Time) bool { return p.sel.Now.Sub(used) >= p.sel.Unused }

// selected says why a version would go; "" where nothing selects it.
func (p *cleaning) selected(u *Unit) Reason {
	switch {
	case u.Toolchain() && !p.sel.Toolchains:
		return ""
	case !u.Toolchain() && len(p.sel.Patterns) > 0 && !p.matches(u.Version):
		return ""
	case p.sel.Quota > 0:
		return ByQuota
	case u.Toolchain():
		return ByToolchain
	case len(p.sel.Patterns) > 0:
		return ByPattern
	case p.sel.Unneeded:
		return ByNoProject
	case p.sel.Unused > 0 && !p.sel.Toolchains && !p.sel.VCS:
		return ByUnused
	}
	return ""
}

// matches reports whether a pattern names the version.
func (p *cleaning) matches(m module.Version) bool {
	for _, pattern := range p.sel.Patterns {
		glob, version, exact := strings.Cut(pattern, "@")
		if (!exact || version == m.Version) && module.MatchPrefixPatterns(glob, m.Path) {
			return true
		}
	}
	return false
}

// needs says how much of a version the kept projects need.
func (p *cleaning) needs(m module.Version) (code, mod bool) {
	code = p.sel.Sums[m.Path+" "+m.Version] != ""
	return code, code || p.sel.Sums[m.Path+" "+m.Version+"/go.mod"] != ""
}

// add puts a version where it belongs: of one whose go.mod alone is needed, that stays.
func (p *cleaning) add(u *Unit, why Reason) {
	i := Item{Version: u.Version, Why: why, Disk: u.Tree.Disk, Inodes: u.Tree.Inodes, LastUse: u.LastUse}
	h := p.inv.versions[u.Version]
	if h == nil {
		return // it went meanwhile
	}
	code, mod := p.needs(u.Version)
	exts := []string{extZip, extHash, extPartial, extMod, extInfo} // not the lock: go keeps it
	if mod && !code && (u.HasZip || u.HasTree) {
		exts, mod = exts[:2], false
	}
	if i.Paths = p.paths(h, exts...); len(i.Paths) == 0 {
		return // a lock, which stays
	}
	for _, ext := range exts {
		if e, ok := h.files[ext]; ok {
			i.Disk, i.Inodes = i.Disk+e.disk, i.Inodes+1
		}
	}
	switch {
	case code || mod:
		i.Stays = StaysNeeded
	case u.Toolchain() && slices.ContainsFunc(p.sel.Keep, func(v string) bool { return strings.HasPrefix(u.Version.Version, "v0.0.1-"+v+".") }):
		i.Stays = StaysCurrent
	case p.foreign(h):
		i.Stays = StaysForeign
	case heldByOther(p.cache.file(u.Version, extLock)):
		i.Stays = StaysHeld
	case u.HasTree || u.HasZip || h.has(extMod): // else it is a noted answer, and worth nothing
		p.open, p.wants = append(p.open, i), append(p.wants, Wanted{Version: u.Version, Zip: u.HasTree || u.HasZip})
		return
	}
	p.put(i)
}

// settle asks whether what is selected would come again.
func (p *cleaning) settle() error {
	doubts := make([]Doubt, len(p.open))
	if p.sel.Ask != nil && len(p.open) > 0 {
		var err error
		if doubts, err = p.sel.Ask(p.ctx, p.wants); err != nil {
			return err
		}
	}
	for n, i := range p.open {
		i.Stays, i.Detail = doubts[n].Why, doubts[n].Detail
		p.put(i)
	}
	p.open, p.wants = nil, nil
	return nil
}

func (p *cleaning) put(i Item) {
	if i.Stays != "" {
		p.plan.Stay = append(p.plan.Stay, i)
	} else {
		p.plan.Go = append(p.plan.Go, i)
	}
}

// paths are what there is of a version: the directory first, so that what is left at any
// moment is a state that go itself makes.
func (p *cleaning) paths(h *held, exts ...string) (out []string) {
	rel := func(name string) string {
		r, err := filepath.Rel(p.cache.Dir, name)
		if err != nil {
			return ""
		}
		return r
	}
	if h.tree.name != "" {
		out = append(out, rel(p.cache.tree(h.Version)))
	}
	for _, ext := range exts {
		if h.has(ext) {
			out = append(out, rel(p.cache.file(h.Version, ext)))
		}
	}
	return out
}

func (p *cleaning) foreign(h *held) bool {
	if h.tree.name != "" && foreign(h.tree) {
		return true
	}
	for _, e := range h.files {
		if foreign(e) {
			return true
		}
	}
	return false
}

func (p *cleaning) clone(c *Clone) {
	dir := filepath.Join("cache", "vcs")
	i := Item{
		Name: cmp.Or(c.Remote, c.Name), Why: ByVCS, Disk: c.Disk, Inodes: c.Inodes, LastUse: c.LastUse,
		Paths: []string{filepath.Join(dir, c.Name), filepath.Join(dir, c.Name+extInfo)},
	}
	if heldByOther(filepath.Join(p.cache.vcs(), c.Name+extLock)) {
		i.Stays = StaysHeld
		p.put(i)
		return
	}
	p.open, p.wants = append(p.open, i), append(p.wants, Wanted{Clone: c})
}

func (p *cleaning) leftovers() error {
	for _, f := range p.inv.faults {
		if f.Kind != KindLeftover {
			continue
		}
		rel, err := filepath.Rel(p.cache.Dir, f.Path)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		e, err := lstat(f.Path)
		if err != nil {
			continue
		}
		i := Item{Name: rel, Why: ByLeftover, Disk: e.disk, Inodes: 1, LastUse: e.used, Paths: []string{rel}}
		if e.mode.IsDir() {
			below, err := Measure(p.ctx, f.Path)
			if err != nil {
				return err
			}
			i.Disk, i.Inodes = i.Disk+below.Disk, i.Inodes+below.Inodes
		}
		p.put(i)
	}
	return nil
}

// quota takes of the candidates until the rest fits. What turns out to stay makes others
// go in its place.
func (p *cleaning) quota(all int64, list []candidate) error {
	for rest := all - p.plan.Frees().Disk; rest > p.sel.Quota && len(list) > 0; rest = all - p.plan.Frees().Disk {
		for rest > p.sel.Quota && len(list) > 0 {
			n := len(p.open)
			list[0].add()
			list = list[1:]
			if len(p.open) > n {
				rest -= p.open[n].Disk
			}
		}
		if err := p.settle(); err != nil {
			return err
		}
	}
	return nil
}

// cleanFile is where a clean that has begun says what it takes away.
const cleanFile = "cache-clean"

// stateFile is a file of keepwell's state that is about one cache.
func (c Cache) stateFile(dir, name string) string {
	sum := sha256.Sum256([]byte(c.Dir))
	return filepath.Join(dir, fmt.Sprintf("%s-%x.json", name, sum[:6]))
}

// begunClean is what a clean wrote down before it began.
type begunClean struct {
	Dir   string      `json:"dir"`
	Items []cleanItem `json:"items"`
}

type cleanItem struct {
	Lock  string      `json:"lock,omitempty"`
	Paths []cleanPath `json:"paths"`
}

// cleanPath is a path with what it was when it was chosen: what came anew since stays.
type cleanPath struct {
	Path     string    `json:"path"`
	Ino      uint64    `json:"ino,omitempty"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
}

func (p cleanPath) still(e entry) bool {
	return p.Ino == e.ino && p.Modified.Equal(e.modified) && (e.mode.IsDir() || p.Size == e.size)
}

// Cleaned tells what Clean did.
type Cleaned struct {
	// Items went, Held did not: a running go had come to work on them.
	Items int
	Held  []string
	// Finished are items that an earlier clean, which was killed, had left.
	Finished int
}

// Clean carries a plan out. state is the directory of keepwell's journal: what has begun
// is finished by the next call, whatever its plan. step, if set, is called after each
// thing that has become durable.
func Clean(ctx context.Context, c Cache, plan *CleanPlan, state string, step func(point string)) (*Cleaned, error) {
	if step == nil {
		step = func(string) {}
	}
	done := &Cleaned{}
	if err := os.Remove(besideState(c.stateFile(state, cleanFile))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return done, err
	}
	n, err := finishClean(ctx, c, state, step, done)
	if done.Finished = n; err != nil {
		return done, err
	}
	if plan == nil || len(plan.Go) == 0 {
		return done, nil
	}
	b := begunClean{Dir: c.Dir}
	for _, i := range plan.Go {
		b.Items = append(b.Items, c.cleanItem(i))
	}
	if err := writeJSON(c.stateFile(state, cleanFile), b); err != nil {
		return done, fmt.Errorf("writing down what goes: %w", err)
	}
	step("begun")
	done.Items, err = finishClean(ctx, c, state, step, done)
	return done, err
}

func (c Cache) cleanItem(i Item) cleanItem {
	var out cleanItem
	if i.Path != "" {
		out.Lock, _ = filepath.Rel(c.Dir, c.file(i.Version, extLock))
	} else if i.Why == ByVCS {
		out.Lock = i.Paths[0] + extLock
	}
	for _, p := range i.Paths {
		if e, err := lstat(filepath.Join(c.Dir, p)); err == nil {
			out.Paths = append(out.Paths, cleanPath{p, e.ino, e.size, e.modified})
		}
	}
	return out
}

// finishClean does what the file of a begun clean says.
func finishClean(ctx context.Context, c Cache, state string, step func(string), done *Cleaned) (n int, err error) {
	name := c.stateFile(state, cleanFile)
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var b begunClean
	if err := json.Unmarshal(data, &b); err != nil || b.Dir != c.Dir {
		if err != nil {
			return 0, errors.Join(fmt.Errorf("reading %s: %w", name, err), os.Remove(name))
		}
		return 0, nil // of another cache
	}
	for _, i := range b.Items {
		if err := ctx.Err(); err != nil {
			return n, context.Cause(ctx) // the file stays: the next call goes on
		}
		err := c.cleanOne(ctx, i, step)
		switch {
		case errors.Is(err, ErrHeld):
			done.Held = append(done.Held, i.Lock)
		case err != nil:
			return n, err
		default:
			n++
		}
	}
	if err := os.Remove(name); err != nil {
		return n, err
	}
	step("end")
	return n, nil
}

// cleanOne removes one item while no go is at work on it.
func (c Cache) cleanOne(ctx context.Context, i cleanItem, step func(string)) error {
	if i.Lock != "" {
		unlock, err := lockVersion(ctx, filepath.Join(c.Dir, i.Lock))
		if err != nil {
			return err
		}
		defer unlock()
	}
	for _, p := range i.Paths {
		if !filepath.IsLocal(p.Path) {
			return fmt.Errorf("%q leads out of the cache", p.Path)
		}
		path := filepath.Join(c.Dir, p.Path)
		aside := filepath.Join(filepath.Dir(path), ".keepwell-"+filepath.Base(path)+"-old")
		e, err := lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if err := drop(path, aside); err != nil { // a kill may have left it under that name
				return err
			}
		case err != nil:
			return err
		case !p.still(e): // go fetched it anew: it is in use
			scratch.Remove(aside)
			continue
		case e.mode.IsDir():
			if err := dropAt(path, aside, step); err != nil {
				return err
			}
		default:
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		step("removed")
		c.prune(filepath.Dir(path))
	}
	return nil
}

// dropAt is drop, with a point between its halves.
func dropAt(path, aside string, step func(string)) error {
	if err := os.Rename(path, aside); err != nil {
		return err
	}
	step("renamed")
	return drop(path, aside)
}

// prune removes directories that have become empty: those of module paths, not @v, in
// which go's locks stay.
func (c Cache) prune(dir string) {
	for dir != c.Dir && strings.HasPrefix(dir, c.Dir+string(filepath.Separator)) && filepath.Base(dir) != "vcs" && filepath.Base(dir) != "download" {
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() || os.Remove(dir) != nil { // a link is somebody's wish
			return
		}
		dir = filepath.Dir(dir)
	}
}
