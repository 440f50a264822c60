package settings

import (
	"net/url"
	"slices"
	"strings"

	"github.com/keepwell/keepwell"
)

func (e Entry) lint(id string, severity keepwell.Severity, code keepwell.Code, args ...string) Lint {
	return Lint{ID: id, Severity: severity, Code: code, Name: e.Name, File: e.File, Line: e.Line, Args: args}
}

// registryFault says what is wrong with the address of a registry or index.
func registryFault(v string) (id string, severity keepwell.Severity, code keepwell.Code) {
	if strings.Contains(v, "${") {
		return "", "", ""
	}
	u, err := url.Parse(v)
	switch {
	case err != nil || strings.ContainsAny(v, wideMarks+" "):
		return "registry-url", isError, "proxy/misconfigured"
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "registry-scheme", isError, "proxy/misconfigured"
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return "registry-http", isInfo, ""
	}
	return "", "", ""
}

// lintNpmRegistry judges the addresses of registries.
func lintNpmRegistry(s *Settings) []Lint {
	var out []Lint
	for _, e := range s.Npm {
		if !e.InForce || e.Name != "registry" && !strings.HasSuffix(e.Name, ":registry") {
			continue
		}
		if id, severity, code := registryFault(e.Value); id != "" {
			out = append(out, e.lint(id, severity, code, e.Value))
		}
	}
	return out
}

// lintNpmCredentials: whom a token is for, and whether it is there at all.
func lintNpmCredentials(s *Settings) []Lint {
	var out []Lint
	for _, e := range s.Npm {
		if !e.InForce || e.Credential == "" {
			continue
		}
		base, field, _ := cutLast(e.Name, ":")
		switch {
		case e.Host == "":
			out = append(out, e.lint("npm-token-unscoped", isWarning, "proxy/unauthorized"))
		case e.Unset:
			out = append(out, e.lint("npm-token-unset", isWarning, "proxy/unauthorized", e.Host))
		case field != "" && strings.HasPrefix(base, "//") && !strings.HasSuffix(base, "/"):
			out = append(out, e.lint("npm-token-slash", isWarning, "proxy/unauthorized", base+"/:"+field))
		case e.Literal && e.Place == "project":
			out = append(out, e.lint("npm-token-project", isInfo, "", e.Host))
		}
	}
	return out
}

// lintNpmSwitches: settings of npm that weaken it or do nothing any more.
func lintNpmSwitches(s *Settings) []Lint {
	var out []Lint
	for _, e := range s.Npm {
		if !e.InForce {
			continue
		}
		switch field := e.Name[strings.LastIndex(e.Name, ":")+1:]; {
		case field == "always-auth":
			out = append(out, e.lint("npm-always-auth", isInfo, ""))
		case e.Name == "strict-ssl" && e.Value == "false":
			out = append(out, e.lint("npm-strict-ssl", isInfo, ""))
		}
	}
	return out
}

// lintPipIndex judges the addresses of indexes.
func lintPipIndex(s *Settings) []Lint {
	var out []Lint
	for _, e := range s.Pip {
		if !e.InForce || e.Name != "index-url" && e.Name != "extra-index-url" {
			continue
		}
		for address := range strings.FieldsSeq(e.Value) {
			if id, severity, code := registryFault(address); id != "" {
				out = append(out, e.lint(id, severity, code, address))
			}
		}
		if e.Name == "extra-index-url" {
			out = append(out, e.lint("pip-extra", isInfo, ""))
		}
		if e.Credential != "" && e.Literal {
			out = append(out, e.lint("pip-login", isInfo, "", e.Host))
		}
		if e.Unset {
			out = append(out, e.lint("npm-token-unset", isWarning, "proxy/unauthorized", e.Host))
		}
	}
	return out
}

// lintPipSwitches: settings of pip that weaken it or leave it without a source.
func lintPipSwitches(s *Settings) []Lint {
	var out []Lint
	has := func(name string) bool {
		return slices.ContainsFunc(s.Pip, func(e Entry) bool { return e.InForce && e.Name == name })
	}
	for _, e := range s.Pip {
		if !e.InForce {
			continue
		}
		switch {
		case e.Name == "trusted-host":
			out = append(out, e.lint("pip-trusted", isInfo, "", e.Value))
		case e.Name == "no-index" && slices.Contains([]string{"1", "true", "yes", "on"}, strings.ToLower(e.Value)) && !has("find-links"):
			out = append(out, e.lint("pip-no-index", isWarning, "proxy/off"))
		}
	}
	return out
}
