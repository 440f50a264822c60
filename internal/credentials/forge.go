package credentials

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Client asks hosts of repositories. The zero value uses the machine's certificates and
// no HTTP proxy.
type Client struct {
	Roots *x509.CertPool
	Proxy func(*url.URL) (*url.URL, error)
	// Refuse reports addresses and hosts that are never asked; nil refuses none.
	Refuse     func(netip.Addr) bool
	RefuseName func(string) bool
	Now        func() time.Time
}

// Errors of a [Client].
var (
	// ErrKept says that a login was not sent: it belongs to another host, or the way is not
	// encrypted.
	ErrKept = errors.New("a login is only sent to its own host, over https")
	// ErrRefused says that the host is one that is never asked.
	ErrRefused = errors.New("this address is never asked")
)

// Repository is what a host says of one repository. A status of 0 is no answer.
type Repository struct {
	// Anonymous is the status without a login; Moved the host and path that redirects led
	// to, "" where they led nowhere else.
	Anonymous int
	Moved     string
	// Tried says that a login was sent, WithLogin what was answered to it.
	Tried     bool
	WithLogin int
	// API is "github" or "gitlab" where the host answered as such. Owner is the status of
	// the repository's owner there, without a login.
	API   string
	Owner int
	// Scopes are what the token may do, as far as the host says; SSO that the organisation
	// wants the token authorised first.
	Scopes      []string
	ScopesKnown bool
	SSO         bool
	// Over says that the host calls the token expired or revoked.
	Over bool
}

// Look asks the host of repo, which is an https address, without a login, and with l
// where there is one.
func (c Client) Look(ctx context.Context, repo *url.URL, l *Login) Repository {
	var r Repository
	at := &url.URL{Scheme: repo.Scheme, Host: repo.Host, Path: strings.TrimSuffix(repo.Path, "/")}
	refs := func(u *url.URL) *url.URL {
		return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path + "/info/refs", RawQuery: "service=git-upload-pack"}
	}
	r.Anonymous, r.Moved = c.anonymous(ctx, at, refs)
	if l != nil && l.secret != "" {
		if a, err := c.ask(ctx, refs(at), l, true); err == nil {
			r.Tried, r.WithLogin = true, a.status
		}
	}
	c.forge(ctx, &r, at, l)
	return r
}

// anonymous asks without a login and follows redirects, never from https to http.
func (c Client) anonymous(ctx context.Context, at *url.URL, refs func(*url.URL) *url.URL) (status int, moved string) {
	u := refs(at)
	for range 5 {
		a, err := c.ask(ctx, u, nil, false)
		if err != nil {
			return 0, ""
		}
		status = a.status
		if status < 300 || status > 399 {
			break
		}
		next, err := u.Parse(a.header.Get("Location"))
		if err != nil || next.Scheme != "https" && u.Scheme == "https" || next.Host == "" || !strings.HasSuffix(next.Path, "/info/refs") {
			return status, ""
		}
		next.User = nil
		u = next
	}
	from := at.Host + strings.TrimSuffix(at.Path, ".git")
	if to := u.Host + strings.TrimSuffix(strings.TrimSuffix(u.Path, "/info/refs"), ".git"); !strings.EqualFold(to, from) {
		return status, to
	}
	return status, ""
}

// forge asks the interface that a host has on itself: api.github.com is another host, and
// gets no login.
func (c Client) forge(ctx context.Context, r *Repository, repo *url.URL, l *Login) {
	if repo.Hostname() == "github.com" { // its pages are not the interface, but on the same host
		owner, _, _ := strings.Cut(strings.Trim(repo.Path, "/"), "/")
		page := &url.URL{Scheme: repo.Scheme, Host: repo.Host, Path: "/" + owner}
		if a, err := c.ask(ctx, page, nil, false); err == nil && a.header.Get("X-GitHub-Request-Id") != "" {
			r.API, r.Owner = "github", a.status
		}
	}
	if l == nil || l.secret == "" {
		return
	}
	switch {
	case strings.HasPrefix(l.Kind, "github") && repo.Hostname() != "github.com":
		base := &url.URL{Scheme: repo.Scheme, Host: repo.Host, Path: "/api/v3"}
		a, err := c.ask(ctx, base.JoinPath("repos", strings.TrimSuffix(strings.Trim(repo.Path, "/"), ".git")), l, true)
		if err != nil || a.header.Get("X-GitHub-Request-Id") == "" {
			return
		}
		r.API = "github"
		r.SSO = strings.HasPrefix(a.header.Get("X-Github-Sso"), "required")
		r.Over = a.status == http.StatusUnauthorized
		if _, says := a.header["X-Oauth-Scopes"]; says {
			r.ScopesKnown, r.Scopes = true, list(a.header.Get("X-Oauth-Scopes"))
		}
	case l.Kind == "gitlab-personal":
		a, err := c.ask(ctx, (&url.URL{Scheme: repo.Scheme, Host: repo.Host}).JoinPath("api/v4/personal_access_tokens/self"), l, false)
		if err != nil || a.status != http.StatusOK && a.status != http.StatusUnauthorized {
			return
		}
		r.API = "gitlab"
		r.Over = a.status == http.StatusUnauthorized
		var self struct {
			Active  *bool    `json:"active"`
			Revoked bool     `json:"revoked"`
			Scopes  []string `json:"scopes"`
		}
		if json.Unmarshal(a.body, &self) == nil && len(self.Scopes) > 0 {
			r.ScopesKnown, r.Scopes = true, self.Scopes
			r.Over = self.Revoked || self.Active != nil && !*self.Active
		}
	}
}

func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// answer is one exchange.
type answer struct {
	status int
	header http.Header
	body   []byte
}

const largestBody = 64 << 10

// ask sends one request and follows nothing. The login goes out as Basic, or as GitLab's
// own header.
func (c Client) ask(ctx context.Context, u *url.URL, l *Login, asBasic bool) (answer, error) {
	if c.RefuseName != nil && c.RefuseName(u.Hostname()) {
		return answer{}, fmt.Errorf("asking %s: %w", u.Host, ErrRefused)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return answer{}, fmt.Errorf("asking %s: %w", u.Host, err)
	}
	req.Header.Set("User-Agent", "keepwell-probe")
	switch {
	case l == nil:
	case u.Scheme != "https" || !owns(l.Host, u.Host):
		return answer{}, fmt.Errorf("asking %s: %w", u.Host, ErrKept)
	case asBasic:
		req.SetBasicAuth(l.User, l.secret)
	default:
		req.Header.Set("PRIVATE-TOKEN", l.secret)
	}
	client := &http.Client{Transport: c.transport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("asking %s: %w", u.Host, err)
	}
	defer resp.Body.Close() //nolint:errcheck // what was read counts
	a := answer{status: resp.StatusCode, header: resp.Header}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, largestBody))
	if err != nil {
		a.body = nil // the status is what counts
	}
	return a, nil
}

// owns reports whether a login for host may be sent to asked.
func owns(host, asked string) bool {
	host, asked = strings.TrimSuffix(strings.ToLower(host), ":443"), strings.TrimSuffix(strings.ToLower(asked), ":443")
	return host != "" && host == asked
}

func (c Client) transport() *http.Transport {
	t := &http.Transport{
		DisableCompression: true, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: c.Roots, Time: c.Now, MinVersion: tls.VersionTLS12},
		DialContext: (&net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
			if a, err := netip.ParseAddrPort(address); err == nil && c.Refuse != nil && c.Refuse(a.Addr()) {
				return fmt.Errorf("connecting to %s: %w", a.Addr(), ErrRefused)
			}
			return nil
		}}).DialContext,
	}
	if c.Proxy != nil {
		t.Proxy = func(r *http.Request) (*url.URL, error) {
			via, err := c.Proxy(r.URL)
			if err != nil || via == nil {
				return nil, err
			}
			return &url.URL{Scheme: via.Scheme, Host: via.Host}, nil // its login stays here
		}
	}
	return t
}
