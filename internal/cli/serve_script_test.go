package cli_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// await waits until a file holds what a pattern says; the first submatch becomes a variable.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: await FILE REGEXP [VARIABLE]")
	}
	want, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for {
		data, err := os.ReadFile(ts.MkAbs(args[0]))
		if found := want.FindSubmatch(data); err == nil && found != nil {
			if len(args) > 2 && len(found) > 1 {
				ts.Setenv(args[2], string(found[1]))
			}
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			ts.Fatalf("%s does not hold %s: %s", args[0], args[1], data)
		}
	}
}

// request sends a file, or asks where the file is -, and holds the answer to its status
// and a pattern.
func request(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: request FILE|- URL STATUS REGEXP [HEADER: VALUE]...")
	}
	method, body := http.MethodGet, io.Reader(nil)
	if args[0] != "-" {
		method, body = http.MethodPost, strings.NewReader(ts.ReadFile(args[0]))
	}
	req, err := http.NewRequest(method, args[1], body)
	ts.Check(err)
	for _, h := range args[4:] {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if fmt.Sprint(resp.StatusCode) != args[2] || !regexp.MustCompile("(?m)"+args[3]).Match(text) {
		ts.Fatalf("%s %s: %d %s", method, args[1], resp.StatusCode, text)
	}
}

// token makes the header of a token in a file a variable.
func token(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: token FILE VARIABLE")
	}
	ts.Setenv(args[1], "Authorization: Bearer "+strings.TrimSpace(ts.ReadFile(args[0])))
}
