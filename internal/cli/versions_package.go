package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/proc"
	"github.com/keepwell/keepwell/internal/route"
	"github.com/keepwell/keepwell/internal/settings"
	"github.com/keepwell/keepwell/internal/trace"
)

// packageVersions asks the registry in force for a package of npm or Python.
func packageVersions(ctx context.Context, o versionsOptions, eco, name string) (listing, error) {
	if !keepwell.ValidFact("package", name) || strings.Contains(name, "..") || len(name) > 214 {
		return listing{}, &failure{exit: exitUsage, key: "versions.name", args: []any{name}, hint: "hint.versions.module"}
	}
	registry := o.registry
	if registry == "" {
		var err error
		if registry, err = registryOf(ctx, eco, name); err != nil {
			return listing{}, &failure{exit: exitError, key: "versions.registry", args: []any{eco, mask.Text(err.Error())}, hint: "hint.versions.registry", unwrapped: err}
		}
	}
	env := goenv.Env{}
	for k, v := range goenv.Environment() {
		env[k] = goenv.Setting{Value: v, Origin: goenv.FromOS}
	}
	v, err := trace.Package(ctx, trace.Options{Config: route.Config{Env: env}, All: o.timeout, Silent: o.silent}, eco, registry, name)
	switch {
	case ctx.Err() != nil:
		return listing{}, ended(ctx, o)
	case err != nil:
		return listing{}, &failure{exit: exitError, key: "versions.failed", args: []any{mask.Text(err.Error())}, hint: "hint.versions.registry", unwrapped: err}
	}
	l := listing{name: name, all: o.all, found: v, target: keepwell.Target{Kind: "module", Name: eco + ":" + name}}
	if text := v.Sources[0].Text; text != "" {
		l.findings = packageFindings(v.Sources[0], name, text)
	}
	return l, nil
}

// packageFindings name why a registry did not answer.
func packageFindings(s trace.Source, name, text string) []keepwell.Finding {
	status := s.Report.Requests[0].Status
	code := s.Report.GaveUp
	switch {
	case code != "":
	case status == 404 || status == 410:
		code = "proxy/not-found"
	case status == 401:
		code = "proxy/unauthorized"
	case status == 403:
		code = "proxy/forbidden"
	case status == 429:
		code = "proxy/rate-limited"
	case status >= 500:
		code = "proxy/server-error"
	case status == 0:
		code = "net/unreachable"
	default:
		code = "proxy/bad-response"
	}
	facts := keepwell.Facts{}
	for k, v := range map[string]string{"package": name, "proxy": s.Name, "host": s.Name} {
		if keepwell.ValidFact(k, v) {
			facts[k] = v
		}
	}
	return []keepwell.Finding{{Code: code, Confidence: 0.9, Facts: facts, Evidence: []keepwell.Evidence{{Source: "probe", Text: mask.Text(text)}}}}
}

var errNoRegistry = errors.New("no file and no tool names one")

// registryOf is the registry in force: what the settings say, else what the tool itself
// has for its default.
func registryOf(ctx context.Context, eco, name string) (string, error) {
	s, err := settings.Load(ctx, "")
	if err != nil && !errors.Is(err, settings.ErrNoGo) {
		return "", err
	}
	if eco == "npm" {
		scope, _, scoped := strings.Cut(name, "/")
		if v := inForce(s.Npm, scope+":registry"); scoped && v != "" {
			return v, nil
		}
		if v := inForce(s.Npm, "registry"); v != "" {
			return v, nil
		}
		return toolDefault(ctx, "npm", "config", "get", "registry")
	}
	if v := inForce(s.Pip, "index-url"); v != "" {
		return v, nil
	}
	return toolDefault(ctx, "python3", "-c", "from pip._internal.models.index import PyPI; print(PyPI.simple_url)")
}

func inForce(list []settings.Entry, name string) string {
	for _, e := range list {
		if e.InForce && e.Name == name {
			return e.Value
		}
	}
	return ""
}

func toolDefault(ctx context.Context, name string, args ...string) (string, error) {
	out, err := proc.Output(ctx, proc.Options{}, name, args...)
	if err != nil {
		return "", err
	}
	if v := strings.TrimSpace(string(out)); strings.HasPrefix(v, "http") {
		return v, nil
	}
	return "", errNoRegistry
}
