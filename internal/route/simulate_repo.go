package route

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"
)

// repo is one hop's view of the module, with what go remembers of it within one
// process: also failures, but never of zips.
type repo struct {
	e *engine
	// refused is why every request fails at once; nil where base or vcs is asked.
	refused *failure
	base    *url.URL // the module's directory at a proxy
	origin  string   // of the proxy, for its messages
	vcs     string   // clone URL
	tool    string

	list   *listResult
	tip    *latestResult
	mods   map[string]modResult
	stats  map[string]statResult
	fromAt *latestResult // the newest of the list, for a proxy without @latest
}

type (
	listResult struct {
		versions, lines []string
		f               *failure
	}
	latestResult struct {
		version string
		f       *failure
	}
	modResult struct {
		data []byte
		f    *failure
	}
	statResult = latestResult
)

// lookup returns the view of an entry; the first look at direct finds the repository.
func (e *engine) lookup(p entry) *repo {
	if r, ok := e.repos[p.url]; ok {
		return r
	}
	r := &repo{e: e, mods: map[string]modResult{}, stats: map[string]statResult{}}
	e.repos[p.url] = r
	_, private := e.noProxy.match(e.q.Module)
	switch {
	case private && (p.kind == NoProxy || p.kind == ByItem), p.kind == ByItem:
		e.lookupDirect(r)
	case private:
		r.refused = e.absent(saysNoProxy)
	case p.kind == NoProxy:
		r.refused = e.absent(saysUseProxy)
	case p.kind == Off:
		r.refused = e.absent(saysOff)
	default:
		r.setBase(p.url)
	}
	return r
}

func (r *repo) setBase(raw string) {
	u, err := moduleURL(raw, r.e.q.Module, "")
	if err != nil {
		r.refused = r.e.fail("invalid proxy URL")
		return
	}
	base, _ := url.Parse(raw)
	r.base, r.origin = u, base.Redacted()
}

func (e *engine) lookupDirect(r *repo) {
	_, insecure := e.insecure.match(e.q.Module)
	where, code := knownRepository(e.q.Module)
	switch code {
	case "":
	case "unknown":
		tag, f := e.discover(e.q.Module, insecure)
		if f != nil {
			f.notFound = true // an unknown place counts as absence
			r.refused = f
			return
		}
		where = repository{tag.VCS, tag.Prefix, tag.Repo}
	default:
		r.refused = e.absent(map[string]string{
			"bad-host-path": " import path ", "host-suffix": "invalid version control suffix", "no-modules": "no modules on",
		}[code])
		return
	}
	if where.vcs == "mod" {
		r.setBase(where.url)
		return
	}
	if allowed, _ := e.allowed(where.root); !slices.Contains(allowed, where.vcs) && !slices.Contains(allowed, "all") {
		r.refused = e.absent("GOVCS disallows using " + where.vcs)
		return
	}
	r.vcs, r.tool = where.url, where.vcs
	if code == "" && foundBy(e.q.Module) == "suffix" {
		// The tool is asked at once which scheme works; that none does counts as absence.
		if u, err := url.Parse(r.vcs); err != nil || e.ask(Request{Kind: VCS}, u).Status == 0 {
			r.refused = e.absent("protocol found for repository")
		}
	}
}

// page is what ?go-get=1 of one prefix said.
type page struct {
	tags []Import
	f    *failure
}

// discover finds the go-import tag of a path, and has a tag of a shorter prefix
// confirmed by that prefix's own page.
func (e *engine) discover(importPath string, insecure bool) (Import, *failure) {
	says := "unrecognized import path " + quoted(importPath)
	p := e.fetchPage(importPath, insecure)
	tag, ok := matching(p.tags, importPath)
	if p.f != nil || !ok {
		return tag, e.fail(says)
	}
	if tag.Prefix != importPath {
		confirm, seen := e.pages[tag.Prefix]
		if !seen {
			confirm = e.fetchPage(tag.Prefix, insecure)
			e.pages[tag.Prefix] = confirm
		}
		if own, ok := matching(confirm.tags, importPath); confirm.f != nil || !ok || own != tag {
			return tag, e.fail(says)
		}
	}
	u, err := url.Parse(tag.Repo)
	if err != nil || u.Scheme == "" || u.Scheme == "file" || strings.HasPrefix(tag.Dir, "/") || strings.HasPrefix(tag.Dir, "-") {
		return tag, e.fail(says)
	}
	if tag.VCS != "mod" && !slices.Contains(vcsNames(), tag.VCS) {
		return tag, e.fail(says)
	}
	return tag, nil
}

func (e *engine) fetchPage(importPath string, insecure bool) page {
	u, ok := pageOf(importPath)
	if !ok {
		return page{f: e.fail("import path does not begin with hostname")}
	}
	a, f := e.page(u, insecure)
	if f != nil {
		return page{f: f}
	}
	tags := goImports(a.Body)
	if len(tags) == 0 {
		return page{f: e.fail("no go-import meta tags")}
	}
	return page{tags: tags}
}

// goImports reads the tags of a page's head, those of proxies first; they hide the
// others of their prefix.
func goImports(body []byte) []Import {
	dec := xml.NewDecoder(bytes.NewReader(body))
	dec.Strict = false
	dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	var proxies, others []Import
	for {
		token, err := dec.RawToken()
		if err != nil {
			break
		}
		if end, ok := token.(xml.EndElement); ok && strings.EqualFold(end.Name.Local, "head") {
			break
		}
		start, ok := token.(xml.StartElement)
		if ok && strings.EqualFold(start.Name.Local, "body") {
			break
		}
		if !ok || !strings.EqualFold(start.Name.Local, "meta") || attribute(start, "name") != "go-import" {
			continue
		}
		f := strings.Fields(attribute(start, "content"))
		if len(f) != 3 && len(f) != 4 {
			continue
		}
		tag := Import{Prefix: f[0], VCS: f[1], Repo: f[2]}
		if len(f) == 4 {
			tag.Dir = f[3]
		}
		if tag.VCS == "mod" {
			proxies = append(proxies, tag)
		} else {
			others = append(others, tag)
		}
	}
	others = slices.DeleteFunc(others, func(o Import) bool {
		return slices.ContainsFunc(proxies, func(p Import) bool { return p.Prefix == o.Prefix })
	})
	return append(proxies, others...)
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if strings.EqualFold(a.Name.Local, name) {
			return a.Value
		}
	}
	return ""
}

// matching returns the one tag for the path; two of them are none, unless the first
// is a proxy and the second is not.
func matching(tags []Import, importPath string) (Import, bool) {
	var found []Import
	for _, t := range tags {
		if underPath(importPath, t.Prefix) {
			found = append(found, t)
		}
	}
	switch {
	case len(found) == 0, len(found) > 1 && (found[0].VCS != "mod" || found[1].VCS == "mod"):
		return Import{}, false
	}
	return found[0], true
}

// file fetches one file of the module; kind VCS stands for the tool's own traffic.
func (r *repo) file(kind Kind, name string) ([]byte, *failure) {
	if r.refused != nil {
		f := *r.refused
		f.hop = r.e.hop
		return nil, &f
	}
	if r.base == nil {
		u, err := url.Parse(r.vcs)
		if err != nil {
			return nil, r.e.fail(r.vcs)
		}
		a := r.e.ask(Request{Kind: VCS, Want: kind, Version: r.wanted(name)}, u)
		switch a.Status {
		case 200:
			return a.Body, nil
		case 404: // the revision, not the repository
			return nil, r.e.absent("unknown revision")
		}
		return nil, r.e.fail(r.tool)
	}
	u := *r.base
	u.Path += "/" + name
	u.RawPath += "/" + pathEscape(name)
	return r.e.body(kind, &u)
}

// wanted is the version in the name of a file.
func (r *repo) wanted(name string) string {
	name, ok := strings.CutPrefix(name, "@v/")
	if !ok || name == "list" {
		return ""
	}
	version, err := module.UnescapeVersion(strings.TrimSuffix(name, path.Ext(name)))
	if err != nil {
		return ""
	}
	return version
}

func (r *repo) versions() ([]string, *failure) {
	if r.list == nil && r.refused == nil && r.tool == "svn" { // go knows no tags there
		r.list = &listResult{}
	}
	if r.list == nil {
		data, f := r.file(List, "@v/list")
		r.list = &listResult{lines: strings.Split(string(data), "\n"), f: f}
		for _, line := range r.list.lines {
			if w := strings.Fields(line); len(w) > 0 && semver.IsValid(w[0]) && !module.IsPseudoVersion(w[0]) {
				r.list.versions = append(r.list.versions, w[0])
			}
		}
		semver.Sort(r.list.versions)
		if r.base != nil {
			r.fromAt = r.newestOfList()
		}
	}
	return r.list.versions, r.list.f
}

// newestOfList is what a proxy's list says of untagged versions.
func (r *repo) newestOfList() *latestResult {
	if r.list.f != nil {
		return &latestResult{f: r.list.f}
	}
	var best string
	var when time.Time
	for _, line := range r.list.lines {
		w := strings.Fields(line)
		if len(w) == 0 || !semver.IsValid(w[0]) {
			continue
		}
		var t time.Time
		switch {
		case len(w) > 1:
			t, _ = time.Parse(time.RFC3339, w[1])
		case module.IsPseudoVersion(w[0]):
			t, _ = module.PseudoVersionTime(w[0])
		default:
			continue
		}
		if when.Before(t) {
			best, when = w[0], t
		}
	}
	if best == "" {
		return &latestResult{f: r.e.absent("no commits")}
	}
	version, f := r.infoOf(best)
	return &latestResult{version, f}
}

// infoOf asks for a version's .info without looking into the cache.
func (r *repo) infoOf(version string) (string, *failure) {
	escaped, err := module.EscapeVersion(version)
	if err != nil {
		return "", r.e.fail("disallowed version string")
	}
	data, f := r.file(Info, "@v/"+escaped+".info")
	if f != nil || r.base == nil && data == nil {
		return version, f
	}
	return r.readInfo(data, version)
}

func (r *repo) readInfo(data []byte, asked string) (string, *failure) {
	var info struct {
		Version string
		Time    time.Time
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return "", r.e.fail("invalid response from proxy " + quoted(r.origin))
	}
	if asked != "" && info.Version != asked && asked == module.CanonicalVersion(asked) && module.Check(r.e.q.Module, asked) == nil {
		return "", r.e.fail("proxy returned info for version " + info.Version)
	}
	return info.Version, nil
}

// stat resolves a version, by the module cache, the memory of this process, or the
// server.
func (r *repo) stat(version string) (string, *failure) {
	if s, ok := r.stats[version]; ok {
		return s.version, s.f
	}
	if v, ok := r.e.info[version]; ok {
		r.stats[version] = statResult{v, nil}
		return v, nil
	}
	v, f := r.infoOf(version)
	r.stats[version] = statResult{v, f}
	if f == nil {
		r.e.info[v] = v
		if _, ok := r.stats[v]; !ok {
			r.stats[v] = statResult{v, nil}
		}
	}
	return v, f
}

func (r *repo) latest() (string, *failure) {
	if r.tip == nil {
		r.tip = &latestResult{}
		r.tip.version, r.tip.f = r.askLatest()
		if v := r.tip.version; r.tip.f == nil {
			if _, ok := r.stats[v]; !ok {
				r.stats[v] = statResult{v, nil}
			}
			r.e.info[v] = v
		}
	}
	return r.tip.version, r.tip.f
}

func (r *repo) askLatest() (string, *failure) {
	data, f := r.file(Latest, "@latest")
	switch {
	case f != nil && !f.notFound, r.base == nil && (f != nil || data == nil):
		return "", f
	case f != nil:
		_, _ = r.versions()
		return r.fromAt.version, r.fromAt.f
	}
	return r.readInfo(data, "")
}

func (r *repo) goMod(version string) ([]byte, *failure) {
	if m, ok := r.mods[version]; ok {
		return m.data, m.f
	}
	escaped, err := module.EscapeVersion(version)
	if err != nil {
		return nil, r.e.fail("disallowed version string")
	}
	data, f := r.file(Mod, "@v/"+escaped+".mod")
	if f == nil {
		f = r.e.verify(version+"/go.mod", func() (string, error) {
			return dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
				return io.NopCloser(bytes.NewReader(data)), nil
			})
		})
	}
	if f == nil {
		r.e.mods[version] = data
	}
	r.mods[version] = modResult{data, f}
	return data, f
}

// query resolves a version, or the latest where it is empty.
func (e *engine) query(version string) (string, *failure) {
	return e.queryAllowing(version, version == "" || version == "latest")
}

// queryAllowing leaves retracted versions out of what may be the latest where
// checked is set.
func (e *engine) queryAllowing(version string, checked bool) (found string, f *failure) {
	f = e.try(func(p entry) *failure {
		r := e.lookup(p)
		if version != "" && version != "latest" {
			var f *failure
			found, f = r.stat(version)
			return f
		}
		list, f := r.versions()
		if f != nil {
			return f
		}
		found, f = e.choose(r, list, checked)
		return f
	})
	return found, f
}

// choose picks the newest release, else the newest pre-release, else what the
// server calls the latest.
func (e *engine) choose(r *repo, list []string, checked bool) (string, *failure) {
	var release, pre string
	for _, v := range list {
		if checked {
			if retracted, _ := e.retracted(v); retracted {
				continue
			}
		}
		if semver.Prerelease(v) == "" {
			release = v
		} else {
			pre = v
		}
	}
	for _, v := range []string{release, pre} {
		if v != "" {
			return r.stat(v)
		}
	}
	v, f := r.latest()
	if f == nil {
		if checked {
			if retracted, _ := e.retracted(v); retracted {
				return "", e.fail("no matching versions for query")
			}
		}
		return r.stat(v)
	}
	if !f.notFound {
		return "", f
	}
	return "", e.fail("no matching versions for query")
}

// summary is what the simulated go knows of a go.mod.
type summary struct {
	retract []modfile.VersionInterval
	f       *failure
}

// retracted tells whether the newest version's go.mod withdraws v. A failure to
// learn it is its own.
func (e *engine) retracted(v string) (bool, *failure) {
	if e.latest == nil {
		e.latest = &latestResult{}
		e.latest.version, e.latest.f = e.queryAllowing("latest", false)
	}
	if e.latest.f != nil {
		f := *e.latest.f
		return false, &f
	}
	s, f := e.summary(e.latest.version)
	for _, r := range s.retract {
		if semver.Compare(r.Low, v) <= 0 && semver.Compare(v, r.High) <= 0 {
			return true, nil
		}
	}
	return false, f
}

// summary reads a version's go.mod, once.
func (e *engine) summary(version string) (summary, *failure) {
	if s, ok := e.summaries[version]; ok {
		return s, s.f
	}
	var s summary
	s.f = e.cacheMod(version)
	if s.f == nil {
		file, err := modfile.ParseLax("go.mod", e.mods[version], nil)
		if err != nil {
			s.f = e.fail("parsing go.mod")
		} else {
			for _, r := range file.Retract {
				s.retract = append(s.retract, r.VersionInterval)
			}
		}
	}
	e.summaries[version] = s
	return s, s.f
}

// cacheMod brings a version's go.mod into the module cache.
func (e *engine) cacheMod(version string) *failure {
	if _, ok := e.mods[version]; ok {
		return nil
	}
	return e.try(func(p entry) *failure {
		_, f := e.lookup(p).goMod(version)
		return f
	})
}

func (e *engine) listVersions() *failure {
	return e.try(func(p entry) *failure {
		list, f := e.lookup(p).versions()
		if f != nil {
			return f
		}
		for _, v := range list {
			if _, f := e.retracted(v); f != nil {
				return f // the newest version's absence counts as the list's
			}
		}
		return nil
	})
}

// has asks for one file of a version, and no more.
func (e *engine) has(kind Kind, version string) *failure {
	escaped, err := module.EscapeVersion(version)
	if err != nil {
		return e.fail("disallowed version string")
	}
	return e.try(func(p entry) *failure {
		_, f := e.lookup(p).file(kind, "@v/"+escaped+"."+string(kind))
		return f
	})
}

// downloadZip fetches the zip; what is wrong with its content is found out behind
// the list, when no other hop is asked any more.
func (e *engine) downloadZip(version string) *failure {
	var data []byte
	at := -1
	f := e.try(func(p entry) *failure {
		escaped, err := module.EscapeVersion(version)
		if err != nil {
			return e.fail("disallowed version string")
		}
		at = e.hop
		var f *failure
		data, f = e.lookup(p).file(Zip, "@v/"+escaped+".zip")
		return f
	})
	if f != nil {
		return f
	}
	e.hop = at
	var in io.ReaderAt = bytes.NewReader(data)
	size := int64(len(data))
	if e.zip != nil {
		in, size = e.zip, e.zipSize
	}
	names, open, err := openZip(in, size)
	if err != nil {
		return e.fail("zip: not a valid zip file")
	}
	for _, n := range names {
		if !strings.HasPrefix(n, e.q.Module+"@"+version+"/") {
			return e.fail("has unexpected file")
		}
	}
	if f := e.verify(version, func() (string, error) { return dirhash.Hash1(names, open) }); f != nil {
		return f
	}
	if err := module.Check(e.q.Module, version); err != nil { // noticed when the zip is unpacked
		return e.fail("invalid version")
	}
	return nil
}

// errTooLarge is what go says of a module that is larger than it unpacks.
var errTooLarge = errors.New("module source tree too large")

func openZip(in io.ReaderAt, size int64) (names []string, open func(string) (io.ReadCloser, error), err error) {
	z, err := zip.NewReader(in, size)
	if err != nil {
		return nil, nil, err
	}
	files := map[string]*zip.File{}
	room := uint64(modzip.MaxZipFile)
	for _, f := range z.File {
		if f.UncompressedSize64 > room {
			return nil, nil, errTooLarge
		}
		room -= f.UncompressedSize64
		names = append(names, f.Name)
		files[f.Name] = f
	}
	return names, func(name string) (io.ReadCloser, error) {
		if f := files[name]; f != nil {
			return f.Open()
		}
		return nil, errors.New("no such file in the zip")
	}, nil
}
