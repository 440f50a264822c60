package modproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/proc"
)

// direct brings modules from where their source lies, through the real go command in a
// module cache of its own, which lives as long as the process: its clones serve the
// next request. What go may log in with is the user's (netrc, git's helpers, ssh), or
// else nothing but logins.
type direct struct {
	dir    string
	env    []string
	logins *Logins
	// inUse is held by whoever fetches, and locked by whoever removes.
	inUse sync.RWMutex

	once sync.Once
	err  error
	// most bounds how many run at once: each may start git.
	most chan struct{}
}

// directTime bounds one run: a repository may be large.
const directTime = 10 * time.Minute

func (d *direct) prepare() error {
	d.once.Do(func() {
		const parallel = 4
		d.most = make(chan struct{}, parallel)
		d.err = os.MkdirAll(filepath.Join(d.dir, "work"), 0o700)
		if d.logins != nil && d.err == nil {
			var env []string
			env, d.err = d.private()
			d.env = append(d.env[:len(d.env):len(d.env)], env...)
		}
	})
	return d.err
}

// answer is what go prints with -json.
type answer struct {
	Version, Error, Info, GoMod, Zip string
	Time                             *time.Time
	Versions                         []string
}

func (d *direct) fetch(ctx context.Context, a ask, b *body, most int64) error {
	if err := d.prepare(); err != nil {
		return err
	}
	select {
	case d.most <- struct{}{}:
		defer func() { <-d.most }()
	case <-ctx.Done():
		return ctx.Err()
	}
	switch a.kind {
	case zipped:
		said, err := d.run(ctx, "mod", "download", "-json", a.module+"@"+a.version)
		if err != nil {
			return err
		}
		return copyFile(b, said.Zip, most)
	case goMod:
		said, err := d.run(ctx, "list", "-m", "-json", a.module+"@"+a.version)
		if err != nil {
			return err
		}
		name, err := d.cached(a.module, said.Version, ".mod")
		if err != nil {
			return err
		}
		return copyFile(b, name, most)
	case list:
		said, err := d.run(ctx, "list", "-m", "-json", "-versions", a.module)
		if err != nil {
			return err
		}
		for _, v := range said.Versions {
			fmt.Fprintln(b, v)
		}
		return nil
	case latest, info:
		version := "latest"
		if a.kind == info {
			version = a.version
		}
		said, err := d.run(ctx, "list", "-m", "-json", a.module+"@"+version)
		if err != nil {
			return err
		}
		return json.NewEncoder(b).Encode(struct {
			Version string
			Time    *time.Time `json:",omitempty"`
		}{said.Version, said.Time})
	}
	return &trouble{how: absent, said: "not a module's file", why: Why{Kind: KindAbsent}}
}

// mayGoTo keeps clients from making this machine ask servers of its own network.
func (p *Proxy) mayGoTo(ctx context.Context, a ask) error {
	host, _, _ := strings.Cut(a.module, "/")
	if _, own := p.upstreamsFor(a.module); own || p.Resolve == nil || slices.Contains(p.live.Load().Private, host) {
		return nil
	}
	addresses, err := p.Resolve(ctx, host)
	if err != nil {
		return &trouble{how: broken, said: err.Error(), err: err}
	}
	if slices.ContainsFunc(addresses, isInside) {
		return &trouble{how: refused, said: host + " has a private address, which is not asked for this module", why: Why{Kind: KindPrivate}, err: errPrivate}
	}
	return nil
}

func copyFile(b *body, name string, most int64) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return copyUpTo(b, f, most)
}

func (d *direct) cached(path, version, ext string) (string, error) {
	p, err := module.EscapePath(path)
	if err != nil {
		return "", err
	}
	v, err := module.EscapeVersion(version)
	return filepath.Join(d.dir, "mod", "cache", "download", filepath.FromSlash(p), "@v", v+ext), err
}

func (d *direct) run(ctx context.Context, args ...string) (answer, error) {
	var said answer
	const largest = 4 << 20
	ran, err := proc.Run(ctx, proc.Options{
		Dir: filepath.Join(d.dir, "work"), Timeout: directTime, MaxOut: largest,
		Env: append(append(d.env[:len(d.env):len(d.env)], fenceEnv(ctx, d.env)...),
			"GOMODCACHE="+filepath.Join(d.dir, "mod"), "GOPROXY=direct", "GONOPROXY=none", "GOSUMDB=off", "GOTOOLCHAIN=local",
			"GOFLAGS=-modcacherw", "GOWORK=off", "GO111MODULE=on"),
	}, "go", args...)
	if err != nil {
		return said, err
	}
	words := strings.TrimSpace(string(ran.Output))
	if jsonErr := json.Unmarshal(ran.Stdout, &said); jsonErr == nil && said.Error == "" && ran.Exit == 0 {
		return said, nil
	}
	if said.Error != "" {
		words = said.Error
	}
	words = d.withReason(ctx, args[len(args)-1], words)
	t := &trouble{how: broken, said: cause(words), err: errors.New(words)}
	switch {
	case ran.Late:
		t.how, t.said, t.why = slowly, "the source was not fetched within "+directTime.String(), Why{Kind: KindSilent}
	case missing(words):
		t.how = absent
	}
	return said, t
}

// missing tells go's words for what is not there from those for what cannot be reached.
func missing(words string) bool {
	for _, w := range []string{
		"unknown revision", "no matching versions", "404 Not Found", "410 Gone", "Repository not found", "repository not found",
		"invalid github.com import path", "malformed module path", "missing dot in first path element", "does not exist", "no go-import meta tags",
	} {
		if strings.Contains(words, w) {
			return true
		}
	}
	return false
}

// noProtocol is what go says where git could reach a repository by no protocol: what git
// said of each, go keeps to itself.
const noProtocol = "no secure protocol found for repository"

// withReason adds to go's words those of git, where go lost them: git is asked again.
func (d *direct) withReason(ctx context.Context, what, words string) string {
	if !strings.Contains(words, noProtocol) {
		return words
	}
	path, _, _ := strings.Cut(what, "@")
	root, ok := gitRoot(path)
	if !ok {
		return words
	}
	const mostTime = 30 * time.Second
	const largest = 64 << 10
	ran, err := proc.Run(ctx, proc.Options{
		Dir: filepath.Join(d.dir, "work"), Timeout: mostTime, MaxOut: largest,
		Env: append(d.env[:len(d.env):len(d.env)], fenceEnv(ctx, d.env)...),
	}, "git", "ls-remote", "-q", "--", "https://"+root)
	if err != nil || ran.Exit == 0 {
		return words
	}
	for line := range strings.Lines(string(ran.Output)) {
		words += "\n\t" + strings.TrimSpace(line)
	}
	return words
}

// gitRoot is the repository in a module path that names it: all up to ".git".
func gitRoot(path string) (string, bool) {
	elements := strings.Split(path, "/")
	for i, e := range elements {
		if i > 0 && len(e) > len(".git") && strings.HasSuffix(e, ".git") {
			return strings.Join(elements[:i+1], "/"), true
		}
	}
	return "", false
}

// cause is the line that says most: git's own, where there is one. Its sentence about
// "remote repository" says nothing; the one before it, of the server or of ssh, does.
func cause(words string) string {
	words, _, _ = strings.Cut(words, "\n\tserver response:")
	lines := slices.DeleteFunc(strings.Split(words, "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
	for i, l := range lines {
		l = strings.TrimSpace(l)
		if !strings.HasPrefix(l, "fatal:") && !strings.HasPrefix(l, "ERROR:") {
			continue
		}
		before := ""
		if i > 0 && !strings.Contains(lines[i-1], ": exit status ") && !strings.Contains(lines[i-1], noProtocol) {
			before = strings.TrimSpace(lines[i-1])
		}
		switch {
		case before == "":
			return l
		case strings.HasPrefix(l, "fatal: Could not read from remote repository"):
			return before
		case strings.HasPrefix(before, "remote:"):
			return l + " (" + before + ")"
		}
		return l
	}
	if len(lines) == 0 {
		return "no reason given"
	}
	return strings.TrimSpace(lines[len(lines)-1])
}
