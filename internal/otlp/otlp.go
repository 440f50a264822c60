// Package otlp sends traces to a receiver of OpenTelemetry, over HTTP in the JSON form
// of the protocol. The library's own exporter brings gRPC with it, which would cost
// every start of the program 2 ms; here is only what a span needs. It is set up by the
// OTEL_* variables as any program is; sampling and batches are the library's.
package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// What Start cannot do anything with.
var (
	ErrGRPC    = errors.New("traces are sent over HTTP, not gRPC (OTEL_EXPORTER_OTLP_PROTOCOL)")
	ErrAddress = errors.New("the receiver's address is no http or https URL")
)

// CertificateError names a file that holds no certificate.
type CertificateError struct{ Name string }

func (e *CertificateError) Error() string { return e.Name + " holds no certificate" }

// Options of Start.
type Options struct {
	// Endpoint is the receiver's address, without /v1/traces; "": what the environment
	// says.
	Endpoint string
	// Name and Version are those of the program; OTEL_SERVICE_NAME outranks the name.
	Name, Version string
	// Getenv is os.Getenv but for tests.
	Getenv func(string) string
	// Failed is told of what could not be sent.
	Failed func(error)
}

// Start returns a provider that sends; nil where the environment asks for no traces. Its
// Shutdown sends what is pending.
func Start(ctx context.Context, o Options) (*sdk.TracerProvider, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	e, err := newExporter(o)
	if err != nil || e == nil {
		return nil, err
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", o.Name), attribute.String("service.version", o.Version)), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, err
	}
	if o.Failed != nil {
		otel.SetErrorHandler(otel.ErrorHandlerFunc(o.Failed))
	}
	return sdk.NewTracerProvider(sdk.WithBatcher(e), sdk.WithResource(about)), nil
}

// exporter sends batches of spans.
type exporter struct {
	url     string
	headers map[string]string
	gzip    bool
	client  *http.Client
}

// newExporter reads the configuration; nil where no traces are wanted.
func newExporter(o Options) (*exporter, error) {
	get := func(name string) string { // that for traces outranks that for all
		if v := o.Getenv("OTEL_EXPORTER_OTLP_TRACES_" + name); v != "" {
			return v
		}
		return o.Getenv("OTEL_EXPORTER_OTLP_" + name)
	}
	if strings.EqualFold(o.Getenv("OTEL_SDK_DISABLED"), "true") {
		return nil, nil //nolint:nilnil // no traces are wanted: that is no error
	}
	base := o.Endpoint
	address := ""
	if base == "" {
		if exporter := o.Getenv("OTEL_TRACES_EXPORTER"); exporter != "" && exporter != "otlp" {
			return nil, nil //nolint:nilnil // see above
		}
		address = o.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
		base = o.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
		if p := get("PROTOCOL"); strings.EqualFold(p, "grpc") && base+address != "" {
			return nil, ErrGRPC
		}
	}
	if address == "" && base == "" {
		return nil, nil //nolint:nilnil // see above
	}
	if address == "" {
		address = strings.TrimSuffix(base, "/") + "/v1/traces"
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, ErrAddress
	}
	e := &exporter{url: address, headers: map[string]string{}, gzip: get("COMPRESSION") == "gzip"}
	for pair := range strings.SplitSeq(get("HEADERS"), ",") {
		name, value, ok := strings.Cut(pair, "=")
		if value, err = url.PathUnescape(strings.TrimSpace(value)); ok && err == nil {
			e.headers[strings.TrimSpace(name)] = value
		}
	}
	const usual = 10 * time.Second
	timeout := usual
	if ms, err := strconv.Atoi(get("TIMEOUT")); err == nil && ms > 0 {
		timeout = time.Duration(ms) * time.Millisecond
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if name := get("CERTIFICATE"); name != "" {
		pem, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if trust.RootCAs = x509.NewCertPool(); !trust.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &CertificateError{name}
		}
	}
	e.client = &http.Client{
		Timeout: timeout, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: trust, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return e, nil
}

// mostTries bounds how often a batch is sent.
const mostTries = 4

// ExportSpans sends a batch, again after answers that ask for it.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	body, err := e.encode(spans)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		wait, err := e.send(ctx, body)
		if err == nil {
			return nil
		}
		if wait == 0 || try == mostTries {
			return fmt.Errorf("sending %d spans: %w", len(spans), err)
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return fmt.Errorf("sending %d spans: %w", len(spans), err)
		}
	}
}

// send makes one request; wait says after how long another one makes sense, 0 never.
func (e *exporter) send(ctx context.Context, body []byte) (wait time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	for name, value := range e.headers {
		r.Header.Set(name, value)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "keepwell")
	if e.gzip {
		r.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := e.client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the address may hold a login
		}
		return time.Second, err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing in it is needed
	const most = 64 << 10
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, most)) // so that the connection is used again
	switch resp.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return 0, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		wait = time.Second
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n >= 0 {
			const longest = 30
			wait = max(time.Duration(min(n, longest))*time.Second, time.Millisecond)
		}
	}
	return wait, errors.New("the receiver answered " + resp.Status)
}

// Shutdown has nothing to do: each batch is sent when it is exported.
func (e *exporter) Shutdown(context.Context) error {
	e.client.CloseIdleConnections()
	return nil
}

func (e *exporter) encode(spans []sdk.ReadOnlySpan) ([]byte, error) {
	body, err := json.Marshal(documentOf(spans))
	if err != nil || !e.gzip {
		return body, err
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err = z.Write(body)
	err = errors.Join(err, z.Close())
	return b.Bytes(), err
}
