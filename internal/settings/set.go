package settings

import (
	"slices"
	"strings"
)

// Kind is how a variable can be set.
type Kind string

// The kinds of variables.
const (
	ByGo    Kind = "go"    // go env -w writes it
	ByShell Kind = "shell" // only the environment can hold it
	Derived Kind = "derived"
	Unknown Kind = "unknown"
)

// KindOf tells how name can be set.
func (s *Settings) KindOf(name string) Kind {
	switch name {
	case "GOEXE", "GOGCCFLAGS", "GOHOSTARCH", "GOHOSTOS", "GOMOD", "GOTOOLDIR", "GOVERSION", "GOTELEMETRY", "GOTELEMETRYDIR":
		return Derived // envcmd.checkEnvWrite refuses them
	case "GOENV", "GODEBUG", "GOWORK":
		return ByShell
	}
	if _, ok := s.Go.Go[name]; ok || slices.Contains(GoNames(), name) {
		return ByGo
	}
	if slices.Contains(Names(), name) || slices.Contains(certNames(), name) {
		return ByShell
	}
	return Unknown
}

// Nearest is a known name that differs from name only in case, underscores or by what
// people commonly mistake for it; "" where there is none.
func (s *Settings) Nearest(name string) string {
	for _, u := range useless() {
		if strings.EqualFold(u[0], name) {
			return u[1]
		}
	}
	squeeze := func(v string) string { return strings.ToUpper(strings.ReplaceAll(v, "_", "")) }
	for _, known := range Names() {
		if squeeze(known) == squeeze(name) || squeeze(known)+"S" == squeeze(name) {
			return known
		}
	}
	return ""
}

// Judge says what would be wrong with setting name to value, errors first: those must
// keep it from being written.
func (s *Settings) Judge(name, value string) []Lint {
	var out []Lint
	for _, l := range s.With(name, value).Lints() {
		if l.Name == name && l.File == "" && l.Severity != isInfo {
			out = append(out, l)
		}
	}
	return out
}

// Weakens reports values that take a check away from what is downloaded: a blanket
// consent does not cover them.
func Weakens(name, value string) bool {
	switch name {
	case "GOSUMDB", "GONOSUMDB", "GOINSECURE", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_NO_VERIFY", "GIT_SSL_CAINFO":
		return value != ""
	case "GOFLAGS":
		return strings.Contains(value, "-insecure") || strings.Contains(value, "-toolexec") || strings.Contains(value, "-overlay")
	case "GOAUTH":
		return value != "" && value != "netrc" && value != "off" // it runs a program
	}
	return false
}

// Differences are the rows of the groups of which the value is another in after.
func (s *Settings) Differences(after *Settings) [][2]Row {
	var out [][2]Row
	for _, name := range Names() {
		was, _ := s.row(name)
		is, _ := after.row(name)
		if was.Value != is.Value {
			was.Name, is.Name = name, name
			out = append(out, [2]Row{was, is})
		}
	}
	return out
}
