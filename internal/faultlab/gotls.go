//go:build unix

package faultlab

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// tlsScenarios are servers whose certificate or protocol a client refuses. A git
// that is built with GnuTLS, as Debian's, prints one text for every certificate
// that it does not trust.
func tlsScenarios() []Scenario {
	return []Scenario{
		{Name: "go-tls-expired", Code: "tls/expired", Also: codes("tls/clock-skew"), Tool: "go", Example: true, Run: goTLS(expiredLeaf)},
		{Name: "go-tls-not-yet", Code: "tls/expired", Also: codes("tls/clock-skew"), Tool: "go", Run: goTLS(futureLeaf)},
		{Name: "go-tls-unknown-ca", Code: "tls/unknown-authority", Tool: "go", Example: true, Run: goTLS(foreignLeaf)},
		{Name: "go-tls-self-signed", Code: "tls/unknown-authority", Tool: "go", Run: goTLS(selfSigned)},
		{Name: "go-tls-wrong-name", Code: "tls/name-mismatch", Tool: "go", Example: true, Run: goTLS(otherLeaf)},
		{Name: "go-tls-1.0", Code: "tls/protocol", Tool: "go", Since: "1.18", Example: true, Run: goTLS(oldTLS)},
		{Name: "go-not-tls", Code: "tls/not-tls", Tool: "go", Example: true, Run: goNotTLS},
		{Name: "git-tls-expired", Code: "tls/expired", Also: codes("tls/clock-skew", "tls/unknown-authority"), Tool: "git", Run: gitTLS(expiredLeaf)},
		{Name: "git-tls-not-yet", Code: "tls/clock-skew", Also: codes("tls/expired", "tls/unknown-authority"), Tool: "git", Run: gitTLS(futureLeaf)},
		{Name: "git-tls-unknown-ca", Code: "tls/unknown-authority", Also: codes("tls/expired", "tls/clock-skew"), Tool: "git", Run: gitTLS(foreignLeaf)},
		{Name: "git-tls-wrong-name", Code: "tls/name-mismatch", Tool: "git", Run: gitTLS(otherLeaf)},
		{Name: "git-no-ca-bundle", Code: "tls/unknown-authority", Tool: "git", Run: gitNoBundle},
	}
}

// The bad TLS servers; each takes the host it pretends to be.

func expiredLeaf(l *Lab, host string) *tls.Config {
	year := 365 * 24 * time.Hour
	return certs(l.ca.leaf(leaf{names: []string{host}, from: time.Now().Add(-year), to: time.Now().Add(-24 * time.Hour)}))
}

func futureLeaf(l *Lab, host string) *tls.Config {
	year := 365 * 24 * time.Hour
	return certs(l.ca.leaf(leaf{names: []string{host}, from: time.Now().Add(24 * time.Hour), to: time.Now().Add(year)}))
}

func foreignLeaf(l *Lab, host string) *tls.Config {
	return certs(newAuthority(l.T, "Corp Inspection CA").leaf(leaf{names: []string{host}}))
}

func selfSigned(l *Lab, host string) *tls.Config {
	own := newAuthority(l.T, host)
	tmpl := template(host, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	tmpl.DNSNames = []string{host}
	return certs(tls.Certificate{Certificate: [][]byte{own.sign(tmpl, tmpl, own.key)}, PrivateKey: own.key})
}

func otherLeaf(l *Lab, _ string) *tls.Config {
	return certs(l.ca.leaf(leaf{names: []string{"other.example.net", "www.example.net"}}))
}

func oldTLS(l *Lab, host string) *tls.Config {
	cfg := certs(l.ca.leaf(leaf{names: []string{host}}))
	cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	return cfg
}

func certs(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }

type tlsServer func(l *Lab, host string) *tls.Config

func goTLS(server tlsServer) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.TLS("goproxy.example.org", server(l, "goproxy.example.org"), goproxy(l.T, widget()))
		return download(ctx, l)
	}
}

// notTLS answers in plain HTTP on a port where TLS is spoken.
func (l *Lab) notTLS(host string) {
	in := &inlet{conns: make(chan net.Conn), done: make(chan struct{}), at: l.world.ln.Addr()}
	serve(l.T, in, http.HandlerFunc(page))
	l.world.put(host, in.hand)
}

func goNotTLS(ctx context.Context, l *Lab) string {
	l.notTLS("goproxy.example.org")
	return download(ctx, l)
}

func gitTLS(server tlsServer) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.TLS("github.com", server(l, "github.com"), http.NotFoundHandler())
		return l.Run(ctx, "git", "ls-remote", "https://github.com/acme/widget")
	}
}

func gitNoBundle(ctx context.Context, l *Lab) string {
	l.HTTPS("github.com", http.NotFoundHandler())
	l.Set("GIT_SSL_CAINFO", "/etc/ssl/certs/none.pem")
	return l.Run(ctx, "git", "ls-remote", "https://github.com/acme/widget")
}
