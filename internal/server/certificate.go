package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// Certificate is a pair of files that may be replaced while connections are accepted.
type Certificate struct {
	cert, key string
	loaded    atomic.Pointer[tls.Certificate]
}

// NewCertificate loads the pair.
func NewCertificate(cert, key string) (*Certificate, error) {
	c := &Certificate{cert: cert, key: key}
	return c, c.Load()
}

// Load loads the files anew; a pair that does not fit leaves the one before.
func (c *Certificate) Load() error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("loading %s and %s: %w", c.cert, c.key, err)
	}
	c.loaded.Store(&pair)
	return nil
}

// Expires is when clients stop to take what is served; zero: nobody can tell.
func (c *Certificate) Expires() time.Time {
	if pair := c.loaded.Load(); pair != nil && pair.Leaf != nil {
		return pair.Leaf.NotAfter
	}
	return time.Time{}
}

// Warn tells the log of a certificate that clients refuse at now, or will within two weeks.
func (c *Certificate) Warn(log *slog.Logger, now time.Time) {
	const soon = 14 * 24 * time.Hour
	pair := c.loaded.Load()
	if pair == nil || pair.Leaf == nil {
		return
	}
	from, until := pair.Leaf.NotBefore.UTC(), pair.Leaf.NotAfter.UTC()
	switch {
	case now.After(until):
		log.Warn("the certificate has expired: clients refuse it", "file", c.cert, "expired", until)
	case until.Sub(now) < soon:
		log.Warn("the certificate expires soon: clients will refuse it", "file", c.cert, "expires", until)
	case now.Before(from):
		log.Warn("the certificate is not valid yet: clients refuse it", "file", c.cert, "from", from)
	}
}

// Files are the names of both.
func (c *Certificate) Files() []string { return []string{c.cert, c.key} }

// Get is for tls.Config.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.loaded.Load(), nil
}
