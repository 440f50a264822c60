package moved

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
)

// standing is what a registry says of a name.
type standing int

const (
	open   standing = iota // nobody said
	absent                 // the registry has not got it
	known
)

// listing is what the registries of a path say of it.
type listing struct {
	standing standing
	// versions are the released ones, oldest first; latest is the one that the registry
	// calls the newest, where none is released or the order of versions does not tell.
	versions []string
	latest   string
	// proxy answered; status is what the last one said.
	proxy  *url.URL
	status int
}

// newest is the highest release, else the highest of all, else what was called so.
func (l listing) newest() string {
	if l.latest != "" {
		return l.latest
	}
	for _, v := range slices.Backward(l.versions) {
		if semver.Prerelease(v) == "" {
			return v
		}
	}
	if n := len(l.versions); n > 0 {
		return l.versions[n-1]
	}
	return l.latest
}

// mixed tells a list in which +incompatible versions come after one without: go passes
// them over where that one has a go.mod, which the list does not say.
func (l listing) mixed() bool {
	n := len(l.versions)
	return n > 0 && strings.HasSuffix(l.versions[n-1], "+incompatible") && l.compatible() != ""
}

// compatible is the highest release that is not +incompatible; "" none.
func (l listing) compatible() string {
	for _, v := range slices.Backward(l.versions) {
		if semver.Build(v) == "" && semver.Prerelease(v) == "" {
			return v
		}
	}
	return ""
}

func (l listing) has(version string) bool { return slices.Contains(l.versions, version) }

// shown is the listing as evidence.
func (l listing) shown(path string) keepwell.Evidence {
	text := path + ": "
	switch n := len(l.versions); {
	case l.proxy == nil || l.standing != known:
		text += strconv.Itoa(l.status)
	case n == 0:
		text += "@latest = " + l.latest
	case n <= 4:
		text += strings.Join(l.versions, " ")
	default:
		text += fmt.Sprintf("%s … %s", l.versions[0], strings.Join(l.versions[n-3:], " "))
	}
	if l.proxy != nil {
		text = l.proxy.Host + ": " + text
	}
	return keepwell.Evidence{Source: "probe", Text: mask.Text(text)}
}

// mostProxies bounds how many entries of GOPROXY are asked for one path.
const mostProxies = 2

// list asks the registries of a path which versions it has; once.
func (f *finder) list(ctx context.Context, path string) listing {
	if l, ok := f.told[path]; ok {
		return l
	}
	l := f.listing(ctx, path)
	if f.told == nil {
		f.told = map[string]listing{}
	}
	f.told[path] = l
	return l
}

func (f *finder) listing(ctx context.Context, path string) listing {
	escaped, err := module.EscapePath(path)
	if err != nil || f.Route == nil {
		return listing{}
	}
	r := f.Route(path)
	if !r.Private.IsZero() {
		return listing{}
	}
	var l listing
	for _, p := range r.Proxies[:min(len(r.Proxies), mostProxies)] {
		l.proxy = p
		a := f.follow(ctx, Registered, at(p, escaped, "@v/list"), mostList, nil)
		l.status = a.status
		switch {
		case a.found():
			l.versions = readVersions(a.body)
			if len(l.versions) == 0 || l.mixed() {
				l.latest = f.latest(ctx, p, escaped)
			}
			if len(l.versions) > 0 || l.latest != "" {
				l.standing = known
				return l
			}
			l.standing = absent
		case a.absent():
			l.standing = absent
		default:
			l.standing = open
			return l
		}
	}
	return l
}

func (f *finder) latest(ctx context.Context, p *url.URL, escaped string) string {
	a := f.follow(ctx, Registered, at(p, escaped, "@latest"), mostMod, nil)
	var info struct{ Version string }
	if !a.found() || json.Unmarshal(a.body, &info) != nil || !semver.IsValid(info.Version) || !keepwell.ValidFact("version", info.Version) {
		return ""
	}
	return info.Version
}

func at(p *url.URL, escaped, rest string) *url.URL {
	u := *p
	u.Path = strings.TrimRight(p.Path, "/") + "/" + escaped + "/" + rest
	u.RawPath, u.RawQuery, u.User = "", "", nil
	return &u
}

const mostVersions = 5000

func readVersions(body []byte) []string {
	var out []string
	for line := range strings.Lines(string(body)) {
		v, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if semver.IsValid(v) && !module.IsPseudoVersion(v) && len(v) < 100 && len(out) < mostVersions && keepwell.ValidFact("version", v) {
			out = append(out, v)
		}
	}
	semver.Sort(out)
	return slices.Compact(out)
}

// exists asks whether a registry has a version that its list does not show.
func (f *finder) exists(ctx context.Context, l listing, path, version string) (yes, sure bool) {
	p, err1 := module.EscapePath(path)
	v, err2 := module.EscapeVersion(version)
	if err1 != nil || err2 != nil || l.proxy == nil {
		return false, false
	}
	a := f.follow(ctx, Versions, at(l.proxy, p, "@v/"+v+".info"), mostMod, nil)
	return a.found(), a.found() || a.absent()
}

// goMod reads the go.mod of a version; nil where it cannot be had.
func (f *finder) goMod(ctx context.Context, l listing, path, version string) *modfile.File {
	p, err1 := module.EscapePath(path)
	v, err2 := module.EscapeVersion(version)
	if err1 != nil || err2 != nil || l.proxy == nil || version == "" {
		return nil
	}
	a := f.follow(ctx, Migration, at(l.proxy, p, "@v/"+v+".mod"), mostMod, nil)
	if !a.found() {
		return nil
	}
	mod, err := modfile.ParseLax("go.mod", a.body, nil)
	if err != nil || mod.Module == nil || module.CheckPath(mod.Module.Mod.Path) != nil {
		return nil
	}
	return mod
}

// contains looks into the zip of a version for a package: into its directory, which is
// at its end. sure is false where it cannot be told.
func (f *finder) contains(ctx context.Context, l listing, path, version, dir string) (has, sure bool) {
	if has, known := f.Here.holds(path, dir); known {
		return has, true
	}
	p, err1 := module.EscapePath(path)
	v, err2 := module.EscapeVersion(version)
	if err1 != nil || err2 != nil || l.proxy == nil {
		return false, false
	}
	const tail = 256 << 10
	a := f.follow(ctx, Registered, at(l.proxy, p, "@v/"+v+".zip"), mostZip, http.Header{"Range": {"bytes=-" + strconv.Itoa(tail)}})
	if !a.found() {
		return false, false
	}
	size := int64(len(a.body))
	if _, total, ok := strings.Cut(a.header.Get("Content-Range"), "/"); a.status == http.StatusPartialContent && ok {
		if n, err := strconv.ParseInt(total, 10, 64); err == nil && n >= size {
			size = n
		}
	}
	r, err := zip.NewReader(&end{a.body, size}, size)
	if err != nil {
		return false, false
	}
	return packaged(r.File, path+"@"+version, dir), true
}

// end is the end of a file of which the beginning was not read.
type end struct {
	data []byte
	size int64
}

func (e *end) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(e.data).ReadAt(p, off-(e.size-int64(len(e.data))))
}
