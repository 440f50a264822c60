package cli

import (
	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/msg"
)

// complaint is what an upstream did, in a language.
func complaint(lang msg.Lang, w modproxy.Why) string { return w.Words(lang) }
