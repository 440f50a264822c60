package modshare

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// How long who hands out keys may take. A machine's metadata address answers within
// milliseconds or is not there at all; a role that the environment names may be asked of
// a service far away.
const (
	patienceMachine = time.Second
	patienceNamed   = 10 * time.Second
	// reread is how long keys without an end are good: something may replace them.
	reread = 5 * time.Minute
)

// logins is where the keys of a bucket are: the first who has some.
type logins struct {
	from []credentials.Provider
	none error // of all of them
	now  func() time.Time
	curr credentials.Provider
	last credentials.Value
	read time.Time
}

// newLogins looks into the environment, then into the credentials file, then, where the
// environment names a role (a web identity's, a container's), asks for that. The address
// that a machine's own role comes from is asked only with credentials=iam: elsewhere
// anybody may answer there. endpoint is for tests.
func newLogins(at place, endpoint string) (l *logins, patience time.Duration) {
	l = &logins{now: time.Now, none: errNoLogin}
	named := slices.ContainsFunc([]string{
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
	}, func(name string) bool { return os.Getenv(name) != "" })
	patience = patienceMachine
	if named {
		patience = patienceNamed
	}
	role := &credentials.IAM{Endpoint: endpoint, Client: &http.Client{Timeout: patience, Transport: &http.Transport{Proxy: proxyFar}}}
	switch {
	case at.machine:
		l.from, l.none = []credentials.Provider{role}, errNoRole
	case named:
		l.from = []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, role}
	default:
		l.from = []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}}
	}
	return l, patience
}

// proxyFar keeps what is asked of this machine and its link from going through a proxy.
func proxyFar(r *http.Request) (*url.URL, error) {
	if ip := net.ParseIP(r.URL.Hostname()); ip != nil && (ip.IsLinkLocalUnicast() || ip.IsLoopback()) {
		return nil, nil //nolint:nilnil // no proxy
	}
	return http.ProxyFromEnvironment(r)
}

// RetrieveWithCredContext finds keys. The error says what those said who had none.
func (l *logins) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	var said []error
	for _, p := range l.from {
		v, err := p.RetrieveWithCredContext(cc)
		if err == nil && v.AccessKeyID != "" && v.SecretAccessKey != "" {
			l.curr, l.last, l.read = p, v, l.now()
			return v, nil
		}
		// A file that is not there is as good as one that says nothing.
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			said = append(said, bareCause(err))
		}
	}
	if l.last.AccessKeyID != "" && l.last.Expiration.IsZero() { // the file is being written
		l.read = l.now()
		return l.last, nil
	}
	if len(said) == 0 {
		said = append(said, l.none)
	}
	return credentials.Value{}, errors.Join(said...)
}

// Retrieve is what older callers use.
func (l *logins) Retrieve() (credentials.Value, error) {
	return l.RetrieveWithCredContext(&credentials.CredContext{})
}

// IsExpired tells when keys have to be looked for anew.
func (l *logins) IsExpired() bool {
	switch {
	case l.curr == nil:
		return true
	case l.last.Expiration.IsZero():
		return l.now().Sub(l.read) > reread
	}
	return l.curr.IsExpired()
}

var (
	errNoLogin = errors.New("neither the environment nor the credentials file has any")
	errNoRole  = errors.New("this machine has no role")
	errSilent  = errors.New("no answer from who hands out the keys of a role")
)

// bareCause is an error without the address that was asked.
func bareCause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		if u.Timeout() {
			return errSilent
		}
		return u.Err
	}
	return err
}

// firstLogin looks for keys before anything else is done.
func firstLogin(ctx context.Context, creds *credentials.Credentials, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := creds.GetWithContext(&credentials.CredContext{Context: ctx})
	if err != nil && ctx.Err() != nil {
		err = errSilent
	}
	return err
}
