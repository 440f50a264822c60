//go:build unix

package faultlab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// authority is a certificate authority made for one lab.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// leaf describes a server certificate. Zero dates mean valid now.
type leaf struct {
	names    []string
	from, to time.Time
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	tmpl := template(name, time.Now().Add(-24*time.Hour), time.Now().Add(365*24*time.Hour))
	tmpl.IsCA, tmpl.BasicConstraintsValid = true, true
	tmpl.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der := a.sign(tmpl, tmpl, a.key)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.cert = cert
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

// leaf issues a certificate for a server.
func (a *authority) leaf(l leaf) tls.Certificate {
	a.t.Helper()
	if l.from.IsZero() {
		l.from, l.to = time.Now().Add(-time.Hour), time.Now().Add(30*24*time.Hour)
	}
	key := newKey(a.t)
	tmpl := template(l.names[0], l.from, l.to)
	tmpl.DNSNames = l.names
	tmpl.KeyUsage = x509.KeyUsageDigitalSignature
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return tls.Certificate{Certificate: [][]byte{a.sign(tmpl, a.cert, key)}, PrivateKey: key}
}

func (a *authority) sign(tmpl, parent *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatalf("making a certificate: %v", err)
	}
	return der
}

func template(name string, from, to time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(from.UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to,
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("making a key: %v", err)
	}
	return key
}

func parseCert(l *Lab, der []byte) *x509.Certificate {
	cert, err := x509.ParseCertificate(der)
	l.check(err)
	return cert
}
