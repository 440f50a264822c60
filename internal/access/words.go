package access

import (
	"errors"

	"github.com/keepwell/keepwell/internal/msg"
)

// Words says in a language what is wrong with a change of people or tokens, and how to
// mend it; "" where err is nothing that whoever asked can mend so.
func Words(lang msg.Lang, err error) string {
	for _, known := range []struct {
		err error
		key string
	}{
		{ErrName, "api.name"},
		{ErrPassword, "api.password"},
		{ErrToken, "api.token"},
		{ErrStale, "api.stale"},
		{ErrLastAdmin, "api.lastadmin"},
		{ErrProvider, "api.provider"},
	} {
		if !errors.Is(err, known.err) {
			continue
		}
		if hint := msg.Text(lang, "hint."+known.key); hint != "hint."+known.key {
			return msg.Text(lang, "people.hint", msg.Text(lang, known.key), hint)
		}
		return msg.Text(lang, known.key)
	}
	return ""
}
