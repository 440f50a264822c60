package server

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
)

const asGo = "GET /example.com/widget/@v/v1.0.0.zip HTTP/1.1\r\nHost: proxy.example:8080\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n"

// TestUnderstand: what is plain, what is one whole request, and what is left to net/http
// with all that follows, since somebody might see another end in it.
func TestUnderstand(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in   string
		want form
	}{
		"as go asks":              {asGo + "\r\n", plain},
		"with a login":            {asGo + "Authorization: Basic Zm9vOmJhcg==\r\n\r\n", plain},
		"keep-alive":              {asGo + "connection: Keep-Alive\r\n\r\n", plain},
		"spaces around a value":   {asGo + "X-Request-Id:   7  \r\n\r\n", plain},
		"a range":                 {asGo + "Range: bytes=0-9\r\n\r\n", whole},
		"a question":              {asGo + "If-None-Match: \"x\"\r\n\r\n", whole},
		"two logins":              {asGo + "Authorization: a\r\nauthorization: b\r\n\r\n", whole},
		"a trace":                 {asGo + "Traceparent: 00-1-2-01\r\n\r\n", whole},
		"HEAD":                    {"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", whole},
		"a query":                 {"GET /?go-get=1 HTTP/1.1\r\nHost: h\r\n\r\n", whole},
		"an escape":               {"GET /%2e HTTP/1.1\r\nHost: h\r\n\r\n", whole},
		"two slashes":             {"GET //h/x HTTP/1.1\r\nHost: h\r\n\r\n", whole},
		"a long path":             {"GET /" + strings.Repeat("x", longestPath) + " HTTP/1.1\r\nHost: h\r\n\r\n", whole},
		"nothing":                 {"", unclear},
		"the beginning":           {asGo, unclear},
		"the beginning of an end": {asGo + "\r", unclear},
		"two":                     {asGo + "\r\n" + asGo + "\r\n", unclear},
		"one and a byte":          {asGo + "\r\nG", unclear},
		"an empty line before":    {"\r\n" + asGo + "\r\n", unclear},
		"a length":                {asGo + "Content-Length: 0\r\n\r\n", unclear},
		"two lengths":             {asGo + "Content-Length: 0\r\nContent-Length: 5\r\n\r\n", unclear},
		"chunks":                  {asGo + "Transfer-Encoding: chunked\r\n\r\n", unclear},
		"hidden chunks":           {asGo + "Transfer-Encoding : chunked\r\n\r\n", unclear},
		"chunks with a control":   {asGo + "Transfer-Encoding: \x0bchunked\r\n\r\n", unclear},
		"a folded header":         {asGo + "Accept: a\r\n b\r\n\r\n", unclear},
		"a folded first header":   {"GET / HTTP/1.1\r\n Host: h\r\n\r\n", unclear},
		"a bare line feed":        {asGo + "Accept: a\nTransfer-Encoding: chunked\r\n\r\n", unclear},
		"a bare carriage return":  {asGo + "Accept: a\rb\r\n\r\n", unclear},
		"ends by bare line feeds": {"GET / HTTP/1.1\nHost: h\n\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n", unclear},
		"NUL":                     {asGo + "Accept: a\x00\r\n\r\n", unclear},
		"a tab":                   {asGo + "Accept:\ta\r\n\r\n", unclear},
		"bytes above":             {asGo + "Accept: \xff\r\n\r\n", unclear},
		"no colon":                {asGo + "Accept\r\n\r\n", unclear},
		"no name":                 {asGo + ": x\r\n\r\n", unclear},
		"an underscore":           {asGo + "Content_Length: 5\r\n\r\n", unclear},
		"an upgrade":              {asGo + "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", unclear},
		"a close":                 {asGo + "Connection: close\r\n\r\n", unclear},
		"an expectation":          {asGo + "Expect: 100-continue\r\n\r\n", unclear},
		"no host":                 {"GET / HTTP/1.1\r\n\r\n", unclear},
		"an empty host":           {"GET / HTTP/1.1\r\nHost:\r\n\r\n", unclear},
		"two hosts":               {asGo + "Host: other\r\n\r\n", unclear},
		"a host with a path":      {"GET / HTTP/1.1\r\nHost: h/x\r\n\r\n", unclear},
		"a whole address":         {"GET http://h/x HTTP/1.1\r\nHost: h\r\n\r\n", unclear},
		"two spaces":              {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", unclear},
		"a third word":            {"GET / HTTP/1.1 x\r\nHost: h\r\n\r\n", unclear},
		"HTTP/1.0":                {"GET / HTTP/1.0\r\nHost: h\r\n\r\n", unclear},
		"HTTP/0.9":                {"GET /\r\n\r\n", unclear},
		"HTTP/2":                  {"PRI * HTTP/2.0\r\n\r\n", unclear},
		"small letters":           {"get / HTTP/1.1\r\nHost: h\r\n\r\n", unclear},
		"POST":                    {"POST / HTTP/1.1\r\nHost: h\r\n\r\n", unclear},
		"TLS":                     {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", unclear},
	} {
		if _, got := understand([]byte(c.in)); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	r, _ := understand([]byte(asGo + "X-Request-ID:  7 \r\nAuthorization: Bearer x y\r\n\r\n"))
	if want := (Request{Path: "/example.com/widget/@v/v1.0.0.zip", Authorization: "Bearer x y", ID: "7"}); r != want {
		t.Errorf("%+v", r)
	}
}

// FuzzUnderstand: whatever is understood, net/http reads as one request without a body
// that ends with the last byte, and of which it knows the same.
func FuzzUnderstand(f *testing.F) {
	for _, s := range []string{asGo + "\r\n", asGo + "Authorization: Basic x\r\nX-Request-Id: 1\r\n\r\n", asGo + "Range: bytes=0-1\r\n\r\n", "HEAD /?x HTTP/1.1\r\nHost: h\r\nFoo: \r\n\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, got := understand(b)
		if got == unclear {
			return
		}
		in := bufio.NewReaderSize(bytes.NewReader(b), max(len(b), 16))
		req, err := http.ReadRequest(in)
		if err != nil {
			if got == whole { // net/http answers 400 and closes
				return
			}
			t.Fatalf("%q: %v", b, err)
		}
		if rest, _ := io.ReadAll(in); len(rest) > 0 || req.Body != http.NoBody || req.ContentLength != 0 || req.Close {
			t.Fatalf("%q: %q are left, length %d, close %t", b, rest, req.ContentLength, req.Close)
		}
		if got != plain {
			return
		}
		h := req.Header
		if r.Path != req.URL.Path || req.URL.RawQuery != "" || req.URL.Host != "" || r.Path != req.RequestURI || r.Authorization != h.Get("Authorization") || r.ID != h.Get("X-Request-Id") || req.Method != http.MethodGet {
			t.Fatalf("%q: %+v, %+v", b, r, req)
		}
		for name, values := range h {
			if named([]byte(name)) == 0 || len(values) != 1 || name != textproto.CanonicalMIMEHeaderKey(name) {
				t.Fatalf("%q: %s %q", b, name, values)
			}
		}
	})
}
