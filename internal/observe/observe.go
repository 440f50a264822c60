// Package observe looks at one server layer by layer, from the name to what it
// answers: DNS, ICMP echo, TCP, the HTTP proxy, TLS, ssh, HTTP, the GOPROXY protocol,
// the checksum database, git. What to look at next is a pure function of what was seen
// ([Next]); a layer that fails stops those above it; every answer is yes, no or not
// checked. It never speaks to metadata or link-local addresses, never decompresses, and
// reads a bounded part of any answer. It sends no credential that its [Options] do not
// hold for exactly that host, and none outside TLS. To add a layer, name it in layers,
// decide in wanted when it makes sense, write its probe and name that in probes.
package observe

import (
	"cmp"
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keepwell/keepwell"
)

// Layer is a level of the way to a server.
type Layer string

// The layers, lowest first.
const (
	Client  Layer = "client" // what this machine's git and ssh make of an address
	DNS     Layer = "dns"
	Asked   Layer = "resolvers" // each resolver by itself
	Echo    Layer = "icmp"
	TCP     Layer = "tcp"
	Tunnel  Layer = "proxy"
	TLS     Layer = "tls"
	SSH     Layer = "ssh"
	HTTP    Layer = "http"
	GoProxy Layer = "goproxy"
	Module  Layer = "module" // the files of one version at a module proxy
	SumDB   Layer = "sumdb"
	Npm     Layer = "npm"
	PyPI    Layer = "pypi"
	VCS     Layer = "vcs"
	Login   Layer = "login" // what a token may do
)

// State is what a probe says.
type State string

// The states.
const (
	Yes        State = "yes"
	No         State = "no"
	NotChecked State = "not checked"
)

// Result is what one probe saw.
type Result struct {
	Layer Layer
	State State
	// At and Took place the probe on the way's time line.
	At, Took time.Duration
	// Key and Args are the observation in words of internal/msg.
	Key  string
	Args []string
	// Code is the fault that the observation shows; empty where it shows none.
	Code keepwell.Code
	// Said is what the other side, or the system, said; masked.
	Said  string
	Facts keepwell.Facts
	// Rival is another code that would look the same.
	Rival keepwell.Code
	// Owner is who can mend it where that is not whom the catalogue names for Code.
	Owner keepwell.Owner
	// Machine and MachineArgs are what this machine adds, in words of internal/msg, such
	// as how it takes a root certificate; empty: nothing.
	Machine     string
	MachineArgs []string
	// Tool is whose fault it would be ("git", "npm", "pip"); empty where it cannot be told.
	Tool string
}

// Options are what a look depends on beside its target. Zero values mean the machine's.
type Options struct {
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Resolvers (HOST:PORT) are asked by themselves beside Resolve; see [SystemResolvers].
	// Second are strangers', asked only for names that are [Public] by Private, the
	// patterns of GOPRIVATE and its kin. None: not asked.
	Resolvers, Second, Private []string
	Roots                      *x509.CertPool
	// System is what [System] says; empty: it is asked.
	System string
	Now    func() time.Time
	// Each bounds one probe (5 s), All the whole (10 s).
	Each, All time.Duration
	// Proxy names the HTTP proxy in force for a URL.
	Proxy func(*url.URL) (*url.URL, error)
	// GoProxies are the entries of GOPROXY, SumDB is GOSUMDB.
	GoProxies []string
	SumDB     string
	// Npm and PyPI are the registries and indexes in force; their credentials are
	// dropped.
	Npm, PyPI []string
	// PrivateHosts are hosts (without port: on any port) for which the settings hold
	// credentials: that they want a login is no fault.
	PrivateHosts []string
	// Logins holds values of the header Authorization by host ("api.example.org", port
	// 443) or HOST:PORT. Each goes to exactly that host, over TLS, and nowhere else.
	Logins map[string]string
	// Env is added to the environment of git and ssh.
	Env []string
	// GitLogin lets git use its own credential helpers, netrc and headers, for https
	// addresses only. ssh offers its keys in any case, as go would let it.
	GitLogin bool
}

func (o Options) withDefaults() Options {
	if o.Resolve == nil {
		o.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Proxy == nil {
		o.Proxy = func(*url.URL) (*url.URL, error) { return nil, nil } //nolint:nilnil // the shape of http.Transport.Proxy
	}
	o.Each, o.All = cmp.Or(o.Each, 5*time.Second), cmp.Or(o.All, 10*time.Second)
	return o
}

// layers in the order in which they are shown.
func layers() []Layer {
	return []Layer{Client, DNS, Asked, Echo, TCP, Tunnel, TLS, SSH, HTTP, Login, GoProxy, Module, SumDB, Npm, PyPI, VCS}
}

// wanted are the layers that make sense for a target, lowest first.
func wanted(t Target) []Layer {
	return slices.DeleteFunc(layers(), func(l Layer) bool {
		switch l {
		case Client, VCS:
			return t.Repo == ""
		case DNS, Echo, TCP:
			return t.Via != nil || t.Jump
		case Asked:
			_, err := netip.ParseAddr(t.Host)
			return !t.Ask || err == nil || !strings.Contains(t.Host, ".") || t.Via != nil || t.Jump
		case Tunnel:
			return t.Via == nil
		case TLS:
			return t.URL.Scheme != "https"
		case SSH:
			return t.URL.Scheme != "ssh" || t.Jump
		case HTTP:
			return t.URL.Scheme != "https" && t.URL.Scheme != "http"
		case GoProxy:
			return t.List == ""
		case Module:
			return t.Files == ""
		case SumDB:
			return t.Latest == ""
		case Npm:
			return t.Registry == ""
		case PyPI:
			return t.Index == ""
		case Login:
			return !t.Token || t.Repo != ""
		}
		return false
	})
}

// Next is the plan: the layers to look at now, given what was seen. They do not need
// each other and run at once. Nothing is left to look at when it is empty.
func Next(t Target, seen []Result) []Layer {
	has := func(l Layer) bool { return slices.ContainsFunc(seen, func(r Result) bool { return r.Layer == l }) }
	var now []Layer
	for _, l := range wanted(t) {
		switch {
		case has(l):
			if l != Echo && l != Asked && !open(l, seen) {
				return nil
			}
			continue
		case len(now) > 0 && !beside(now[len(now)-1], l):
			return now
		}
		now = append(now, l)
	}
	return now
}

// beside reports whether two layers may be looked at together.
func beside(a, b Layer) bool {
	return a == DNS && b == Asked || a == Echo && b == TCP || spoken(a) && spoken(b)
}

// spoken reports whether a layer is a protocol above HTTP or ssh: they do not need
// each other.
func spoken(l Layer) bool {
	return slices.Contains([]Layer{Login, GoProxy, Module, SumDB, Npm, PyPI, VCS}, l)
}

// open reports whether a layer lets the next one be reached: one yes of TCP's
// addresses is enough, a name that is an address needs no resolver, an address that
// nobody looked up in git's settings is taken as it is.
func open(l Layer, seen []Result) bool {
	return slices.ContainsFunc(seen, func(r Result) bool {
		return r.Layer == l && (r.State == Yes || (l == DNS || l == Client) && r.State == NotChecked)
	})
}

// session is one look under way.
type session struct {
	Options
	target Target
	began  time.Time

	mu    sync.Mutex
	addrs []netip.Addr // what the name leads to
	addr  netip.Addr   // the first that answered

	git   gitSettings
	keys  sshSettings
	moved *url.URL // where HTTP led from a repository's address

	ownRoots bool // Roots are those of git's settings
}

func (s *session) probes() map[Layer]func(context.Context) []Result {
	return map[Layer]func(context.Context) []Result{
		Client: s.client, DNS: s.dns, Asked: s.resolvers, Echo: s.echo, TCP: s.tcp, Tunnel: s.tunnel, TLS: s.tls, SSH: s.ssh, HTTP: s.http,
		GoProxy: s.goproxy, Module: s.module, SumDB: s.sumdb, Npm: s.npm, PyPI: s.pypi, VCS: s.vcs, Login: s.login,
	}
}

// Look probes a target and returns what was seen, lowest layer first. Layers above a
// failure are there as not checked.
func Look(ctx context.Context, t Target, o Options) []Result {
	s := &session{Options: o.withDefaults(), target: t, began: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, s.All)
	defer cancel()
	var seen []Result
	for now := Next(t, seen); len(now) > 0; now = Next(t, seen) {
		got := make([][]Result, len(now))
		var wg sync.WaitGroup
		for i, l := range now {
			wg.Go(func() { got[i] = s.run(ctx, l) })
		}
		wg.Wait()
		seen = append(seen, slices.Concat(got...)...)
		settle(seen, s.addrs)
		t = s.target // git's and ssh's settings may lead elsewhere
	}
	for _, l := range wanted(t) {
		if !slices.ContainsFunc(seen, func(r Result) bool { return r.Layer == l }) {
			seen = append(seen, Result{Layer: l, State: NotChecked, Key: "probe.below"})
		}
	}
	return seen
}

// settle takes back what resolvers seem to be at fault for where the system found the
// name all the same: in its hosts file, or by another way.
func settle(seen []Result, found []netip.Addr) {
	for i, r := range seen {
		if r.Layer != Asked || r.Code == "" || len(found) == 0 {
			continue
		}
		same := slices.ContainsFunc(found, func(a netip.Addr) bool {
			return len(r.Args) > 1 && slices.Contains(strings.Split(r.Args[1], ", "), a.String())
		})
		if !same {
			seen[i].Code = ""
		}
	}
}

// run gives one probe its deadline and its place on the time line.
func (s *session) run(ctx context.Context, l Layer) []Result {
	ctx, cancel := context.WithTimeout(ctx, s.Each)
	defer cancel()
	at := time.Since(s.began)
	list := s.probes()[l](ctx)
	for i := range list {
		list[i].Layer, list[i].At = l, at
		if list[i].Took == 0 && list[i].State != NotChecked {
			list[i].Took = time.Since(s.began) - at
		}
	}
	return list
}
