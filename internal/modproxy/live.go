package modproxy

import (
	"encoding/base64"
	"errors"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keepwell/keepwell/internal/credentials"
	"github.com/keepwell/keepwell/internal/modpolicy"
)

// Changeable is what may change while the proxy serves.
type Changeable struct {
	// Lists are tried in order: the first whose patterns match a module has its
	// upstreams; one without patterns takes all. A module that no list takes is denied.
	Lists []List
	// Policy says which versions may be had; nil: all.
	Policy *modpolicy.Policy
	// FirstSeen judges the age of a version by nothing but when this store first saw it.
	FirstSeen bool
	// Private are hosts that upstreams may redirect to though they have private
	// addresses, beside those of upstreams that are private themselves.
	Private []string
	// Netrc is the content of the netrc file; its logins go to upstreams of that host that
	// have no logins of their own, over https only.
	Netrc []byte
	// Auth takes the place of Netrc where it is set: all that GOAUTH gives.
	Auth *credentials.GoAuth
}

func (o Options) changeable() Changeable {
	return Changeable{Lists: o.Lists, Policy: o.Policy, FirstSeen: o.FirstSeen, Private: o.Private, Netrc: o.Netrc, Auth: o.Auth}
}

// live is what a Changeable comes to. It is never changed, but for permits.
type live struct {
	Changeable
	bundles *bundles // passed on where nothing but the time changed
	logins  []credentials.NetrcLine
	hide    *strings.Replacer
	free    bool      // nothing is forbidden
	ends    time.Time // when a rule ends to hold; zero: never

	mu sync.RWMutex
	// permits are the files that fixed rules allow for good: what is old enough stays so.
	permits map[string]struct{}
}

func newLive(c Changeable, files *bundles, now time.Time) *live {
	c.Lists = files.lists(c.Lists)
	l := &live{Changeable: c, bundles: files, logins: credentials.ParseNetrc(c.Netrc), free: c.Policy.Empty(), ends: c.Policy.Changes(now), permits: map[string]struct{}{}}
	var pairs []string
	hide := func(secrets []string) {
		for _, secret := range secrets {
			if len(secret) >= leastSecret {
				pairs = append(pairs, secret, "***")
			}
		}
	}
	asLogins := func(u *url.Userinfo) *Logins {
		password, _ := u.Password()
		return &Logins{Credentials: []Credential{{User: u.Username(), Password: password}}}
	}
	hide(credentials.Secrets(l.logins))
	for _, list := range c.Lists {
		for _, u := range list.Upstreams {
			if hide(u.Logins.secrets()); u.Base != nil && u.Base.User != nil {
				hide(asLogins(u.Base.User).secrets())
			}
		}
	}
	if len(pairs) > 0 {
		l.hide = strings.NewReplacer(pairs...)
	}
	return l
}

// permitted says that the file under key was looked at before, and may be had.
func (l *live) permitted(key string) bool {
	if l.free {
		return true
	}
	if !l.ends.IsZero() && !time.Now().Before(l.ends) {
		return false
	}
	l.mu.RLock()
	_, ok := l.permits[key]
	l.mu.RUnlock()
	return ok
}

func (l *live) permit(key string) {
	if l.free {
		return
	}
	const most = 1 << 16
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.permits) >= most {
		clear(l.permits)
	}
	l.permits[key] = struct{}{}
}

// now is what holds at the moment.
func (p *Proxy) now() *live {
	l := p.live.Load()
	if t := time.Now(); !l.ends.IsZero() && !t.Before(l.ends) { // a rule has ended
		next := newLive(l.Changeable, l.bundles, t)
		if p.live.CompareAndSwap(l, next) {
			return next
		}
		return p.live.Load()
	}
	return l
}

// Reload puts c in the place of what held, for every request that comes after it. What
// is under way goes on. A c that cannot be served changes nothing.
func (p *Proxy) Reload(c Changeable) error {
	if len(c.Lists) == 0 {
		return errors.New("a module proxy without upstreams")
	}
	files, err := openBundles(c.Lists)
	if err != nil {
		return err
	}
	p.reloading.Lock()
	defer p.reloading.Unlock()
	p.live.Swap(newLive(c, files, time.Now())).bundles.retire()
	p.directs.keep(p, c.Lists)
	return nil
}

// hide takes the secrets of named credentials out of foreign words: a server may send
// back what it was sent.
func (p *Proxy) hide(s string) string {
	l := p.live.Load()
	if l.Auth != nil { // it learns as it goes
		s = hideAll(s, l.Auth.Secrets())
	}
	if l.hide != nil {
		return l.hide.Replace(s)
	}
	return s
}

// hideAll takes secrets out of s, the longest first: one may be part of another.
func hideAll(s string, secrets []string) string {
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	for _, secret := range secrets {
		if len(secret) >= leastSecret {
			s = strings.ReplaceAll(s, secret, "***")
		}
	}
	return s
}

// leastSecret is the length from which a secret is hidden: of shorter ones, half of all
// words would go.
const leastSecret = 4

// redact hides secrets in all that t may say, before any of it is cut to a line.
func (p *Proxy) redact(t *trouble) {
	t.said, t.why.Detail = p.hide(t.said), p.hide(t.why.Detail)
	var b *badContent
	if errors.As(t.err, &b) {
		t.err = &badContent{b.kind, p.hide(b.detail), p.hide(b.words)}
	}
}

// Logins are all that an upstream may be logged into with. nil: what the user has (netrc
// for servers; netrc, git's helpers and ssh for direct).
type Logins struct{ Credentials []Credential }

// Credential is a login for some hosts, and no other. It is one of: a user with a
// password; a bearer token; and, for direct only, an ssh key or a credential helper of
// git.
type Credential struct {
	Name string
	// Hosts are names, with a port where it is not 443 (22 for ssh).
	Hosts          []string
	User, Password string
	Bearer         string
	// SSHKey and KnownHosts are names of files.
	SSHKey, KnownHosts string
	Helper             string
}

// String names the credential, and tells no secret.
func (c Credential) String() string { return "credential " + c.Name }

// GoString is String: %#v tells no secret either.
func (c Credential) GoString() string { return c.String() }

// of is the credential that a server gets.
func (l *Logins) of(u *url.URL) *Credential {
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":443")
	for i := range l.Credentials {
		c := &l.Credentials[i]
		if c.Password == "" && c.Bearer == "" {
			continue
		}
		for _, h := range c.Hosts {
			if strings.TrimSuffix(strings.ToLower(h), ":443") == host {
				return c
			}
		}
	}
	return nil
}

// secrets are the words to be hidden, and the forms in which they travel.
func (l *Logins) secrets() []string {
	if l == nil {
		return nil
	}
	var all []string
	for _, c := range l.Credentials {
		if c.Password != "" {
			all = append(all, base64.StdEncoding.EncodeToString([]byte(c.User+":"+c.Password)))
		}
		for _, s := range []string{c.Password, c.Bearer} {
			if s != "" {
				all = append(all, s, url.QueryEscape(s), url.PathEscape(s), base64.StdEncoding.EncodeToString([]byte(s)))
			}
		}
	}
	return all
}

func sameLogins(a, b *Logins) bool { return a == b || a != nil && b != nil && reflect.DeepEqual(a, b) }
