package workspace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/proc"
)

// The errors of comparing with an earlier state.
var (
	ErrNoGit  = errors.New("there is no git repository here")
	ErrNoRev  = errors.New("git knows no such commit")
	ErrNoBase = errors.New("git finds no common ancestor")
)

// changes are the files that differ between two states of a repository.
type changes struct {
	// top is the repository's directory, base the older commit.
	top, base string
	// head is the newer commit; "" means the working tree.
	head string
	// files are all that differ, by their absolute names.
	files map[string]bool
	// below are directories of which all counts as changed: submodules at another commit.
	below []string
	// links are symbolic links of the working tree, and where they lead.
	links map[string]string
}

// has reports whether a file differs.
func (c *changes) has(name string) bool {
	if c.files[name] {
		return true
	}
	if to, ok := c.links[name]; ok && to != name && c.has(to) {
		return true
	}
	return slices.ContainsFunc(c.below, func(dir string) bool { return below(dir, name) })
}

func git(ctx context.Context, dir string, args ...string) ([]byte, error) {
	return proc.Output(ctx, proc.Options{Dir: dir, Timeout: 5 * time.Minute, MaxOut: 256 << 20}, "git", args...)
}

// changed compares the merge base of since and HEAD with the working tree, files that
// git does not know and does not ignore included; or, if committed, with HEAD. direct
// compares with since itself.
func (w *Workspace) changed(ctx context.Context, since string, committed, direct bool) (*changes, error) {
	out, err := git(ctx, w.Root, "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoGit, err)
	}
	c := &changes{files: map[string]bool{}, links: map[string]string{}}
	if c.top, err = canonical(strings.TrimSuffix(string(out), "\n")); err != nil {
		return nil, err
	}
	if out, err = git(ctx, c.top, "rev-parse", "--verify", "--end-of-options", since+"^{commit}"); err != nil {
		return nil, fmt.Errorf("looking up %q: %w: %w", since, ErrNoRev, err)
	}
	c.base = strings.TrimSpace(string(out))
	if !direct {
		if out, err = git(ctx, c.top, "merge-base", c.base, "HEAD"); err != nil {
			return nil, fmt.Errorf("of %q and HEAD: %w: %w", since, ErrNoBase, err)
		}
		c.base, _, _ = strings.Cut(string(out), "\n")
	}
	if committed {
		if out, err = git(ctx, c.top, "rev-parse", "--verify", "HEAD^{commit}"); err != nil {
			return nil, fmt.Errorf("looking up HEAD: %w", err)
		}
		c.head = strings.TrimSpace(string(out))
	}
	list, err := c.diff(ctx, c.base, c.head)
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		if d.submodule {
			c.below = append(c.below, c.at(d.path))
			continue
		}
		c.files[c.at(d.path)] = true
	}
	return c, c.findLinks(ctx)
}

// at is the name of a path of the repository.
func (c *changes) at(p string) string { return filepath.Join(c.top, filepath.FromSlash(p)) }

// difference is a path that differs between a commit and another state.
type difference struct {
	path string
	// object is what the commit has; "" nothing.
	object string
	link   bool
	// submodule is at another commit.
	submodule bool
}

// diff lists what differs between a commit and another, or the working tree ("").
func (c *changes) diff(ctx context.Context, from, to string) ([]difference, error) {
	args := []string{"-c", "core.fileMode=false", "diff", "--raw", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-abbrev", "--ignore-submodules=dirty", from}
	if to != "" {
		args = append(args, to)
	}
	out, err := git(ctx, c.top, append(args, "--")...)
	if err != nil {
		return nil, fmt.Errorf("comparing with %s: %w", from, err)
	}
	byPath := map[string]difference{}
	parts := strings.Split(string(out), "\x00")
	for ; len(parts) > 1; parts = parts[2:] {
		f := strings.Fields(strings.TrimPrefix(parts[0], ":")) // old mode, new mode, old object, new object, letter
		if len(f) != 5 {
			return nil, fmt.Errorf("comparing with %s: git wrote %q", from, parts[0])
		}
		d := difference{path: parts[1], object: f[2], link: f[0] == "120000", submodule: f[0] == "160000" || f[1] == "160000"}
		switch {
		case f[4] == "U": // while a merge is open, the object is not told
			d.object = from + ":" + d.path
		case f[0] == "000000":
			d.object = ""
		case f[0] != f[1] && strings.HasPrefix(f[0], "100") && strings.HasPrefix(f[1], "100") && c.same(ctx, d, f[3]):
			continue // only the permissions differ
		}
		byPath[d.path] = d
	}
	if to == "" {
		if err := c.untracked(ctx, byPath); err != nil {
			return nil, err
		}
	}
	list := make([]difference, 0, len(byPath))
	for _, d := range byPath {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b difference) int { return strings.Compare(a.path, b.path) })
	return list, nil
}

// untracked adds what git does not follow yet, and takes out what was only taken out of
// the index.
func (c *changes) untracked(ctx context.Context, byPath map[string]difference) error {
	out, err := git(ctx, c.top, "ls-files", "--others", "--exclude-standard", "-z")
	if err != nil {
		return fmt.Errorf("listing new files: %w", err)
	}
	for p := range strings.SplitSeq(string(out), "\x00") {
		p = strings.TrimSuffix(p, "/") // a repository in the repository
		d, known := byPath[p]
		switch {
		case p == "":
		case !known || d.object == "":
			byPath[p] = difference{path: p}
		case c.same(ctx, d, "0"): // taken out of the index, and still there
			delete(byPath, p)
		}
	}
	return nil
}

// same reports whether what stands there now has the bytes of before; object is what git
// says of now, zeros where it did not look.
func (c *changes) same(ctx context.Context, d difference, object string) bool {
	if strings.Trim(object, "0") == "" {
		out, err := git(ctx, c.top, "hash-object", "--", d.path)
		if err != nil {
			return false
		}
		object = strings.TrimSpace(string(out))
	}
	return object == d.object
}

func (c *changes) findLinks(ctx context.Context) error {
	out, err := git(ctx, c.top, "ls-files", "--stage", "-z")
	if err != nil {
		return fmt.Errorf("listing files: %w", err)
	}
	for entry := range strings.SplitSeq(string(out), "\x00") {
		if !strings.HasPrefix(entry, "120000 ") {
			continue
		}
		_, p, _ := strings.Cut(entry, "\t")
		if to, err := filepath.EvalSymlinks(c.at(p)); err == nil {
			c.links[c.at(p)] = to
		}
	}
	return nil
}

// read reports whether go reads a file's bytes when it lists packages: of the others it
// only sees that they are there.
func read(name string) bool {
	if special(name) {
		return true
	}
	switch path.Ext(name) {
	case ".go", ".c", ".cc", ".cpp", ".cxx", ".m", ".h", ".hh", ".hpp", ".hxx", ".f", ".F", ".for", ".f90", ".s", ".S", ".sx", ".swig", ".swigcxx":
		return true
	}
	return false
}

// overlay tells go what a commit has in the place of the working tree's files.
type overlay struct {
	// file is what -overlay names; "" where nothing differs.
	file string
	// replace has the name of a file of the working tree, and the file to read instead, ""
	// where there was none.
	replace map[string]string
}

// text is what a file held; nil where there was none.
func (o overlay) text(name string) ([]byte, error) {
	if to, ok := o.replace[name]; ok {
		if to == "" {
			return nil, nil
		}
		name = to
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// overlay makes the overlay that turns the working tree into a commit; its files lie in
// dir.
func (c *changes) overlay(ctx context.Context, commit, dir string) (overlay, error) {
	o := overlay{replace: map[string]string{}}
	list, err := c.diff(ctx, commit, "")
	if err != nil || len(list) == 0 {
		return o, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return o, err
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		return o, err
	}
	var wanted []string
	var names []string
	for _, d := range list {
		switch name := c.at(d.path); {
		case d.submodule:
		case d.object == "":
			o.replace[name] = ""
		case d.link:
			wanted, names = append(wanted, commit+":"+d.path), append(names, name)
		case read(d.path):
			wanted, names = append(wanted, d.object), append(names, name)
		default:
			o.replace[name] = empty
		}
	}
	texts, err := c.objects(ctx, wanted)
	if err != nil {
		return o, err
	}
	for i, text := range texts {
		if text == nil {
			o.replace[names[i]] = ""
			continue
		}
		to := filepath.Join(dir, strconv.Itoa(i)+path.Ext(names[i]))
		if err := os.WriteFile(to, text, 0o600); err != nil {
			return o, err
		}
		o.replace[names[i]] = to
	}
	// What was a directory and is a file now: the children say enough, and go would take
	// them for gone with it.
	for name, to := range o.replace {
		for dir := filepath.Dir(name); to != "" && len(dir) > len(c.top); dir = filepath.Dir(dir) {
			if o.replace[dir] == "" {
				delete(o.replace, dir)
			}
		}
	}
	data, err := json.Marshal(map[string]any{"Replace": o.replace})
	if err != nil {
		return o, err
	}
	o.file = filepath.Join(dir, "overlay.json")
	return o, os.WriteFile(o.file, data, 0o600)
}

// objects reads objects of git; nil for what is no file.
func (c *changes) objects(ctx context.Context, names []string) ([][]byte, error) {
	if len(names) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var in, out, errs bytes.Buffer
	for _, n := range names {
		if strings.ContainsAny(n, "\n\r") {
			n = "HEAD^{tree}" // git cannot be asked: it is passed over
		}
		in.WriteString(n + "\n")
	}
	code, err := proc.Attach(ctx, proc.Options{Dir: c.top, Group: true, Env: []string{"GIT_TERMINAL_PROMPT=0"}}, &in, &out, &errs, "git", "cat-file", "--batch", "--follow-symlinks")
	if err != nil || code != 0 {
		return nil, fmt.Errorf("reading earlier files: %w: %s", errors.Join(err, ctx.Err()), firstLine(errs.String()))
	}
	texts := make([][]byte, 0, len(names))
	for range names {
		head, err := out.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("reading earlier files: %w", err)
		}
		f := strings.Fields(head)
		if len(f) == 2 && f[1] == "missing" || strings.HasSuffix(head, " missing\n") || len(f) == 0 {
			texts = append(texts, nil)
			continue
		}
		size, err := strconv.Atoi(f[len(f)-1])
		if err != nil || size < 0 || size > out.Len() {
			return nil, fmt.Errorf("reading earlier files: git wrote %q", head)
		}
		text := slices.Clone(out.Next(size))
		if _, err := out.ReadByte(); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if len(f) != 3 || f[1] != "blob" { // a directory, or a link that leads out of the repository
			text = nil
		} else if text == nil {
			text = []byte{}
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// checkout writes a commit's files below dir.
func (c *changes) checkout(ctx context.Context, commit, dir string) error {
	env := []string{"GIT_INDEX_FILE=" + filepath.Join(dir, ".keepwell-index")}
	for _, args := range [][]string{{"read-tree", commit}, {"checkout-index", "--all", "--prefix=" + dir + string(filepath.Separator)}} {
		if _, err := proc.Output(ctx, proc.Options{Dir: c.top, Env: env, Timeout: 5 * time.Minute}, "git", args...); err != nil {
			return fmt.Errorf("writing the files of %s: %w", commit, err)
		}
	}
	return nil
}
