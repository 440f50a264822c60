package trace

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keepwell/keepwell/internal/credentials"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/proc"
	"github.com/keepwell/keepwell/internal/route"
)

// shortestSecret is the length from which a secret's value is hidden wherever it
// stands; shorter ones stand in too many words.
const shortestSecret = 4

// logins are what GOAUTH and URLs give, by whom they are for. Their values leave only
// through add.
type logins struct {
	netrc  []netrcLine
	goauth []string

	once    sync.Once
	mu      sync.Mutex
	refusal string // the latest 4xx, as programs are told it
	secrets []string
	found   map[string]http.Header // by URL prefix, from git and programs
}

type netrcLine struct{ machine, login, password string }

func newLogins(cfg route.Config) *logins {
	l := &logins{found: map[string]http.Header{}}
	goauth := cfg.Env.Value("GOAUTH")
	if goauth == "" {
		goauth = "netrc"
	}
	for command := range strings.SplitSeq(goauth, ";") {
		if command = strings.TrimSpace(command); command != "" {
			l.goauth = append(l.goauth, command)
		}
	}
	l.netrc = readNetrc(cfg.Env.Value("NETRC"))
	for _, line := range l.netrc {
		l.secrets = append(l.secrets, line.password)
	}
	for entry := range strings.FieldsFuncSeq(cfg.Env.Value("GOPROXY"), func(r rune) bool { return r == ',' || r == '|' }) {
		if u, err := url.Parse(strings.TrimSpace(entry)); err == nil {
			l.learn(u.User)
		}
	}
	for _, to := range cfg.InsteadOf {
		if u, err := url.Parse(to); err == nil {
			l.learn(u.User)
		}
	}
	return l
}

func readNetrc(netrc string) []netrcLine {
	home, err := os.UserHomeDir()
	if err != nil {
		home = ""
	}
	data, err := plainfile.Read(credentials.NetrcFile(netrc, home))
	if err != nil {
		return nil // go says nothing of it either
	}
	return parseNetrc(string(data))
}

// parseNetrc reads as cmd/go does: a line counts once it has a login and a password.
func parseNetrc(data string) []netrcLine {
	var list []netrcLine
	var l netrcLine
	macro := false
	for line := range strings.SplitSeq(data, "\n") {
		if macro {
			macro = line != ""
			continue
		}
		words := strings.Fields(line)
		for i := 0; i+1 < len(words); i += 2 {
			switch words[i] {
			case "machine":
				l = netrcLine{machine: words[i+1]}
			case "login":
				l.login = words[i+1]
			case "password":
				l.password = words[i+1]
			case "macdef":
				macro = true
			}
			if l.machine != "" && l.login != "" && l.password != "" {
				list = append(list, l)
				l = netrcLine{}
			}
		}
		if len(words)%2 == 1 && words[len(words)-1] == "default" {
			break
		}
	}
	return list
}

// learn remembers a login that must never be shown.
func (l *logins) learn(u *url.Userinfo) {
	if u == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.secrets = append(l.secrets, u.Username())
	if p, ok := u.Password(); ok {
		l.secrets = append(l.secrets, p, url.QueryEscape(p), url.PathEscape(p))
	}
}

// hide takes the secrets that are in use out of s, however it says them.
func (l *logins) hide(s string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	// The longest first: one secret may be the beginning of another.
	slices.SortFunc(l.secrets, func(a, b string) int { return len(b) - len(a) })
	for _, secret := range l.secrets {
		if len(secret) >= shortestSecret && secret != mask.Secret {
			s = strings.ReplaceAll(s, secret, mask.Secret)
		}
	}
	return s
}

// add gives a request the login that go would send, and says where it is from. Where
// an answer led elsewhere, it stays behind: another port is enough, and where go lets
// subdomains have it, keepwell does not. The login of a URL is never sent on, by go
// neither.
func (l *logins) add(ctx context.Context, req *http.Request, q route.Request) string {
	if req.URL.Scheme != "https" {
		return ""
	}
	at := req.URL
	if from := q.Redirected; from != nil {
		if from.Scheme != "https" || from.Host != at.Host || q.Login != nil || from.User != nil {
			return ""
		}
		at = from // what was found for the first URL goes with the request
	}
	if q.Login != nil {
		password, _ := q.Login.Password()
		req.SetBasicAuth(q.Login.Username(), password)
		return "url"
	}
	l.once.Do(func() { l.ask(ctx, nil) }) // programs are asked once for all that they know
	if q.Again {
		l.ask(ctx, at)
	}
	for _, command := range l.goauth {
		words := strings.Fields(command)
		switch words[0] {
		case "off":
			return ""
		case "netrc":
			if line, ok := l.netrcFor(at); ok {
				req.SetBasicAuth(line.login, line.password)
				return "netrc"
			}
		default:
			if l.give(at, req.Header) {
				if words[0] == "git" {
					return "git"
				}
				return "command"
			}
		}
	}
	return ""
}

// netrcFor finds the line whose machine is the longest prefix of the URL.
func (l *logins) netrcFor(u *url.URL) (netrcLine, bool) {
	for prefix := strings.TrimSuffix(u.Host+u.Path, "/"); ; {
		// Of two lines for one machine the first counts.
		if i := slices.IndexFunc(l.netrc, func(n netrcLine) bool { return n.machine == prefix }); i >= 0 {
			return l.netrc[i], true
		}
		i := strings.LastIndexByte(prefix, '/')
		if i < 0 {
			return netrcLine{}, false
		}
		prefix = prefix[:i]
	}
}

// give adds the headers that were found for a prefix of the URL.
func (l *logins) give(u *url.URL, to http.Header) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for prefix := strings.TrimSuffix(u.Host+u.Path, "/"); prefix != "." && prefix != "/"; prefix = path.Dir(prefix) {
		if h, ok := l.found[prefix]; ok {
			for name, values := range h {
				to[name] = values
			}
			return true
		}
		if !strings.Contains(prefix, "/") {
			break
		}
	}
	return false
}

// refused remembers an answer for the programs of GOAUTH, which read it.
func (l *logins) refused(resp *http.Response) {
	var b strings.Builder
	b.WriteString(resp.Proto + " " + resp.Status + "\n")
	for name, values := range resp.Header {
		b.WriteString(name + ": " + strings.Join(values, ", ") + "\n")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusal = b.String() + "\n"
}

// ask runs the programs of GOAUTH, each with a deadline: for a URL that was refused,
// or before any is asked for, where u is nil.
func (l *logins) ask(ctx context.Context, u *url.URL) {
	l.mu.Lock()
	in := l.refusal
	l.mu.Unlock()
	var at []string
	if u != nil {
		at = []string{(&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}).String()}
	}
	for _, command := range l.goauth {
		words := strings.Fields(command)
		var out bytes.Buffer
		switch {
		case words[0] == "off" || words[0] == "netrc":
			continue
		case words[0] == "git" && len(words) == 2 && filepath.IsAbs(words[1]) && u != nil:
			if runTool(ctx, words[1], "url="+at[0]+"\n\n", &out, "git", "credential", "fill") {
				l.gitSaid(out.String())
			}
		case words[0] != "git":
			if runTool(ctx, "", in, &out, words[0], slices.Concat(words[1:], at)...) {
				l.programSaid(out.String())
			}
		}
	}
}

func runTool(ctx context.Context, dir, in string, out io.Writer, name string, args ...string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	env := []string{"GIT_TERMINAL_PROMPT=0", "GCM_INTERACTIVE=never", "GIT_ASKPASS="}
	code, err := proc.Attach(ctx, proc.Options{Dir: dir, Env: env, Group: true}, strings.NewReader(in), &limited{w: out, room: 64 << 10}, io.Discard, name, args...)
	return err == nil && code == 0
}

// gitSaid reads what git credential fill prints.
func (l *logins) gitSaid(out string) {
	values := map[string]string{}
	for line := range strings.Lines(out) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "="); ok {
			values[name] = value
		}
	}
	if values["protocol"] != "https" || values["host"] == "" || values["password"] == "" {
		return
	}
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(values["username"], values["password"])
	l.store([]string{path.Join(values["host"], values["path"])}, r.Header, values["password"])
}

// programSaid reads blocks of URLs, an empty line, headers, an empty line.
func (l *logins) programSaid(out string) {
	lines := strings.Split(strings.ReplaceAll(out, "\r\n", "\n"), "\n")
	for len(lines) > 0 {
		var prefixes []string
		for len(lines) > 0 && lines[0] != "" {
			if u, err := url.Parse(lines[0]); err == nil && u.Scheme == "https" {
				prefixes = append(prefixes, strings.TrimSuffix(u.Host+u.Path, "/"))
			}
			lines = lines[1:]
		}
		header := http.Header{}
		var secrets []string
		for lines = lines[min(1, len(lines)):]; len(lines) > 0 && lines[0] != ""; lines = lines[1:] {
			if name, value, ok := strings.Cut(lines[0], ":"); ok {
				value = strings.TrimSpace(value)
				header.Add(textproto.TrimString(name), value)
				secrets = append(secrets, value)
				if words := strings.Fields(value); len(words) > 1 {
					secrets = append(secrets, words[1:]...)
				}
			}
		}
		if len(prefixes) > 0 && len(header) > 0 {
			l.store(prefixes, header, secrets...)
		}
		lines = lines[min(1, len(lines)):]
	}
}

func (l *logins) store(prefixes []string, h http.Header, secrets ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range prefixes {
		l.found[p] = h
	}
	l.secrets = append(l.secrets, secrets...)
	l.secrets = append(l.secrets, h.Values("Authorization")...)
}

// limited takes at most room bytes and swallows the rest.
type limited struct {
	w    io.Writer
	room int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.room)
	l.room -= n
	if n > 0 {
		if _, err := l.w.Write(p[:n]); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
