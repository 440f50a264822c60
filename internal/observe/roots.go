package observe

import (
	"crypto/x509"
	"os"
	"runtime"
	"slices"
	"strings"
)

// System is how this machine keeps its root certificates: "debian", "rhel", "alpine",
// "suse", "arch", "macos", "windows", else "other".
func System() string {
	switch runtime.GOOS {
	case "darwin":
		return "macos"
	case "windows":
		return "windows"
	case "linux":
		b, _ := os.ReadFile("/etc/os-release")
		return family(string(b))
	}
	return "other"
}

// family reads os-release(5).
func family(release string) string {
	var names []string
	for line := range strings.Lines(release) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if name == "ID" || name == "ID_LIKE" {
			names = append(names, strings.Fields(strings.ToLower(strings.Trim(value, `"'`)))...)
		}
	}
	for _, f := range [][]string{
		{"debian", "ubuntu"}, {"rhel", "fedora", "centos", "openeuler", "anolis", "amzn", "kylin"}, {"alpine"}, {"suse", "opensuse", "sles"}, {"arch"},
	} {
		if slices.ContainsFunc(names, func(n string) bool {
			return slices.Contains(f, n) || strings.HasPrefix(n, "opensuse") && f[0] == "suse"
		}) {
			return f[0]
		}
	}
	return "other"
}

// rootHint says in a word of internal/msg how a missing root is installed here.
func (s *session) rootHint() (key string, args []string) {
	if store := s.trusted(); store != "system" {
		return "probe.root.named", []string{store}
	}
	system := s.System
	if system == "" {
		system = System()
	}
	return "probe.root." + system, nil
}

// noRoots reports whether the system's trust store has nothing in it, as in small
// container images.
func noRoots() bool {
	pool, err := x509.SystemCertPool()
	return err != nil || pool.Equal(x509.NewCertPool())
}
