package actions_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/keepwell/keepwell/internal/actions"
)

// open makes a directory and those above it readable for all.
func open(t *testing.T, dir string) string {
	t.Helper()
	for d := dir; len(d) > len(os.TempDir()); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestScriptCannotEscape: a script, as root where the test is, that tries to reach what it
// was not given.
func TestScriptCannotEscape(t *testing.T) {
	t.Parallel()
	if actions.Landlock() == 0 {
		t.Skip("this kernel has no Landlock")
	}
	outside, inside := t.TempDir(), t.TempDir()
	secret := filepath.Join(outside, "shadow")
	if err := os.WriteFile(secret, []byte("root:hash-of-root"), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := scriptDir(t, map[string]string{"escape.sh": `
cat "$OUT/shadow" && echo READ
cat /etc/shadow && echo READ
ls / && echo LISTED
echo x > "$OUT/new" && echo WROTE
echo x >> "$OUT/shadow" && echo APPENDED
rm "$OUT/shadow" && echo REMOVED
mkdir "$OUT/d" && echo MADE
ln -s "$OUT/shadow" "$IN/link" && cat "$IN/link" && echo FOLLOWED
mv "$OUT/shadow" "$IN/moved" && echo MOVED
cat /proc/1/environ && echo ENVIRONMENT
echo x > "$0.new" && echo CHANGED
(exec 3<>/dev/tcp/127.0.0.1/1) 2>/dev/null
kill -0 $PPID && echo SIGNALLED
echo fine > "$IN/made" && cat "$IN/made"
echo done
`})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := actions.Scripts{Dirs: []string{dir}, Launcher: []string{self, "launch"}, Limits: actions.Limits{Files: &actions.Files{Writable: []string{inside}}}}
	r := request(t, fmt.Sprintf("run_script: {script: escape.sh, env: {OUT: %q, IN: %q}}", outside, inside), scope())
	set := actions.New(actions.Options{Scripts: o})
	res, err := set.Do(t.Context(), r)
	if err != nil || !strings.Contains(res.Output, "fine\n") || !strings.Contains(res.Output, "done\n") {
		t.Fatalf("%+v %v", res, err)
	}
	for line := range strings.Lines(res.Output) {
		word := strings.TrimSpace(line)
		if strings.ToUpper(word) == word && word != "" && (word != "SIGNALLED" || actions.Landlock() >= 6) {
			t.Errorf("the script got out: %s", word)
		}
	}
	if strings.Contains(res.Output, "hash-of-root") {
		t.Errorf("it read the secret: %s", res.Output)
	}
	if fmt.Sprint(res.Data) != fmt.Sprintf("map[held:files: Landlock %d]", actions.Landlock()) {
		t.Errorf("held: %v", res.Data)
	}
	if lines, err := planned(set, r); err != nil || !strings.Contains(strings.Join(lines, "\n"), fmt.Sprintf("files: Landlock %d", actions.Landlock())) {
		t.Errorf("planned %q %v", lines, err)
	}
	// The test is worth something only where the same script gets out when nothing holds it.
	free, err := actions.New(actions.Options{Scripts: actions.Scripts{Dirs: []string{dir}}}).Do(t.Context(), r)
	if err != nil || !strings.Contains(free.Output, "READ\n") || !strings.Contains(free.Output, "WROTE\n") || !strings.Contains(free.Output, "SIGNALLED\n") {
		t.Errorf("held by something else: %+v %v", free, err)
	}
}

// TestScriptForksWithinBounds: a script that starts more and more is stopped by the number
// of its user's processes, and what it left is ended with it.
func TestScriptForksWithinBounds(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root: the bound counts all processes of a user")
	}
	dir := open(t, scriptDir(t, map[string]string{"bomb.sh": `
i=0
while [ $i -lt 200 ]; do sleep 600 >/dev/null 2>&1 & i=$((i+1)); echo $i; done
echo ALL
`}))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const user = 54321 // nobody else's
	set := actions.New(actions.Options{Scripts: actions.Scripts{Dirs: []string{dir}, Launcher: []string{self, "launch"}, Limits: actions.Limits{UID: user, GID: user, Processes: 20}}})
	res, err := set.Do(t.Context(), request(t, "run_script: bomb.sh", scope()))
	if err == nil || strings.Contains(res.Output, "ALL") || strings.Contains(res.Output, "\n30\n") || !strings.Contains(res.Output, "\n10\n") {
		t.Errorf("%+v %v", res, err)
	}
}

// TestScriptLeavesNothingRunning: what a script started in the background ends with it.
func TestScriptLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	dir := scriptDir(t, map[string]string{"leave.sh": "exec 3>\"$PIPE\"\nsleep 600 >&3 2>&1 </dev/null &\necho started\n"})
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		f, err := os.Open(pipe) // waits for the child
		if err == nil {
			_, err = io.ReadAll(f) // ends when nobody is left who could write
			_ = f.Close()
		}
		read <- err
	}()
	set := actions.New(actions.Options{Scripts: actions.Scripts{Dirs: []string{dir}}})
	res, err := set.Do(t.Context(), request(t, fmt.Sprintf("run_script: {script: leave.sh, env: {PIPE: %q}}", pipe), scope()))
	if err != nil || res.Output != "started\n" {
		t.Errorf("%+v %v", res, err)
	}
	readToEnd(t, read, "the child lives on")
}

// TestScriptCannotOutlive: nor does what leaves the session of a script, whatever its limits.
func TestScriptCannotOutlive(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	limits := map[string]actions.Limits{"none": {}, "some": {OpenFiles: 64, Files: &actions.Files{Readable: []string{"/"}, Writable: []string{"/"}}}}
	if os.Geteuid() == 0 {
		limits["another user"] = actions.Limits{UID: 54322, GID: 54322, Processes: 50}
	}
	for name, l := range limits {
		for _, stopped := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stopped %t", name, stopped), func(t *testing.T) {
				t.Parallel()
				dir := open(t, scriptDir(t, map[string]string{"leave.sh": "exec 3>\"$PIPE\"\nsetsid sleep 600 >/dev/null 2>&1 &\n(setsid sh -c 'sleep 600 & sleep 600' >/dev/null 2>&1 &)\necho ready >&3\n$THEN\n"}))
				pipe := filepath.Join(open(t, t.TempDir()), "pipe")
				if err := unix.Mkfifo(pipe, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(pipe, 0o666); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				read := make(chan error, 1)
				go func() {
					f, err := os.Open(pipe)
					if err == nil {
						_, err = io.ReadFull(f, make([]byte, len("ready\n")))
						if stopped {
							cancel()
						}
						_, _ = io.Copy(io.Discard, f)
						_ = f.Close()
					}
					read <- err
				}()
				set := actions.New(actions.Options{Scripts: actions.Scripts{Dirs: []string{dir}, Launcher: []string{self, "launch"}, Limits: l}})
				then := "exit 0"
				if stopped {
					then = "sleep 600"
				}
				res, err := set.Do(ctx, request(t, fmt.Sprintf("run_script: {script: leave.sh, env: {PIPE: %q, THEN: %q}}", pipe, then), scope()))
				if stopped != (err != nil) || !stopped && !strings.Contains(fmt.Sprint(res.Data), "that it left running were ended") {
					t.Errorf("%+v %v", res, err)
				}
				readToEnd(t, read, "something lives on")
			})
		}
	}
}

// TestScriptMemory: the bound is the script's, not that of what starts it.
func TestScriptMemory(t *testing.T) {
	t.Parallel()
	dir := scriptDir(t, map[string]string{"eat.sh": "x=$(head -c \"$1\" /dev/zero | tr '\\0' a) || exit 3\necho ate ${#x}\n"})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const mega = 1 << 20
	for _, c := range []struct {
		most uint64
		eats int
		fits bool
	}{{16 * mega, 1000, true}, {64 * mega, 100 * mega, false}, {512 * mega, 1000, true}, {1024 * mega, 100 * mega, true}} {
		set := actions.New(actions.Options{Scripts: actions.Scripts{Dirs: []string{dir}, Launcher: []string{self, "launch"}, Limits: actions.Limits{Memory: c.most}}})
		for range 3 { // what fails by the way of threads does so now and then
			res, err := set.Do(t.Context(), request(t, fmt.Sprintf("run_script: {script: eat.sh, args: [\"%d\"]}", c.eats), scope()))
			if fits := err == nil && res.Output == fmt.Sprintf("ate %d\n", c.eats); fits != c.fits || res.Code == 126 {
				t.Errorf("%d MiB of %d: %+v %v", c.eats/mega, c.most/mega, res, err)
			}
		}
	}
}

// readToEnd waits until a pipe that is read has no writers any more.
func readToEnd(t *testing.T, read <-chan error, otherwise string) {
	t.Helper()
	select {
	case err := <-read:
		if err != nil {
			t.Error(err)
		}
	case <-t.Context().Done():
		t.Error(otherwise)
	}
}
