package modproxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/keepwell/keepwell"
)

// Kind is a kind of failure of an upstream. Each has its words in internal/msg
// (upstream.KIND), in every language; the answers that go shows stay English.
type Kind string

// The kinds.
const (
	KindStatus      Kind = "status"      // an HTTP status; Detail is what the server says
	KindDNS         Kind = "dns"         // its name has no address
	KindRefused     Kind = "refused"     // nobody listens
	KindReset       Kind = "reset"       // the connection was reset
	KindUnreachable Kind = "unreachable" // no way to its network
	KindTimeout     Kind = "timeout"     // no connection in time
	KindSilent      Kind = "silent"      // no answer in time
	KindStalled     Kind = "stalled"     // a body that came too slowly
	KindSlower      Kind = "slower"      // another was asked in its place; Detail names it
	KindTunnel      Kind = "tunnel"      // the HTTP proxy on the way fails; Detail says how
	KindClosed      Kind = "closed"      // closed without an answer
	KindCut         Kind = "cut"         // closed in the middle of the answer
	KindExpired     Kind = "expired"     // its certificate is not valid at this time
	KindAuthority   Kind = "authority"   // signed by nobody who is trusted
	KindName        Kind = "name"        // its certificate is another name's
	KindNoTLS       Kind = "notls"       // speaks no TLS
	KindRedirects   Kind = "redirects"   // too many redirects
	KindDowngrade   Kind = "downgrade"   // a redirect from https to http
	KindPrivate     Kind = "private"     // leads into the private network
	KindLarge       Kind = "large"       // larger than allowed
	KindEncoding    Kind = "encoding"    // an encoding that was not asked for; Detail names it
	KindRange       Kind = "range"       // another part than was asked for
	KindPage        Kind = "page"        // a web page in place of the file
	KindEmpty       Kind = "empty"       // nothing at all
	KindInfo        Kind = "info"        // an .info that is none; Detail says why
	KindMod         Kind = "mod"         // a go.mod that is none
	KindZip         Kind = "zip"         // a zip that is none, or breaks go's rules
	KindList        Kind = "list"        // no list of versions
	KindWrong       Kind = "wrong"       // content of another sum; Detail says whose sum it is held to
	KindUnvouched   Kind = "unvouched"   // nobody can say what its sum has to be
	KindStore       Kind = "store"       // no fault of it: this machine cannot keep what came; Detail says why
	KindAbsent      Kind = "absent"      // it has no such file
	KindOther       Kind = "other"       // Detail has all there is to say
)

// Why is a failure in terms that any language has words for.
type Why struct {
	Kind Kind
	// Status is the HTTP status of KindStatus.
	Status int
	// Detail is a name, or foreign words for one line; "" where there is nothing to add.
	Detail string
}

// Code is the fault of the catalogue that explains the failure; keepwell.None where
// only words tell.
func (w Why) Code() keepwell.Code {
	if w.Kind != KindStatus {
		if code, ok := codes()[w.Kind]; ok {
			return code
		}
		return keepwell.None
	}
	switch {
	case w.Status == http.StatusUnauthorized:
		return "proxy/unauthorized"
	case w.Status == http.StatusForbidden, w.Status == http.StatusUnavailableForLegalReasons:
		return "proxy/forbidden"
	case w.Status == http.StatusTooManyRequests:
		return "proxy/rate-limited"
	case w.Status == http.StatusNotFound, w.Status == http.StatusGone:
		return "proxy/not-found"
	case w.Status >= http.StatusInternalServerError:
		return "proxy/server-error"
	}
	return "proxy/bad-response"
}

func codes() map[Kind]keepwell.Code {
	return map[Kind]keepwell.Code{
		KindDNS: "net/dns", KindTunnel: "net/http-proxy", KindRefused: "net/refused", KindReset: "net/reset", KindClosed: "net/reset", KindCut: "net/reset",
		KindUnreachable: "net/unreachable", KindTimeout: "net/timeout", KindSilent: "net/timeout", KindStalled: "net/slow", KindSlower: "net/slow",
		KindExpired: "tls/expired", KindAuthority: "tls/unknown-authority", KindName: "tls/name-mismatch", KindNoTLS: "tls/not-tls",
		KindRedirects: "proxy/bad-response", KindDowngrade: "proxy/bad-response", KindPrivate: "proxy/bad-response", KindLarge: "proxy/bad-response",
		KindEncoding: "proxy/bad-response", KindRange: "proxy/bad-response", KindPage: "proxy/bad-response", KindEmpty: "proxy/bad-response",
		KindInfo: "proxy/bad-response", KindMod: "proxy/bad-response", KindZip: "proxy/bad-response", KindList: "proxy/bad-response",
		KindWrong: "sum/go-sum-mismatch", KindUnvouched: "sum/sumdb-unreachable",
	}
}

// badContent is what is wrong with what came.
type badContent struct { //nolint:errname // it is what came, and an error besides
	kind   Kind
	detail string
	words  string
}

func (b *badContent) Error() string { return b.words }

func content(kind Kind, words, detail string) error {
	if detail != "" {
		words += ": " + detail
	}
	return &badContent{kind, detail, words}
}

// because is why t happened: said outright, or read from its error.
func (t *trouble) because() Why {
	w := t.why
	if w.Kind == "" {
		w.Kind = classify(t.err)
		var b *badContent
		if errors.As(t.err, &b) {
			w.Kind, w.Detail = b.kind, b.detail
		}
	}
	if (w.Kind == KindOther || w.Kind == KindTunnel) && w.Detail == "" {
		w.Detail = t.said
	}
	w.Detail = clean(w.Detail)
	return w
}

// classify sorts the errors of Go's own packages.
func classify(err error) Kind {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "proxyconnect" {
		return KindTunnel
	}
	for _, x := range []struct {
		is   error
		kind Kind
	}{
		{errStalled, KindStalled},
		{errSilent, KindSilent},
		{errTooLarge, KindLarge},
		{errPrivate, KindPrivate},
		{errRedirects, KindRedirects},
		{errDowngrade, KindDowngrade},
		{http.ErrSchemeMismatch, KindNoTLS},
		{syscall.ECONNREFUSED, KindRefused},
		{syscall.ECONNRESET, KindReset},
		{syscall.EPIPE, KindReset},
		{syscall.EHOSTUNREACH, KindUnreachable},
		{syscall.ENETUNREACH, KindUnreachable},
		{io.ErrUnexpectedEOF, KindCut},
		{io.EOF, KindClosed},
	} {
		if errors.Is(err, x.is) {
			return x.kind
		}
	}
	if kind, ok := classifyCertificate(err); ok {
		return kind
	}
	var dns *net.DNSError
	var record tls.RecordHeaderError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return KindDNS
	case errors.As(err, &record):
		return KindNoTLS
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return KindTimeout
	}
	return KindOther
}

func classifyCertificate(err error) (Kind, bool) {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &authority):
		return KindAuthority, true
	case errors.As(err, &name):
		return KindName, true
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return KindExpired, true
	}
	return "", false
}
