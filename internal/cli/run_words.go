package cli

import (
	"net/http"

	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/msg"
)

// complaint words what an upstream had against a request.
func complaint(lang msg.Lang, w modproxy.Why) string {
	key := "upstream." + string(w.Kind)
	switch w.Kind {
	case modproxy.KindStatus:
		words := msg.Text(lang, key, w.Status, http.StatusText(w.Status))
		if w.Detail == "" {
			return words
		}
		return msg.Text(lang, "upstream.detail", words, w.Detail)
	case modproxy.KindWrong:
		return msg.Text(lang, key, msg.Text(lang, "via."+w.Detail))
	case modproxy.KindSlower, modproxy.KindEncoding, modproxy.KindInfo, modproxy.KindMod, modproxy.KindZip, modproxy.KindUnvouched, modproxy.KindTunnel, modproxy.KindStore, modproxy.KindOther:
		return msg.Text(lang, key, w.Detail)
	default:
		return msg.Text(lang, key)
	}
}
