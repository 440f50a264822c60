package cli

import (
	"path/filepath"
	"slices"
	"strings"
)

// errand is what `run` knows of a command before it runs.
type errand struct {
	// tool is whose words it prints: go, npm, pip or git; "" unknown.
	tool string
	// modules says that it may fetch Go modules: all may, make and docker too, but those
	// that are known not to.
	modules bool
	// heard says that its output is followed, so that a failure can be explained by it.
	// Programs that a person works with, or that leave something running, are left alone
	// with their streams.
	heard bool
}

// errandOf reads a command line.
func errandOf(command []string) errand {
	name := strings.TrimSuffix(strings.ToLower(filepath.Base(command[0])), ".exe")
	args := command[1:]
	if strings.HasPrefix(name, "python") && len(args) > 1 && args[0] == "-m" {
		name, args = args[1], args[2:]
	}
	verb := verbOf(args)
	switch {
	case name == "go":
		return errand{"go", true, !slices.Contains([]string{"run", "tool", "generate", "telemetry"}, verb)}
	case name == "pip" || strings.HasPrefix(name, "pip3"):
		return errand{"pip", false, true}
	case name == "uv" && slices.Contains([]string{"pip", "sync", "add", "remove", "lock", "build"}, verb):
		return errand{"pip", false, true}
	case slices.Contains([]string{"npm", "pnpm", "yarn"}, name) && (slices.Contains(installing(), verb) || name == "yarn" && verb == ""):
		return errand{"npm", false, true}
	case name == "git" && slices.Contains([]string{"clone", "fetch", "ls-remote", "submodule"}, verb):
		return errand{"git", false, true}
	}
	return errand{"", true, false}
}

// installing are the verbs by which npm and its kin fetch packages and run nothing
// that a person works with.
func installing() []string {
	return []string{
		"install", "i", "ci", "add", "update", "up", "upgrade", "outdated", "view", "info", "audit", "dedupe", "fetch", "import", "remove", "rm", "uninstall",
	}
}

// verbOf is the first word that is no option; of options with a value only go's -C and
// git's and npm's likes are known.
func verbOf(args []string) string {
	valued := []string{"-C", "-c", "--prefix", "--registry", "--directory", "--cwd", "--project"}
	for i := 0; i < len(args); i++ {
		switch {
		case slices.Contains(valued, args[i]):
			i++
		case !strings.HasPrefix(args[i], "-"):
			return args[i]
		}
	}
	return ""
}
