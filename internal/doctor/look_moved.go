package doctor

import (
	"cmp"
	"context"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/moved"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/route"
)

// MovedRoute tells where a module may be asked for when it is looked for: where go would
// ask, and at the host that its path names. Nobody is asked about what looks private, or
// where GOPROXY is off.
func MovedRoute(cfg route.Config) func(path string) moved.Route {
	return func(path string) moved.Route {
		for _, name := range []string{"GOPRIVATE", "GONOPROXY"} {
			if v := cfg.Env.Value(name); v != "" && module.MatchPrefixPatterns(v, path) {
				return moved.Route{Private: msg.Because("moved.private.pattern", name+"="+v)}
			}
		}
		host, _, _ := strings.Cut(path, "/")
		if !observe.Public(host, nil) {
			return moved.Route{Private: msg.Because("moved.private.host")}
		}
		plan := route.Plan(cfg, route.Query{Module: path})
		if len(plan.Leaks) > 0 {
			return moved.Route{Private: msg.Because("moved.private.mark")}
		}
		var r moved.Route
		for _, h := range plan.Hops {
			switch {
			case h.Kind == route.Off && len(r.Proxies) == 0 && !r.Code:
				return moved.Route{Private: msg.Because("moved.private.off")}
			case h.Passed != nil:
			case h.Kind == route.Proxy:
				if u, err := url.Parse(h.Base); err == nil && (u.Scheme == "https" || u.Scheme == "http") {
					r.Proxies = append(r.Proxies, u)
				}
			case h.Kind == route.ByItem, h.Kind == route.NoProxy:
				r.Code = true
			}
		}
		r.Code = true
		return r
	}
}

// Registries are those in force for a package of npm and for the projects of PyPI;
// empty where none is known.
type Registries struct{ Npm, PyPI string }

// MovedHere gathers what a search for a name may use: where to ask, and what the project
// in dir and the module cache know.
func MovedHere(ctx context.Context, dir, modcache string, cfg route.Config, s Subject, at Registries) (func(string) moved.Route, moved.Here) {
	switch s.Ecosystem {
	case Npm:
		manifest, _ := readRegular(filepath.Join(dir, "package.json"), largestMod)
		lock, _ := readRegular(filepath.Join(dir, "package-lock.json"), 32<<20)
		npmrc, _ := readRegular(filepath.Join(dir, ".npmrc"), largestMod)
		return packageRoute(cmp.Or(scopeRegistry(string(npmrc), s.Path), at.Npm)), moved.NpmHere(manifest, lock, s.Path)
	case PyPI:
		var files [][]byte
		names, _ := filepath.Glob(filepath.Join(dir, "requirements*.txt"))
		for _, name := range names[:min(len(names), 20)] {
			if data, err := readRegular(name, 1<<20); err == nil {
				files = append(files, data)
			}
		}
		return packageRoute(at.PyPI), moved.PyPIHere(files, s.Path)
	}
	limited, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return MovedRoute(cfg), moved.GoHere(limited, filepath.Join(dir, "go.mod"), filepath.Join(dir, "go.sum"), modcache, s.Path)
}

// packageRoute asks one registry for every package, and none that is not public.
func packageRoute(base string) func(string) moved.Route {
	return func(string) moved.Route {
		u, err := url.Parse(base)
		switch {
		case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
			return moved.Route{}
		case !observe.Public(u.Hostname(), nil):
			return moved.Route{Private: msg.Because("moved.private.registry")}
		}
		return moved.Route{Proxies: []*url.URL{u}}
	}
}

// scopeRegistry is the registry that an .npmrc gives to the scope of a package.
func scopeRegistry(npmrc, name string) string {
	scope, _, ok := strings.Cut(name, "/")
	if !ok || !strings.HasPrefix(scope, "@") {
		return ""
	}
	for line := range strings.Lines(npmrc) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && strings.TrimSpace(k) == scope+":registry" {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
