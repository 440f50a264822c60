package modbundle

import (
	"net/http"
	"strings"
	"time"
)

// ServeHTTP answers the protocol; what is not there is 404, so that go may ask its next
// proxy.
func (s *Set) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	b := s.from[name]
	if b == nil {
		http.Error(w, "not found: the bundle does not hold it", http.StatusNotFound)
		return
	}
	content, err := s.Open(name)
	if err != nil {
		http.Error(w, "the bundle is damaged here", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if s.made[name] == nil {
		h.Set("Etag", `"`+b.sums[name].SHA256+`"`)
	}
	switch {
	case strings.HasSuffix(name, ".zip"):
		h.Set("Content-Type", "application/zip")
	case strings.HasSuffix(name, ".info"):
		h.Set("Content-Type", "application/json")
	default:
		h.Set("Content-Type", "text/plain; charset=utf-8")
	}
	http.ServeContent(w, r, "", time.Time{}, content)
}
