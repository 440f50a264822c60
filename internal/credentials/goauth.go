package credentials

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keepwell/keepwell/internal/proc"
)

// GoAuth has the logins that GOAUTH gives, as go would get them (cmd/go/internal/auth):
// netrc, `git DIR` and programs. A login is only ever given for an https URL below the
// prefix that it was given for.
type GoAuth struct {
	commands []string
	netrc    []NetrcLine
	run      sync.Mutex // held while programs run: whoever waits finds what they said

	mu      sync.Mutex
	asked   bool                   // for what they know without a URL
	found   map[string]http.Header // by prefix, without https://
	secrets []string
}

// programTime bounds a run of one program.
const programTime = 10 * time.Second

// NewGoAuth reads the value of GOAUTH; netrc is the content of the netrc file. Of a value
// that makes go stop, what can be used is.
func NewGoAuth(value string, netrc []byte) *GoAuth {
	g := &GoAuth{found: map[string]http.Header{}}
	if value == "" {
		value = "netrc"
	}
	for command := range strings.SplitSeq(value, ";") {
		switch command = strings.TrimSpace(command); command {
		case "":
		case "off":
			return &GoAuth{found: g.found}
		case "netrc":
			g.netrc = ParseNetrc(netrc)
			g.commands = append(g.commands, command)
		default:
			g.commands = append(g.commands, command)
		}
	}
	g.secrets = Secrets(g.netrc)
	return g
}

// programs tells whether anything but netrc is to be asked.
func (g *GoAuth) programs() bool {
	return slices.ContainsFunc(g.commands, func(c string) bool { return c != "netrc" })
}

// Secrets are the words to be hidden, as far as they are known yet.
func (g *GoAuth) Secrets() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.secrets)
}

// Login is what go would send to u in its first request: headers; nil: none.
func (g *GoAuth) Login(ctx context.Context, u *url.URL) http.Header {
	if u.Scheme != "https" {
		return nil
	}
	g.run.Lock()
	defer g.run.Unlock()
	g.mu.Lock()
	first := !g.asked
	g.mu.Unlock()
	if first {
		g.ask(ctx, nil, nil)
	}
	if ctx.Err() == nil {
		g.mu.Lock()
		g.asked = true
		g.mu.Unlock()
	}
	return g.known(u)
}

// Again is what go would send after resp refused u, for which sent was sent; nil: nothing
// but that.
func (g *GoAuth) Again(ctx context.Context, u *url.URL, resp *http.Response, sent http.Header) http.Header {
	if u.Scheme != "https" || !g.programs() {
		return nil
	}
	g.run.Lock()
	defer g.run.Unlock()
	if now := g.known(u); now != nil && !same(now, sent) { // somebody asked meanwhile
		return now
	}
	g.ask(ctx, u, resp)
	if now := g.known(u); now != nil && !same(now, sent) {
		return now
	}
	return nil
}

func same(a, b http.Header) bool {
	return maps.EqualFunc(a, b, slices.Equal)
}

// known is the login of the longest prefix.
func (g *GoAuth) known(u *url.URL) http.Header {
	g.mu.Lock()
	defer g.mu.Unlock()
	for prefix := strings.TrimSuffix(u.Host+u.EscapedPath(), "/"); ; {
		if h := g.found[prefix]; h != nil {
			return h.Clone()
		}
		i := strings.LastIndexByte(prefix, '/')
		if i < 0 {
			return nil
		}
		prefix = prefix[:i]
	}
}

// ask runs the commands, the last one first: what the first one says outranks it.
func (g *GoAuth) ask(ctx context.Context, u *url.URL, resp *http.Response) {
	var at []string
	if u != nil { // a login in a URL is for its server alone
		at = []string{(&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}).String()}
	}
	for _, command := range slices.Backward(g.commands) {
		words, err := splitQuoted(command)
		if err != nil || len(words) == 0 {
			continue
		}
		switch {
		case command == "netrc":
			for i := range slices.Backward(g.netrc) {
				if l := machine(g.netrc, g.netrc[i].Machine); l != nil {
					r := http.Request{Header: http.Header{}}
					l.Authorize(&r)
					g.store([]string{strings.TrimSuffix(l.Machine, "/")}, r.Header)
				}
			}
		case words[0] == "git":
			if u != nil && len(words) == 2 && filepath.IsAbs(words[1]) {
				g.gitSaid(output(ctx, words[1], "url="+at[0]+"\n\n", "git", "credential", "fill"))
			}
		default:
			g.programSaid(output(ctx, "", spoken(resp), words[0], slices.Concat(words[1:], at)...))
		}
	}
}

// spoken is an answer as programs are told of it, on their standard input.
func spoken(resp *http.Response) string {
	if resp == nil {
		return ""
	}
	var b strings.Builder
	b.WriteString(resp.Proto + " " + resp.Status + "\n")
	for name, values := range resp.Header {
		b.WriteString(name + ": " + strings.Join(values, ", ") + "\n")
	}
	return b.String() + "\n"
}

// output is what a program prints; nothing where it fails. Nobody is there to be asked.
func output(ctx context.Context, dir, in, name string, args ...string) string {
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	env := []string{"GIT_TERMINAL_PROMPT=0", "GCM_INTERACTIVE=never", "GIT_ASKPASS="}
	var out bytes.Buffer
	code, err := proc.Attach(ctx, proc.Options{Dir: dir, Env: env, Group: true}, strings.NewReader(in), &upTo{&out, largestFile}, io.Discard, name, args...)
	if err != nil || code != 0 {
		return ""
	}
	return out.String()
}

// upTo takes so many bytes and swallows the rest.
type upTo struct {
	w    *bytes.Buffer
	room int
}

func (u *upTo) Write(p []byte) (int, error) {
	n := min(len(p), u.room)
	u.room -= n
	_, _ = u.w.Write(p[:n]) // a buffer takes all
	return len(p), nil
}

// gitSaid reads what git credential fill prints.
func (g *GoAuth) gitSaid(out string) {
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
	g.store([]string{path.Join(values["host"], values["path"])}, r.Header, values["password"])
}

var errUnread = errors.New("not the output of a program of GOAUTH")

// programSaid takes what a program prints, all of it or, as go does, nothing.
func (g *GoAuth) programSaid(out string) {
	type login struct {
		prefixes []string
		header   http.Header
	}
	var all []login
	for rest := strings.ReplaceAll(out, "\r\n", "\n"); rest != ""; {
		one := login{header: http.Header{}}
		var err error
		rest, err = block(rest, func(line string) error {
			u, err := url.ParseRequestURI(line)
			if err == nil && u.Scheme == "https" { // to others nothing is sent
				one.prefixes = append(one.prefixes, strings.TrimSuffix(u.Host+u.EscapedPath(), "/"))
			}
			return err
		})
		if err == nil {
			rest, err = block(rest, func(line string) error {
				name, value, ok := strings.Cut(line, ": ")
				value = strings.TrimSpace(value)
				if !ok || !isHeader(name, value) {
					return errUnread
				}
				one.header.Add(name, value)
				return nil
			})
		}
		if err != nil {
			return
		}
		all = append(all, one)
	}
	for _, one := range all {
		g.store(one.prefixes, one.header)
	}
}

// isHeader tells a field that may stand in a request; some are the connection's own.
func isHeader(name, value string) bool {
	const others = "!#$%&'*+-.^_`|~"
	bad := func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune(others, r)
	}
	control := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	return name != "" && !strings.ContainsFunc(name, bad) && !strings.ContainsFunc(value, control)
}

// block takes lines up to an empty one.
func block(text string, take func(line string) error) (rest string, err error) {
	for {
		line, rest, ok := strings.Cut(text, "\n")
		switch {
		case !ok:
			return "", errUnread
		case line == "":
			return rest, nil
		}
		if err := take(line); err != nil {
			return "", err
		}
		text = rest
	}
}

// store keeps a login; one without headers takes back what was said before.
func (g *GoAuth) store(prefixes []string, h http.Header, secrets ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range prefixes {
		if len(h) == 0 {
			delete(g.found, p)
			continue
		}
		g.found[p] = h
	}
	for _, values := range h {
		for _, v := range values {
			if secrets = append(secrets, v); strings.Contains(v, " ") { // Bearer TOKEN
				secrets = append(secrets, strings.Fields(v)[1:]...)
			}
		}
	}
	for _, s := range secrets {
		if !slices.Contains(g.secrets, s) {
			g.secrets = append(g.secrets, s)
		}
	}
}

// splitQuoted reads the words of a command as go does (cmd/internal/quoted).
func splitQuoted(s string) ([]string, error) {
	var words []string
	for s = strings.TrimLeft(s, " \t\n\r"); s != ""; s = strings.TrimLeft(s, " \t\n\r") {
		if quote := s[0]; quote == '"' || quote == '\'' {
			word, rest, ok := strings.Cut(s[1:], string(quote))
			if !ok {
				return nil, errUnread
			}
			words, s = append(words, word), rest
			continue
		}
		i := strings.IndexAny(s, " \t\n\r")
		if i < 0 {
			i = len(s)
		}
		words, s = append(words, s[:i]), s[i:]
	}
	return words, nil
}
