package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/keepwell/keepwell"
)

// What registries are asked to answer in: npm's short documents, pip's JSON, else its
// pages.
const (
	npmAccept  = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8"
	pypiAccept = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.2, text/html; q=0.01"
)

var npmNames = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:@[a-z0-9~-][a-z0-9._~-]*/)?[A-Za-z0-9_~-][A-Za-z0-9._~-]*$`)
})

// npmName reports whether name is a package's and no service of the registry ("-/ping").
func npmName(name string) bool {
	return name != "-" && len(name) <= 214 && npmNames().MatchString(name)
}

var pyNames = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$`)
})

func pyName(name string) bool { return len(name) <= 214 && pyNames().MatchString(name) }

var separators = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[-_.]+`) })

// packaged makes of a missing file a missing package, and says whose tool it concerns.
func (s *session) packaged(r Result, tool string) Result {
	r.Tool = tool
	if r.Code == "proxy/not-found" && s.target.Package != "" {
		r.Code, r.Key, r.Args = "module/missing-or-private", "probe.registry.absent", []string{s.target.Package}
	}
	if r.Facts != nil && keepwell.ValidFact("package", s.target.Package) {
		r.Facts["package"] = s.target.Package
	}
	return r
}

// npm asks the registry whether it is one, or for a package's document.
func (s *session) npm(ctx context.Context) []Result {
	if s.target.Package == "" {
		return []Result{s.ping(ctx)}
	}
	name := strings.Replace(s.target.Package, "/", "%2f", 1)
	a, r := s.data(ctx, ask{url: s.target.Registry + "/" + name, accept: npmAccept})
	if a == nil {
		return []Result{s.packaged(r, "npm")}
	}
	got, versions, ok := document(a.body)
	if !ok && !a.cut || got != "" && got != s.target.Package {
		r.Key, r.Code = "probe.registry.garbage", "proxy/bad-response"
		return []Result{s.packaged(r, "npm")}
	}
	if a.cut || versions == 0 {
		return []Result{{State: Yes, Key: "probe.registry.document", Args: []string{s.target.Package}}}
	}
	return []Result{{State: Yes, Key: "probe.registry.versions", Args: []string{s.target.Package, strconv.Itoa(versions)}}}
}

// ping is npm's question whether a registry is there. Mirrors that do not know it
// still are registries.
func (s *session) ping(ctx context.Context) Result {
	q := ask{url: s.target.Registry + "/-/ping", accept: "application/json"}
	a, err := s.fetch(ctx, q)
	if err != nil {
		return s.failed(a, err)
	}
	if a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed {
		return Result{State: Yes, Key: "probe.registry.noping", Args: []string{strconv.Itoa(a.status)}}
	}
	a, r := s.dataOf(a, q)
	if a == nil {
		return s.packaged(r, "npm")
	}
	return Result{State: Yes, Key: "probe.registry.ping"}
}

// document reads the name and counts the versions of a package's document, which may
// be cut: ok says that it is whole.
func document(body []byte) (name string, versions int, ok bool) {
	var doc struct {
		Name     string                     `json:"name"`
		Versions map[string]json.RawMessage `json:"versions"`
	}
	if json.Unmarshal(body, &doc) == nil {
		return doc.Name, len(doc.Versions), doc.Name != ""
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return "?", 0, false
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			break
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			break
		}
		if key == "name" && json.Unmarshal(value, &name) == nil {
			break
		}
	}
	return name, 0, false
}

// pypi asks the index for a project's page, else only whether it is there.
func (s *session) pypi(ctx context.Context) []Result {
	if s.target.Package == "" {
		a, r := s.data(ctx, ask{url: s.target.Index + "/", method: http.MethodHead, accept: pypiAccept, page: true})
		if a == nil && (len(r.Args) != 1 || r.Args[0] != strconv.Itoa(http.StatusMethodNotAllowed)) {
			return []Result{s.packaged(r, "pip")}
		}
		return []Result{{State: Yes, Key: "probe.registry.index"}}
	}
	name := strings.ToLower(separators().ReplaceAllString(s.target.Package, "-"))
	a, r := s.data(ctx, ask{url: s.target.Index + "/" + url.PathEscape(name) + "/", accept: pypiAccept, page: true})
	if a == nil {
		return []Result{s.packaged(r, "pip")}
	}
	if !simple(a) {
		r.Key, r.Code, r.Rival = "probe.html", "proxy/bad-response", "net/intercepted"
		if len(a.hops) > 0 && !strings.EqualFold(a.final.Hostname(), s.target.Host) {
			r.Key, r.Args, r.Code, r.Rival = "probe.html.elsewhere", []string{clip(a.final.Host)}, "net/intercepted", ""
		}
		return []Result{s.packaged(r, "pip")}
	}
	return []Result{{State: Yes, Key: "probe.registry.document", Args: []string{s.target.Package}}}
}

// simple reports whether an answer is an index's page of a project: JSON with files, or
// HTML that links them and has nothing to fill in.
func simple(a *answer) bool {
	body := bytes.ToLower(a.body)
	if strings.Contains(a.header.Get("Content-Type"), "json") {
		return bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) && (bytes.Contains(body, []byte(`"files"`)) || bytes.Contains(body, []byte(`"api-version"`)))
	}
	if bytes.Contains(body, []byte("pypi:repository-version")) {
		return true
	}
	form := bytes.Contains(body, []byte("<form")) || bytes.Contains(body, []byte("<input"))
	return !form && (bytes.Contains(body, []byte("<a ")) || bytes.Contains(body, []byte("links for")))
}
