package route

import (
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpproxy"

	"github.com/keepwell/keepwell/internal/goenv"
)

// Access is how one server is reached.
type Access struct {
	// Credential is where go would take the login from:
	//
	//	none        nothing is sent
	//	url         the login in the URL itself; no other counts then
	//	url-refused the login in the URL, which go refuses to send over http: it stops
	//	netrc       a line of the netrc file, with the first request
	//	git         git credential fill, run in a directory, after a 4xx only
	//	command     a program of GOAUTH; whether it knows the host is its secret
	//	plain       http: credentials are never sent over it
	//	file        no server
	//
	// The first of several is the strongest.
	Credential []Credential `json:"credential"`
	// Twice says that a 4xx is asked a second time, after GOAUTH was run for it: always
	// so over https, with or without credentials.
	Twice bool `json:"twice"`
	// Tunnel is the HTTP proxy on the way, without credentials; empty where there is
	// none. TunnelRule says why.
	Tunnel     string `json:"tunnel,omitempty"`
	TunnelRule Rule   `json:"tunnel_rule"`
}

// Credential is one source of a login.
type Credential struct {
	Source string `json:"source"`
	// Name is the machine of the netrc line, git's directory, or the program's name.
	Name string `json:"name,omitempty"`
}

// access tells how u is reached.
func (s *settings) access(u *url.URL) *Access {
	a := &Access{Twice: u.Scheme == "https"}
	a.Credential = s.credentials(u)
	if u.Scheme == "file" {
		a.TunnelRule = Rule{Code: "file"}
		return a
	}
	a.Tunnel, a.TunnelRule = s.tunnelOf(u)
	return a
}

func (s *settings) credentials(u *url.URL) []Credential {
	switch {
	case u.Scheme == "file":
		return []Credential{{Source: "file"}}
	case u.Scheme == "http" && u.User != nil:
		return []Credential{{Source: "url-refused"}}
	case u.Scheme == "http":
		return []Credential{{Source: "plain"}}
	case u.User != nil:
		// Go compares with the URL as it stands, login included: then no other matches.
		return []Credential{{Source: "url"}}
	}
	var list []Credential
	for command := range strings.SplitSeq(s.goauth(), ";") {
		words := strings.Fields(command)
		switch {
		case len(words) == 0 || words[0] == "off":
		case words[0] == "netrc":
			if m := s.netrcFor(u); m != "" {
				list = append(list, Credential{"netrc", m})
			}
		case words[0] == "git" && len(words) > 1:
			list = append(list, Credential{"git", words[1]})
		case words[0] != "git":
			list = append(list, Credential{"command", words[0]}) // its arguments may be secret
		}
	}
	if list == nil {
		return []Credential{{Source: "none"}}
	}
	return list
}

func (s *settings) goauth() string {
	if v := s.cfg.Env.Value("GOAUTH"); v != "" {
		return v
	}
	return "netrc"
}

// netrcFor returns the machine whose login go would send to u. Go compares it with
// the URL from its end to its host, port included: the line of "git.example.com"
// does not count for git.example.com:8443.
func (s *settings) netrcFor(u *url.URL) string {
	for prefix := strings.TrimSuffix(u.Host+u.Path, "/"); ; {
		if slices.Contains(s.cfg.Netrc, prefix) {
			return prefix
		}
		i := strings.LastIndexByte(prefix, '/')
		if i < 0 {
			return ""
		}
		prefix = prefix[:i]
	}
}

// tunnels reads the variables of the HTTP proxy as net/http does, which go uses.
func tunnels(env goenv.Env) func(*url.URL) (*url.URL, error) {
	first := func(names ...string) string {
		for _, n := range names {
			if v := env.Value(n); v != "" {
				return v
			}
		}
		return ""
	}
	c := httpproxy.Config{
		HTTPProxy:  first("HTTP_PROXY", "http_proxy"),
		HTTPSProxy: first("HTTPS_PROXY", "https_proxy"),
		NoProxy:    first("NO_PROXY", "no_proxy"),
		CGI:        env.Value("REQUEST_METHOD") != "",
	}
	return c.ProxyFunc()
}

func (s *settings) tunnelOf(u *url.URL) (string, Rule) {
	names := []string{"HTTPS_PROXY", "https_proxy"}
	if u.Scheme == "http" {
		names = []string{"HTTP_PROXY", "http_proxy"}
	}
	setting := ""
	for _, n := range names {
		if s.cfg.Env.Value(n) != "" {
			setting = n
			break
		}
	}
	if setting == "" {
		return "", Rule{Code: "no-tunnel", Setting: names[0]}
	}
	through, err := s.tunnel(u)
	switch {
	case err != nil:
		return "", s.rule("bad-tunnel", setting)
	case through != nil:
		return bare(through), s.rule("tunnel", setting)
	case isLoopback(u.Hostname()):
		return "", Rule{Code: "loopback"}
	}
	for _, n := range []string{"NO_PROXY", "no_proxy"} {
		if s.cfg.Env.Value(n) != "" {
			r := s.rule("no-proxy-list", n)
			r.Value = s.cfg.Env.Value(n)
			return "", r
		}
	}
	return "", Rule{Code: "no-tunnel", Setting: setting}
}

// NetrcMachines lists the machines of a netrc file whose lines go uses: those with
// both a login and a password. The secrets are not kept.
func NetrcMachines(data []byte) []string {
	var machines []string
	var machine string
	var login, password, macro bool
	for line := range strings.SplitSeq(string(data), "\n") {
		if macro { // ends with an empty line
			macro = line != ""
			continue
		}
		words := strings.Fields(line)
		for i := 0; i+1 < len(words); i += 2 {
			switch words[i] {
			case "machine":
				machine, login, password = words[i+1], false, false
			case "login":
				login = true
			case "password":
				password = true
			case "macdef":
				macro = true
			}
			if machine != "" && login && password {
				machines = append(machines, machine)
				machine, login, password = "", false, false
			}
		}
		if len(words)%2 == 1 && words[len(words)-1] == "default" {
			break
		}
	}
	return machines
}
