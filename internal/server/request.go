package server

import (
	"bytes"
	"strings"
)

// Request is a request without anything unusual: GET, no query, and no header that could
// change what is answered but those named here.
type Request struct {
	// Path begins with a slash, and has nothing in it that would have to be decoded.
	Path          string
	Authorization string
	ID            string // the client's own, X-Request-Id
	// From is the other side's address.
	From string
}

// form is what the bytes that were read are.
type form int

const (
	// unclear: part of a request, several, one with a body, or one that not every server
	// would read alike.
	unclear form = iota
	// whole: one request that ends where the bytes do.
	whole
	// plain: whole, and told by [Request].
	plain
)

// longestPath is well above that of any module: those have 255 characters or so.
const longestPath = 2048

// understand reads what came. It is narrower than any server: where another could see
// something else in the bytes than one request that ends with them, they are unclear.
func understand(b []byte) (Request, form) {
	var r Request
	line, rest, ok := bytes.Cut(b, []byte("\r\n"))
	if !ok || !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
		return r, unclear
	}
	method, line, _ := bytes.Cut(line, []byte(" "))
	target, version, _ := bytes.Cut(line, []byte(" "))
	get := string(method) == "GET"
	if !get && string(method) != "HEAD" || string(version) != "HTTP/1.1" || !bare(target) {
		return r, unclear
	}
	f := plain
	if !get || !plainPath(target) {
		f = whole
	}
	var seen names
	for {
		line, rest, ok = bytes.Cut(rest, []byte("\r\n"))
		if !ok {
			return r, unclear
		}
		if len(line) == 0 {
			break
		}
		f = min(f, seen.header(&r, line))
		if f == unclear {
			return r, unclear
		}
	}
	if len(rest) > 0 || seen&host == 0 {
		return r, unclear
	}
	if f == plain {
		r.Path = string(target)
	}
	return r, f
}

// names are the headers that a plain request may have, each once.
type names uint

const (
	host names = 1 << iota
	authorization
	requestID
	connection
	harmless // and the rest, from here on
)

func (seen *names) header(r *Request, line []byte) form {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || !token(name) {
		return unclear
	}
	value = bytes.Trim(value, " ")
	for _, c := range value {
		if c < ' ' || c > '~' {
			return unclear
		}
	}
	which := named(name)
	if which == 0 { // one that matters, or that nobody knows
		if lower := strings.ToLower(string(name)); framing(lower) {
			return unclear
		}
		return whole
	}
	again := *seen&which != 0
	*seen |= which
	switch {
	case which == host && (again || !plainHost(value)), which == connection && (again || !strings.EqualFold(string(value), "keep-alive")):
		return unclear
	case again:
		return whole
	case which == authorization:
		r.Authorization = string(value)
	case which == requestID:
		r.ID = string(value)
	}
	return plain
}

// named tells which header of a plain request this is; 0: none.
func named(name []byte) names {
	for i, known := range [...]string{"Host", "Authorization", "X-Request-Id", "Connection", "User-Agent", "Accept", "Accept-Encoding", "Accept-Language"} {
		if len(known) == len(name) && strings.EqualFold(known, string(name)) {
			return 1 << i
		}
	}
	return 0
}

// framing tells headers that have to do with where a request ends, or with what comes
// after it.
func framing(name string) bool {
	switch name {
	case "transfer-encoding", "te", "trailer", "upgrade", "expect", "keep-alive", "proxy-connection", "http2-settings":
		return true
	}
	return strings.HasPrefix(name, "content-")
}

// token tells letters, digits and dashes, which is all that names of headers have in them.
func token(name []byte) bool {
	for _, c := range name {
		if !letter(c) && c != '-' {
			return false
		}
	}
	return len(name) > 0
}

func letter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// bare tells a target that begins with a slash and has no space or control in it.
func bare(target []byte) bool {
	for _, c := range target {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return len(target) > 0 && target[0] == '/'
}

func plainPath(target []byte) bool {
	for _, c := range target {
		if !letter(c) && !strings.ContainsRune("/.-_@!+~", rune(c)) {
			return false
		}
	}
	return len(target) <= longestPath && !bytes.HasPrefix(target, []byte("//"))
}

func plainHost(value []byte) bool {
	for _, c := range value {
		if !letter(c) && !strings.ContainsRune(".-_:[]", rune(c)) {
			return false
		}
	}
	return len(value) > 0
}
