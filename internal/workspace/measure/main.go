// Command measure builds a workspace of many modules below a temporary directory, calls
// a keepwell in it, and says how long that takes:
//
//	go run ./internal/workspace/measure KEEPWELL [MODULES]
//
// It judges nothing: machines differ.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: measure KEEPWELL [MODULES]")
		os.Exit(2) //nolint:forbidigo // this is main
	}
	n := 60
	if len(os.Args) > 2 {
		n, _ = strconv.Atoi(os.Args[2])
	}
	if err := measure(context.Background(), os.Args[1], n, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

// external is how many modules outside of the workspace there are, each in three versions.
const external = 30

func measure(ctx context.Context, keepwell string, n int, out io.Writer) error {
	dir, err := os.MkdirTemp("", "keepwell-measure-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := build(dir, n); err != nil {
		return err
	}
	root := filepath.Join(dir, "repo")
	env := append(os.Environ(), "GOMODCACHE="+filepath.Join(dir, "mod"), "GOFLAGS=", "GOWORK=", "LANG=C.UTF-8")
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=m", "-c", "user.email=m@example.org", "commit", "-qm", "all"}} {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = root
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %v: %w: %s", args, err, text)
		}
	}
	change := filepath.Join(root, "m1", "p0", "p.go")
	if err := os.WriteFile(change, []byte("package p0\n\nconst Changed = 1\n"), 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{{"work", "status", "--json"}} {
		var times []time.Duration
		size := 0
		for range 5 {
			cmd := exec.CommandContext(ctx, keepwell, args...) //nolint:gosec // the caller names what to measure
			cmd.Dir, cmd.Env, cmd.Stderr = root, env, os.Stderr
			begin := time.Now()
			text, err := cmd.Output()
			if err != nil {
				return fmt.Errorf("keepwell %v: %w", args, err)
			}
			times, size = append(times, time.Since(begin)), len(text)
		}
		slices.Sort(times)
		fmt.Fprintf(out, "%d modules, keepwell %s: median %v, slowest %v of 5 (%d bytes)\n", n, strings.Join(args, " "), times[2].Round(time.Millisecond), times[4].Round(time.Millisecond), size)
	}
	return nil
}

// build writes n modules of five packages each, that import those of modules before
// them and require modules outside in versions that differ.
func build(dir string, n int) error {
	files := map[string]string{}
	for e := range external {
		for v := range 3 {
			at := fmt.Sprintf("mod/cache/download/example.org/ext%d/@v/v1.%d.0", e, v)
			files[at+".mod"] = fmt.Sprintf("module example.org/ext%d\n\ngo 1.21\n", e)
			files[at+".info"] = fmt.Sprintf("{\"Version\":\"v1.%d.0\"}", v)
		}
	}
	work := "go 1.21\n\nuse (\n"
	for i := range n {
		work += fmt.Sprintf("\t./m%d\n", i)
		mod := fmt.Sprintf("module example.com/repo/m%d\n\ngo 1.21\n\nrequire (\n", i)
		for e := range external {
			mod += fmt.Sprintf("\texample.org/ext%d v1.%d.0\n", e, (i+e)%3)
		}
		files[fmt.Sprintf("repo/m%d/go.mod", i)] = mod + ")\n"
		for p := range 5 {
			source := fmt.Sprintf("package p%d\n", p)
			if i > 0 {
				source += fmt.Sprintf("\nimport _ \"example.com/repo/m%d/p%d\"\n", (i*7+p)%i, (p+1)%5)
			}
			files[fmt.Sprintf("repo/m%d/p%d/p.go", i, p)] = source
			for f := range 20 {
				files[fmt.Sprintf("repo/m%d/p%d/f%d.go", i, p, f)] = fmt.Sprintf("package p%d\n\nimport _ \"fmt\"\n\nfunc f%d() {}\n", p, f)
			}
		}
	}
	files["repo/go.work"] = work + ")\n"
	for name, text := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}
