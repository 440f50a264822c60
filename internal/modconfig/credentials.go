package modconfig

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell/internal/modproxy"
)

// readCredentials reads the named logins: each has hosts, and is of one kind.
func (r *reader) readCredentials(n *yaml.Node) {
	r.credentials = map[string]*credential{}
	if n.Kind != yaml.MappingNode {
		r.wrong(n.Line, "config.credentials")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		switch at := r.credentials[name.Value]; {
		case at != nil:
			r.wrong(name.Line, "config.twice", name.Value, at.line)
		case !ruleName().MatchString(name.Value):
			r.wrong(name.Line, "config.credential.name")
		default:
			r.credentials[name.Value] = r.credential(name, value)
		}
	}
}

func (r *reader) credential(name, n *yaml.Node) *credential {
	c := &credential{Credential: modproxy.Credential{Name: name.Value}, line: name.Line}
	has := map[string]bool{}
	note := func(key string, read func(*yaml.Node)) func(*yaml.Node) {
		return func(v *yaml.Node) { has[key] = true; read(v) }
	}
	r.fields(n, map[string]func(*yaml.Node){
		"hosts":       note("hosts", func(v *yaml.Node) { c.Hosts = r.hosts(v, "hosts") }),
		"user":        note("user", func(v *yaml.Node) { c.User = r.plain(v, "user") }),
		"password":    note("password", func(v *yaml.Node) { c.Password = r.secret(v, "password") }),
		"bearer":      note("bearer", func(v *yaml.Node) { c.Bearer = r.secret(v, "bearer") }),
		"ssh_key":     note("ssh_key", func(v *yaml.Node) { c.SSHKey = r.keyFile(v) }),
		"known_hosts": note("known_hosts", func(v *yaml.Node) { c.KnownHosts = r.path(r.plain(v, "known_hosts")) }),
		"helper":      note("helper", func(v *yaml.Node) { c.Helper = r.helper(v) }),
	})
	if n.Kind != yaml.MappingNode {
		return c
	}
	kinds := slices.DeleteFunc([]string{"password", "bearer", "ssh_key", "helper"}, func(k string) bool { return !has[k] })
	if len(kinds) != 1 {
		r.wrong(name.Line, "config.credential.kind")
		return c
	}
	if !has["hosts"] {
		r.wrong(name.Line, "config.lacks", "hosts")
	}
	switch kind := kinds[0]; {
	case kind == "password" && !has["user"]:
		r.wrong(name.Line, "config.lacks", "user")
	case has["user"] && (kind == "bearer" || kind == "helper"):
		r.wrong(name.Line, "config.credential.key", "user", kind)
	case has["known_hosts"] && kind != "ssh_key":
		r.wrong(name.Line, "config.credential.key", "known_hosts", kind)
	}
	return c
}

// plain is a word that can stand in a configuration of git, ssh and in a netrc file.
func (r *reader) plain(n *yaml.Node, key string) string {
	w := r.word(n, key)
	if strings.ContainsFunc(w, func(c rune) bool { return unicode.IsControl(c) || c == ' ' || c == '"' || c == '\\' }) {
		r.wrong(n.Line, "config.plain", key)
		return ""
	}
	return w
}

// helper is a program, or the name of one of git's; not a line for a shell.
func (r *reader) helper(n *yaml.Node) string {
	w := r.word(n, "helper")
	if strings.HasPrefix(w, "!") || w != "" && !filepath.IsAbs(w) && strings.ContainsAny(w[:1], "-./~") {
		r.wrong(n.Line, "config.helper")
	}
	return w
}

// secret resolves a reference. The secret itself has no place in the file.
func (r *reader) secret(n *yaml.Node, key string) string {
	if n.Kind != yaml.ScalarNode {
		r.wrong(n.Line, "config.word", key)
		return ""
	}
	name, file := strings.CutPrefix(n.Value, "file:")
	variable := reference().FindStringSubmatch(n.Value)
	switch {
	case !file && variable == nil, file && name == "":
		r.wrong(n.Line, "config.literal", key)
		return ""
	case !r.o.Secrets:
		return "" // nobody needs it
	case file:
		return r.secretFile(n, key, r.path(name))
	}
	value, ok := r.o.Env(variable[1])
	if !ok || value == "" {
		r.wrong(n.Line, "config.variable", variable[1])
		return ""
	}
	return r.fit(n, key, value)
}

func (r *reader) secretFile(n *yaml.Node, key, name string) string {
	const forOthers = 0o027 // read by others, written by the group
	if !r.guarded(n, name, forOthers) {
		return ""
	}
	f, err := os.Open(name)
	if err != nil {
		r.wrong(n.Line, "config.file", plainError(err), name)
		return ""
	}
	defer f.Close()
	const most = 64 << 10
	data, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		r.wrong(n.Line, "config.file", plainError(err), name)
		return ""
	}
	return r.fit(n, key, strings.TrimRight(string(data), "\r\n"))
}

// fit refuses secrets that could not travel in a header or a line, or are too short to
// be told from other words.
func (r *reader) fit(n *yaml.Node, key, value string) string {
	const least = 6
	if len(value) < least || strings.ContainsFunc(value, func(c rune) bool { return unicode.IsControl(c) || unicode.IsSpace(c) }) {
		r.wrong(n.Line, "config.secret", key, least)
		return ""
	}
	return value
}

func (r *reader) keyFile(n *yaml.Node) string {
	name := r.path(r.plain(n, "ssh_key"))
	const private = 0o077 // ssh refuses others, too
	if name != "" && r.o.Secrets {
		r.guarded(n, name, private)
	}
	return name
}

// guarded looks whether a file is one, and whether others may read or change it.
func (r *reader) guarded(n *yaml.Node, name string, not fs.FileMode) bool {
	st, err := os.Stat(name)
	switch {
	case err != nil:
		r.wrong(n.Line, "config.file", plainError(err), name)
	case !st.Mode().IsRegular():
		r.wrong(n.Line, "config.regular", name)
	case runtime.GOOS != "windows" && st.Mode().Perm()&not != 0:
		r.wrong(n.Line, "config.mode", name, st.Mode().Perm())
	default:
		return true
	}
	return false
}

// plainError is the system's word without the name, which is told beside it.
func plainError(err error) error {
	if p, ok := err.(*fs.PathError); ok { //nolint:errorlint // it is the outermost
		return p.Err
	}
	return err
}
