package modproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/modstore"
)

// Feeds are what a store tells of what it served: in which order versions came, and how
// often each was downloaded.
type Feeds interface {
	Downloaded(key string)
	VersionsSince(ctx context.Context, since time.Time, limit int) ([]modstore.Version, error)
	VersionsAfter(ctx context.Context, after string, limit int) ([]modstore.Version, string, error)
	Hosts(ctx context.Context, limit int) (top []modstore.Host, hosts, versions int64, err error)
	Downloads(ctx context.Context, path, version string) (modstore.Downloads, error)
	Trend(ctx context.Context, days int64, limit int) ([]modstore.Count, error)
	Total(ctx context.Context) (files, bytes int64, err error)
	QuarantineSize(ctx context.Context) (int64, error)
}

var (
	errNoFeed = errors.New("no such page here")
	errQuery  = errors.New("bad query")
)

// answerFeed sends what a feed has to tell, or why not.
func (s *Service) answerFeed(w http.ResponseWriter, r *http.Request, feed func(*http.Request) (any, error)) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if s.o.Feeds == nil {
		http.Error(w, errNoFeed.Error(), http.StatusNotFound)
		return
	}
	got, err := feed(r)
	switch {
	case errors.Is(err, errNoFeed):
		http.Error(w, "not found", http.StatusNotFound)
		return
	case errors.Is(err, errQuery):
		http.Error(w, clean(err.Error()), http.StatusBadRequest)
		return
	case err != nil:
		s.p.Log.Error("cannot read the store", "error", clean(err.Error()))
		http.Error(w, "the store cannot be read", http.StatusInternalServerError)
		return
	}
	w.Header()["Cache-Control"] = []string{"private, max-age=60"}
	if raw, ok := got.(document); ok {
		w.Header().Set("Content-Type", raw.kind)
		_, _ = w.Write(raw.data) // the client went away
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(got) // the client went away
}

// document is an answer that is no JSON value.
type document struct {
	kind string
	data []byte
}

// mostIndexed is the largest page of the index, and the usual one.
const mostIndexed = 2000

// index answers as index.golang.org does: a line of JSON for each version, in the order
// in which they came.
func (s *Service) index(r *http.Request) (any, error) {
	q := r.URL.Query()
	var since time.Time
	if v := q.Get("since"); v != "" {
		var err error
		if since, err = time.Parse(time.RFC3339, v); err != nil {
			return nil, fmt.Errorf("%w: since is no time as in RFC 3339", errQuery)
		}
	}
	limit, err := number(q.Get("limit"), "limit", mostIndexed)
	if err != nil {
		return nil, err
	}
	list, err := s.o.Feeds.VersionsSince(r.Context(), since, limit)
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	enc := json.NewEncoder(&out)
	for _, v := range list {
		if err := enc.Encode(struct {
			Path, Version string
			Timestamp     time.Time
		}{v.Path, v.Version, v.First}); err != nil {
			return nil, err
		}
	}
	return document{"application/json", []byte(out.String())}, nil
}

// number reads a page's size, which is at most most.
func number(v, name string, most int) (int, error) {
	if v == "" {
		return most, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%w: %s is no positive number", errQuery, name)
	}
	return min(n, most), nil
}

type catalogued struct {
	Module  string `json:"module"`
	Version string `json:"version"`
}

// catalog answers as Athens does: what is kept, by name, page by page.
func (s *Service) catalog(r *http.Request) (any, error) {
	const usual = 1000
	q := r.URL.Query()
	size, err := number(q.Get("pagesize"), "pagesize", usual)
	if err != nil {
		return nil, err
	}
	list, next, err := s.o.Feeds.VersionsAfter(r.Context(), q.Get("token"), size)
	page := struct {
		Modules []catalogued `json:"modules"`
		Next    string       `json:"next"`
	}{[]catalogued{}, next}
	for _, v := range list {
		page.Modules = append(page.Modules, catalogued{v.Path, v.Version})
	}
	return page, err
}

// badgePath is what goproxy.cn puts behind a module for its badge.
const badgePath = "/badges/download-count.svg"

// statistics answers as goproxy.cn does.
func (s *Service) statistics(r *http.Request) (any, error) {
	what := strings.TrimPrefix(r.URL.Path, "/stats/")
	if what == "summary" {
		return s.summary.get(r.Context(), s.o.Feeds)
	}
	if trend, ok := strings.CutPrefix(what, "trends/"); ok {
		return s.trend(r.Context(), trend)
	}
	what, badge := strings.CutSuffix(what, badgePath)
	path, version, hasVersion := strings.Cut(what, "@")
	if module.CheckPath(path) != nil || hasVersion && module.Check(path, version) != nil {
		return nil, errNoFeed
	}
	d, err := s.o.Feeds.Downloads(r.Context(), path, version)
	if err != nil {
		return nil, err
	}
	if badge {
		return document{"image/svg+xml; charset=utf-8", drawBadge(languageOf(r), d.Total)}, nil
	}
	return downloadsDocument(d, time.Now().UTC()), nil
}

type dayCount struct {
	Date  string `json:"date"`
	Count int64  `json:"download_count"`
}

type versionCount struct {
	Version string `json:"module_version"`
	Count   int64  `json:"download_count"`
}

type moduleStatistics struct {
	Count int64          `json:"download_count"`
	Days  []dayCount     `json:"last_30_days"`
	Top   []versionCount `json:"top_10_module_versions,omitempty"`
}

func downloadsDocument(d modstore.Downloads, now time.Time) moduleStatistics {
	out := moduleStatistics{Count: d.Total}
	today := now.Truncate(24 * time.Hour)
	for ago, n := range d.Days {
		out.Days = append(out.Days, dayCount{today.AddDate(0, 0, -ago).Format(time.RFC3339), n})
	}
	for _, c := range d.Top {
		out.Top = append(out.Top, versionCount{c.Name, c.N})
	}
	return out
}

type moduleCount struct {
	Path  string `json:"module_path"`
	Count int64  `json:"download_count"`
}

func (s *Service) trend(ctx context.Context, name string) (any, error) {
	days, ok := map[string]int64{"latest": 1, "last-7-days": 7, "last-30-days": 30}[name]
	if !ok {
		return nil, errNoFeed
	}
	const most = 1000
	list, err := s.o.Feeds.Trend(ctx, days, most)
	out := []moduleCount{}
	for _, c := range list {
		out = append(out, moduleCount{c.Name, c.N})
	}
	return out, err
}

type hostCount struct {
	Host  string `json:"module_host"`
	Count int64  `json:"module_version_count"`
}

type storeSummary struct {
	Bytes    int64       `json:"cacher_size"`
	Versions int64       `json:"module_version_count"`
	Hosts    int64       `json:"module_host_count"`
	Top      []hostCount `json:"top_10_module_hosts"`
	files    int64
}

// summary is remembered for a while: it looks at everything in the store.
type summary struct {
	mu    sync.Mutex
	known storeSummary
	at    time.Time
}

// summaryFresh is for a million versions, where a look takes seconds.
const summaryFresh = time.Minute

func (m *summary) get(ctx context.Context, f Feeds) (storeSummary, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.at.IsZero() && time.Since(m.at) < summaryFresh {
		return m.known, nil
	}
	k := storeSummary{Top: []hostCount{}}
	const most = 10
	top, hosts, versions, err := f.Hosts(ctx, most)
	if err != nil {
		return k, err
	}
	for _, h := range top {
		k.Top = append(k.Top, hostCount{h.Name, h.Versions})
	}
	k.Hosts, k.Versions = hosts, versions
	if k.files, k.Bytes, err = f.Total(ctx); err != nil {
		return k, err
	}
	m.known, m.at = k, time.Now()
	return k, nil
}
