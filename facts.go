package keepwell

import (
	"net/netip"
	"regexp"
	"strings"
	"sync"
)

// FactKind is the type of a fact: it says what a value must look like before it
// may stand in a sentence or a command.
type FactKind struct {
	// Name is the placeholder, such as "module".
	Name string
	// Means says in English what it is, for the schema's readers.
	Means string
	valid func(string) bool
}

func shaped(expr string) func(string) bool {
	// Compiled when first asked: most runs need few of them.
	compiled := sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:` + expr + `)$`) })
	return func(s string) bool { return len(s) <= 2048 && compiled().MatchString(s) }
}

// FactKinds returns every fact there is. Values come from foreign text, so each
// kind admits only what its syntax allows; nothing begins with "-", so that no
// value is ever taken for an option.
func FactKinds() []FactKind { return factKinds() }

var factKinds = sync.OnceValue(func() []FactKind {
	return []FactKind{
		{"module", "Go module path, golang.org/ref/mod#go-mod-file-ident", shaped(`[A-Za-z0-9_~][A-Za-z0-9._~+!/-]*`)},
		{"scope", "prefix of a module path that belongs to one owner: github.com/acme on a forge, else the host", shaped(`[A-Za-z0-9_~][A-Za-z0-9._~+!/-]*`)},
		{"version", "version or version query without the @", shaped(`[A-Za-z0-9^~<>=*][A-Za-z0-9._+^~<>=*|, -]*`)},
		{"package", "import path, npm or Python package name", shaped(`@?[A-Za-z0-9_~][A-Za-z0-9._~+!/-]*`)},
		{"parent", "module that requires the failing one", shaped(`@?[A-Za-z0-9_~][A-Za-z0-9._~+!/-]*`)},
		{"newpath", "module path that replaces another", shaped(`@?[A-Za-z0-9_~][A-Za-z0-9._~+!/-]*`)},
		{"host", "host name or address without port", shaped(`[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?|\[?[0-9A-Fa-f:.]+\]?`)},
		{"address", "IP address", func(s string) bool { _, err := netip.ParseAddr(strings.Trim(s, "[]")); return err == nil }},
		{"port", "TCP or UDP port", shaped(`[0-9]{1,5}`)},
		{"url", "http, https, ssh, git or file URL without credentials", shaped(`[a-z][a-z0-9+]*:/{1,3}[A-Za-z0-9._~:/?#\[\]@!$&()*+,;=%-]+`)},
		{"site", "http or https, host and port of the server asked; follows from url or host where it is not given", shaped(`https?://[A-Za-z0-9_.:\[\]-]+`)},
		{"status", "HTTP status code", shaped(`[1-5][0-9]{2}`)},
		{"phase", "lookup, dial, proxyconnect, tls, status, body or verify", shaped(`[a-z]+`)},
		{"proxy", "host of the module proxy or package registry asked", shaped(`[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?|\[?[0-9A-Fa-f:.]+\]?`)},
		{"path", "file or directory", shaped(`[^\x00-\x1f\x7f-]?[^\x00-\x1f\x7f]*`)},
		{"tool", "program name", shaped(`[A-Za-z0-9_][A-Za-z0-9._+-]*`)},
		{"goversion", "Go version such as 1.24.0", shaped(`[0-9]+(?:\.[0-9]+){0,2}(?:(?:rc|beta)[0-9]+)?`)},
		{"running", "version that runs now", shaped(`[0-9]+(?:\.[0-9]+)*(?:(?:rc|beta)[0-9]+)?`)},
		{"revision", "branch, tag or commit", shaped(`[A-Za-z0-9_][A-Za-z0-9._/+-]*`)},
		{"value", "setting's value, quoted", shaped(`[^\x00-\x1f\x7f-][^\x00-\x1f\x7f]*`)},
		{"name", "certificate's names or a user's choice of words", shaped(`[^\x00-\x1f\x7f-][^\x00-\x1f\x7f]*`)},
		{"server", "what the remote server said", shaped(`[^\x00-\x1f\x7f-][^\x00-\x1f\x7f]*`)},
	}
})

// ValidFact reports whether value is a legal value of the fact called name.
func ValidFact(name, value string) bool {
	if value == "" || value[0] == '-' {
		return false
	}
	for _, k := range FactKinds() {
		if k.Name == name {
			return k.valid(value)
		}
	}
	return false
}
