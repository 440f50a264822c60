//go:build linux

// Command measure holds `keepwell cache` to its goals on this machine:
//
//	go run ./internal/modcache/measure KEEPWELL stat|verify|damages ...
//
// stat builds a cache of 400,000 files in 40,000 directories below a temporary
// directory, removes it at the end, and says how long `cache stat` takes. verify compares
// `cache verify`, the first time and again, with `go mod verify`; damages plants thirty
// damages and says what either finds. Both need the corpus that `.ci/bench closure`
// fetches. It judges nothing: machines differ.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// bench is one call.
type bench struct {
	ctx      context.Context
	keepwell string
	// corpus is where .ci/bench keeps a module's source in src and its needs in mod.
	corpus string
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: measure KEEPWELL stat|verify|damages ...")
		os.Exit(2)
	}
	b := &bench{ctx: context.Background(), corpus: os.Getenv("KEEPWELL_BENCH")}
	var err error
	if b.corpus == "" {
		b.corpus, err = os.UserCacheDir()
	}
	b.corpus = filepath.Join(b.corpus, "keepwell-bench")
	if err == nil {
		b.keepwell, err = filepath.Abs(os.Args[1])
	}
	for _, part := range os.Args[2:] {
		if err != nil {
			break
		}
		switch part {
		case "stat":
			err = b.stat()
		case "verify":
			err = b.verify()
		case "damages":
			err = b.damages()
		default:
			err = fmt.Errorf("there is no part %q", part)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// cost is what one run of a command took.
type cost struct {
	wall, cpu time.Duration
	// memory is the most that was resident, in bytes.
	memory int64
	exit   int
	out    []byte
}

// run runs a command; an exit code is no error.
func (b *bench) run(dir string, env []string, name string, args ...string) (cost, error) {
	cmd := exec.CommandContext(b.ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	c := cost{wall: time.Since(began), out: out}
	if cmd.ProcessState == nil {
		return c, fmt.Errorf("%s: %w", name, err)
	}
	c.exit = cmd.ProcessState.ExitCode()
	c.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.memory = usage.Maxrss << 10
	}
	return c, nil
}

// median is the one in the middle by wall time.
func median(list []cost) cost {
	slices.SortFunc(list, func(a, b cost) int { return int(a.wall - b.wall) })
	return list[len(list)/2]
}

// stat measures `cache stat` on many files.
func (b *bench) stat() error {
	const dirs, files, runs = 40_000, 10, 5
	root, err := os.MkdirTemp("", "keepwell-measure")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root) //nolint:errcheck // nobody reads it
	for i := range dirs {
		// Five directories a version, two versions a module.
		dir := filepath.Join(root, "example.com", fmt.Sprintf("m%04d@v1.%d.0", i/10, i/5%2), fmt.Sprintf("d%d", i%5))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		for f := range files {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d.go", f)), []byte("package d\n"), 0o600); err != nil {
				return err
			}
		}
	}
	var all []cost
	for range runs {
		c, err := b.run("", []string{"GOMODCACHE=" + root, "GOFLAGS="}, b.keepwell, "cache", "stat", "--json")
		if err != nil || c.exit != 0 {
			return fmt.Errorf("cache stat: exit %d: %w\n%s", c.exit, err, c.out)
		}
		all = append(all, c)
	}
	m := median(all)
	fmt.Printf("cache stat of %d files in %d directories, warm: %.2f s wall (goal 3), %.2f s CPU, %d MiB resident (goal 100)\n",
		dirs*files, dirs, m.wall.Seconds(), m.cpu.Seconds(), m.memory>>20)
	return nil
}
