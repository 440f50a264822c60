package doctor

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/scratch"
)

// identity holds the modules in question, which are in modCache, to what they say of
// themselves: `go mod download` takes what `go get` would refuse, a module that names
// another path as its own.
func (c *Case) identity(modCache string) []keepwell.Finding {
	var out []keepwell.Finding
	for _, s := range c.Asked {
		path, err := module.EscapePath(s.Path)
		if s.Ecosystem != Go || err != nil || !exactVersion(s.Version) {
			continue
		}
		version, err := module.EscapeVersion(s.Version)
		if err != nil {
			continue
		}
		name := filepath.Join(modCache, "cache", "download", filepath.FromSlash(path), "@v", version+".mod")
		data, err := plainfile.Read(name)
		if err != nil {
			continue
		}
		f, err := modfile.ParseLax(name, data, nil)
		if err != nil || f.Module == nil || f.Module.Mod.Path == s.Path {
			continue
		}
		code := keepwell.Code("module/moved")
		if strings.EqualFold(f.Module.Mod.Path, s.Path) {
			code = "module/case"
		}
		out = append(out, seen(code, keepwell.SeverityError, 0.95, c.Say("doctor.identity.other", s.String(), f.Module.Mod.Path),
			"module", s.Path, "version", s.Version, "newpath", f.Module.Mod.Path))
	}
	return out
}

// advice is what authors say of the versions in question: withdrawn, or the whole module
// given up. It is asked beside what was fetched into dir; settings come on top of the
// user's own.
func (c *Case) advice(ctx context.Context, dir string, settings ...string) []keepwell.Finding {
	var out []keepwell.Finding
	env := append([]string{"GOTOOLCHAIN=local", "GOWORK=off", "GOMODCACHE=" + filepath.Join(dir, "mod"), "GOPATH=" + filepath.Join(dir, "gopath"), "GOFLAGS=-modcacherw"}, settings...)
	for _, s := range c.Asked {
		asked := s
		if asked.Version == "" {
			asked.Version = "latest"
		} else if !exactVersion(s.Version) {
			continue
		}
		if s.Ecosystem != Go || module.CheckPath(s.Path) != nil {
			continue
		}
		r := c.runGo(ctx, dir, env, "list", "-m", "-u", "-retracted", "-json", asked.String())
		var m struct {
			Deprecated string
			Retracted  []string
		}
		if !r.ok() || json.Unmarshal(r.Stdout, &m) != nil {
			continue
		}
		if len(m.Retracted) > 0 {
			out = append(out, seen("version/retracted", keepwell.SeverityInfo, 0.95, c.Say("doctor.identity.retracted", s.String(), mask.Text(strings.Join(m.Retracted, "; "))),
				"module", s.Path, "version", s.Version))
		}
		if m.Deprecated != "" {
			out = append(out, seen("module/deprecated", keepwell.SeverityInfo, 0.95, c.Say("doctor.identity.deprecated", s.Path, mask.Text(m.Deprecated)), "module", s.Path))
		}
	}
	return out
}

// cachedAdvice asks the user's module cache alone.
func (c *Case) cachedAdvice(ctx context.Context) []keepwell.Finding {
	dir, err := os.MkdirTemp("", "keepwell-doctor-")
	if err != nil {
		return nil
	}
	defer scratch.Remove(dir)
	if c.scratch(dir) != nil {
		return nil
	}
	cache := filepath.ToSlash(filepath.Join(c.Settings.Env.Value("GOMODCACHE"), "cache", "download"))
	return c.advice(ctx, dir, "GOPROXY=file://"+cache+",off", "GONOPROXY=none", "GOPRIVATE=none", "GOSUMDB=off")
}
