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
	patterns := make([]string, n)
	for i := range n {
		patterns[i] = filepath.Join(root, fmt.Sprintf("m%d", i), "...")
	}
	list := append([]string{"list", "-e", "-deps", "-test", "-json=ImportPath,Imports,GoFiles,Module"}, patterns...)
	source, mod := filepath.Join(root, "m1", "p0", "p.go"), filepath.Join(root, "m3", "go.mod")
	for _, step := range []struct {
		what, file, old, with string
		command               string
		args                  []string
	}{
		{what: "keepwell work status", command: keepwell, args: []string{"work", "status", "--json"}},
		{what: "go list -deps -test of all packages", command: "go", args: list},
		{what: "keepwell work affected, a function changed", file: source, with: "\nfunc Changed() {}\n", command: keepwell, args: []string{"work", "affected", "--json"}},
		{what: "keepwell work affected, a requirement changed too", file: mod, old: "ext0 v1.0.0", with: "ext0 v1.2.0", command: keepwell, args: []string{"work", "affected", "--json"}},
	} {
		if step.file != "" {
			if err := rewrite(step.file, step.old, step.with); err != nil {
				return err
			}
		}
		var times, cpu []time.Duration
		size := 0
		for range 5 {
			cmd := exec.CommandContext(ctx, step.command, step.args...)
			cmd.Dir, cmd.Env, cmd.Stderr = root, env, os.Stderr
			begin := time.Now()
			text, err := cmd.Output()
			if err != nil {
				return fmt.Errorf("%s: %w", step.what, err)
			}
			times, size = append(times, time.Since(begin)), len(text)
			cpu = append(cpu, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()) // with what it waited for
		}
		slices.Sort(times)
		slices.Sort(cpu)
		fmt.Fprintf(out, "%d modules, %s: median %v, slowest %v of 5, CPU %v (%d bytes)\n", n, step.what, times[2].Round(time.Millisecond), times[4].Round(time.Millisecond), cpu[2].Round(time.Millisecond), size)
	}
	return nil
}

// rewrite puts text in the place of old, or behind all where old is "".
func rewrite(name, old, text string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	after := string(data) + text
	if old != "" {
		after = strings.Replace(string(data), old, text, 1)
	}
	return os.WriteFile(name, []byte(after), 0o600) //nolint:gosec // in a directory of our own
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
