package modshare

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"
)

// The prefixes of the bucket.
const (
	entriesDir = "entries/"
	claimsDir  = "claims/"
	trustDir   = "trust/"
	notesDir   = "notes/"
	pinsDir    = "pins/"
	blobsDir   = "blobs/"
	usedDir    = "used/"
	collectDir = "collect/"
)

// A name is a key escaped for any server. Kept as they are: a-z, 0-9, - and ., and the
// slash between elements. All other bytes become _ and two hex digits, and so does a
// dot at the beginning of an element ("..", hidden files). An empty element becomes
// a lone _. The end of a name is leaf, in which _ is followed by no hex digit: a
// name is never the directory of another one, which matters where objects are files.
const (
	leaf = "_.json"
	// long begins the names of keys that would be too long; no element of an escaped
	// key ends in _ but a lone one.
	long = "long_/"
	// S3 takes names of 1024 bytes, file systems elements of 255.
	mostName, mostElement = 800, 200
)

// escape is the name of a key below a prefix.
func escape(key string) string {
	var b strings.Builder
	element := 0
	fits := true
	for i := range len(key) {
		c := key[i]
		switch {
		case c == '/':
			if b.Len() == element {
				b.WriteByte('_')
			}
			fits = fits && b.Len()-element <= mostElement
			b.WriteByte('/')
			element = b.Len()
		case plain(c) && (c != '.' || b.Len() > element):
			b.WriteByte(c)
		default:
			b.WriteByte('_')
			b.WriteString(hex.EncodeToString([]byte{c}))
		}
	}
	if b.Len() == element {
		b.WriteByte('_')
	}
	if !fits || b.Len()-element > mostElement || b.Len() > mostName {
		sum := sha256.Sum256([]byte(key))
		return long + hex.EncodeToString(sum[:]) + leaf
	}
	return b.String() + leaf
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.'
}

// unescape is the key of a name; ok is false for long ones and for what is no name.
func unescape(name string) (key string, ok bool) {
	body, ok := strings.CutSuffix(name, leaf)
	if !ok || strings.HasPrefix(name, long) {
		return "", false
	}
	var b strings.Builder
	for i, element := range strings.Split(body, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		if element == "_" {
			continue
		}
		for rest := element; rest != ""; {
			if rest[0] != '_' {
				b.WriteByte(rest[0])
				rest = rest[1:]
				continue
			}
			if len(rest) < len("_00") {
				return "", false
			}
			c, err := hex.DecodeString(rest[1:3])
			if err != nil {
				return "", false
			}
			b.Write(c)
			rest = rest[3:]
		}
	}
	key = b.String()
	return key, escape(key) == name // one name for each key
}

func entryName(key string) string { return entriesDir + escape(key) }

// entryKey is the key of an entry's name.
func entryKey(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, entriesDir)
	if !ok {
		return "", false
	}
	return unescape(rest)
}

// entryPrefix is a prefix that the names of all keys have that begin with prefix.
func entryPrefix(prefix string) string {
	dir := prefix[:strings.LastIndexByte(prefix, '/')+1]
	if dir == "" {
		return entriesDir
	}
	return strings.TrimSuffix(entryName(dir), "_"+leaf)
}

func blobName(sum string) string { return blobsDir + sum[:2] + "/" + sum }

// blobSum is the sum of a blob's name.
func blobSum(name string) (string, bool) {
	sum := path.Base(name)
	ok := len(sum) == 2*sha256.Size && strings.Trim(sum, "0123456789abcdef") == ""
	return sum, ok && blobName(sum) == name
}
