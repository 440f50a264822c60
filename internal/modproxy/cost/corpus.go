//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
)

// subject is the module whose closure is downloaded.
const subject = "github.com/prometheus/alertmanager@v0.34.2"

// corpus is the module's source in src and all that it needs in mod, a GOMODCACHE.
type corpus struct{ src, mod string }

// needCorpus fetches the corpus once, through the proxy that go is set up with.
func (b *bench) needCorpus(ctx context.Context) (*corpus, error) {
	if b.corpus != nil {
		return b.corpus, nil
	}
	cache := os.Getenv("KEEPWELL_BENCH")
	if cache == "" {
		var err error
		if cache, err = os.UserCacheDir(); err != nil {
			return nil, err
		}
	}
	cache = filepath.Join(cache, "keepwell-bench")
	c := &corpus{src: filepath.Join(cache, "src"), mod: filepath.Join(cache, "mod")}
	whole := filepath.Join(cache, "whole")
	if _, err := os.Stat(whole); err == nil {
		b.corpus = c
		return c, nil
	}
	b.table.note("fetching %s and what it needs into %s", subject, cache)
	remove(cache)
	first := filepath.Join(cache, "first")
	if err := os.MkdirAll(first, 0o700); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", subject)
	cmd.Dir = first
	cmd.Env = append(os.Environ(), "GOFLAGS=-modcacherw", "GOMODCACHE="+filepath.Join(first, "mod"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", subject, err)
	}
	var said struct{ Dir string }
	if err := json.Unmarshal(out, &said); err != nil {
		return nil, err
	}
	if err := os.Rename(said.Dir, c.src); err != nil {
		return nil, err
	}
	remove(first)
	if _, _, err := c.goCommand(ctx, []string{"GOMODCACHE=" + c.mod}, "mod", "download"); err != nil {
		return nil, err
	}
	b.corpus = c
	return c, os.WriteFile(whole, nil, 0o600)
}

// goCommand runs go in the module's source and returns its wall and CPU time.
func (c *corpus) goCommand(ctx context.Context, env []string, args ...string) (wall, cpu time.Duration, err error) {
	return c.command(ctx, env, "go", args...)
}

func (c *corpus) command(ctx context.Context, env []string, name string, args ...string) (wall, cpu time.Duration, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = c.src
	cmd.Env = append(os.Environ(), "GOFLAGS=-modcacherw", "GOTOOLCHAIN=local")
	cmd.Env = append(cmd.Env, env...)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	wall = time.Since(began)
	if err != nil {
		return 0, 0, fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// verify is the CPU time of go mod verify on the corpus.
func (b *bench) verify(ctx context.Context) (time.Duration, error) {
	var all []time.Duration
	for range colds {
		cpu, err := b.verifyOnce(ctx)
		if err != nil {
			return 0, err
		}
		all = append(all, cpu)
	}
	return median(all), nil
}

func (b *bench) verifyOnce(ctx context.Context) (time.Duration, error) {
	_, cpu, err := b.corpus.goCommand(ctx, []string{"GOMODCACHE=" + b.corpus.mod, "GOPROXY=off"}, "mod", "verify")
	return cpu, err
}

// sums are the lines of the module's go.sum.
func (c *corpus) sums() (map[string]string, error) {
	f, err := os.Open(filepath.Join(c.src, "go.sum"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sums := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if p := strings.Fields(lines.Text()); len(p) == 3 {
			sums[p[0]+" "+p[1]] = p[2]
		}
	}
	return sums, lines.Err()
}

// registry is a plain file proxy over the corpus, and a checksum database that knows
// the module's go.sum. It counts what it is asked.
type registry struct {
	*httptest.Server
	zips, mods, infos, others, database atomic.Int64
	gosumdb                             string
}

const databaseName = "sum.bench.example"

func (c *corpus) registry(ctx context.Context) (*registry, error) {
	sums, err := c.sums()
	if err != nil {
		return nil, err
	}
	signer, verifier, err := note.GenerateKey(nil, databaseName)
	if err != nil {
		return nil, err
	}
	records := sumdb.NewTestServer(signer, func(path, version string) ([]byte, error) {
		zip, mod := sums[path+" "+version], sums[path+" "+version+"/go.mod"]
		if mod == "" {
			return nil, fs.ErrNotExist
		}
		if zip == "" { // go.sum has no zip of versions that are not built with
			return fmt.Appendf(nil, "%s %s/go.mod %s\n", path, version, mod), nil
		}
		return fmt.Appendf(nil, "%s %s %s\n%s %s/go.mod %s\n", path, version, zip, path, version, mod), nil
	})
	// A record that is asked for the first time makes the tree grow. A real database has all
	// of these for long: its tree stays the same while they are asked for.
	for line := range sums {
		if path, version, _ := strings.Cut(line, " "); strings.HasSuffix(version, "/go.mod") {
			m := module.Version{Path: path, Version: strings.TrimSuffix(version, "/go.mod")}
			if _, err := records.Lookup(ctx, m); err != nil {
				return nil, err
			}
		}
	}
	db := http.StripPrefix("/sumdb/"+databaseName, sumdb.NewServer(records))
	r := &registry{}
	files := http.FileServer(http.Dir(filepath.Join(c.mod, "cache", "download")))
	var whole sync.Mutex // the test database is none for many at once
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch path := q.URL.Path; {
		case strings.HasPrefix(path, "/sumdb/"):
			r.database.Add(1)
			if strings.HasSuffix(path, "/supported") {
				return
			}
			whole.Lock()
			defer whole.Unlock()
			db.ServeHTTP(w, q)
			return
		case strings.HasSuffix(path, ".zip"):
			r.zips.Add(1)
		case strings.HasSuffix(path, ".mod"):
			r.mods.Add(1)
		case strings.HasSuffix(path, ".info"):
			r.infos.Add(1)
		default:
			r.others.Add(1)
		}
		files.ServeHTTP(w, q)
	}))
	r.gosumdb = verifier + " " + r.URL + "/sumdb/" + databaseName
	return r, nil
}

func (r *registry) reset() {
	for _, n := range []*atomic.Int64{&r.zips, &r.mods, &r.infos, &r.others, &r.database} {
		n.Store(0)
	}
}

func (r *registry) counted() string {
	return fmt.Sprintf("%d zips, %d mods, %d infos, %d others, %d of the database", r.zips.Load(), r.mods.Load(), r.infos.Load(), r.others.Load(), r.database.Load())
}

// under runs a command and writes the CPU time of the process that started this one, in
// nanoseconds, into a file: what `keepwell run` itself has used.
func under(name string, args []string) int {
	cmd := exec.CommandContext(context.Background(), args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if err := os.WriteFile(name, fmt.Append(nil, int64(cpuOf(os.Getppid()))), 0o600); err != nil {
		return 1
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}
