package doctor

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/act"
)

// modCodes are the faults that a line of go.mod can bring about.
func modCodes() []keepwell.Code {
	return []keepwell.Code{
		"version/invalid", "version/major-suffix", "version/incompatible", "version/unknown-revision", "version/no-match", "version/toolchain",
		"module/moved", "module/not-required", "module/no-package", "module/bad-path", "local/replace", "local/go-mod-parse",
		"sum/missing-entry", "proxy/not-found", "module/missing-or-private", "local/workspace",
	}
}

// goModLine is a line of go.mod that is to be exchanged.
type goModLine struct {
	number   int // from 0
	verb     string
	old      string
	fields   []string // behind the verb, without the comment
	newText  string
	concern  act.Concern
	added    string // a line to be added below all others
	whatGoes string // for people
}

var comment = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\s*//.*$`) })

// goModLines reads go.mod as lines: a parser would refuse the very lines in question.
func goModLines(data []byte) []goModLine {
	var out []goModLine
	block := ""
	for i, text := range strings.Split(string(data), "\n") {
		text = strings.TrimSuffix(text, "\r")
		fields := strings.Fields(comment().ReplaceAllString(text, ""))
		switch {
		case len(fields) == 0:
			continue
		case fields[0] == ")":
			block = ""
			continue
		case len(fields) == 2 && fields[1] == "(":
			block = fields[0]
			continue
		}
		l := goModLine{number: i, verb: block, old: text, fields: fields}
		if block == "" {
			l.verb, l.fields = fields[0], fields[1:]
		}
		out = append(out, l)
	}
	return out
}

// mendGoMod rewrites the lines of go.mod that go cannot use, where it is certain what
// was meant: go itself must make a whole of the result.
func mendGoMod(ctx context.Context, c *Case, f keepwell.Finding) []Mend {
	files, ok := c.modFiles()
	if !ok {
		return nil
	}
	var uses []string
	lines := goModLines(files.mod)
	for _, l := range lines {
		if l.verb == "require" {
			uses = imports(files.dir)
			break
		}
	}
	var todo []goModLine
	for _, l := range lines {
		if fixed, ok := soundLine(l, files.dir, uses, f); ok {
			todo = append(todo, fixed)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	text := exchangeLines(files.mod, todo)
	m := Mend{ID: "go-mod", Args: []string{todo[0].whatGoes}, Key: todo[0].verb}
	if len(todo[0].fields) > 0 && todo[0].verb != "go" && todo[0].verb != "toolchain" {
		m.Key = todo[0].fields[0]
	}
	concern := act.Ordinary
	for _, l := range todo {
		if l.concern != act.Ordinary {
			concern = l.concern
		}
	}
	if mod, sum, _, ok := c.tidied(ctx, files, text, files.sum); ok {
		m.Steps = files.exchanged(mod, sum, concern)
	} else if _, err := modfile.Parse(files.modName, text, nil); err == nil && todo[0].verb != "require" && todo[0].verb != "replace" {
		m.Steps = exchange(files.modName, files.mod, text, concern) // what go lacks for the rest is another fault
	}
	if len(m.Steps) == 0 {
		return nil
	}
	return []Mend{m}
}

func exchangeLines(data []byte, todo []goModLine) []byte {
	lines := strings.Split(string(data), "\n")
	added := ""
	for _, l := range todo {
		end := ""
		if strings.HasSuffix(lines[l.number], "\r") {
			end = "\r"
		}
		lines[l.number] = l.newText + end
		added += l.added
	}
	return []byte(strings.Join(lines, "\n") + added)
}

// soundLine is the line as it was meant; false where nothing is wrong with it, or it is
// not certain what was meant.
func soundLine(l goModLine, dir string, uses []string, f keepwell.Finding) (goModLine, bool) {
	switch l.verb {
	case "go", "toolchain":
		return soundGoLine(l)
	case "require":
		return soundRequire(l, uses, f)
	case "replace":
		return soundReplace(l, dir)
	}
	if len(l.fields) == 0 {
		return l, false
	}
	for _, verb := range []string{"module", "require", "replace", "exclude", "retract", "toolchain"} {
		if slips(l.verb, verb) && strings.HasPrefix(strings.TrimSpace(l.old), l.verb) {
			return l.with(strings.Replace(l.old, l.verb, verb, 1), act.Ordinary), true
		}
	}
	return l, false
}

func (l goModLine) with(text string, concern act.Concern) goModLine {
	l.newText, l.concern = text, concern
	l.whatGoes = strings.TrimSpace(l.old) + " → " + strings.TrimSpace(text)
	if text == "" {
		l.whatGoes = strings.TrimSpace(l.old)
	}
	return l
}

var goVersion = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[1-9]\d*(?:\.\d+){1,2}(?:(?:rc|beta)\d+)?`) })

// soundGoLine mends the usual slips of the lines go and toolchain: the form of the other.
func soundGoLine(l goModLine) (goModLine, bool) {
	valid := modfile.GoVersionRE
	prefix := ""
	if l.verb == "toolchain" {
		valid, prefix = modfile.ToolchainRE, "go"
	}
	if len(l.fields) != 1 || valid.MatchString(l.fields[0]) || l.fields[0] == "default" {
		return l, false
	}
	was := l.fields[0]
	number := goVersion().FindString(was)
	rest := strings.TrimSuffix(strings.TrimSuffix(strings.Replace(strings.Trim(was, `"'`), number, "", 1), ".x"), "+")
	if number == "" || rest != "" && rest != "v" && rest != "go" && rest != "=" && rest != ">=" || !valid.MatchString(prefix+number) {
		return l, false
	}
	return l.with(strings.Replace(l.old, was, prefix+number, 1), act.Ordinary), true
}

// soundRequire mends a version without its v, and a path and a version that name
// different majors; the path only where the project's files import the other.
func soundRequire(l goModLine, uses []string, f keepwell.Finding) (goModLine, bool) {
	if len(l.fields) != 2 {
		return l, false
	}
	path, version := l.fields[0], l.fields[1]
	if !strings.HasPrefix(version, "v") && semver.IsValid("v"+version) && version != "" && version[0] >= '0' && version[0] <= '9' {
		return l.with(strings.Replace(l.old, " "+version, " v"+version, 1), act.Packages), true
	}
	if newpath := f.Facts["newpath"]; f.Code == "module/moved" && f.Facts["module"] == path && module.CheckPath(newpath) == nil && semver.IsValid(version) {
		if imported(uses, newpath) && !imported(uses, path) {
			return l.with(strings.Replace(l.old, path, newpath, 1), act.Packages), true
		}
		l = l.with(l.old, act.Packages)
		l.added = "\nreplace " + path + " => " + newpath + " " + version + "\n"
		l.whatGoes = strings.TrimSpace(l.added)
		return l, true
	}
	if !semver.IsValid(version) {
		return l, false
	}
	base, major, ok := module.SplitPathVersion(path)
	plain := strings.TrimSuffix(version, "+incompatible")
	if !ok || strings.HasPrefix(path, "gopkg.in/") {
		return l, false
	}
	wrongMajor := module.CheckPathMajor(version, major) != nil
	meant := base
	if m := semver.Major(plain); m != "v0" && m != "v1" {
		meant = base + "/" + m
	}
	switch {
	case meant != path && (wrongMajor || strings.HasSuffix(version, "+incompatible")) && imported(uses, meant):
		text := strings.Replace(l.old, path, meant, 1)
		return l.with(strings.Replace(text, version, plain, 1), act.Packages), true
	case wrongMajor && major == "" && plain == version && semver.Canonical(version) == version && !imported(uses, meant):
		return l.with(strings.Replace(l.old, version, version+"+incompatible", 1), act.Packages), true
	}
	return l, false
}

// soundReplace drops a replacement by a directory that is not there.
func soundReplace(l goModLine, dir string) (goModLine, bool) {
	arrow := -1
	for i, f := range l.fields {
		if f == "=>" {
			arrow = i
		}
	}
	if arrow < 1 || arrow+2 != len(l.fields) || !modfile.IsDirectoryPath(l.fields[arrow+1]) {
		return l, false
	}
	to := filepath.FromSlash(strings.Trim(l.fields[arrow+1], `"`))
	if !filepath.IsAbs(to) {
		to = filepath.Join(dir, to)
	}
	if _, err := os.Stat(to); !os.IsNotExist(err) {
		return l, false
	}
	return l.with("", act.Packages), true
}
