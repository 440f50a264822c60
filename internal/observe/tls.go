package observe

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// largestSkew is how far clocks may differ before the own one is doubted.
const largestSkew = 5 * time.Minute

// day is how dates of certificates are shown.
const day = "2006-01-02"

// interceptors are words in the issuers of products that open TLS on the way.
func interceptors() []string {
	return []string{
		// Gateways and cloud filters.
		"zscaler", "fortinet", "fortigate", "blue coat", "bluecoat", "palo alto", "paloalto", "netskope", "sophos", "cyberoam", "barracuda",
		"mcafee", "skyhigh", "forcepoint", "websense", "cisco umbrella", "opendns", "ironport", "checkpoint", "check point", "watchguard",
		"sonicwall", "untangle", "squid", "trend micro", "trendmicro", "menlo security", "cato networks", "stormshield", "iboss", "smoothwall",
		"cloudflare for teams", "gateway ca - cloudflare", "symantec web security", "titanhq", "webtitan", "clearswift", "trustwave swg",
		"netspark", "lightspeed", "securly", "contentkeeper", "goguardian", "dnsfilter", "opnsense", "pfsense", "endian firewall", "a10 networks",
		"sangfor", "深信服", "hillstone", "山石", "topsec", "天融信", "qianxin", "奇安信", "venustech", "启明", "nsfocus", "绿盟", "网康", "netentsec",
		// Programs on this machine: virus scanners, filters, and tools that read traffic.
		"kaspersky", "avast", "avg web", "eset ssl", "bitdefender", "dr.web", "g data software", "adguard", "qihoo", "360 ", "火绒", "superfish", "komodia",
		"privdog", "net nanny", "qustodio", "mitmproxy", "charles proxy", "fiddler", "burp", "portswigger", "zed attack proxy", "owasp zap",
		"proxyman", "http toolkit", "reqable", "whistle root",
	}
}

func intercepted(issuer string) bool {
	lower := strings.ToLower(issuer)
	return slices.ContainsFunc(interceptors(), func(w string) bool { return strings.Contains(lower, w) })
}

// TrustStore says which roots decide: those that SSL_CERT_FILE or SSL_CERT_DIR names,
// else "system".
func TrustStore() string {
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if v := os.Getenv(name); v != "" {
			return name + "=" + clip(v)
		}
	}
	return "system"
}

// trusted is TrustStore, or git's own setting.
func (s *session) trusted() string {
	if s.ownRoots {
		return "git http.sslCAInfo"
	}
	return TrustStore()
}

func (s *session) tls(ctx context.Context) []Result {
	conn, err := s.connect(ctx)
	if err != nil {
		return s.tlsFailed(err)
	}
	// Everything is looked at first and judged afterwards: nothing is sent over it
	// but, where the dates are in doubt, a HEAD for the Date.
	client := tls.Client(conn, &tls.Config{ServerName: s.target.Host, InsecureSkipVerify: true}) //nolint:gosec // judge verifies
	defer client.Close()                                                                         //nolint:errcheck // nothing more is asked of it
	if err := client.HandshakeContext(ctx); err != nil {
		return s.tlsFailed(err)
	}
	state := client.ConnectionState()
	leaf := state.PeerCertificates[0]
	issuer := cmp.Or(strings.Join(leaf.Issuer.Organization, " "), leaf.Issuer.CommonName, leaf.Issuer.String())
	seen := Result{
		State: Yes, Key: "probe.tls.good",
		Args: []string{tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), clip(issuer), leaf.NotAfter.Format(day), s.trusted()},
	}
	return []Result{s.judge(ctx, client, state.PeerCertificates, seen, clip(issuer))}
}

// judge verifies the chain and tells what is wrong with it.
func (s *session) judge(ctx context.Context, conn net.Conn, chain []*x509.Certificate, good Result, issuer string) Result {
	leaf := chain[0]
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: s.target.Host, Roots: s.Roots, Intermediates: between, CurrentTime: s.Now()})
	if err == nil {
		if intercepted(leaf.Issuer.String()) {
			good.Key = "probe.tls.inspected"
		}
		return good
	}
	r := Result{State: No, Said: said(err), Facts: s.facts("phase", "tls")}
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		r.Code, r.Key, r.Args = "tls/expired", "probe.tls.expired", []string{leaf.NotBefore.Format(day), leaf.NotAfter.Format(day), issuer}
		if invalid.Cert != nil && invalid.Cert != leaf {
			r.Args = []string{invalid.Cert.NotBefore.Format(day), invalid.Cert.NotAfter.Format(day), clip(invalid.Cert.Subject.CommonName)}
		}
		r.Rival = "tls/clock-skew"
		if there, ok := s.dateOf(ctx, conn); ok {
			r.Rival = ""
			if skew := s.Now().Sub(there).Abs(); skew > largestSkew && there.After(leaf.NotBefore) && there.Before(leaf.NotAfter) {
				r.Code, r.Key = "tls/clock-skew", "probe.tls.clock"
				r.Args = []string{s.Now().UTC().Format(time.RFC3339), there.UTC().Format(time.RFC3339)}
			}
		}
	case errors.As(err, &name):
		names := clip(strings.Join(leaf.DNSNames, ", "))
		for _, ip := range leaf.IPAddresses {
			names = strings.TrimPrefix(names+", "+ip.String(), ", ")
		}
		names = cmp.Or(names, clip(leaf.Subject.CommonName), "-")
		r.Code, r.Key, r.Args = "tls/name-mismatch", "probe.tls.name", []string{names, issuer}
		r.Facts = s.facts("phase", "tls", "name", names)
	default:
		r.Code, r.Key, r.Args = "tls/unknown-authority", "probe.tls.unknown", []string{issuer, s.trusted()}
		r.Machine, r.MachineArgs = s.rootHint()
		switch {
		case s.Roots == nil && noRoots():
			r.Key = "probe.tls.empty"
		case len(chain) == 1 && len(leaf.IssuingCertificateURL) > 0 && !intercepted(issuer):
			r.Key = "probe.tls.incomplete"
		}
	}
	if intercepted(leaf.Issuer.String()) && r.Code != "tls/clock-skew" {
		r.Code, r.Key, r.Args = "net/intercepted", "probe.tls.intercepted", []string{issuer}
		r.Machine, r.MachineArgs = s.rootHint()
	}
	return r
}

// dateOf asks for the server's clock.
func (s *session) dateOf(ctx context.Context, conn net.Conn) (time.Time, bool) {
	defer deadline(ctx, conn)()
	if _, err := io.WriteString(conn, "HEAD / HTTP/1.1\r\nHost: "+s.target.Host+"\r\nConnection: close\r\n\r\n"); err != nil {
		return time.Time{}, false
	}
	resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, largestHeader)), nil)
	if err != nil {
		return time.Time{}, false
	}
	defer resp.Body.Close() //nolint:errcheck // only its header counts
	at, err := http.ParseTime(resp.Header.Get("Date"))
	return at, err == nil
}

func (s *session) tlsFailed(err error) []Result {
	r := Result{State: No, Said: said(err), Facts: s.facts("phase", "tls")}
	var record tls.RecordHeaderError
	switch {
	case timedOut(err):
		r.Code, r.Key = "net/tls-timeout", "probe.tls.timeout"
	case errors.As(err, &record):
		r.Code, r.Key = "tls/not-tls", "probe.tls.not"
	case strings.Contains(err.Error(), "protocol version"):
		r.Code, r.Key = "tls/protocol", "probe.tls.old"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		r.Code, r.Key = "net/reset", "probe.reset"
	default:
		r.Code, r.Key = "tls/protocol", "probe.tls.failed"
	}
	return []Result{r}
}
