package observe

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Target is a server to look at. Make one with [Parse] or [Repository].
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

// protocols decides whether the target speaks Go's protocols: because the user's
// settings name it, or because the URL asks for such a file.
func (t *Target) protocols(o Options) {
	if t.URL.Scheme == "tcp" {
		return
	}
	if p := t.URL.Path; strings.Contains(p, "/@v/") || strings.HasSuffix(p, "/@latest") {
		t.List = t.URL.String()
	}
	for _, entry := range o.GoProxies {
		u, err := url.Parse(entry)
		if err != nil || !t.same(u) || t.List != "" {
			continue
		}
		t.Private = u.User != nil
		u.User = nil
		t.List = strings.TrimRight(u.String(), "/") + "/" + wellKnown + "/@v/list"
	}
	fields := strings.Fields(o.SumDB)
	if len(fields) == 0 || fields[0] == "off" {
		return
	}
	name, _, _ := strings.Cut(fields[0], "+")
	base := "https://" + name
	if len(fields) > 1 {
		base = fields[1]
	}
	if u, err := url.Parse(base); err == nil && u.User == nil && t.same(u) {
		t.Latest, t.Key = strings.TrimRight(base, "/")+"/latest", fields[0]
	}
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
