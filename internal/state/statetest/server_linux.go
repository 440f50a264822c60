package statetest

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
)

// startServer makes a cluster in a directory of its own and starts it. The server runs
// as the user that Debian's package makes where the test runs as root, which PostgreSQL
// refuses, and dies with the test process.
func startServer() (address string, stop func(), skip string) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", nil, "/usr/lib/postgresql/*/bin/initdb is not installed (on Debian: apt-get install postgresql)"
	}
	bin := filepath.Dir(slices.Max(found))
	attr, owner, err := unprivileged()
	if err != nil {
		return "", nil, err.Error()
	}
	dir, err := os.MkdirTemp("", "keepwell-pg")
	if err != nil {
		return "", nil, err.Error()
	}
	if err := os.Chown(dir, owner, -1); err != nil {
		return "", nil, err.Error()
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "keepwell", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return "", nil, fmt.Sprintf("initdb: %v\n%s", err, out)
	}
	port, err := sparePort()
	if err != nil {
		return "", nil, err.Error()
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-p", strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300", "-c", "shared_buffers=64MB")
	cmd.SysProcAttr, cmd.Dir = attr, dir
	done, said, err := start(cmd)
	if err != nil {
		_ = os.RemoveAll(dir)
		return "", nil, fmt.Sprintf("postgres: %v\n%s", err, said)
	}
	return fmt.Sprintf("postgres://keepwell@127.0.0.1:%d/", port), func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // fast shutdown
		<-done
		_ = os.RemoveAll(dir)
	}, ""
}

// start starts the server and returns when it can be used, or has ended. done is closed
// when it has ended.
func start(cmd *exec.Cmd) (done chan struct{}, said string, err error) {
	log, err := cmd.StderrPipe()
	if err != nil {
		return nil, "", err
	}
	done, up := make(chan struct{}), make(chan error, 1)
	var lines bytes.Buffer
	go func() {
		// The system kills the child when the thread that made it ends: keep that thread.
		runtime.LockOSThread()
		defer close(done)
		if err := cmd.Start(); err != nil {
			up <- err
			return
		}
		told := false
		for scan := bufio.NewScanner(log); scan.Scan(); {
			if told {
				continue // must be read, or the server stops
			}
			fmt.Fprintln(&lines, scan.Text())
			if told = ready(scan.Text()); told {
				up <- nil
			}
		}
		err := cmd.Wait()
		if !told {
			up <- fmt.Errorf("it ended: %w", err)
		}
	}()
	err = <-up
	return done, lines.String(), err
}

// unprivileged says as whom the server runs, and that it dies with this process.
func unprivileged() (*syscall.SysProcAttr, int, error) {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Getuid() != 0 {
		return attr, os.Getuid(), nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		return nil, 0, err
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		return nil, 0, err
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	if err != nil {
		return nil, 0, err
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: false}
	return attr, int(uid), nil
}

func sparePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
