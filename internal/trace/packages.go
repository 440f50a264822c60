package trace

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/route"
)

// largestIndex bounds what is read of a registry's document; it is decoded as it comes.
const largestIndex = 256 << 20

// Package asks a registry of npm or an index of Python packages for the versions of a
// package, without a login.
func Package(ctx context.Context, o Options, eco, registry, name string) (Versions, error) {
	o = o.withDefaults()
	v := Versions{Module: name, Ecosystem: eco}
	base, err := url.Parse(strings.TrimRight(registry, "/"))
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return v, fmt.Errorf("%q is no address of a registry", mask.Text(registry))
	}
	if forbidden(base.Hostname()) {
		return v, errForbidden
	}
	r, done, err := newRunner(o)
	if err != nil {
		return v, err
	}
	defer done()
	r.logins.learn(base.User)
	base.User = nil
	s := Source{Name: base.Host, Hop: route.Hop{Kind: route.Proxy, Server: base.Host}}
	read, accept := v.readPyPI, "application/vnd.pypi.simple.v1+json, text/html;q=0.1"
	at := base.JoinPath(pyName(name), "/")
	if eco == "npm" {
		read, accept = v.readNpm, "application/json"
		at = base.JoinPath("/")
		at.Path += name
		at.RawPath = strings.TrimSuffix(at.EscapedPath(), name) + strings.ReplaceAll(name, "/", "%2f")
	}
	rec, err := r.document(ctx, at, accept, read)
	s.Report.Requests = []Request{rec}
	if err != nil {
		rec.Err = cmp.Or(rec.Err, r.hide(err.Error()))
		s.Text = rec.Err
		s.Report.Text, s.Report.GaveUp, s.Report.Outcome.Hop = s.Text, rec.Code, 0
	}
	for i := range v.Lines {
		v.Lines[i].Sources = []int{0}
		s.Versions = append(s.Versions, v.Lines[i].Version)
	}
	v.Sources = []Source{s}
	return v, context.Cause(ctx)
}

// document fetches one document and hands it to read as it comes.
func (r *runner) document(ctx context.Context, u *url.URL, accept string, read func(io.Reader, http.Header) error) (Request, error) {
	rec := Request{URL: shownURL(u), Server: u.Host}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dog := time.AfterFunc(r.Silent, func() { cancel(errSilent) })
	defer dog.Stop()
	secure := u.Scheme == "https"
	for range 10 {
		if forbidden(u.Hostname()) {
			return rec, errForbidden
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
		if err != nil {
			return rec, err
		}
		req.Header.Set("Accept", accept)
		resp, err := r.client.checked.RoundTrip(req)
		if err != nil {
			rec.Err = r.hide(plain(err, u))
			if context.Cause(ctx) != nil {
				rec.Code = "net/slow"
			}
			return rec, err
		}
		if cause := context.Cause(ctx); cause != nil { // as in exchange
			_ = resp.Body.Close()
			rec.Code = "net/slow"
			return rec, fmt.Errorf("reading %s: %w", rec.URL, cause)
		}
		rec.Status = resp.StatusCode
		next, err := u.Parse(resp.Header.Get("Location"))
		if resp.StatusCode/100 != 3 || resp.Header.Get("Location") == "" || err != nil {
			defer resp.Body.Close() //nolint:errcheck // what was read counts
			if resp.StatusCode != http.StatusOK {
				return rec, fmt.Errorf("reading %s: %d %s", rec.URL, resp.StatusCode, http.StatusText(resp.StatusCode))
			}
			body := &counted{r: io.LimitReader(resp.Body, largestIndex), alive: func() { dog.Reset(r.Silent) }}
			err := read(body, resp.Header)
			if cause := context.Cause(ctx); err != nil && cause != nil {
				rec.Code, err = "net/slow", fmt.Errorf("reading %s: %w", rec.URL, cause)
			}
			return rec, err
		}
		_ = resp.Body.Close()
		if secure && next.Scheme != "https" {
			return rec, errors.New("redirected from secure URL")
		}
		next.User = nil
		u = next
	}
	return rec, errors.New("stopped after 10 redirects")
}

// readNpm takes of a registry's document what matters and skips the rest.
func (v *Versions) readNpm(in io.Reader, _ http.Header) error {
	dec := json.NewDecoder(in)
	times, latest := map[string]time.Time{}, ""
	err := eachKey(dec, func(key string) error {
		switch key {
		case "versions":
			return eachKey(dec, func(version string) error {
				var one struct {
					Deprecated any `json:"deprecated"`
				}
				if err := dec.Decode(&one); err != nil || len(v.Lines) >= mostVersions {
					return err
				}
				line := VersionLine{Version: version}
				switch d := one.Deprecated.(type) {
				case string:
					line.Retracted, line.Why = d != "", d
				case bool:
					line.Retracted = d
				}
				v.Lines = append(v.Lines, line)
				return nil
			})
		case "time":
			var all map[string]any // a withdrawn package has an object in it
			err := dec.Decode(&all)
			for name, value := range all {
				if s, ok := value.(string); ok {
					times[name], _ = time.Parse(time.RFC3339, s)
				}
			}
			return err
		case "dist-tags":
			var tags map[string]string
			err := dec.Decode(&tags)
			latest = tags["latest"]
			return err
		}
		return skip(dec)
	})
	if err != nil {
		return fmt.Errorf("reading the registry's answer: %w", err)
	}
	for i := range v.Lines {
		line := &v.Lines[i]
		line.Time = times[line.Version]
		if line.Version == latest && line.Retracted { // npm deprecates a package by all its versions
			v.Deprecated = line.Why
		}
	}
	slices.SortFunc(v.Lines, func(a, b VersionLine) int {
		return cmp.Or(semver.Compare("v"+b.Version, "v"+a.Version), strings.Compare(b.Version, a.Version))
	})
	return nil
}

// eachKey walks an object; value must take the value of its key.
func eachKey(dec *json.Decoder, value func(string) error) error {
	if t, err := dec.Token(); err != nil {
		return err
	} else if t != json.Delim('{') {
		return fmt.Errorf("%v where an object should be", t)
	}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		key, _ := t.(string)
		if err := value(key); err != nil {
			return err
		}
	}
	_, err := dec.Token()
	return err
}

// skip passes over a value without keeping it.
func skip(dec *json.Decoder) error {
	for depth := 0; ; {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// pyFile is one file of a Python project.
type pyFile struct {
	Filename string    `json:"filename"`
	Yanked   any       `json:"yanked"` // a reason, or whether
	Uploaded time.Time `json:"upload-time"`
}

// pyFiles gathers files by version; a version is yanked where all its files are.
type pyFiles struct {
	v     *Versions
	at    map[string]int
	alive map[string]bool
}

func (p *pyFiles) add(f pyFile) {
	version := pyVersion(f.Filename, p.v.Module)
	if version == "" || len(p.v.Lines) >= mostVersions {
		return
	}
	i, ok := p.at[version]
	if !ok {
		i = len(p.v.Lines)
		p.at[version] = i
		p.v.Lines = append(p.v.Lines, VersionLine{Version: version, Time: f.Uploaded})
	}
	switch y := f.Yanked.(type) {
	case string:
		p.v.Lines[i].Why = y
	case bool:
		p.alive[version] = p.alive[version] || !y
	default:
		p.alive[version] = true
	}
}

func (p *pyFiles) json(in io.Reader) error {
	dec := json.NewDecoder(in)
	return eachKey(dec, func(key string) error {
		if key != "files" {
			return skip(dec)
		}
		if _, err := dec.Token(); err != nil {
			return err
		}
		for dec.More() {
			var f pyFile
			if err := dec.Decode(&f); err != nil {
				return err
			}
			p.add(f)
		}
		_, err := dec.Token()
		return err
	})
}

func (p *pyFiles) html(in io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(in, largestFile))
	for _, m := range anchor().FindAllSubmatch(data, -1) {
		f := pyFile{Filename: string(bytes.TrimSpace(m[2]))}
		if y := yanked().FindSubmatch(m[1]); y != nil {
			f.Yanked = string(y[1])
		}
		p.add(f)
	}
	return err
}

// readPyPI reads an index's page of one project, as JSON (PEP 691) or as HTML (PEP 503).
func (v *Versions) readPyPI(in io.Reader, h http.Header) error {
	files := pyFiles{v: v, at: map[string]int{}, alive: map[string]bool{}}
	buffered := bufio.NewReader(in)
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	read := files.html
	if start, _ := buffered.Peek(1); strings.HasSuffix(kind, "json") || string(start) == "{" {
		read = files.json
	}
	if err := read(buffered); err != nil {
		return fmt.Errorf("reading the index's answer: %w", err)
	}
	for i := range v.Lines {
		v.Lines[i].Retracted = !files.alive[v.Lines[i].Version]
	}
	slices.SortFunc(v.Lines, func(a, b VersionLine) int {
		return cmp.Or(comparePy(b.Version, a.Version), strings.Compare(b.Version, a.Version))
	})
	return nil
}

var (
	anchor = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?is)<a\b([^>]*)>([^<]*)</a>`) })
	yanked = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?i)\bdata-yanked(?:="([^"]*)")?`)
	})
	pyMarks  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[-_.]+`) })
	pyPieces = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\d+|[a-z]+`) })
)

// pyName is a project's name as an index writes it (PEP 503).
func pyName(name string) string { return strings.ToLower(pyMarks().ReplaceAllString(name, "-")) }

// pyVersion reads the version out of a file's name.
func pyVersion(file, project string) string {
	for _, end := range []string{".whl", ".tar.gz", ".zip", ".tar.bz2", ".egg", ".tgz"} {
		rest, ok := strings.CutSuffix(file, end)
		if !ok {
			continue
		}
		if end == ".whl" || end == ".egg" {
			if parts := strings.Split(rest, "-"); len(parts) > 1 {
				return parts[1]
			}
			return ""
		}
		// The project's name may hold hyphens, the version rarely does.
		for i := len(rest) - 1; i > 0; i-- {
			if rest[i] == '-' && pyName(rest[:i]) == pyName(project) {
				return rest[i+1:]
			}
		}
	}
	return ""
}

// comparePy orders versions as PEP 440 does for what is common: numbers, then
// development, alpha, beta and candidate before the release and post after it.
func comparePy(a, b string) int {
	x, y := pyParts(a), pyParts(b)
	for i := range max(len(x), len(y)) {
		var l, r int
		if i < len(x) {
			l = x[i]
		}
		if i < len(y) {
			r = y[i]
		}
		if l != r {
			return cmp.Compare(l, r)
		}
	}
	return 0
}

func pyParts(version string) []int {
	marks := map[string]int{"dev": -4, "a": -3, "alpha": -3, "b": -2, "beta": -2, "c": -1, "rc": -1, "post": 1, "r": 1}
	version, _, _ = strings.Cut(strings.ToLower(strings.TrimPrefix(version, "v")), "+")
	epoch, rest, ok := strings.Cut(version, "!")
	if !ok {
		epoch, rest = "0", version
	}
	n, _ := strconv.Atoi(epoch)
	parts := []int{n}
	numbers := 0
	for _, piece := range pyPieces().FindAllString(rest, -1) {
		if n, err := strconv.Atoi(piece); err == nil {
			parts = append(parts, n)
			numbers++
			continue
		}
		for ; numbers < 6; numbers++ { // 1.0 and 1.0.0 are one release
			parts = append(parts, 0)
		}
		parts = append(parts, marks[piece])
	}
	return parts
}
