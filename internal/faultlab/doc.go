// Package faultlab makes the real tools of this machine (go, git, ssh, npm,
// pip) fail on purpose, each time from one known cause, so that explain,
// doctor and the fault catalogue are tested against what the tools print today
// and not against what we remember of it.
//
// A [Scenario] is one cause with the fault code it must be diagnosed as. It
// runs in a [Lab]: temporary directories, a clean environment, and a small
// world of servers on 127.0.0.1. The tools reach that world through
// HTTPS_PROXY: a CONNECT for "goproxy.example.org" is answered by whatever the
// scenario put there, so texts hold realistic names and nothing is ever asked
// of a resolver. Faults below TLS (refused ports, dial timeouts) use loopback
// addresses directly; [Lab.Normalise] gives those their display names.
//
// The package is for tests only. It never leaves the machine: an unknown name
// is refused by the world and noted ([Lab.Strays]), and the names of DNS
// scenarios are too long to be sent. It never writes outside the lab's
// directories, never waits without a deadline, and never edits a tool's output
// except in Normalise.
//
// With KEEPWELL_LAB_GO=/path/to/go in the environment that go command fails in
// place of the one on PATH, and only the scenarios of go run: so the wordings of
// older releases, back to 1.11, are held to the same codes. What a release
// cannot do is left out by the scenario's Since, and what it calls by another
// name is in toolchain.go. The catalogue's examples are never taken from such a
// run; .ci/toolchains goes through all the releases.
//
// To add a scenario: write a function in the file of its tool (goproxy.go,
// gosum.go, gotls.go, gomod.go, golocal.go, git.go, npm.go, pip.go) that sets
// up the lab and returns what the tool printed, and add its line to the table
// at the top of that file. Mark it Example if its text should stand in the
// catalogue (one scenario per code), then run
//
//	go test ./internal/faultlab -run TestScenarios -update
//
// Where no dependency failed, explain must be silent: negatives.go lists the
// compilers, tests, linkers and programs that fail for reasons of their own. They
// alone use the tester's build cache, as go test itself does.
package faultlab
