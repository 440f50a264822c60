package settings

import (
	"cmp"
	"slices"
	"strings"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
)

// Lint is something wrong, or worth knowing, about a setting.
type Lint struct {
	// ID names its words: "lint.<id>" of internal/msg.
	ID string `json:"id"`
	// Code is the fault that it brings about; empty where it brings none.
	Code     keepwell.Code     `json:"code,omitempty"`
	Severity keepwell.Severity `json:"severity"`
	// Name is the variable or key, File and Line its place; empty for the environment.
	Name string `json:"name"`
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	// Args fill the words; masked.
	Args []string `json:"args,omitempty"`
	// Set is the assignment that mends it, for keepwell env --set; empty where there is
	// none, or where it would hold a secret.
	Set string `json:"set,omitempty"`
}

// lints are the functions in the order in which their findings of one severity are
// shown. Each is pure.
func lints() []func(*Settings) []Lint {
	return []func(*Settings) []Lint{
		lintCharacters, lintGoproxy, lintProxyCredentials, lintPatterns, lintPrivacy, lintOverrides,
		lintGosumdb, lintBroad, lintFlags, lintVendor, lintModules, lintToolchain, lintGoauth, lintPaths,
		lintHTTPProxy, lintHTTPSOnly, lintCertificates, lintVerification, lintNetrc,
		lintShadowed, lintGoenvOff, lintUseless, lintGodebug, lintSeveralGos, lintGoroot,
		lintSudo, lintElsewhere, lintDocker,
		lintNpmRegistry, lintNpmCredentials, lintNpmSwitches, lintPipIndex, lintPipSwitches,
	}
}

// Lints judges the settings: errors first, hygiene last.
func (s *Settings) Lints() []Lint {
	var out []Lint
	for _, look := range lints() {
		out = append(out, look(s)...)
	}
	for i := range out {
		out[i].File = s.tilde(out[i].File)
		for j, a := range out[i].Args {
			out[i].Args[j] = s.tilde(a)
		}
		if mask.Text(out[i].Set) != out[i].Set {
			out[i].Set = ""
		}
	}
	slices.SortStableFunc(out, func(a, b Lint) int { return cmp.Compare(a.Severity.Rank(), b.Severity.Rank()) })
	return out
}

// about begins a lint on a variable, at the place where it is set.
func (s *Settings) about(id string, severity keepwell.Severity, code keepwell.Code, name string, args ...string) Lint {
	return Lint{ID: id, Severity: severity, Code: code, Name: name, File: s.Env[name].File, Args: args}
}

// value is the value in force: go's, else the environment's.
func (s *Settings) value(name string) string {
	if v, ok := s.Env[name]; ok {
		return v.Value
	}
	return s.OS[name]
}

const (
	isError   = keepwell.SeverityError
	isWarning = keepwell.SeverityWarning
	isInfo    = keepwell.SeverityInfo
)

// patternLists are the lists of module path patterns.
func patternLists() []string {
	return []string{"GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOINSECURE"}
}

// own reports whether the value of name is its own and not that of GOPRIVATE.
func (s *Settings) own(name string) bool {
	return name != "GONOPROXY" && name != "GONOSUMDB" || s.value(name) != s.value("GOPRIVATE") || s.OS[name] != "" || s.Go.User[name] != ""
}

// codeFor is the fault that a broken value of name brings about.
func codeFor(name string) keepwell.Code {
	switch name {
	case "GOPROXY":
		return "proxy/misconfigured"
	case "GOSUMDB":
		return "sum/misconfigured"
	case "GOPRIVATE", "GONOPROXY", "GONOSUMDB":
		return "auth/goprivate-unset"
	case "GOTOOLCHAIN":
		return "version/toolchain"
	case "GOVCS":
		return "vcs/disallowed"
	case "GO111MODULE":
		return "local/gopath"
	case "GOROOT":
		return "local/goroot"
	}
	if strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
		return "net/http-proxy"
	}
	return ""
}
