package settings

import (
	"net/url"
	"slices"
	"strings"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
)

// httpProxies are the variables of the HTTP proxy, as pairs of upper and lower case.
func httpProxies() []string { return []string{"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"} }

// lintHTTPProxy holds the addresses of HTTP proxies to what the tools can use.
func lintHTTPProxy(s *Settings) []Lint {
	var out []Lint
	for _, upper := range httpProxies() {
		lower := strings.ToLower(upper)
		a, b := s.OS[upper], s.OS[lower]
		if a != "" && b != "" && a != b {
			out = append(out, s.about("proxy-case", isInfo, "", upper, lower))
		}
		name, v := upper, a
		if v == "" {
			name, v = lower, b
		}
		if v == "" || strings.ContainsAny(v, wideMarks+"\"'\r") {
			continue
		}
		text := v
		if !strings.Contains(v, "://") {
			text = "http://" + v
		}
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Host == "":
			out = append(out, s.about("proxy-url", isError, "net/http-proxy", name, mask.Text(v)))
			continue
		case !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme):
			out = append(out, s.about("proxy-scheme", isWarning, "net/http-proxy", name, u.Scheme))
		case text != v:
			out = append(out, s.about("proxy-no-scheme", isInfo, "", name, text))
		}
		if u.User != nil {
			out = append(out, s.about("proxy-login", isInfo, "", name, u.Host))
		}
	}
	return out
}

// lintHTTPSOnly: go asks HTTPS_PROXY for https and knows no ALL_PROXY.
func lintHTTPSOnly(s *Settings) []Lint {
	if s.OS["HTTPS_PROXY"]+s.OS["https_proxy"] != "" {
		return nil
	}
	if s.OS["HTTP_PROXY"]+s.OS["http_proxy"] != "" {
		return []Lint{s.about("proxy-http-only", isInfo, "", "HTTP_PROXY")}
	}
	if s.OS["ALL_PROXY"]+s.OS["all_proxy"] != "" {
		return []Lint{s.about("proxy-all", isInfo, "", "ALL_PROXY")}
	}
	return nil
}

// lintCertificates: a file of certificates that does not exist.
func lintCertificates(s *Settings) []Lint {
	var out []Lint
	for _, name := range certNames() {
		if s.Absent[name] {
			out = append(out, s.about("cert-absent", isWarning, "tls/unknown-authority", name, s.OS[name]))
		}
	}
	return out
}

// lintVerification: switches that take verification away from a tool.
func lintVerification(s *Settings) []Lint {
	var out []Lint
	for _, c := range []struct{ name, off string }{
		{"GIT_SSL_NO_VERIFY", "1 true yes on"}, {"NODE_TLS_REJECT_UNAUTHORIZED", "0"}, {"PYTHONHTTPSVERIFY", "0"},
	} {
		if v := s.OS[c.name]; v != "" && slices.Contains(strings.Fields(c.off), strings.ToLower(v)) {
			out = append(out, s.about("verify-off", isInfo, "", c.name))
		}
	}
	return out
}

func lintNetrc(s *Settings) []Lint {
	if !s.Absent["NETRC"] {
		return nil
	}
	return []Lint{s.about("netrc-absent", isWarning, "", "NETRC", s.OS["NETRC"])}
}

// lintShadowed: what `go env -w` wrote, and a variable of the environment hides.
func lintShadowed(s *Settings) []Lint {
	var out []Lint
	for _, name := range sortedKeys(s.Go.User) {
		v := s.Go.User[name]
		if os := s.OS[name]; os != "" && v != "" && v != os {
			l := s.about("shadowed", isInfo, "", name, mask.Text(v), mask.Text(os))
			l.File = s.Go.UserFile
			out = append(out, l)
		}
	}
	return out
}

func lintGoenvOff(s *Settings) []Lint {
	if s.OS["GOENV"] != "off" {
		return nil
	}
	return []Lint{s.about("goenv-off", isInfo, "", "GOENV")}
}

// useless are variables that pages on the web recommend and nothing reads, with the
// one that was meant.
func useless() [][2]string {
	return [][2]string{
		{"GONOSUMCHECK", "GONOSUMDB"},
		{"GONOSUM", "GONOSUMDB"},
		{"GOSUMCHECK", "GOSUMDB"},
		{"GONOVERIFY", "GONOSUMDB"},
		{"GONOSUMSDB", "GONOSUMDB"},
		{"GO_PROXY", "GOPROXY"},
		{"GOPROXIES", "GOPROXY"},
		{"GO_PRIVATE", "GOPRIVATE"},
		{"GOPRIVATES", "GOPRIVATE"},
		{"GO_SUMDB", "GOSUMDB"},
		{"GONOPROXIES", "GONOPROXY"},
		{"GOMODPROXY", "GOPROXY"},
		{"GOTLS_INSECURE", "GOINSECURE"},
		{"GO_INSECURE", "GOINSECURE"},
		{"goproxy", "GOPROXY"},
		{"goprivate", "GOPRIVATE"},
		{"gosumdb", "GOSUMDB"},
		{"GOMODULE", "GO111MODULE"},
		{"GO111MODULES", "GO111MODULE"},
	}
}

func lintUseless(s *Settings) []Lint {
	var out []Lint
	for _, u := range useless() {
		if s.OS[u[0]] != "" || s.Go.User[u[0]] != "" {
			out = append(out, s.about("useless", isInfo, "", u[0], u[1]))
		}
	}
	return out
}

// lintGodebug: keys of GODEBUG that the web recommends and nothing reads.
func lintGodebug(s *Settings) []Lint {
	var out []Lint
	for item := range strings.SplitSeq(s.OS["GODEBUG"], ",") {
		key, _, _ := strings.Cut(strings.TrimSpace(item), "=")
		if slices.Contains([]string{"network", "cmdgo", "http", "goproxy", "modfetch", "dns", "proxy", "http1debug", "tls", "x509"}, key) {
			out = append(out, s.about("godebug", isInfo, "", "GODEBUG", item))
		}
	}
	return out
}

// lintSeveralGos: another go in PATH, of another version.
func lintSeveralGos(s *Settings) []Lint {
	for _, g := range s.Gos {
		if first := s.Gos[0]; g.Version != first.Version && g.Version != "" && first.Version != "" {
			return []Lint{s.about("several-gos", isInfo, "", "PATH", first.Path, first.Version, g.Path, g.Version)}
		}
	}
	return nil
}

// lintGoroot: GOROOT of another installation than the go command's own.
func lintGoroot(s *Settings) []Lint {
	version := strings.TrimPrefix(s.Env.Value("GOVERSION"), "go")
	if s.RootVersion == "" || version == "" || s.RootVersion == version || s.Env["GOROOT"].Origin == goenv.FromDefault {
		return nil
	}
	return []Lint{s.about("goroot", isWarning, "local/goroot", "GOROOT", s.Env.Value("GOROOT"), s.RootVersion, version)}
}

// lintSudo: settings of the user who called sudo, which do not hold here.
func lintSudo(s *Settings) []Lint {
	var out []Lint
	for _, name := range sortedKeys(s.Sudo.Values) {
		if v := s.Sudo.Values[name]; slices.Contains(compared(), name) && v != "" && v != s.value(name) {
			l := s.about("sudo", isInfo, "", name, s.Sudo.User, mask.Text(v), mask.Text(s.value(name)))
			l.File = s.Sudo.File
			out = append(out, l)
		}
	}
	return out
}

// lintElsewhere: a Dockerfile, CI file or editor that sets something else.
func lintElsewhere(s *Settings) []Lint {
	var out []Lint
	for _, a := range s.Elsewhere {
		if a.Computed || a.Value == s.value(a.Name) {
			continue
		}
		l := s.about("elsewhere", isInfo, "", a.Name, mask.Text(a.Value), mask.Text(s.value(a.Name)))
		l.File, l.Line = a.File, a.Line
		out = append(out, l)
	}
	return out
}

// lintDocker: a Dockerfile that runs go does not see what is set on this machine.
func lintDocker(s *Settings) []Lint {
	var out []Lint
	for _, file := range s.Project.Dockerfiles {
		for _, name := range []string{"GOPROXY", "GOPRIVATE", "GONOPROXY", "GOSUMDB", "GONOSUMDB", "GOINSECURE"} {
			origin := s.Env[name].Origin
			here := slices.ContainsFunc(s.Elsewhere, func(a Assignment) bool { return a.File == file && a.Name == name })
			if here || origin != goenv.FromOS && origin != goenv.FromUser || !s.own(name) || s.value(name) == "" {
				continue
			}
			l := s.about("docker", isInfo, "", name)
			l.File = file
			out = append(out, l)
		}
	}
	return out
}
