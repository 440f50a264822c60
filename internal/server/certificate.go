package server

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
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

// Files are the names of both.
func (c *Certificate) Files() []string { return []string{c.cert, c.key} }

// Get is for tls.Config.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.loaded.Load(), nil
}
