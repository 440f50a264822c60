package doctor

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/act"
)

// packageNames are the packages of a tool, by the program that installs them.
func packageNames(installer, tool string) string {
	names := map[string]map[string]string{
		"apt-get": {"cc": "build-essential", "ca": "ca-certificates", "node": "nodejs npm", "python": "python3 python3-pip python3-venv", "ssh": "openssh-client"},
		"dnf":     {"cc": "gcc gcc-c++ make", "ca": "ca-certificates", "node": "nodejs npm", "python": "python3 python3-pip", "ssh": "openssh-clients"},
		"apk":     {"cc": "build-base", "ca": "ca-certificates", "node": "nodejs npm", "python": "python3 py3-pip", "ssh": "openssh-client"},
		"pacman":  {"cc": "base-devel", "ca": "ca-certificates", "node": "nodejs npm", "python": "python python-pip", "ssh": "openssh"},
		"zypper":  {"cc": "gcc gcc-c++ make", "ca": "ca-certificates", "node": "nodejs npm", "python": "python3 python3-pip", "ssh": "openssh-clients"},
		"brew":    {"cc": "", "ca": "", "node": "node", "python": "python", "ssh": ""},
		"winget":  {"cc": "", "ca": "", "node": "OpenJS.NodeJS.LTS", "python": "Python.Python.3.13", "ssh": "", "git": "Git.Git"},
	}
	if name, ok := names[installer][tool]; ok {
		return name
	}
	switch tool {
	case "git", "make", "cmake", "mercurial", "subversion", "pkg-config":
		if installer != "winget" && installer != "" {
			return tool
		}
	}
	return ""
}

// installCommand is what a person types to get a tool; "" where it is not known.
func installCommand(goos, release string, root bool, tool string) string {
	installer := installerOf(goos, release)
	if goos == "darwin" && (tool == "cc" || tool == "git") {
		return "xcode-select --install"
	}
	packages := packageNames(installer, tool)
	if packages == "" {
		return ""
	}
	command := map[string]string{
		"apt-get": "apt-get update && apt-get install -y ", "dnf": "dnf install -y ", "apk": "apk add ", "pacman": "pacman -S --needed ",
		"zypper": "zypper install -y ", "brew": "brew install ", "winget": "winget install --id ",
	}[installer] + packages
	if root || installer == "brew" || installer == "winget" {
		return command
	}
	return "sudo " + strings.ReplaceAll(command, "&& ", "&& sudo ")
}

// installerOf reads /etc/os-release: its ID, else what it is like.
func installerOf(goos, release string) string {
	switch goos {
	case "darwin":
		return "brew"
	case "windows":
		return "winget"
	}
	var ids []string
	for _, key := range []string{"ID=", "ID_LIKE="} {
		for l := range strings.Lines(release) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(l), key); ok {
				ids = append(ids, strings.Fields(strings.Trim(v, `"'`))...)
			}
		}
	}
	for _, id := range ids {
		switch id {
		case "debian", "ubuntu":
			return "apt-get"
		case "rhel", "fedora", "centos", "rocky", "almalinux", "amzn", "openEuler", "anolis":
			return "dnf"
		case "alpine":
			return "apk"
		case "arch":
			return "pacman"
		case "suse", "opensuse", "sles":
			return "zypper"
		}
	}
	return ""
}

// missingTool is what is missing, in the words of packageNames.
func missingTool(f keepwell.Finding) string {
	said := ""
	for _, e := range f.Evidence {
		said += strings.ToLower(e.Text) + "\n"
	}
	name := strings.ToLower(f.Facts["tool"])
	for _, t := range []struct{ tool, names string }{
		{"git", "git"},
		{"cc", "gcc cc g++ clang c++ cgo"},
		{"make", "make gmake"},
		{"cmake", "cmake"},
		{"mercurial", "hg"},
		{"subversion", "svn"},
		{"ssh", "ssh"},
		{"node", "node npm nodejs npx"},
		{"python", "python python3 pip pip3"},
		{"pkg-config", "pkg-config"},
	} {
		if slices.Contains(strings.Fields(t.names), name) {
			return t.tool
		}
		for n := range strings.FieldsSeq(t.names) {
			if strings.Contains(said, `exec: "`+n+`": executable file not found`) || strings.Contains(said, "compiler \""+n+`" not found`) {
				return t.tool
			}
		}
	}
	return ""
}

// mendInstall names the command that installs what is missing on this system.
func mendInstall(_ context.Context, c *Case, f keepwell.Finding) []Mend {
	tool := missingTool(f)
	if f.Code == "tls/unknown-authority" {
		if runtime.GOOS != "linux" || hasRoots() {
			return nil
		}
		tool = "ca"
	}
	if tool == "" {
		return nil
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		release = nil
	}
	command := installCommand(runtime.GOOS, string(release), os.Geteuid() == 0, tool)
	if command == "" {
		return nil
	}
	return []Mend{{ID: "install", Args: []string{tool}, Steps: []act.Step{act.Manual{Target: tool, Command: command}}}}
}

// hasRoots reports whether the system has certificates of authorities where Go looks.
func hasRoots() bool {
	for _, name := range []string{
		"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/cacert.pem",
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
	} {
		if info, err := os.Stat(name); err == nil && info.Size() > 0 {
			return true
		}
	}
	return false
}

// mendNpmCache lets npm check its cache.
func mendNpmCache(_ context.Context, _ *Case, f keepwell.Finding) []Mend {
	if _, err := exec.LookPath("npm"); err != nil || f.Tool != "npm" {
		return nil
	}
	return []Mend{{ID: "npm-cache", Steps: []act.Step{act.Run{Name: "npm", Args: []string{"cache", "verify"}, Safety: keepwell.SafetySafe}}}}
}
