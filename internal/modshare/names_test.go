package modshare_test

import (
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/keepwell/keepwell/internal/modshare"
)

func TestNames(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"github.com/!big/m/@v/v1.2.3-rc.1.zip":  "github.com/_21big/m/_40v/v1.2.3-rc.1.zip_.json",
		"sumdb/sum.example.org/tile/8/0/x001/2": "sumdb/sum.example.org/tile/8/0/x001/2_.json",
		"example.com/M v1.0.0/go.mod":           "example.com/_4d_20v1.0.0/go.mod_.json",
		"../a":                                  "_2e./a_.json",
		"a//b/":                                 "a/_/b/__.json",
		"":                                      "__.json",
		"_":                                     "_5f_.json",
	} {
		if got := modshare.Escape(key); got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
	if got := modshare.Escape(strings.Repeat("a", 250)); !strings.HasPrefix(got, "long_/") {
		t.Error(got)
	}
}

// FuzzNames holds names to what any server takes, and two keys to two names of which
// none is the directory of the other.
func FuzzNames(f *testing.F) {
	f.Add("github.com/!big/m/@v/v1.0.0.zip", "github.com/!big/m/@v/v1.0.0.zip/x")
	f.Add("a//b/../.", "a_2f_.json")
	f.Add("é中 \x00\xff", "long_/x")
	f.Add(strings.Repeat("a", 201), strings.Repeat("é/", 300))
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, key := range []string{a, b} {
			name := modshare.Escape(key)
			if len(name) > 900 || !utf8.ValidString(name) || path.Clean(name) != name || strings.HasPrefix(name, "/") {
				t.Fatalf("%q: %q", key, name)
			}
			for element := range strings.SplitSeq(name, "/") {
				if len(element) > 255 || element == "" || strings.HasPrefix(element, ".") || strings.ToLower(element) != element {
					t.Fatalf("%q: element %q", key, element)
				}
				if strings.Trim(element, "abcdefghijklmnopqrstuvwxyz0123456789-._") != "" {
					t.Fatalf("%q: element %q", key, element)
				}
			}
			if back, ok := modshare.Unescape(name); ok && back != key || !ok && !strings.HasPrefix(name, "long_/") {
				t.Fatalf("%q became %q and that %q", key, name, back)
			}
			if of, ok := modshare.Unescape(key); ok && modshare.Escape(of) != key {
				t.Fatalf("%q is taken for the name of %q", key, of)
			}
			if i := strings.LastIndexByte(key, '/'); i >= 0 && !strings.HasPrefix(name, "long_/") && !strings.HasPrefix(modshare.EntryName(key), modshare.EntryPrefix(key[:i+1])) {
				t.Fatalf("%q is not found below %q", modshare.EntryName(key), modshare.EntryPrefix(key[:i+1]))
			}
		}
		one, two := modshare.Escape(a), modshare.Escape(b)
		if a != b && (one == two || strings.HasPrefix(two, one+"/") || strings.HasPrefix(one, two+"/")) {
			t.Fatalf("%q and %q meet: %q, %q", a, b, one, two)
		}
	})
}

// TestAddresses holds where requests go to what the URL says.
func TestAddresses(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	for address, want := range map[string]string{
		"https://s3.example.org/modules":                                      "https://s3.example.org/modules/x us-east-1",
		"https://s3.example.org/modules/a/b c?region=eu":                      "https://s3.example.org/modules/a/b%20c/x eu",
		"https://s3.example.org/modules?addressing=host":                      "https://modules.s3.example.org/x us-east-1",
		"http://127.0.0.1:9000/modules/":                                      "http://127.0.0.1:9000/modules/x us-east-1",
		"https://s3.eu-west-1.amazonaws.com/modules?region=eu-west-1":         "https://modules.s3.dualstack.eu-west-1.amazonaws.com/x eu-west-1",
		"https://s3.amazonaws.com/modules?region=eu-west-2&addressing=path":   "https://s3.dualstack.eu-west-2.amazonaws.com/modules/x eu-west-2",
		"https://s3.eu-west-1.amazonaws.com/my.modules?region=eu-west-1":      "https://s3.dualstack.eu-west-1.amazonaws.com/my.modules/x eu-west-1",
		"https://s3.cn-north-1.amazonaws.com.cn/modules/go?region=cn-north-1": "https://modules.s3.dualstack.cn-north-1.amazonaws.com.cn/go/x cn-north-1",
	} {
		got, err := modshare.Address(t.Context(), address)
		fields := strings.Split(got, "/") // the key and the day are before the region
		if err == nil {
			at, _, _ := strings.Cut(got, " ")
			got = at + " " + fields[len(fields)-3]
		}
		if err != nil || got != want {
			t.Errorf("%s: %s, %v", address, got, err)
		}
	}
}
