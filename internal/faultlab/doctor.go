//go:build unix

package faultlab

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keepwell/keepwell"
)

// situation is a machine, a network or a project as doctor meets it: the real tool
// was run in it, and doctor is asked why it failed, or whether all is well.
//
// Most situations are the scenarios of explain ([doctorScenarios]). To add another,
// write a function that sets up the lab and runs the tool, and add its line to
// moreSituations, ownNetworks (which need a network of their own) or
// healthySituations.
type situation struct {
	// name is unique and in kebab case.
	name string
	// code is what the first finding must be; empty where all is well, and then no
	// finding may be above info.
	code keepwell.Code
	// also are codes that are as right.
	also []keepwell.Code
	// tool is the program that runs, needs what else the machine must have.
	tool  string
	needs []string
	// own says that it runs in a network namespace with a resolver of its own.
	own bool
	// warns says that the tool only warns.
	warns bool
	// args are doctor's words; nil means those that fit the tool's last call.
	args []string
	// run sets the situation up, runs the tool and returns what it printed.
	run func(ctx context.Context, l *Lab) string
}

// waits reports whether doctor will mostly wait: for an answer that does not come.
func (s situation) waits() bool {
	return slices.ContainsFunc([]string{"silent", "stalled", "trickles", "black-hole", "vanishes", "dial-timeout", "tls-timeout", "steady", "read-timeout"},
		func(word string) bool { return strings.Contains(s.name, word) })
}

// ownNetwork begins the addresses of a network of its own.
const ownNetwork = "45.45.45."

// situations lists all that doctor is tried on.
func situations() []situation {
	return slices.Concat(doctorScenarios(), moreSituations(), ownNetworks(), healthySituations())
}

// notForDoctor are the scenarios that doctor cannot see, each with the reason: their
// fault is gone when the tool has ended, or lies in that one call.
func notForDoctor() map[string]string {
	return map[string]string{
		"go-incompatible":       "only compiling shows it, and doctor compiles nothing",
		"go-goroot-mixed":       "only compiling shows it: the lab's compiler complains about its own arguments",
		"go-compiler-killed":    "the fault ends with the killed process",
		"go-proxy-407-page":     "a module proxy that answers 407 exists in texts only",
		"go-vet-error":          "a compile error of one's own, covered by go-compile-error",
		"git-not-a-repository":  "a mistake of that one call",
		"git-cut-pack":          "the pack of that one clone broke off",
		"git-ownership":         "a directory without a project; go-vcs-stamping is the same fault in one",
		"git-plaintext-login":   "the login is a word of that one call",
		"git-dns":               "git alone was told that address; go-dns is the same fault for go",
		"git-refused":           "git alone was told that address; go-refused is the same fault for go",
		"git-slow":              "its limits are flags of that one call; git-silent is the same fault for go",
		"npm-gyp-no-make":       "only the package's install script shows it",
		"npm-heap":              "the fault ends with the process",
		"npm-script":            "a failing script of the project's own",
		"npm-engine":            "strictness is that one call's setting; nothing else fails",
		"pip-git-missing":       "the repository is named in that one call",
		"pip-conflict":          "the two versions are words of that one call",
		"pip-no-ssl":            "a Python without ssl runs no index client that could be asked",
		"go-no-go-mod-get":      "only go get needs a module; what doctor is asked about can be fetched",
		"go-git-stale-clone":    "the second try succeeds: the first has fetched what was missing",
		"go-git-unknown-commit": "go-git-unknown-tag is the same fault",
	}
}

// gitArgs are doctor's words for scenarios of git alone: a module that go would fetch
// by that git.
func gitArgs() []string { return []string{"github.com/acme/widget@v1.0.0"} }

// doctorScenarios are the scenarios of explain that last.
func doctorScenarios() []situation {
	var list []situation
	left := notForDoctor()
	for _, s := range Scenarios() {
		if left[s.Name] != "" {
			continue
		}
		d := situation{name: s.Name, code: s.Code, also: s.Also, tool: s.Tool, needs: s.Needs, warns: s.Warns, run: s.Run}
		if s.Code == keepwell.None || slices.Contains(s.Also, keepwell.None) {
			d.code = ""
		}
		if s.Tool == "git" {
			d.args = gitArgs()
			d.run = func(ctx context.Context, l *Lab) string {
				l.Set("GOPROXY", "direct")
				l.HTTPS("github.com", status(404, "")) // unless the scenario says more
				return s.Run(ctx, l)
			}
		}
		list = append(list, d)
	}
	return list
}

// wrapper is what stood before the tool in the last call: doctor must run under it,
// too.
func (l *Lab) wrapper() (before []string, tool []string) {
	if i := slices.Index(l.called, "sh"); i >= 0 && i+2 < len(l.called) && l.called[i+1] == "-c" {
		script, command, ok := strings.Cut(l.called[i+2], "exec ")
		if ok {
			return append(slices.Clone(l.called[:i+2]), script+`exec "$0" "$@"`), strings.Fields(command)
		}
	}
	for i, word := range l.called {
		switch base := filepath.Base(word); {
		case base == "go", base == "git", base == "npm", strings.HasPrefix(base, "python"):
			return l.called[:i], l.called[i:]
		}
	}
	return nil, l.called
}

// stateDir is where keepwell keeps its journal in this lab.
func (l *Lab) stateDir() string { return filepath.Join(l.Dir, "state") }

// words are what a person would ask doctor after the last call: why that module or
// package failed, or, where the call named none, what is wrong here.
func (l *Lab) words() []string {
	_, tool := l.wrapper()
	if len(tool) == 0 {
		return nil
	}
	named := func(args []string, prefix string) (out []string) {
		for i, a := range args {
			if strings.HasPrefix(a, "-") || a == "all" || strings.HasPrefix(a, "./") || i > 0 && slices.Contains([]string{"--dest", "-r", "--retries"}, args[i-1]) {
				continue
			}
			out = append(out, prefix+a)
		}
		return out
	}
	switch base := filepath.Base(tool[0]); {
	case base == "go" && len(tool) > 2 && tool[1] == "mod" && tool[2] == "download":
		return named(tool[3:], "")
	case base == "go" && len(tool) > 2 && (tool[1] == "get" || tool[1] == "install"):
		return named(tool[2:], "")
	case base == "npm" && len(tool) > 2 && tool[1] == "install":
		return named(tool[2:], "npm:")
	case strings.HasPrefix(base, "python") && len(tool) > 4:
		return named(tool[4:], "pypi:")
	}
	return nil
}

// shorten keeps a cell of the table on one line.
func shorten(s string, n int) string {
	s = strings.NewReplacer("|", "\\|", "`", "'", "\n", " ", "\t", " ").Replace(s)
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}
