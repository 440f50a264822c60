package observe

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/module"
)

// Target is a server to look at. Make one with [Parse], [Repository],
// [ModuleVersion], [SumLookup], [NpmRegistry] or [PyPIIndex].
type Target struct {
	// URL says how: scheme https, http, ssh, git or tcp; path to ask for.
	URL  *url.URL
	Host string
	Port string
	// Via is the HTTP proxy in force, without its credentials; Login says that it had some.
	Via   *url.URL
	Login bool
	// List is a URL of the GOPROXY protocol to ask for, Latest one of a checksum
	// database, Key that database's key.
	List, Latest, Key string
	// Files is the URL of one module version's files without their endings
	// (…/@v/v1.0.0), Path and Version are what they are of, Supported is the URL that
	// says whether this proxy passes on the checksum database.
	Files, Path, Version, Supported string
	// Lookup is the URL of a version's line at the checksum database.
	Lookup string
	// Registry is the base of an npm registry, Index that of a Python index; Package
	// is looked up there, empty: only the server is asked.
	Registry, Index, Package string
	// Ask says that Options names resolvers to ask by themselves.
	Ask bool
	// Token says that Options.Logins holds a login for it.
	Token bool
	// Private says that credentials for this server are known, which are not sent.
	Private bool
	// Repo is a repository's address as git is given it; empty for other targets.
	Repo string
	// Jump says that ssh goes there by a program of its own (ProxyCommand, ProxyJump),
	// so that only ssh itself can be asked.
	Jump bool
}

// Errors of [Parse].
var (
	ErrTarget    = errors.New("not HOST, HOST:PORT or an http or https URL")
	ErrForbidden = errors.New("link-local and metadata addresses are never asked")
)

// wellKnown is a module that every public proxy has.
const wellKnown = "golang.org/x/mod"

// Parse reads HOST[:PORT] or an http(s) URL, or what can only be a repository's address
// (ssh://…, git@HOST:PATH, https://….git). Credentials of a URL are dropped.
func Parse(arg string, o Options) (Target, error) {
	if isRepository(arg) {
		return Repository(arg, o)
	}
	raw := arg
	if !strings.Contains(arg, "://") {
		raw = "https://" + bracketed(arg)
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || strings.ContainsAny(u.Hostname(), " \t") {
		return Target{}, ErrTarget
	}
	t := Target{URL: &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}, Host: u.Hostname(), Port: u.Port()}
	switch {
	case t.Port == "":
		t.Port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	case raw != arg && t.Port == "80":
		t.URL.Scheme = "http"
	case raw != arg && !speaksTLS(t.Port):
		t.URL.Scheme = "tcp"
	}
	if n, err := strconv.ParseUint(t.Port, 10, 16); err != nil || n == 0 {
		return Target{}, ErrTarget
	}
	if forbiddenHost(t.Host) {
		return Target{}, fmt.Errorf("%s: %w", t.Host, ErrForbidden)
	}
	t.Ask = len(o.Resolvers)+len(o.Second) > 0
	if err := t.through(o); err != nil {
		return Target{}, err
	}
	t.protocols(o)
	return t, nil
}

// through finds the HTTP proxy in force.
func (t *Target) through(o Options) error {
	if o.Proxy == nil || t.URL.Scheme != "https" && t.URL.Scheme != "http" {
		return nil
	}
	via, err := o.Proxy(t.URL)
	if err != nil {
		return fmt.Errorf("reading the HTTP proxy's setting: %w", err)
	}
	if via != nil {
		t.Via, t.Login = &url.URL{Scheme: via.Scheme, Host: via.Host}, via.User != nil
	}
	return nil
}

// bracketed puts an IPv6 address without brackets into them.
func bracketed(arg string) string {
	if a, err := netip.ParseAddr(arg); err == nil && a.Is6() {
		return "[" + strings.ReplaceAll(arg, "%", "%25") + "]"
	}
	return arg
}

func speaksTLS(port string) bool { return port == "443" || port == "8443" }

// protocols decides whether the target speaks a protocol of Go, npm or pip: because
// the user's settings name it, or because the URL asks for such a file.
func (t *Target) protocols(o Options) {
	if t.URL.Scheme == "tcp" {
		return
	}
	t.Token = o.loginFor(t.URL) != ""
	t.Private = t.Private || slices.ContainsFunc(o.PrivateHosts, func(h string) bool {
		u := &url.URL{Scheme: t.URL.Scheme, Host: h}
		return u.Port() == "" && strings.EqualFold(u.Hostname(), t.Host) || t.same(u)
	})
	t.goProtocol(o)
	if base, rest, private := t.under(o.Npm); base != "" {
		t.Registry, t.Private = base, t.Private || private
		if pkg, err := url.PathUnescape(rest); err == nil && npmName(pkg) {
			t.Package = pkg
		}
	}
	if base, rest, private := t.under(o.PyPI); base != "" {
		t.Index, t.Private = base, t.Private || private
		if pyName(rest) {
			t.Package = rest
		}
	}
	t.sumProtocol(o)
}

// under finds the entry that the target's URL lies below: its base without a slash at
// the end, what follows it, and whether it holds credentials.
func (t *Target) under(entries []string) (base, rest string, private bool) {
	for _, entry := range entries {
		u, err := url.Parse(entry)
		if err != nil || !t.same(u) {
			continue
		}
		private = u.User != nil
		u.User, u.RawQuery, u.Fragment = nil, "", ""
		at := strings.TrimRight(u.EscapedPath(), "/")
		rest, below := strings.CutPrefix(t.URL.EscapedPath(), at+"/")
		if path := strings.TrimRight(t.URL.EscapedPath(), "/"); !below && path != "" && path != at {
			continue
		}
		return strings.TrimRight(u.String(), "/"), strings.Trim(rest, "/"), private
	}
	return "", "", false
}

// goProtocol reads a URL of the GOPROXY protocol: PATH/@v/list, PATH/@latest, or a
// file of a version.
func (t *Target) goProtocol(o Options) {
	base, _, private := t.under(o.GoProxies)
	t.Private = t.Private || private
	path := t.URL.Path
	if at, file, ok := strings.Cut(path, "/@v/"); ok && file != "list" && strings.Contains(file, ".") {
		root := cmp.Or(base, t.URL.Scheme+"://"+t.URL.Host)
		name := strings.TrimPrefix(strings.TrimPrefix(t.URL.Scheme+"://"+t.URL.Host+at, root), "/")
		version := file[:strings.LastIndexByte(file, '.')]
		modPath, err1 := module.UnescapePath(name)
		modVersion, err2 := module.UnescapeVersion(version)
		if err1 == nil && err2 == nil {
			t.version(root, modPath, modVersion, o)
			return
		}
	}
	switch {
	case strings.Contains(path, "/@v/") || strings.HasSuffix(path, "/@latest"):
		t.List = t.URL.String()
	case base != "":
		t.List = base + "/" + wellKnown + "/@v/list"
	}
	if name, _ := sumBase(o.SumDB); name != "" && base != "" {
		t.Supported = base + "/sumdb/" + name + "/supported"
	}
}

// version sets the URLs of a module version at a proxy.
func (t *Target) version(base, path, version string, o Options) {
	p, _ := module.EscapePath(path)
	v, _ := module.EscapeVersion(version)
	t.Files, t.Path, t.Version = base+"/"+p+"/@v/"+v, path, version
	if name, _ := sumBase(o.SumDB); name != "" {
		t.Supported = base + "/sumdb/" + name + "/supported"
	}
}

// sumBase is the name and the address that GOSUMDB means; "" for off.
func sumBase(setting string) (name, base string) {
	fields := strings.Fields(setting)
	if len(fields) == 0 || fields[0] == "off" {
		return "", ""
	}
	name, _, _ = strings.Cut(fields[0], "+")
	if len(fields) > 1 {
		return name, strings.TrimRight(fields[1], "/")
	}
	return name, "https://" + name
}

func (t *Target) sumProtocol(o Options) {
	_, base := sumBase(o.SumDB)
	if base == "" {
		return
	}
	u, err := url.Parse(base)
	if err != nil || u.User != nil || !t.same(u) {
		return
	}
	t.Latest, t.Key = base+"/latest", strings.Fields(o.SumDB)[0]
	rest, ok := strings.CutPrefix(t.URL.String(), base+"/lookup/")
	path, version, versioned := strings.Cut(rest, "@")
	if !ok || !versioned {
		return
	}
	t.Lookup, t.Path, t.Version = t.URL.String(), path, version
	if p, err := module.UnescapePath(path); err == nil {
		t.Path = p
	}
	if v, err := module.UnescapeVersion(version); err == nil {
		t.Version = v
	}
}

// speaks reports whether a protocol above HTTP judges the answers.
func (t *Target) speaks() bool {
	return t.Repo+t.List+t.Files+t.Latest+t.Registry+t.Index != ""
}

// loginFor is the login held for exactly the host and port of u; none without TLS.
func (o Options) loginFor(u *url.URL) string {
	if u.Scheme != "https" {
		return ""
	}
	port := cmp.Or(u.Port(), "443")
	for host, login := range o.Logins {
		if strings.EqualFold(host, net.JoinHostPort(u.Hostname(), port)) || port == "443" && strings.EqualFold(host, u.Hostname()) {
			return login
		}
	}
	return ""
}

// ModuleVersion is the target for one version of a module at an entry of GOPROXY: its
// .info, .mod and the end of its zip, and whether the checksum database is passed on.
func ModuleVersion(entry, path, version string, o Options) (Target, error) {
	if err := module.Check(path, version); err != nil {
		return Target{}, err
	}
	t, err := Parse(entry, o)
	if err != nil {
		return Target{}, err
	}
	if u, err := url.Parse(entry); err == nil && u.User != nil {
		t.Private = true
	}
	t.List = ""
	t.version(strings.TrimRight(t.URL.String(), "/"), path, version, o)
	return t, nil
}

// SumLookup is the target for one version's line at the checksum database of
// Options.SumDB.
func SumLookup(path, version string, o Options) (Target, error) {
	if err := module.Check(path, version); err != nil {
		return Target{}, err
	}
	_, base := sumBase(o.SumDB)
	if base == "" {
		return Target{}, ErrTarget
	}
	p, _ := module.EscapePath(path)
	v, _ := module.EscapeVersion(version)
	return Parse(base+"/lookup/"+p+"@"+v, o)
}

// NpmRegistry is the target for an npm registry and, where it is not empty, a package
// there.
func NpmRegistry(registry, name string, o Options) (Target, error) {
	o.Npm = []string{registry}
	t, err := Parse(registry, o)
	if err != nil || name != "" && !npmName(name) {
		return Target{}, cmp.Or(err, ErrTarget)
	}
	t.Package = name
	return t, nil
}

// PyPIIndex is the target for a Python package index (its "simple" address) and, where
// it is not empty, a project there.
func PyPIIndex(index, name string, o Options) (Target, error) {
	o.PyPI = []string{index}
	t, err := Parse(index, o)
	if err != nil || name != "" && !pyName(name) {
		return Target{}, cmp.Or(err, ErrTarget)
	}
	t.Package = name
	return t, nil
}

// same reports whether u is on the target's host, scheme and port.
func (t *Target) same(u *url.URL) bool {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme == t.URL.Scheme && strings.EqualFold(u.Hostname(), t.Host) && port == t.Port
}

// String is the target as shown.
func (t *Target) String() string {
	if t.Repo != "" {
		return t.Repo
	}
	if t.URL.Scheme == "tcp" || t.URL.Path == "" {
		return net.JoinHostPort(t.Host, t.Port)
	}
	return t.URL.String()
}

// Forbidden reports the addresses that are never asked: link-local ones, among them
// the metadata services of clouds, and Alibaba's, AWS's over IPv6.
func Forbidden(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return a.IsLinkLocalUnicast() || a == netip.AddrFrom4([4]byte{100, 100, 100, 200}) || a == netip.MustParseAddr("fd00:ec2::254")
}

// forbiddenHost is [Forbidden] for what stands in a URL.
func forbiddenHost(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return Forbidden(a)
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	return name == "metadata.google.internal" || name == "metadata.goog"
}
