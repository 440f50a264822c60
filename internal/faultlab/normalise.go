//go:build unix

package faultlab

import (
	"regexp"
	"strings"
	"sync"
)

// shownAddress stands where a tool prints an address in place of a name; it is
// one of those kept for documentation.
const shownAddress = "192.0.2.10"

// Normalise makes a tool's output the same on every machine and in every run:
// loopback addresses get their display names, the lab's directories those of a
// user's machine, and times, process numbers and hex names are fixed. The
// result is the same text otherwise and may stand in the catalogue.
func (l *Lab) Normalise(output string) string {
	out := output
	for _, a := range l.shown {
		out = a.replace(out)
	}
	out = l.world.hide(out)
	for _, r := range l.paths() {
		out = strings.ReplaceAll(out, r[0], r[1])
	}
	for _, r := range volatile() {
		out = r.expr.ReplaceAllString(out, r.with)
	}
	return strings.TrimRight(out, " \t\n") + "\n"
}

// replace shows a loopback address as a name where a name stands and as an
// address where the dialler prints one.
func (a alias) replace(out string) string {
	host, port, found := strings.Cut(a.addr, ":")
	if !found {
		return strings.ReplaceAll(out, a.addr, a.name)
	}
	q := regexp.QuoteMeta
	shown := a.name
	if a.port != "443" {
		shown += ":" + a.port
	}
	dialled := shownAddress + ":" + a.port
	for _, r := range [][2]string{
		{`https?://((?:[^/\s@]*@)?)` + q(a.addr), scheme(a.port) + "${1}" + shown},
		{`(tcp |->|connect |ECONNREFUSED |ECONNRESET )` + q(a.addr), "${1}" + dialled},
		{q(a.addr), shown},
		{`(address: ')` + q(host) + `(',\n.*port: )` + q(port), "${1}" + shownAddress + "${2}" + a.port},
		{`((?:connect to host|connect to|to host) )` + q(host) + ` port ` + q(port), "${1}" + a.name + " port " + a.port},
		{`host='` + q(host) + `', port=` + q(port), "host='" + a.name + "', port=" + a.port},
		{`\b` + q(host) + `( \[)` + q(host) + `(\] port )` + q(port), a.name + "${1}" + shownAddress + "${2}" + a.port},
		{`(git@)` + q(host), "${1}" + a.name},
		{`(?:by|with|to) ` + q(host) + ` port ` + q(port), "by " + shownAddress + " port " + a.port},
	} {
		out = regexp.MustCompile(r[0]).ReplaceAllString(out, r[1])
	}
	return out
}

// scheme is what the server speaks outside the lab: a plain loopback server
// stands for an HTTPS one, a proxy for itself.
func scheme(port string) string {
	if port == "443" {
		return "https://"
	}
	return "http://"
}

// hide takes the world's own proxy out of connection texts: it stands for the
// host at the other end.
func (w *world) hide(out string) string {
	return strings.ReplaceAll(out, w.addr(), shownAddress+":443")
}

// paths are the lab's directories and what they are shown as, longest first.
func (l *Lab) paths() [][2]string {
	list := [][2]string{
		{"../home/go/pkg", "../../home/user/go/pkg"},
		{l.Dir + "/npm-cache", "/home/user/.npm"},
		{l.Dir + "/python", "/usr"},
		{l.Dir + "/goroot", "/usr/local/go"},
		{l.Dir + "/tmp", "/tmp"},
		{l.Dir + "/bin", "/usr/bin"},
		{l.Home, "/home/user"},
		{l.Work, "/src/app"},
		{l.Dir, "/src"},
	}
	if cache := l.env["GOCACHE"]; cache != "" {
		list = append([][2]string{{cache, "/home/user/.cache/go-build"}}, list...)
	}
	if root := otherRoot(); root != "" {
		list = append([][2]string{{root, "/usr/local/go"}}, list...)
	}
	return list
}

type rewrite struct {
	expr *regexp.Regexp
	with string
}

// volatile are the parts of a text that change from run to run.
var volatile = sync.OnceValue(func() []rewrite {
	var list []rewrite
	for _, r := range [][2]string{
		{`\x1b\[[0-9;?]*[A-Za-z]`, ""},
		{`\r\n`, "\n"},
		{`[^\n]*\r`, ""}, // progress that the tool itself wrote over
		{`\x00+`, ""},
		{`127\.0\.0\.1:\d+->`, "10.0.0.5:41234->"},
		{` on [0-9.]+:53: dial udp [0-9.]+:53:`, " on 10.0.0.2:53: dial udp 10.0.0.2:53:"},
		{`(cache/vcs/)[0-9a-f]{40,}`, "${1}0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
		{`current time \d{4}-[0-9T:+Z.-]+ is (after|before) \d{4}-[0-9T:+Z.-]+`, "current time 2026-01-01T12:00:00Z is ${1} 2026-01-01T00:00:00Z"},
		{`_logs/[0-9T_-]+Z-(debug-\d|eresolve)`, "_logs/2026-01-01T12_00_00_000Z-${1}"},
		{`\.zip\d+\.tmp`, ".zip123456789.tmp"},
		{`('serialNumber': ')[0-9A-F]+`, "${1}0123456789ABCDEF"},
		{`('not(Before|After)': ')[^']+`, "${1}Jan  1 00:00:00 2026 GMT"},
		{`after \d+ ms`, "after 5 ms"},
		{`0x[0-9a-f]{8,}`, "0x7f0123456789"},
		{`\b[0-9A-F]{16,}(:error:)`, "0012345678900000${1}"},
		{`/tmp/go-build\d+`, "/tmp/go-build012345678"},
		{`/tmp/pip-[a-z]+-[a-z0-9_]+-?[a-z0-9_]*`, "/tmp/pip-0123abcd"},
		{`/[^\s"']*/(site|dist)-packages/`, "/usr/lib/python3/dist-packages/"},
		{`/[^\s"']*/lib/python3\.\d+/`, "/usr/lib/python3/"},
		{`\[\d+:0x7f0123456789\] +\d+ ms:`, "[1234:0x7f0123456789]      500 ms:"},
		{`(?m)[ \t]+$`, ""},
	} {
		list = append(list, rewrite{regexp.MustCompile(r[0]), r[1]})
	}
	return list
})
