package cli_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"github.com/keepwell/keepwell/internal/cli"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "launch-script" { // a server in this very process starts a script
		os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	testscript.Main(databases{m}, map[string]func(){
		"keepwell": func() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// databases ends the server that tests may have started.
type databases struct{ *testing.M }

func (d databases) Run() int {
	defer statetest.Stop()
	return d.M.Run()
}

// TestScripts runs the sessions of testdata/script: a story each, read like a shell.
// Beside testscript's own commands they have
//
//	exits CODE COMMAND ...   run a command and hold it to its exit code
//	unescape FILE ...        replace Go's escapes (\x1b, \r) by what they stand for
//	encode utf-16|gbk FILE   store a file as PowerShell 5, or Windows in China, would
//	valid json|jsonl|xml     hold the last standard output to a format
//	world FILE               servers on loopback, see world_test.go
//	unpack FILE DIR          unpack a zip archive of mode 0600 into a new directory
//	har FILE                 hold a file to HAR 1.2 and to mode 0600
//	await FILE REGEXP [VAR]  wait until a file matches; the first submatch becomes VAR
//	request FILE URL STATUS REGEXP [HEADER: VALUE]...  send a file (-: ask), hold the answer
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			// The locale of whoever runs the tests is not the story's, nor are the settings
			// of their go.
			e.Setenv("LANG", "C.UTF-8")
			e.Setenv("GOTOOLCHAIN", "local")
			e.Setenv("GOENV", "off")
			e.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
			e.Setenv("GIT_CONFIG_NOSYSTEM", "1")
			// For the session that empties PATH.
			path, err := exec.LookPath("keepwell")
			e.Setenv("KEEPWELL", path)
			return err
		},
		Condition: func(cond string) (bool, error) {
			if cond == "postgresql" { // see TestServeOnPostgreSQL
				return false, nil
			}
			if cond == "root" {
				return os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "unescape": unescape, "encode": encode, "valid": valid, "world": startWorld, "har": validHAR, "unpack": unpack, "await": await, "request": request, "token": token,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func rewrite(ts *testscript.TestScript, name string, change func(string) (string, error)) {
	out, err := change(ts.ReadFile(name))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(name), []byte(out), 0o600))
}

func unescape(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		rewrite(ts, name, func(s string) (string, error) {
			var b strings.Builder
			for s != "" {
				if s[0] == '\n' || s[0] == '"' || s[0] == '\'' {
					b.WriteByte(s[0])
					s = s[1:]
					continue
				}
				c, multibyte, rest, err := strconv.UnquoteChar(s, 0)
				if err != nil {
					return "", err
				}
				if multibyte {
					b.WriteRune(c)
				} else {
					b.WriteByte(byte(c))
				}
				s = rest
			}
			return b.String(), nil
		})
	}
}

func encode(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: encode utf-16|gbk FILE")
	}
	rewrite(ts, args[1], func(s string) (string, error) {
		switch args[0] {
		case "utf-16":
			return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(s)
		case "gbk":
			return simplifiedchinese.GBK.NewEncoder().String(s)
		}
		return "", errors.New("no such encoding")
	})
}

func valid(ts *testscript.TestScript, _ bool, args []string) {
	out := ts.ReadFile("stdout")
	switch args[0] {
	case "json":
		if !json.Valid([]byte(out)) {
			ts.Fatalf("not one JSON document")
		}
	case "jsonl":
		for line := range strings.Lines(out) {
			if !json.Valid([]byte(line)) {
				ts.Fatalf("not JSON: %s", line)
			}
		}
	case "xml":
		for dec := xml.NewDecoder(strings.NewReader(out)); ; {
			_, err := dec.Token()
			if errors.Is(err, io.EOF) {
				return
			}
			ts.Check(err)
		}
	default:
		ts.Fatalf("usage: valid json|jsonl|xml")
	}
}
