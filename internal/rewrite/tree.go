package rewrite

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/plainfile"
)

// The bounds of what is read of a project.
const (
	mostFiles     = 200_000
	largestSource = 8 << 20
	mostMentions  = 50
)

// ErrTooMany says that a tree is larger than any project.
var ErrTooMany = errors.New("more files than a project has")

// found is what lies in the directory of a module.
type found struct {
	goFiles []string
	// links are Go files that are symbolic links, texts are files in which people and
	// programs name paths.
	links, texts []string
	// nested are the paths of modules below.
	nested []string
	vendor bool
}

// skipped are directories of which no file is the module's own for go.
func skipped(name string) bool {
	return name == "vendor" || name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

// walk finds the files of the module in dir: those for every system and build tag, and
// tests; nothing of nested modules.
func walk(ctx context.Context, dir string) (found, error) {
	var out found
	left := mostFiles
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if left--; left < 0 {
			return fmt.Errorf("looking at %s: %w", dir, ErrTooMany)
		}
		base := d.Name()
		if d.IsDir() {
			if name == dir {
				return nil
			}
			return out.enter(ctx, dir, name)
		}
		switch {
		case strings.HasPrefix(base, "_") || strings.HasPrefix(base, ".") && strings.HasSuffix(base, ".go"):
		case strings.HasSuffix(base, ".go") && d.Type().IsRegular():
			out.goFiles = append(out.goFiles, name)
		case strings.HasSuffix(base, ".go") && d.Type() == fs.ModeSymlink:
			out.links = append(out.links, name)
		case d.Type().IsRegular() && namesPaths(base):
			out.texts = append(out.texts, name)
		}
		return nil
	})
	return out, err
}

// enter tells whether the files of a directory below dir are the module's.
func (f *found) enter(ctx context.Context, dir, name string) error {
	base := filepath.Base(name)
	switch base {
	case "vendor":
		f.vendor = f.vendor || filepath.Dir(name) == dir
	case ".github", ".gitlab", ".circleci": // what builds it elsewhere
		texts, err := hiddenTexts(ctx, name)
		if f.texts = append(f.texts, texts...); err != nil {
			return err
		}
	}
	if skipped(base) {
		return fs.SkipDir
	}
	if _, err := os.Lstat(filepath.Join(name, "go.mod")); err == nil {
		f.nested = append(f.nested, name)
		return fs.SkipDir
	}
	return nil
}

// hiddenTexts are the files in which paths are named, below a directory that go passes
// over.
func hiddenTexts(ctx context.Context, dir string) (texts []string, err error) {
	left := mostMentions * 20
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if left--; err != nil || ctx.Err() != nil || left < 0 {
			return cmp.Or(ctx.Err(), fs.SkipAll)
		}
		if d.Type().IsRegular() && namesPaths(d.Name()) {
			texts = append(texts, name)
		}
		return nil
	})
	return texts, err
}

// namesPaths reports a file that is no Go and often names import paths.
func namesPaths(base string) bool {
	for _, end := range []string{".yml", ".yaml", ".proto", ".sh", ".mk", ".toml", ".tmpl", ".bazel"} {
		if strings.HasSuffix(base, end) {
			return true
		}
	}
	return strings.HasPrefix(base, "Makefile") || strings.HasPrefix(base, "Dockerfile") || strings.HasPrefix(base, "Taskfile") || base == "BUILD"
}

// rewritten is what became of one file.
type rewritten struct {
	edit act.Edit
	info Source
	left Why
}

// rewriteAll rewrites files, several at a time.
func (s sources) rewriteAll(ctx context.Context, files []string) ([]rewritten, error) {
	out := make([]rewritten, len(files))
	errs := make([]error, len(files))
	next := make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				out[i], errs[i] = s.rewriteFile(files[i])
			}
		})
	}
	for i := range files {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	return out, errors.Join(ctx.Err(), errors.Join(errs...))
}

func (s sources) rewriteFile(name string) (rewritten, error) {
	if info, err := os.Lstat(name); err == nil && info.Size() > largestSource {
		return rewritten{left: TooLarge, info: Source{Path: name}}, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return rewritten{}, err
	}
	after, info, err := s.source(name, data)
	if err != nil {
		return rewritten{left: Unparsable, info: info}, nil //nolint:nilerr // it is left alone, and named
	}
	if after == nil || bytes.Equal(after, data) {
		return rewritten{}, nil
	}
	return rewritten{edit: act.Edit{Path: name, Before: data, After: after}, info: info}, nil
}

// mentions are the files that name a path and are no Go.
func mentions(files []string, path string) []Left {
	var out []Left
	for _, name := range files {
		data, err := plainfile.Read(name)
		if err == nil && bytes.Contains(data, []byte(path)) && len(out) < mostMentions {
			out = append(out, Left{name, NotGo})
		}
	}
	slices.SortFunc(out, func(a, b Left) int { return strings.Compare(a.Path, b.Path) })
	return out
}
