package access_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
)

func TestWords(t *testing.T) {
	t.Parallel()
	for _, err := range []error{access.ErrName, access.ErrPassword, access.ErrToken, access.ErrStale, access.ErrLastAdmin, access.ErrProvider} {
		en, zh := access.Words(msg.EN, fmt.Errorf("in: %w", err)), access.Words(msg.ZH, err)
		if en == "" || zh == "" || en == zh || strings.Contains(en+zh, "api.") || strings.Contains(en+zh, "%!") {
			t.Errorf("%v: %q, %q", err, en, zh)
		}
	}
	if got := access.Words(msg.ZH, state.ErrNotFound); got != "" {
		t.Errorf("what others say: %q", got)
	}
}
