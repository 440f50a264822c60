package spelling_test

import (
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/spelling"
)

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"trigger", "triger", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 2}} {
		if got, back := spelling.Distance(x.a, x.b), spelling.Distance(x.b, x.a); got != x.want || back != x.want {
			t.Errorf("%q and %q: %d and %d, want %d", x.a, x.b, got, back, x.want)
		}
	}
}

func TestMeant(t *testing.T) {
	t.Parallel()
	words := []string{"listen", "tls_cert", "tls_key", "upstreams", "url", "if", "P0"}
	for typed, want := range map[string]string{
		"listem": "listen", "LISTEN": "listen", "tls-key": "tls_key", "tlscert": "tls_cert", "upstream": "upstreams", "upstrems": "upstreams",
		"urk": "url", "xyz": "", "": "", "of": "if", "zz": "", "p1": "P0", strings.Repeat("listen", 20): "",
	} {
		if got := spelling.Meant(typed, words); got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
}
