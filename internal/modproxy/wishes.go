package modproxy

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/modstore"
)

// wishes are what a client may say about where its answer comes from.
type wishes struct {
	// kept: nobody is asked (Disable-Module-Fetch, as goproxy has it and pkgsite sends it).
	kept bool
	// fresh: what may change is asked for anew (Cache-Control: no-cache).
	fresh bool
}

type wishesKey struct{}

// rarely bounds how often a client may have the same thing asked for anew.
const rarely = 5 * time.Second

// withWishes reads them from the header of a request.
func withWishes(ctx context.Context, h http.Header) context.Context {
	var w wishes
	for _, v := range h["Disable-Module-Fetch"] {
		w.kept, _ = strconv.ParseBool(v) // what is no yes is a no
	}
	for _, v := range h["Cache-Control"] {
		w.fresh = w.fresh || strings.Contains(strings.ToLower(v), "no-cache")
	}
	if w == (wishes{}) {
		return ctx
	}
	return context.WithValue(ctx, wishesKey{}, w)
}

func wishesOf(ctx context.Context) wishes {
	w, _ := ctx.Value(wishesKey{}).(wishes)
	return w
}

// notKept is the answer to a client that wants nobody to be asked.
func notKept(what string) *Failure {
	return &Failure{
		Status: http.StatusNotFound, What: what, rule: "answer.notkept",
		Rule: "it is not kept here, and the client wants nobody to be asked (Disable-Module-Fetch)",
	}
}

// outdated is what is kept, for when no server answers: of a list, with the versions
// beside it whose files are kept. While servers answer, theirs is the word: a version that
// they took away is offered to nobody.
func (p *Proxy) outdated(ctx context.Context, a ask, have modstore.Entry) modstore.Entry {
	if a.kind != list {
		return have
	}
	data := have.Data
	if data == nil && have.Sum != "" {
		return have // a long list is a file
	}
	var more strings.Builder
	for line := range strings.Lines(string(p.keptVersions(ctx, a))) {
		version := strings.TrimSuffix(line, "\n")
		if !strings.Contains("\n"+string(data), "\n"+version+"\n") && !strings.Contains("\n"+string(data), "\n"+version+" ") {
			more.WriteString(line)
		}
	}
	if more.Len() == 0 {
		return have
	}
	return modstore.Entry{Key: a.key, Source: "store", Data: append(data[:len(data):len(data)], more.String()...)}
}

// gathered makes an answer that was never given before from the files that are kept.
func (p *Proxy) gathered(ctx context.Context, a ask) (modstore.Entry, bool) {
	if a.kind == latest {
		return p.keptLatest(ctx, a)
	}
	e := p.outdated(ctx, a, modstore.Entry{})
	return e, len(e.Data) > 0
}

// keptLatest is the .info of the highest version that is kept, releases before others.
func (p *Proxy) keptLatest(ctx context.Context, a ask) (modstore.Entry, bool) {
	at := strings.TrimSuffix(a.key, "@latest") + "@v/"
	var best modstore.Entry
	for line := range strings.Lines(string(p.keptVersions(ctx, ask{kind: list, key: at + "list"}))) {
		version := strings.TrimSuffix(line, "\n") // in order, the highest last
		pre := strings.Contains(version, "-")
		if pre && best.Data != nil && !strings.Contains(best.Key, "-") {
			continue
		}
		i := ask{kind: info, module: a.module, version: version}
		escaped, err := module.EscapeVersion(version)
		if err != nil {
			continue
		}
		if e, err := p.Store.Get(ctx, at+escaped+".info"); err == nil && i.checkInfo(e.Data) == nil {
			best = modstore.Entry{Key: version, Source: "store", Data: e.Data}
		}
	}
	best.Key = a.key
	return best, best.Data != nil
}
