package modproxy

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/modstore"
)

// ServeHTTP answers one request of the protocol.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	if a, e, ok := p.ready(r.URL.Path); ok {
		p.send(w, r, a, e)
		return
	}
	a, err := parse(r.URL.Path)
	if err != nil {
		p.fail(w, r, &Failure{Status: http.StatusNotFound, What: clean(r.URL.Path), Rule: clean(err.Error())})
		return
	}
	if a.database != "" {
		p.serveSum(w, r, a)
		return
	}
	e, err := p.find(withOutcome(withWishes(r.Context(), r.Header), w), a)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	p.send(w, r, a, e)
}

// ready finds what this process has served before, without looking at the path again:
// what lies in memory under a name has passed every check of the name, and the rules if
// they permitted it. With sums of a client, it is looked at each time.
func (p *Proxy) ready(path string) (a ask, e modstore.Entry, ok bool) {
	if len(path) < 2 || len(p.Sums) > 0 || !p.live.Load().permitted(path[1:]) {
		return a, e, false
	}
	if e, ok = p.memory.get(path[1:]); ok {
		p.Store.Touch(e.Key)
		a = ask{kind: kind(e.Key[strings.LastIndexByte(e.Key, '.')+1:]), key: e.Key, version: "v0.0.0"}
	}
	return a, e, ok
}

func (p *Proxy) send(w http.ResponseWriter, r *http.Request, a ask, e modstore.Entry) {
	h := w.Header()
	h["Content-Type"] = contentType(a.kind)
	h["Cache-Control"] = cacheControl(a)
	if e.Sum != "" {
		h["Etag"] = []string{`"` + e.Sum + `"`}
	}
	if e.Data != nil {
		sendSmall(w, r, e)
		return
	}
	err := p.serveBlob(w, r, e)
	if errors.Is(err, fs.ErrNotExist) { // taken away since: ask again
		p.memory.drop(a.key)
		if a, err = parse(a.key); err == nil {
			e, err = p.find(withWishes(r.Context(), r.Header), a)
		}
		if err == nil {
			err = p.serveBlob(w, r, e)
		}
	}
	if err != nil {
		clear(h)
		p.fail(w, r, err)
	}
}

// serveFile sends a large file: the bare file and writer reach sendfile.
func (p *Proxy) serveFile(w http.ResponseWriter, r *http.Request, e modstore.Entry) error {
	f, err := p.openFile(r.Context(), e)
	if err != nil {
		return err
	}
	defer f.Close()
	http.ServeContent(w, r, "", time.Time{}, f) // the ETag says more than a date
	return nil
}

// The usual headers, made once.
var (
	forEver    = []string{"public, max-age=31536000, immutable"} //nolint:gochecknoglobals // a constant
	forAMinute = []string{"public, max-age=60"}                  //nolint:gochecknoglobals // a constant
	asJSON     = []string{"application/json"}                    //nolint:gochecknoglobals // a constant
	asZip      = []string{"application/zip"}                     //nolint:gochecknoglobals // a constant
	asText     = []string{"text/plain; charset=utf-8"}           //nolint:gochecknoglobals // a constant
	inBytes    = []string{"bytes"}                               //nolint:gochecknoglobals // a constant
	asBytes    = []string{"application/octet-stream"}            //nolint:gochecknoglobals // a constant
)

func cacheControl(a ask) []string {
	if a.fixed() {
		return forEver
	}
	return forAMinute
}

func contentType(k kind) []string {
	switch k {
	case info, latest:
		return asJSON
	case zipped:
		return asZip
	case sumTile:
		return asBytes
	}
	return asText
}

// special asks for a range, or whether there is anything new.
func special(r *http.Request) bool {
	for name := range r.Header {
		if name == "Range" || strings.HasPrefix(name, "If-") {
			return true
		}
	}
	return false
}

// sendSmall sends what lies in memory; a range of it, or a question whether it changed,
// goes the long way.
func sendSmall(w http.ResponseWriter, r *http.Request, e modstore.Entry) {
	if special(r) {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(e.Data)))
		return
	}
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(e.Data))}
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return
	}
	_, _ = w.Write(e.Data) // the client went away
}

func (p *Proxy) serveSum(w http.ResponseWriter, r *http.Request, a ask) {
	d := p.database
	if d == nil || a.database != d.name {
		// go asks the database itself then.
		p.fail(w, r, &Failure{Status: http.StatusNotFound, What: a.key, Rule: "this checksum database is not served here", rule: "answer.database"})
		return
	}
	if a.kind == supported {
		w.WriteHeader(http.StatusOK)
		return
	}
	if a.kind == sumLookup {
		if err := p.permitName(p.now(), a); err != nil {
			p.fail(w, r, err)
			return
		}
	}
	if _, own := p.upstreamsFor(a.module); a.kind == sumLookup && own {
		p.fail(w, r, &Failure{Status: http.StatusForbidden, What: a.what(), Rule: "the name may not be told to a checksum database", rule: "answer.untold"})
		return
	}
	data, err := d.serve(withWishes(r.Context(), r.Header), a)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	w.Header()["Content-Type"] = contentType(a.kind)
	sendSmall(w, r, modstore.Entry{Data: data})
}

// fail answers why there is no file, in the words that go shows.
func (p *Proxy) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // nobody listens
	}
	var f *Failure
	if !errors.As(err, &f) {
		status := http.StatusBadGateway
		if errors.Is(err, context.DeadlineExceeded) {
			status = http.StatusGatewayTimeout
		}
		p.Log.Error("cannot answer", "path", clean(r.URL.Path), "error", clean(err.Error()))
		f = &Failure{Status: status, What: clean(r.URL.Path), Tried: []string{"keepwell: " + err.Error()}}
	}
	status := f.Status
	if p.CommaFriendly && status >= http.StatusInternalServerError {
		status = http.StatusNotFound
	}
	h := w.Header()
	h["Content-Type"] = asText
	h["Cache-Control"] = []string{"no-store"}
	h.Set("X-Content-Type-Options", "nosniff")
	text := f.In(p.Lang)
	h["Content-Length"] = []string{strconv.Itoa(len(text))}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(text)) // the client went away
	}
}
