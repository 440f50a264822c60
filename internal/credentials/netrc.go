package credentials

import (
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
	Token    Token
	secret   string
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
	macro := false
	begin := func(machine string, line int) {
		list = append(list, NetrcLine{Machine: machine, Line: line})
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
		if list[i].Complete && list[i].Machine != "" && list[i].Machine == name {
			return &list[i]
		}
	}
	return nil
}

// LoginFor is the line as a login for host.
func (l *NetrcLine) LoginFor(host string) Login {
	return Login{Host: host, User: l.Login, Token: l.Token, secret: l.secret}
}
