package proc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets this program be a keeper, and one who runs a command and is killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "keep":
			if err := Keep(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		case "run":
			_, err := Run(context.Background(), Options{Keepers: keepers(), Timeout: time.Hour}, os.Args[2], os.Args[3:]...)
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func keepers() *Keepers {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return &Keepers{Launcher: []string{self, "keep"}}
}

// leave is a script that starts what leaves its process group and its session, by all
// ways that people use. All of it holds the pipe $1.
const leave = `
exec 9>"$1"
sleep 600 &
setsid sleep 600 </dev/null >/dev/null 2>&1 &
(setsid sh -c 'sleep 600 & (setsid sleep 600 &) ; sleep 600' </dev/null >/dev/null 2>&1 &)
(trap '' TERM HUP INT QUIT; setsid nohup sh -c 'while :; do sleep 600; done' </dev/null >/dev/null 2>&1 &)
setsid -f sleep 600
echo ready
echo ready >&9
eval "$2"
`

// pipe is a named one, for which it tells the first line that is written into it, and when
// nobody is left who holds it.
func pipe(t *testing.T) (name string, ready <-chan string, nobody <-chan error) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	first, last := make(chan string, 1), make(chan error, 1)
	go func() {
		f, err := os.Open(name) // waits for who writes
		if err != nil {
			last <- err
			return
		}
		defer func() { _ = f.Close() }()
		r := bufio.NewReader(f)
		line, _ := r.ReadString('\n')
		first <- line
		_, err = io.Copy(io.Discard, r)
		last <- err
	}()
	return name, first, last
}

func allGone(t *testing.T, nobody <-chan error) {
	t.Helper()
	select {
	case err := <-nobody:
		if err != nil {
			t.Error(err)
		}
	case <-t.Context().Done():
		t.Error("something lives on")
	}
}

func TestKeepersLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	t.Run("the end", func(t *testing.T) {
		t.Parallel()
		name, _, nobody := pipe(t)
		r, err := Run(t.Context(), Options{Keepers: keepers()}, "sh", "-c", leave, "-", name, "exit 3")
		if err != nil || r.Exit != 3 || r.Late || string(r.Stdout) != "ready\n" || r.Ended < 5 || r.Left != 0 {
			t.Errorf("%+v %v", r, err)
		}
		allGone(t, nobody)
	})
	t.Run("the deadline", func(t *testing.T) {
		t.Parallel()
		for within, said := 200*time.Millisecond, ""; said == ""; within *= 2 { // until it came so far
			name, _, nobody := pipe(t)
			r, err := Run(t.Context(), Options{Keepers: keepers(), Timeout: within}, "sh", "-c", leave, "-", name, "sleep 600")
			if err != nil || !r.Late || r.Left != 0 {
				t.Fatalf("%+v %v", r, err)
			}
			if said = string(r.Output); said != "" {
				allGone(t, nobody)
			}
		}
	})
	t.Run("the end of the context", func(t *testing.T) {
		t.Parallel()
		name, ready, nobody := pipe(t)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-ready
			cancel()
		}()
		if _, err := Run(ctx, Options{Keepers: keepers(), Timeout: time.Hour}, "sh", "-c", leave, "-", name, "sleep 600"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		allGone(t, nobody)
	})
	t.Run("kill -9 of who runs it", func(t *testing.T) {
		t.Parallel()
		name, ready, nobody := pipe(t)
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), self, "run", "sh", "-c", leave, "-", name, "sleep 600")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-ready
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait()
		allGone(t, nobody)
	})
	t.Run("what starts another and ends, again and again", func(t *testing.T) {
		t.Parallel()
		name, _, nobody := pipe(t)
		// The bound is for where this test fails.
		hop := `exec 9>"$1"; hop() { [ $1 -lt 200000 ] && hop $(($1+1)) & exit 0; }; (hop 0) & (hop 0) & (setsid sh -c 'while :; do sleep 600 & sleep 0.001; done' &) ; echo done`
		r, err := Run(t.Context(), Options{Keepers: keepers()}, "sh", "-c", hop, "-", name)
		if err != nil || r.Exit != 0 || string(r.Stdout) != "done\n" || r.Left != 0 {
			t.Errorf("%+v %v", r, err)
		}
		allGone(t, nobody)
	})
}

func TestKeepersWorkOneAtATime(t *testing.T) {
	t.Parallel()
	k := keepers()
	say := func(script string, args ...string) Ran {
		t.Helper()
		r, err := Run(t.Context(), Options{Keepers: k, Alone: true, Env: []string{"PATH=" + os.Getenv("PATH"), "RAW=a\xffb", "TWO=1\n2"}, Dir: "/"}, "sh", append([]string{"-c", script, "-"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first, second := say("echo $PPID"), say("echo $PPID")
	if string(first.Output) != string(second.Output) {
		t.Errorf("a keeper that was free was not taken: %s %s", first.Output, second.Output)
	}
	// While one keeps a script, another's end does not touch it.
	name, ready, nobody := pipe(t)
	if err := syscall.Mkfifo(name+".go", 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan Ran, 1)
	go func() {
		r, err := Run(t.Context(), Options{Keepers: k, Timeout: time.Hour}, "sh", "-c", `exec 9>"$1"; setsid -f sleep 600; echo ready >&9; read x <"$2"; echo $x; exit 5`, "-", name, name+".go")
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	<-ready
	if r := say(`setsid -f sleep 600; printf '%s|%s|%s' "$RAW" "$TWO" "$(pwd)"; echo e >&2; kill -TERM $$`); r.Exit != 128+15 || string(r.Stdout) != "a\xffb|1\n2|/" || !strings.Contains(string(r.Output), "e\n") || r.Ended != 1 {
		t.Errorf("%+v %q", r, r.Output)
	}
	select {
	case <-nobody:
		t.Error("what another keeps was ended")
	default:
	}
	if err := os.WriteFile(name+".go", []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := <-done; r.Exit != 5 || string(r.Output) != "hello\n" || r.Ended != 1 {
		t.Errorf("%+v %s", r, r.Output)
	}
	allGone(t, nobody)
}

func TestKeepersThatAreLost(t *testing.T) {
	t.Parallel()
	k := keepers()
	name, _, nobody := pipe(t)
	if r, err := Run(t.Context(), Options{Keepers: k}, "sh", "-c", `exec 9>"$1"; sleep 600 & kill -9 $PPID; wait`, "-", name); err == nil {
		t.Errorf("%+v", r)
	}
	allGone(t, nobody) // what stays in its session goes with it
	if r, err := Run(t.Context(), Options{Keepers: k}, "sh", "-c", "echo $PPID"); err != nil || r.Exit != 0 {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := Run(t.Context(), Options{Keepers: k}, "/etc/passwd"); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("started: %v", err)
	}
	if _, err := Run(t.Context(), Options{Keepers: k}, "no-such-tool-anywhere"); err == nil {
		t.Error("a tool that is not there ran")
	}
	if r, err := Run(t.Context(), Options{Keepers: k, MaxOut: 1000}, "sh", "-c", "yes | head -c 100000"); err != nil || len(r.Output) != 1000 {
		t.Errorf("kept %d bytes, %v", len(r.Output), err)
	}
	if err := Keep(); err == nil {
		t.Error("a keeper without anybody to work for")
	}
}
