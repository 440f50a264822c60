package credentials

import (
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// NetrcLine is one machine of a netrc file.
type NetrcLine struct {
	// Machine is "" for the default entry, which git reads and go does not.
	Machine string
	Login   string
	// Line is where it begins, from 1.
	Line int
	// Complete says that it has a login and a password: others are passed over.
	Complete bool
	// Unread says that it follows a line that ends in a lone default, where go stops
	// reading; git goes on.
	Unread bool
	Token  Token
	secret string
}

// NetrcFile is the file that go reads: $NETRC, else the one of the home directory. Git
// reads only the latter.
func NetrcFile(netrc, home string) string {
	if netrc != "" || home == "" {
		return netrc
	}
	if old := filepath.Join(home, "_netrc"); runtime.GOOS == "windows" {
		if _, err := os.Stat(old); err == nil {
			return old
		}
	}
	return filepath.Join(home, ".netrc")
}

// ParseNetrc reads a netrc file as go does (cmd/go/internal/auth, parseNetrc), and keeps
// the lines that go passes over as well.
func ParseNetrc(data []byte) []NetrcLine {
	var list []NetrcLine
	var at *NetrcLine
	macro, unread := false, false
	begin := func(machine string, line int) {
		list = append(list, NetrcLine{Machine: machine, Line: line, Unread: unread})
		at = &list[len(list)-1]
	}
	for i, text := range strings.Split(string(data), "\n") {
		text = strings.TrimSuffix(text, "\r")
		if macro { // ends with an empty line
			macro = text != ""
			continue
		}
		words := strings.Fields(text)
		for w := 0; w < len(words); w++ {
			if words[w] == "default" {
				begin("", i+1)
				continue
			}
			if w+1 == len(words) {
				break
			}
			switch word, value := words[w], words[w+1]; {
			case word == "machine":
				begin(value, i+1)
			case word == "macdef":
				macro = true
			case at == nil || at.Complete:
			case word == "login":
				at.Login = value
			case word == "password":
				at.secret, at.Token = value, Classify(value)
			}
			w++
			if at != nil && at.Login != "" && at.secret != "" {
				at.Complete = true
			}
		}
		// go takes words in pairs.
		if n := len(words); n%2 == 1 && words[n-1] == "default" {
			unread = true
		}
	}
	return list
}

// ForGo is the line whose login go itself would send to a URL of host[:port]/path: it
// compares from the URL's end to its host, port included.
func ForGo(list []NetrcLine, hostPath string) *NetrcLine {
	for prefix := strings.TrimSuffix(hostPath, "/"); ; {
		if l := machine(list, prefix); l != nil {
			return l
		}
		i := strings.LastIndexByte(prefix, '/')
		if i < 0 {
			return nil
		}
		prefix = prefix[:i]
	}
}

// ForGit is the line whose login git would send: libcurl compares the host without its
// port, and takes the default entry where none matches.
func ForGit(list []NetrcLine, hostname string) *NetrcLine {
	for i := range list {
		if l := &list[i]; l.Complete && (strings.EqualFold(l.Machine, hostname) || l.Machine == "") {
			return l
		}
	}
	return nil
}

func machine(list []NetrcLine, name string) *NetrcLine {
	for i := range list {
		if list[i].Complete && !list[i].Unread && list[i].Machine != "" && list[i].Machine == name {
			return &list[i]
		}
	}
	return nil
}

// Authorize puts the login into a request. Whether it may go to the request's host is the
// caller's to know ([ForGo]).
func (l *NetrcLine) Authorize(r *http.Request) { r.SetBasicAuth(l.Login, l.secret) }

// LoginFor is the line as a login for host.
func (l *NetrcLine) LoginFor(host string) Login {
	return Login{Host: host, User: l.Login, Token: l.Token, secret: l.secret}
}

// Secrets are the passwords of lines, for whoever has to take them out of foreign words.
func Secrets(lines []NetrcLine) []string {
	var secrets []string
	for _, l := range lines {
		if l.secret != "" {
			secrets = append(secrets, l.secret)
		}
	}
	return secrets
}
