package modproxy

import (
	"fmt"
	"html"
	"net/http"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// base is the address under which clients reach the service: the configured one, or
// that of the request.
func (s *Service) base(r *http.Request) string {
	if s.o.URL != "" {
		return strings.TrimSuffix(s.o.URL, "/")
	}
	host := r.Host
	if strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]") != "" {
		host = "localhost" // it is shown to be copied into a shell
	}
	if r.TLS != nil {
		return "https://" + host
	}
	return "http://" + host
}

// goGet answers what go asks of a module's own host: that its modules come from this
// proxy. It is claimed for the name under which the service was asked, and only where a
// list of upstreams with patterns has the module and does not go to the module's host
// again: that would be here.
func (s *Service) goGet(w http.ResponseWriter, r *http.Request) {
	host := hostOf(r.Host)
	name := host + strings.TrimSuffix(r.URL.Path, "/")
	claimed := s.claimsHost(host) // go asks whether the root says the same
	if name != host {
		claimed = claimed && module.CheckImportPath(name) == nil && s.claims(name)
	}
	if !claimed {
		http.Error(w, "not found: this proxy does not speak for "+clean(name), http.StatusNotFound)
		return
	}
	h := w.Header()
	h["Content-Type"] = []string{"text/html; charset=utf-8"}
	h["Cache-Control"] = forAMinute
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'")
	fmt.Fprintf(w, "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><meta name=\"go-import\" content=\"%s mod %s\"></head><body></body></html>\n",
		html.EscapeString(host), html.EscapeString(s.base(r)))
}

// claims tells whether the module's own list brings it from a server.
func (s *Service) claims(name string) bool {
	list, own := s.p.upstreamsFor(name)
	return own && served(list)
}

// served tells lists that do not go to the module's host.
func served(list []Upstream) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(u Upstream) bool { return u.isDirect() })
}

// claimsHost tells whether any module of the host is claimed.
func (s *Service) claimsHost(host string) bool {
	if !strings.Contains(host, ".") || module.CheckImportPath(host) != nil {
		return false
	}
	for _, l := range s.p.lists() {
		for pattern := range strings.SplitSeq(l.Patterns, ",") {
			first, _, _ := strings.Cut(pattern, "/")
			if ok, err := path.Match(first, host); ok && err == nil && served(l.Upstreams) {
				return true
			}
		}
	}
	return false
}
