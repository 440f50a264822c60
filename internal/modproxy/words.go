package modproxy

import (
	"archive/zip"
	"fmt"
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
	case KindZip:
		return msg.Text(lang, key, zipDetail(lang, w.Detail))
	case KindSlower, KindEncoding, KindInfo, KindMod, KindUnvouched, KindTunnel, KindStore, KindOther:
		return msg.Text(lang, key, w.Detail)
	default:
		return msg.Text(lang, key)
	}
}

// zipDetail words what Go's zip library says, of which only the text is left.
func zipDetail(lang msg.Lang, said string) string {
	for _, err := range []error{zip.ErrFormat, zip.ErrAlgorithm, zip.ErrChecksum} {
		if said == err.Error() {
			return msg.Cause(lang, err)
		}
	}
	var at int64
	if n, err := fmt.Sscanf(said, "flate: corrupt input before offset %d", &at); err == nil && n == 1 {
		return msg.Text(lang, "upstream.flate", at)
	}
	return said
}
