//go:build unix

package faultlab

import (
	"context"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// negative is one output in which no dependency failed: explain must claim
// nothing, however much its words look like a fault's.
type negative struct {
	name, text string
}

// negativeSource makes one family of negatives with a real tool. A tool that is
// slow to start gets all its programs in one run, and its output is cut into one
// negative for each.
type negativeSource struct {
	name  string
	tools []string
	run   func(ctx context.Context, l *Lab) []negative
}

// snippet is a small text for a tool; its name becomes the negative's.
type snippet struct {
	name, text string
}

// shellLine is a line for the shell; its name becomes the negative's.
type shellLine struct {
	name, line string
}

// negativeSources lists every family. To add a negative, add a line to the table
// of its family; each table tells what is put around its texts.
func negativeSources() []negativeSource {
	return []negativeSource{
		{"compile", []string{"go"}, compileNegatives},
		{"vet", []string{"go"}, vetNegatives},
		{"test", []string{"go"}, testNegatives},
		{"package", []string{"go"}, packageNegatives},
		{"app", []string{"go"}, appNegatives},
		{"go", []string{"go", "gofmt"}, goToolNegatives},
		{"cgo", []string{"go", "gcc"}, cgoNegatives},
		{"race", []string{"go", "gcc"}, raceNegatives},
		{"gcc", []string{"gcc"}, gccNegatives},
		{"node", []string{"node"}, nodeNegatives},
		{"npm", []string{"node", "npm"}, npmNegatives},
		{"python", []string{"python3"}, pythonNegatives},
		{"sh", []string{"sh", "make"}, shellNegatives},
		{"git", []string{"git"}, gitNegatives},
	}
}

// shop is the module that all Go programs of a source belong to.
const shop = "example.org/shop"

// goShop begins that module in the lab.
func (l *Lab) goShop() {
	l.direct() // the programs talk to their own servers on loopback
	l.Set("GOPROXY", "off")
	l.Files("go.mod", "module "+shop+"\n\ngo 1.24\n")
}

// packages writes one package for each program.
func (l *Lab) packages(file string, list []snippet) {
	for _, p := range list {
		text := p.text
		if !strings.HasPrefix(text, "package ") {
			text = "package " + filepath.Base(p.name) + "\n\n" + text
		}
		l.Files(p.name+"/"+file, text+"\n")
	}
}

// packageLine finds the package that a line of the go command's belongs to: its
// header, or a position in its file.
var packageLine = regexp.MustCompile(`^(?:# (?:\[)?` + regexp.QuoteMeta(shop) + `/([^\s\]]+)|(?:vet: )?(?:\./)?([^\s:]+)/p\.go:\d+:)`)

// cutPackages cuts the output of a go command into that of each package. What
// follows a line of a package without naming another belongs to it, too.
func cutPackages(out string, list []snippet) []negative {
	texts := map[string]string{}
	name := ""
	for line := range strings.Lines(out) {
		if m := packageLine.FindStringSubmatch(line); m != nil {
			name = m[1] + m[2]
		}
		texts[name] += line
	}
	cut := make([]negative, len(list))
	for i, p := range list {
		cut[i] = negative{p.name, texts[p.name]}
	}
	return cut
}

// each runs the shell lines one after the other.
func (l *Lab) each(ctx context.Context, list []shellLine) []negative {
	out := make([]negative, len(list))
	for i, c := range list {
		out[i] = negative{c.name, l.Run(ctx, "sh", "-c", c.line)}
	}
	return out
}

// scripts writes each program to a file of its own and runs it.
func (l *Lab) scripts(ctx context.Context, ext string, list []snippet, args ...string) []negative {
	out := make([]negative, len(list))
	for i, p := range list {
		file := p.name + ext
		l.Files(file, p.text+"\n")
		run := append(slices.Clone(args), filepath.Join(l.Work, file))
		out[i] = negative{p.name, l.Run(ctx, run[0], run[1:]...)}
	}
	return out
}
