package mirrors

import (
	"cmp"
	"context"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/keepwell/keepwell/internal/proc"
	"github.com/keepwell/keepwell/internal/settings"
)

// DefaultName is what a tool comes with is called.
const DefaultName = "default"

// Default is the server that a tool comes with, asked of the tool itself; "" where it
// cannot be asked. Its configuration files and variables do not count.
func Default(ctx context.Context, eco Ecosystem, s *settings.Settings) string {
	switch eco {
	case Npm:
		out, err := proc.Output(ctx, proc.Options{Dir: os.TempDir(), Env: []string{
			"npm_config_userconfig=" + os.DevNull, "npm_config_globalconfig=" + os.DevNull + "/none", "npm_config_registry=", "NPM_CONFIG_REGISTRY=",
			"npm_config_update_notifier=false", "npm_config_logs_max=0",
		}}, "npm", "config", "get", "registry")
		if err != nil {
			return ""
		}
		return address(strings.TrimSpace(string(out)))
	case PyPI:
		out, err := proc.Output(ctx, proc.Options{Dir: os.TempDir(), Env: []string{
			"PIP_CONFIG_FILE=" + os.DevNull, "PIP_INDEX_URL=", "PIP_DISABLE_PIP_VERSION_CHECK=1",
		}}, "pip", "install", "--help")
		if m := regexp.MustCompile(`--index-url <url>[^(]*\(default\s+(https://[^\s)]+)\)`).FindSubmatch(out); err == nil && m != nil {
			return address(string(m[1]))
		}
		return ""
	}
	for _, e := range settings.ProxyList(s.Go.Root["GOPROXY"]) {
		if at := address(e.Text); at != "" {
			return at
		}
	}
	return ""
}

// address is text where it is an address that can be asked over HTTP.
func address(text string) string {
	if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return text
}

// same compares addresses as people write them: logins and a slash at the end do not
// count.
func same(a, b string) bool {
	u, err := url.Parse(a)
	v, err2 := url.Parse(b)
	return err == nil && err2 == nil && u.Scheme == v.Scheme && strings.EqualFold(u.Host, v.Host) && strings.Trim(u.Path, "/") == strings.Trim(v.Path, "/")
}

// InForce are the servers that the settings name, most decisive first.
func InForce(eco Ecosystem, s *settings.Settings) []string {
	var out []string
	switch eco {
	case Npm:
		for _, e := range s.Npm {
			if e.InForce && e.Name == "registry" {
				out = append(out, e.Value)
			}
		}
	case PyPI:
		for _, e := range s.Pip {
			if e.InForce && e.Name == "index-url" {
				out = append(out, e.Value)
			}
		}
	default:
		for _, e := range settings.ProxyList(s.Env.Value("GOPROXY")) {
			out = append(out, e.Text)
		}
	}
	return slices.DeleteFunc(out, func(a string) bool { return address(a) == "" })
}

// Candidates are the mirrors to compare: what the tool comes with, the catalogue, and
// what the settings name beside. def is the [Default], "" where it is not known.
func Candidates(c *Catalogue, eco Ecosystem, s *settings.Settings, def string) []Mirror {
	var list []Mirror
	if def != "" {
		list = append(list, Mirror{Name: DefaultName, URL: def, Ecosystem: eco, Origin: FromDefault})
	}
	list = append(list, c.Mirrors[eco]...)
	inForce := InForce(eco, s)
	for _, at := range inForce {
		if !slices.ContainsFunc(list, func(m Mirror) bool { return same(m.URL, at) }) {
			list = append(list, Mirror{Name: hostOf(at), URL: withoutLogin(at), Ecosystem: eco, Origin: FromSettings})
		}
	}
	for i := range list {
		list[i].InUse = slices.ContainsFunc(inForce, func(at string) bool { return same(list[i].URL, at) }) ||
			len(inForce) == 0 && eco != Go && list[i].Origin == FromDefault
	}
	return list
}

func hostOf(at string) string {
	u, err := url.Parse(at)
	if err != nil {
		return ""
	}
	return cmp.Or(u.Host, at)
}

func withoutLogin(at string) string {
	u, err := url.Parse(at)
	if err != nil {
		return ""
	}
	u.User = nil
	return u.String()
}

// public reports servers that anybody may use.
func (c *Catalogue) public(at string, s *settings.Settings) bool {
	host := hostOf(at)
	if slices.Contains(s.PublicHosts(), host) {
		return true
	}
	for _, m := range c.Mirrors[Go] {
		if hostOf(m.URL) == host {
			return true
		}
	}
	return s.PublicProxy(host)
}
