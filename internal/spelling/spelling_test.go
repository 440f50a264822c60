package spelling_test

import (
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
