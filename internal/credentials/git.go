package credentials

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/proc"
)

// Setting is one line of git's configuration. Its value may be secret and stays here.
type Setting struct {
	// Key is section.subsection.name, the section and name in lower case; a login in the
	// subsection is not taken out (see [Setting.Shown]).
	Key string
	// File is where it stands; "" for the command line and the environment.
	File  string
	value string
}

// Shown is the key without credentials.
func (s Setting) Shown() string { return mask.Text(s.Key) }

// parts splits the key: the subsection may hold dots.
func (s Setting) parts() (section, sub, name string) {
	section, rest, _ := strings.Cut(s.Key, ".")
	i := strings.LastIndexByte(rest, '.')
	if i < 0 {
		return section, "", rest
	}
	return section, rest[:i], rest[i+1:]
}

// Git is git's configuration as it holds in one directory, weakest place first.
type Git struct{ list []Setting }

// LoadGit asks git for its configuration in dir.
func LoadGit(ctx context.Context, dir string) (Git, error) {
	out, err := proc.Output(ctx, proc.Options{Dir: dir}, "git", "config", "--list", "--show-origin", "-z")
	if err != nil {
		return Git{}, err
	}
	return ParseGit(out, dir), nil
}

// ParseGit reads what `git config --list --show-origin -z` prints. File names that are
// not absolute are those of dir.
func ParseGit(out []byte, dir string) Git {
	var g Git
	fields := bytes.Split(out, []byte{0})
	for i := 0; i+1 < len(fields); i += 2 {
		file, isFile := strings.CutPrefix(string(fields[i]), "file:")
		if !isFile {
			file = ""
		} else if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		key, value, _ := strings.Cut(string(fields[i+1]), "\n")
		g.list = append(g.list, Setting{Key: key, File: file, value: value})
	}
	return g
}

// Value is the value in force of a key that holds no secret, "" where nobody sets it.
func (g Git) Value(key string) string {
	for _, s := range slices.Backward(g.list) {
		if strings.EqualFold(s.Key, key) {
			return s.value
		}
	}
	return ""
}

// Helper is a program that git asks for logins.
type Helper struct {
	Setting
	// Name is the program without its arguments; Args are they.
	Name string
	args string
}

// Plain says that the helper keeps logins unencrypted.
func (h Helper) Plain() bool { return h.Name == "store" }

// StoreFiles are the files that the helper `store` reads.
func (h Helper) StoreFiles(home, xdg string) []string {
	words := strings.Fields(h.args)
	for i, w := range words {
		name, ok := strings.CutPrefix(w, "--file=")
		if !ok && w == "--file" && i+1 < len(words) {
			name, ok = words[i+1], true
		}
		if !ok {
			continue
		}
		name = strings.Trim(name, `"'`)
		if rest, tilde := strings.CutPrefix(name, "~/"); tilde {
			name = filepath.Join(home, rest)
		}
		return []string{name}
	}
	if xdg == "" {
		xdg = filepath.Join(home, ".config")
	}
	return []string{filepath.Join(home, ".git-credentials"), filepath.Join(xdg, "git", "credentials")}
}

// Helpers are the programs that git asks for a login to u, in this order; all there are
// where u is nil.
func (g Git) Helpers(u *url.URL) []Helper {
	var out []Helper
	for _, s := range g.list {
		section, sub, name := s.parts()
		if section != "credential" || name != "helper" || u != nil && !forURL(sub, u) {
			continue
		}
		if s.value == "" { // takes back those before it
			out = nil
			continue
		}
		h := Helper{Setting: s}
		h.Name, h.args, _ = strings.Cut(strings.TrimSpace(s.value), " ")
		if rest, shell := strings.CutPrefix(h.Name, "!"); shell {
			h.Name = "!" + filepath.Base(rest)
		} else {
			h.Name = strings.TrimPrefix(filepath.Base(h.Name), "git-credential-")
		}
		h.Name = mask.Text(h.Name)
		out = append(out, h)
	}
	return out
}

// Headers are the settings that add a login to git's requests to u beside any other:
// http.<url>.extraheader and cookie files.
func (g Git) Headers(u *url.URL) []Setting {
	var out []Setting
	for _, s := range g.list {
		section, sub, name := s.parts()
		if section != "http" || !forURL(sub, u) {
			continue
		}
		switch {
		case name == "extraheader" && s.value == "":
			out = nil
		case name == "extraheader" && strings.Contains(strings.ToLower(s.value), "auth"), name == "cookiefile" && s.value != "":
			out = append(out, s)
		}
	}
	return out
}

// Token is what the shape of the setting's value tells, Basic logins decoded.
func (s Setting) Token() Token { return Classify(s.value + " " + basic(s.value)) }

// Rewrite is what git makes of an address by insteadOf: the rule with the longest match.
func (g Git) Rewrite(raw string) (to string, by *Setting) {
	longest := -1
	for i := range g.list {
		s := &g.list[i]
		section, sub, name := s.parts()
		if section == "url" && name == "insteadof" && strings.HasPrefix(raw, s.value) && len(s.value) > longest {
			longest, to, by = len(s.value), sub+raw[len(s.value):], s
		}
	}
	if by == nil {
		return raw, nil
	}
	return to, by
}

// Logins are the settings whose addresses hold a login: rules of insteadOf, remotes.
func (g Git) Logins() []Setting {
	var out []Setting
	for _, s := range g.list {
		section, sub, name := s.parts()
		if section == "url" && hasLogin(sub) || section == "remote" && (name == "url" || name == "pushurl") && hasLogin(s.value) ||
			section == "http" && name == "proxy" && hasLogin(s.value) {
			out = append(out, s)
		}
	}
	return out
}

// hasLogin reports whether an address holds a password, or a token as its user.
func hasLogin(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.User == nil {
		return false
	}
	password, has := u.User.Password()
	return has && password != "" || Classify(u.User.Username()).Kind != ""
}

// LoginOf is the login that stands in an address, for its own host.
func LoginOf(raw string) (Login, bool) {
	u, err := url.Parse(raw)
	if err != nil || !hasLogin(raw) {
		return Login{}, false
	}
	l := Login{Host: u.Host, User: u.User.Username()}
	password, has := u.User.Password()
	if l.secret = password; !has || password == "" { // https://TOKEN@host/
		l.secret, l.User = l.User, "***"
	}
	l.Token = Classify(l.secret)
	return l, true
}

// Stored are the logins of a file of the helper `store`, each with its line.
func Stored(data []byte, u *url.URL) (Login, int, bool) {
	for i, text := range strings.Split(string(data), "\n") {
		if at, err := url.Parse(strings.TrimSpace(text)); err != nil || at.Scheme != u.Scheme || !strings.EqualFold(at.Host, u.Host) {
			continue
		}
		if l, ok := LoginOf(strings.TrimSpace(text)); ok {
			return l, i + 1, true
		}
	}
	return Login{}, 0, false
}

// Address is where git would go.
type Address struct {
	// Scheme is "https", "http", "ssh", "git", "file", or "" for what is no address.
	Scheme string
	// Host has the port where one stands, Name has not.
	Host, Name, Port string
	User             string
	Path             string
}

// Remote reads an address of git, the short form of ssh included.
func Remote(raw string) Address {
	if u, err := url.Parse(raw); err == nil && u.Host != "" {
		return Address{Scheme: strings.TrimPrefix(u.Scheme, "git+"), Host: u.Host, Name: u.Hostname(), Port: u.Port(), User: u.User.Username(), Path: u.Path}
	}
	before, path, ok := strings.Cut(raw, ":")
	if !ok || strings.Contains(before, "/") || strings.HasPrefix(path, "//") || strings.HasPrefix(path, ":") || len(before) < 2 {
		return Address{}
	}
	a := Address{Scheme: "ssh", Host: before, Path: "/" + strings.TrimPrefix(path, "/")}
	if i := strings.LastIndexByte(before, '@'); i >= 0 { // ssh: a user's name may hold an @, a host's may not
		a.User, a.Host = before[:i], before[i+1:]
	}
	if strings.HasPrefix(a.Host, "-") { // ssh would take it for an option; git refuses it too
		return Address{}
	}
	a.Name = a.Host
	return a
}

// forURL reports whether a subsection <url> of git's configuration holds for u
// (urlmatch.c): scheme, host by label with *, port and path.
func forURL(sub string, u *url.URL) bool {
	if sub == "" {
		return true
	}
	p, err := url.Parse(sub)
	if err != nil || p.Scheme != u.Scheme || port(p) != port(u) {
		return false
	}
	if name := p.User.Username(); name != "" && name != u.User.Username() {
		return false
	}
	want, have := strings.Split(strings.ToLower(p.Hostname()), "."), strings.Split(strings.ToLower(u.Hostname()), ".")
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if want[i] != "*" && want[i] != have[i] {
			return false
		}
	}
	base := strings.TrimSuffix(p.Path, "/")
	return base == "" || u.Path == base || strings.HasPrefix(u.Path, base+"/")
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"https": "443", "http": "80"}[u.Scheme]
}

// basic is what an "Authorization: basic" header holds, decoded; "" for others.
func basic(header string) string {
	words := strings.Fields(header)
	for i, w := range words {
		if strings.EqualFold(w, "basic") && i+1 < len(words) {
			if text, err := base64.StdEncoding.DecodeString(words[i+1]); err == nil {
				return string(text)
			}
		}
	}
	return ""
}
