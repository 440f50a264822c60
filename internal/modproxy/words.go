package modproxy

import (
	"net/http"

	"github.com/keepwell/keepwell/internal/msg"
)

// Words are w in a language (upstream.KIND).
func (w Why) Words(lang msg.Lang) string {
	key := "upstream." + string(w.Kind)
	switch w.Kind {
	case KindStatus:
		words := msg.Text(lang, key, w.Status, http.StatusText(w.Status))
		if w.Detail == "" {
			return words
		}
		return msg.Text(lang, "upstream.detail", words, w.Detail)
	case KindWrong:
		return msg.Text(lang, key, msg.Text(lang, "via."+w.Detail))
	case KindSlower, KindEncoding, KindInfo, KindMod, KindZip, KindUnvouched, KindTunnel, KindStore, KindOther:
		return msg.Text(lang, key, w.Detail)
	default:
		return msg.Text(lang, key)
	}
}
