//go:build unix

package faultlab

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/moved"
)

// Lost is a name that a project asks for in vain, what the world knows of it, and what
// a person who knows that world would propose. To add one, write its story into
// lostNames.
type Lost struct {
	// Name is unique and in kebab case; Story is what happened, in a sentence.
	Name, Story string
	// Asked is what doctor is asked: MODULE[@VERSION], npm:NAME[@VERSION], pypi:NAME[==VERSION].
	Asked string
	// Has are the modules of the registry: "path version,version [directory,directory]";
	// "path ()" has no version but the one of Latest.
	Has []string
	// Mods are go.mod texts in place of the usual one, by path@version; Latest what @latest
	// answers, by path.
	Mods, Latest map[string]string
	// Hosts answer for code: by host/path "200", "404", "301 URL", "import PREFIX git URL" or a
	// document that begins with "{". Forges know every repository of Has; a host that
	// neither is a forge nor named here does not exist.
	Hosts map[string]string
	// Require, Sum and Cache are "path version" of the project's go.mod and go.sum, beside
	// the one asked, and of its module cache.
	Require, Sum, Cache []string
	// Packages are of npm and PyPI: "version,version [deprecated: text]". Those of Second are
	// at the second index or registry.
	Packages, Second map[string]string
	// Import is what the project imports; empty: what is asked. Version that the project
	// requires; empty: the one asked, or v1.0.0.
	Import, Wants string
	// Files are added to the project, or replace what it has.
	Files map[string]string
	// Env are pairs of name and value. Refuses is the registry's status for everything.
	Env     []string
	Refuses int

	// Kind, To, Version and Mend are the right proposal; no Mend: none may be made. Other are
	// mends that must be among the proposals, too.
	Kind        moved.Kind
	To, Version string
	Mend        moved.Mend
	Other       []moved.Mend
	// Silent says that nobody may be asked.
	Silent bool
	// Builds says that `go build ./...` fails before the first proposal is carried out and
	// passes afterwards.
	Builds bool
}

// Subject are the parts of Asked.
func (c Lost) Subject() (eco moved.Ecosystem, path, version string) {
	eco, path = moved.Go, c.Asked
	if rest, ok := strings.CutPrefix(path, "npm:"); ok {
		eco, path = moved.Npm, rest
	}
	if rest, ok := strings.CutPrefix(path, "pypi:"); ok {
		path, version, _ = strings.Cut(rest, "==")
		return moved.PyPI, path, version
	}
	if at := strings.LastIndex(path, "@"); at > 0 {
		path, version = path[:at], path[at+1:]
	}
	return eco, path, version
}

// World is where a [Lost] is lost: the servers, which note what they are asked.
type World struct {
	Lab *Lab
	mu  sync.Mutex
	got []string
}

// Asked are the requests that came, as "HOST METHOD PATH".
func (w *World) Asked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Concat(w.got, w.Lab.Strays())
}

// noted has the requests to a host noted.
func (w *World) noted(host string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.got = append(w.got, host+" "+r.Method+" "+r.URL.RequestURI())
		w.mu.Unlock()
		h.ServeHTTP(rw, r)
	})
}

// lostForges are the forges of every world.
func lostForges() []string { return []string{"github.com", "gitlab.com"} }

// Open builds the world and the project in l.
func (c Lost) Open(l *Lab) *World {
	l.T.Helper()
	w := &World{Lab: l}
	registry := c.registry(l)
	if c.Refuses != 0 {
		registry = status(c.Refuses, "refused by policy\n")
	}
	put := func(host string, h http.Handler) { l.HTTPS(host, w.noted(host, h)) }
	put("goproxy.example.org", registry)
	put("npm.example.org", c.npm(c.Packages))
	put("npm.example.com", c.npm(c.Second))
	put("pypi.example.org", c.pypi(c.Packages))
	put("pypi.example.com", c.pypi(c.Second))
	sites := map[string]bool{}
	for at := range c.Hosts {
		host, _, _ := strings.Cut(at, "/")
		sites[host] = true
	}
	for _, host := range lostForges() {
		sites[host] = true
	}
	for host := range sites {
		put(host, c.site(host))
	}
	l.Set("GOFLAGS", "-mod=mod", "GOSUMDB", "off")
	l.Set(c.Env...)
	c.project(l)
	return w
}

// modules are the versions that the registry has.
func (c Lost) modules() (mods []mod, empty []string) {
	for _, line := range c.Has {
		f := strings.Fields(line)
		if f[1] == "()" {
			empty = append(empty, f[0])
			continue
		}
		for version := range strings.SplitSeq(f[1], ",") {
			m := newMod(f[0], version, "p.go", "// Package p is there to be imported.\npackage p\n")
			if len(f) > 2 {
				for dir := range strings.SplitSeq(f[2], ",") {
					m.files[dir+"/q.go"] = "// Package q is there to be imported.\npackage q\n"
				}
			}
			if text, ok := c.Mods[f[0]+"@"+version]; ok {
				m.files["go.mod"] = text
			} else if strings.HasSuffix(version, "+incompatible") {
				m.files["go.mod"] = "module " + f[0] + "\n"
			}
			mods = append(mods, m)
		}
	}
	return mods, empty
}

func (c Lost) registry(l *Lab) http.Handler {
	mods, empty := c.modules()
	for path, version := range c.Latest {
		mods = append(mods, newMod(path, version, "p.go", "package p\n"))
	}
	h := goproxy(l.T, mods...)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		name, what, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/@")
		path, err := module.UnescapePath(name)
		switch {
		case err != nil:
		case what == "v/list" && (slices.Contains(empty, path) || c.Latest[path] != ""):
			var tagged []string
			for _, m := range mods {
				if m.path == path && !module.IsPseudoVersion(m.version) {
					tagged = append(tagged, m.version+"\n")
				}
			}
			_, _ = io.WriteString(rw, strings.Join(tagged, ""))
			return
		case what == "latest" && c.Latest[path] != "":
			_, _ = fmt.Fprintf(rw, `{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, c.Latest[path])
			return
		}
		h.ServeHTTP(rw, r)
	})
}

// site is a host of code.
func (c Lost) site(host string) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		at := host + strings.TrimSuffix(strings.TrimSuffix(r.URL.Path, "/"), ".git")
		answer, ok := c.Hosts[at]
		for dir := at; !ok && strings.Contains(dir, "/"); dir = dir[:strings.LastIndex(dir, "/")] {
			if a, there := c.Hosts[dir]; there && strings.HasPrefix(a, "import ") {
				answer, ok = a, true
			}
		}
		if !ok && slices.ContainsFunc(c.Has, func(line string) bool { return strings.HasPrefix(strings.Fields(line)[0]+"/", at+"/") }) && strings.Count(at, "/") == 2 {
			answer = "200"
		}
		word, rest, _ := strings.Cut(answer, " ")
		switch code, _ := strconv.Atoi(word); {
		case strings.HasPrefix(answer, "{"):
			rw.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(rw, answer)
		case word == "import":
			_, _ = fmt.Fprintf(rw, "<html><head><meta name=\"go-import\" content=\"%s\"></head></html>\n", rest)
		case code >= 300 && code < 400:
			http.Redirect(rw, r, rest, code)
		case code == 200:
			_, _ = io.WriteString(rw, "<html><head><title>"+at+"</title></head></html>\n")
		default:
			http.NotFound(rw, r)
		}
	})
}

func (c Lost) npm(packages map[string]string) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		line, ok := packages[name]
		if !ok {
			rw.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(rw, `{"error":"Not found"}`)
			return
		}
		list, deprecated, _ := strings.Cut(line, " deprecated: ")
		all := strings.Split(list, ",")
		versions := map[string]any{}
		for _, v := range all {
			one := map[string]any{"name": name, "version": v, "dist": map[string]any{"tarball": "https://npm.example.org/" + name + "/-/x-" + v + ".tgz"}}
			if deprecated != "" {
				one["deprecated"] = deprecated
			}
			versions[v] = one
		}
		_ = json.NewEncoder(rw).Encode(map[string]any{"name": name, "dist-tags": map[string]string{"latest": all[len(all)-1]}, "versions": versions})
	})
}

func (c Lost) pypi(projects map[string]string) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		name := strings.Trim(strings.TrimPrefix(r.URL.Path, "/simple"), "/")
		line, ok := projects[name]
		if !ok {
			http.NotFound(rw, r)
			return
		}
		_, _ = io.WriteString(rw, "<!DOCTYPE html><html><body>\n")
		for v := range strings.SplitSeq(line, ",") {
			file := strings.ReplaceAll(name, "-", "_") + "-" + v + "-py3-none-any.whl"
			_, _ = fmt.Fprintf(rw, "<a href=\"/files/%s\">%s</a>\n", file, file)
		}
		_, _ = io.WriteString(rw, "</body></html>\n")
	})
}

// project writes what asks for the name.
func (c Lost) project(l *Lab) {
	eco, path, version := c.Subject()
	switch eco {
	case moved.Npm:
		want := version
		if want == "" {
			want = "*"
		}
		l.Files("package.json", fmt.Sprintf("{\n  \"name\": \"app\",\n  \"private\": true,\n  \"dependencies\": {\n    %q: %q\n  }\n}\n", path, want))
	case moved.PyPI:
		if version != "" {
			version = "==" + version
		}
		l.Files("requirements.txt", path+version+"\n")
	default:
		if c.Wants != "" {
			version = c.Wants
		} else if version == "" {
			version = "v1.0.0"
		}
		imported := c.Import
		if imported == "" {
			imported = path
		}
		lines := "\t" + path + " " + version + "\n"
		imports := "\t_ " + strconv.Quote(imported) + "\n"
		for _, r := range c.Require {
			lines += "\t" + r + "\n"
			imports += "\t_ " + strconv.Quote(strings.Fields(r)[0]) + "\n"
		}
		l.Files(
			"go.mod", "module example.org/app\n\ngo 1.20\n\nrequire (\n"+lines+")\n",
			"app.go", "package app\n\nimport (\n"+imports+")\n",
		)
		sums := ""
		for _, s := range c.Sum {
			sums += s + " h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
		}
		if sums != "" {
			l.Files("go.sum", sums)
		}
		for _, held := range c.Cache {
			c.hold(l, held)
		}
	}
	for name, text := range c.Files {
		l.Files(name, text)
	}
}

// hold puts a module into the module cache, as a download leaves it.
func (c Lost) hold(l *Lab, held string) {
	f := strings.Fields(held)
	m := newMod(f[0], f[1], "p.go", "// Package p is there to be imported.\npackage p\n")
	escaped, err := module.EscapePath(f[0])
	l.check(err)
	at := filepath.Join(l.Home, "go/pkg/mod/cache/download", escaped, "@v", f[1])
	l.write(at+".info", m.info())
	l.write(at+".mod", m.files["go.mod"])
	l.write(at+".zip", string(m.zip(l.T)))
}
