//go:build unix

package faultlab

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/goenv/goenvtest"
)

// Lab is the place where one scenario runs. It belongs to one test and is torn
// down with it.
type Lab struct {
	T testing.TB
	// Dir is the root of everything the scenario writes; Home and Work are the
	// user's home and project below it.
	Dir, Home, Work string

	env   map[string]string
	world *world
	ca    *authority
	shown []alias
	exit  int
	ran   bool

	// patience bounds a run of the tool under test; 0 waits as long as the test.
	patience time.Duration
	// called is the command line that Run ran last, took how long it ran.
	called []string
	took   time.Duration
	// resolvConf is what stands at /etc/resolv.conf in a network of its own.
	resolvConf string
	// sent counts the bytes that hostile servers sent.
	sent *atomic.Int64
}

// alias is a loopback address and what Normalise shows in its place.
type alias struct {
	addr string // host:port of the listener
	name string // shown where a name stands
	port string // shown where a port stands
}

// Open starts a lab. goCache is shared by the labs of one test process: filling
// it anew for every scenario would take most of the time.
func Open(t testing.TB, goCache string) *Lab {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l := &Lab{T: t, Dir: dir, Home: filepath.Join(dir, "home"), Work: filepath.Join(dir, "work"), sent: new(atomic.Int64)}
	t.Cleanup(l.unlock)
	for _, d := range []string{l.Home, l.Work, filepath.Join(dir, "tmp"), filepath.Join(dir, "none")} {
		l.check(os.MkdirAll(d, 0o755))
	}
	l.ca = newAuthority(t, "Faultlab Root CA")
	l.world = newWorld(t)
	l.write(filepath.Join(dir, "ca.pem"), string(l.ca.pem))
	goenvtest.Quiet(t, l.Home)
	l.env = l.cleanEnv(goCache)
	l.useToolchain()
	return l
}

// cleanEnv is everything the tools get to see: nothing of the tester's own
// settings may decide what a scenario prints.
func (l *Lab) cleanEnv(goCache string) map[string]string {
	in := func(name string) string { return filepath.Join(l.Dir, name) }
	proxy := "http://" + l.world.addr()
	env := map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": l.Home, "TMPDIR": in("tmp"), "LC_ALL": "C", "USER": "user",

		"HTTPS_PROXY": proxy, "https_proxy": proxy, "HTTP_PROXY": proxy, "http_proxy": proxy,
		"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost",
		"SSL_CERT_FILE": in("ca.pem"), "SSL_CERT_DIR": in("none"),

		"GOENV": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local", "GOPATH": filepath.Join(l.Home, "go"),
		"GOCACHE": goCache, "GOPROXY": "https://goproxy.example.org", "GOSUMDB": "off", "CGO_ENABLED": "0",

		"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": filepath.Join(l.Home, ".gitconfig"),
		"GIT_SSL_CAINFO": in("ca.pem"), "GIT_TERMINAL_PROMPT": "0",
		"GIT_AUTHOR_NAME": "user", "GIT_AUTHOR_EMAIL": "user@example.org", "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
		"GIT_COMMITTER_NAME": "user", "GIT_COMMITTER_EMAIL": "user@example.org", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",

		"NODE_EXTRA_CA_CERTS": in("ca.pem"), "npm_config_registry": "https://npm.example.org/",
		"npm_config_cache": in("npm-cache"), "npm_config_userconfig": filepath.Join(l.Home, ".npmrc"),
		"npm_config_globalconfig": in("none/npmrc"), "npm_config_prefix": in("npm-prefix"),
		"npm_config_fetch_retries": "0", "npm_config_audit": "false", "npm_config_fund": "false",
		"npm_config_update_notifier": "false",

		"PIP_INDEX_URL": "https://pypi.example.org/simple", "PIP_CERT": in("ca.pem"), "PIP_RETRIES": "0",
		"PIP_TIMEOUT": "10", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_NO_COLOR": "1",
		"PIP_CONFIG_FILE": os.DevNull, "PIP_CACHE_DIR": in("pip-cache"), "PIP_PROGRESS_BAR": "off",
		"PIP_ROOT_USER_ACTION": "ignore", "PYTHONDONTWRITEBYTECODE": "1",
	}
	if root := os.Getenv("PYENV_ROOT"); root != "" { // pyenv's python is a shell script that needs it
		env["PYENV_ROOT"] = root
	}
	return env
}

// Set changes the tools' environment: pairs of name and value. An empty value
// unsets the name.
func (l *Lab) Set(pairs ...string) {
	for pair := range slices.Chunk(pairs, 2) {
		if pair[1] == "" {
			delete(l.env, pair[0])
			continue
		}
		l.env[pair[0]] = pair[1]
	}
}

// direct takes the world's proxy away, for scenarios that dial by themselves.
func (l *Lab) direct() {
	l.Set("HTTPS_PROXY", "", "https_proxy", "", "HTTP_PROXY", "", "http_proxy", "")
}

// Files writes files below Work: pairs of slash-separated name and content.
func (l *Lab) Files(pairs ...string) {
	for pair := range slices.Chunk(pairs, 2) {
		l.write(filepath.Join(l.Work, pair[0]), pair[1])
	}
}

// Run runs the tool under test in Work and returns stdout and stderr joined.
func (l *Lab) Run(ctx context.Context, name string, args ...string) string {
	l.T.Helper()
	if l.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.patience)
		defer cancel()
	}
	start := time.Now()
	out, code := l.exec(ctx, l.Work, name, args...)
	l.exit, l.ran = code, true
	l.called, l.took = append([]string{name}, args...), time.Since(start)
	return out
}

// Setup runs a program that must succeed, in dir.
func (l *Lab) Setup(ctx context.Context, dir, name string, args ...string) string {
	l.T.Helper()
	out, code := l.exec(ctx, dir, name, args...)
	if code != 0 {
		l.T.Fatalf("setting up with %s %s: exit code %d\n%s", name, strings.Join(args, " "), code, out)
	}
	return out
}

func (l *Lab) exec(ctx context.Context, dir, name string, args ...string) (string, int) {
	l.T.Helper()
	cmd := exec.CommandContext(ctx, executable(name), l.spoken(args)...)
	cmd.Dir = dir
	cmd.Env = l.environ(dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// go starts git, git starts ssh: all of them must go with the first.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.T.Fatalf("running %s: %v", name, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (l *Lab) environ(dir string) []string {
	env := []string{"PWD=" + dir}
	for _, name := range slices.Sorted(maps.Keys(l.env)) {
		env = append(env, name+"="+l.env[name])
	}
	return env
}

// Failed reports whether the tool under test ran and failed.
func (l *Lab) Failed() bool { return l.ran && l.exit != 0 }

// Strays are the names outside the world that a tool asked for; a scenario must
// have none.
func (l *Lab) Strays() []string { return l.world.asked() }

// onlyPath makes PATH a directory that holds nothing but the named programs.
func (l *Lab) onlyPath(programs ...string) {
	l.T.Helper()
	bin := filepath.Join(l.Dir, "bin")
	l.check(os.MkdirAll(bin, 0o755))
	for _, p := range programs {
		path, err := exec.LookPath(executable(p))
		l.check(err)
		l.check(os.Symlink(path, filepath.Join(bin, p)))
	}
	l.Set("PATH", bin)
}

func (l *Lab) write(name, content string) {
	l.T.Helper()
	l.check(os.MkdirAll(filepath.Dir(name), 0o755))
	l.check(os.WriteFile(name, []byte(aged(content)), 0o644))
}

func (l *Lab) check(err error) {
	l.T.Helper()
	if err != nil {
		l.T.Fatalf("setting up the lab: %v", err)
	}
}

// unlock makes the module cache removable: go keeps it read-only.
func (l *Lab) unlock() {
	_ = filepath.WalkDir(l.Dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(name, 0o755)
		}
		return nil
	})
}
