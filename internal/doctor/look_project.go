package doctor

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/observe"
)

// The bounds of what is read: go itself takes no go.mod of a dependency beyond 16 MiB.
const (
	largestMod = 16 << 20
	largestSum = 64 << 20
	mostMods   = 200 // modules of a workspace
	mostSaid   = 5   // errors of one file
)

// project is what the files of the project say.
type project struct {
	// mods are the main modules: one, or those of the workspace.
	mods []mainModule
	// work is the workspace in force; nil where there is none.
	work     *modfile.WorkFile
	workName string
	// sums are the hashes of go.sum and go.work.sum, by "path version" as it stands there.
	sums    map[string]string
	hasSums bool
	// vendored says that go builds from the vendor directory.
	vendored bool
	findings []keepwell.Finding
	// notes are oddities that are no fault, in words.
	notes []string
}

// mainModule is a go.mod of the project. File is nil where it cannot be read at all.
type mainModule struct {
	name string
	file *modfile.File
}

func (m mainModule) dir() string { return filepath.Dir(m.name) }

// hasProject reports whether files of a project are here.
func hasProject(c *Case, _ []Outcome) bool {
	return c.gomod() != "" || c.gowork() != "" || len(c.Asked) == 0 && (c.exists("package.json") || c.Settings.Project.GoModHere)
}

func (c *Case) exists(name string) bool {
	info, err := os.Stat(filepath.Join(c.Dir, name))
	return err == nil && info.Mode().IsRegular()
}

// lookProject reads the project's own files as go would, without go.
func lookProject(_ context.Context, c *Case, _ []Outcome) Outcome {
	read := *c.project()
	read.findings = slices.Clone(read.findings)
	p := &read
	for _, look := range []func(*Case, *project){
		(*Case).lookUses, (*Case).lookPaths, (*Case).lookReplaces, (*Case).lookMissingSums, (*Case).lookGoLines, (*Case).lookVendor,
	} {
		look(c, p)
	}
	c.lookGopath(p)
	c.lookPackageJSON(p)
	found := p.findings
	if len(c.Asked) > 0 { // hygiene is nobody's concern now
		found = slices.DeleteFunc(found, func(f keepwell.Finding) bool { return f.Severity == keepwell.SeverityInfo })
	}
	bad := 0
	for _, f := range found {
		if f.Severity != keepwell.SeverityInfo {
			bad++
		}
	}
	if bad > 0 {
		return Outcome{State: observe.No, Key: "doctor.project.bad", Args: []string{number(bad)}, Findings: found}
	}
	if len(p.notes) > 0 && len(c.Asked) == 0 {
		return Outcome{State: observe.Yes, Key: "doctor.project.note", Args: []string{strings.Join(p.notes, "; ")}, Findings: found}
	}
	return Outcome{State: observe.Yes, Key: "doctor.project.fine", Findings: found}
}

// add notes a finding about the project's files. Pairs are facts; those that are no
// legal values are left out.
func (p *project) add(code keepwell.Code, severity keepwell.Severity, confidence float64, text string, pairs ...string) {
	p.findings = append(p.findings, seen(code, severity, confidence, text, pairs...))
}

// seen is a finding about files of this machine.
func seen(code keepwell.Code, severity keepwell.Severity, confidence float64, text string, pairs ...string) keepwell.Finding {
	f := keepwell.Finding{
		Code: code, Severity: severity, Confidence: confidence, Owner: keepwell.OwnerYou, Tool: "go", Facts: keepwell.Facts{},
		Evidence: []keepwell.Evidence{{Source: "environment", Text: clip(mask.Text(text[:min(len(text), 8<<10)]))}},
	}
	for pair := range slices.Chunk(pairs, 2) {
		if keepwell.ValidFact(pair[0], pair[1]) {
			f.Facts[pair[0]] = pair[1]
		}
	}
	return f
}

// clip keeps a line that a person can read: a file may hold one of 10 MB.
func clip(s string) string {
	const longest = 300
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
	if len(s) <= longest {
		return s
	}
	cut := longest
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

var errTooLarge = errors.New("larger than go.mod files may be")

// readRegular reads a regular file of a bounded size.
func readRegular(name string, most int64) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	case info.Size() > most:
		return nil, &fs.PathError{Op: "read", Path: name, Err: errTooLarge}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// shownPath is a file as the user would name it.
func (c *Case) shownPath(name string) string {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return mask.Text(name)
	}
	if rel, err := filepath.Rel(dir, name); err == nil && (filepath.IsLocal(rel) || strings.Count(rel, "..") < 3) {
		return filepath.ToSlash(rel)
	}
	return mask.Text(name)
}

// project is read once; nobody changes it.
func (c *Case) project() *project {
	c.readOnce.Do(func() { c.files = c.readProject() })
	return c.files
}

// readProject reads go.work, go.mod and the files of hashes; what is wrong with them
// becomes findings.
func (c *Case) readProject() *project {
	p := &project{sums: map[string]string{}}
	mod := c.gomod()
	if alternative := flagValue(c.Settings.Env.Value("GOFLAGS"), "modfile"); alternative != "" && mod != "" {
		if !filepath.IsAbs(alternative) {
			alternative = filepath.Join(cmp.Or(absolute(c.Dir), filepath.Dir(mod)), alternative)
		}
		mod = alternative
	}
	if work := c.gowork(); work != "" {
		c.readWork(p, work)
	} else if mod != "" {
		p.mods = append(p.mods, c.readMod(p, mod))
	}
	if p.work != nil {
		c.readSums(p, strings.TrimSuffix(p.workName, ".work")+".work.sum")
	}
	for _, m := range p.mods {
		c.readSums(p, strings.TrimSuffix(m.name, ".mod")+".sum")
	}
	p.vendored = c.usesVendor(p)
	return p
}

func absolute(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	return abs
}

// flagValue is the value of -name=value in GOFLAGS; the last one counts.
func flagValue(flags, name string) string {
	value := ""
	for f := range strings.FieldsSeq(flags) {
		if k, v, ok := strings.Cut(strings.TrimLeft(f, "-"), "="); ok && k == name {
			value = v
		}
	}
	return value
}

// readMod parses a go.mod as go does; File holds what can be read of a broken one.
func (c *Case) readMod(p *project, name string) mainModule {
	m := mainModule{name: name}
	data, ok := c.readOwn(p, name)
	if !ok {
		return m
	}
	shown := c.shownPath(name)
	_, err := modfile.Parse(shown, data, strictVersion)
	c.parseErrors(p, shown, err)
	if m.file, err = modfile.Parse(shown, data, anyVersion); err != nil {
		if m.file, err = modfile.ParseLax(shown, data, anyVersion); err != nil {
			m.file = nil
			return m
		}
	}
	if m.file.Module == nil && err == nil && !hasCode(p.findings, "local/go-mod-parse") {
		p.add("local/go-mod-parse", keepwell.SeverityError, 0.95, c.Say("doctor.project.no-module", shown), "path", shown)
	}
	return m
}

func hasCode(list []keepwell.Finding, code keepwell.Code) bool {
	return slices.ContainsFunc(list, func(f keepwell.Finding) bool { return f.Code == code })
}

// readOwn reads one of the project's files, unless it is plainly no text that go reads.
func (c *Case) readOwn(p *project, name string) ([]byte, bool) {
	shown := c.shownPath(name)
	data, err := readRegular(name, largestMod)
	switch {
	case errors.Is(err, errTooLarge):
		p.add("local/go-mod-parse", keepwell.SeverityWarning, 0.7, c.Say("doctor.project.large", shown, number(largestMod>>20)), "path", shown)
		return nil, false
	case err != nil:
		p.add("local/go-mod-parse", keepwell.SeverityError, 0.7, shown+": "+reason(err), "path", shown)
		return nil, false
	}
	if key := encodingFault(data); key != "" {
		p.add("local/go-mod-parse", keepwell.SeverityError, 0.97, c.Say(key, shown), "path", shown)
		return nil, false
	}
	if line := longLine(data); line > 0 {
		p.add("local/go-mod-parse", keepwell.SeverityWarning, 0.7, c.Say("doctor.project.long", shown, number(line), number(longestLine>>10)), "path", shown)
		return nil, false
	}
	if line := conflictLine(data); line > 0 {
		p.add("local/go-mod-parse", keepwell.SeverityError, 0.97, c.Say("doctor.project.conflict", shown, number(line)), "path", shown)
		return nil, false
	}
	return data, true
}

// reason is what the system said, without the path.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// encodingFault names what makes a file unreadable for go before its first word.
func encodingFault(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		return "doctor.project.utf16"
	case bytes.HasPrefix(data, []byte{0xef, 0xbb, 0xbf}):
		return "doctor.project.bom"
	case bytes.IndexByte(data[:min(len(data), 4096)], 0) >= 0:
		return "doctor.project.binary"
	}
	return ""
}

// longestLine bounds what is parsed: a parser may copy a line many times.
const longestLine = 256 << 10

// longLine is the first line that is longer than any that people or go write.
func longLine(data []byte) int {
	line := 0
	for l := range bytes.Lines(data) {
		if line++; len(l) > longestLine {
			return line
		}
	}
	return 0
}

// conflictLine is the first line that a merge left behind; 0 where there is none.
func conflictLine(data []byte) int {
	line := 0
	for l := range bytes.Lines(data) {
		line++
		if bytes.HasPrefix(l, []byte("<<<<<<< ")) || bytes.HasPrefix(l, []byte(">>>>>>> ")) {
			return line
		}
	}
	return 0
}

// strictVersion holds a version to what go writes itself: any other has to be looked up,
// and go build refuses to write the result.
func strictVersion(path, v string) (string, error) {
	wrong := func(err error) (string, error) {
		return "", &module.ModuleError{Path: path, Version: v, Err: err}
	}
	_, major, ok := module.SplitPathVersion(path)
	if !ok {
		return wrong(&module.InvalidVersionError{Version: v, Err: errPath})
	}
	if module.CanonicalVersion(v) != v || v == "" {
		return wrong(&module.InvalidVersionError{Version: v, Err: errors.New("must be of the form v1.2.3")})
	}
	if err := module.CheckPathMajor(v, major); err != nil {
		return wrong(err)
	}
	return v, nil
}

var errPath = errors.New("malformed module path: its suffix is no major version")

// anyVersion lets a file be read whose versions are wrong.
func anyVersion(path, v string) (string, error) {
	if w, err := strictVersion(path, v); err == nil {
		return w, nil
	}
	if _, major, ok := module.SplitPathVersion(path); ok && major != "" {
		return module.PathMajorPrefix(major) + ".0.0-0", nil
	}
	return "v0.0.0-0", nil
}

// parseErrors turns what the parser says into findings.
func (c *Case) parseErrors(p *project, shown string, err error) {
	var list modfile.ErrorList
	switch {
	case err == nil:
		return
	case !errors.As(err, &list):
		p.add("local/go-mod-parse", keepwell.SeverityError, 0.9, err.Error(), "path", shown)
		return
	}
	for _, e := range list[:min(len(list), mostSaid)] {
		var version *module.InvalidVersionError
		if !errors.As(e.Err, &version) {
			p.add("local/go-mod-parse", keepwell.SeverityError, c.directiveConfidence(e), e.Error(), "path", shown)
			continue
		}
		path := e.ModPath
		if inner := (*modfile.Error)(nil); errors.As(e.Err, &inner) {
			path = cmp.Or(path, inner.ModPath)
		}
		facts := []string{"module", path, "version", version.Version}
		if path := rightPath(path, version.Version); path != "" {
			p.add("version/major-suffix", keepwell.SeverityError, 0.95, e.Error(), append(facts, "newpath", path)...)
			continue
		}
		if errors.Is(e.Err, errPath) {
			p.add("version/major-suffix", keepwell.SeverityError, 0.95, e.Error(), facts...)
			continue
		}
		p.add("version/invalid", keepwell.SeverityError, 0.93, e.Error(), facts...)
	}
}

// directiveConfidence is lower for a word that a newer go than this program may know.
func (c *Case) directiveConfidence(e modfile.Error) float64 {
	if strings.Contains(e.Error(), "unknown directive") || strings.Contains(e.Error(), "unknown block type") {
		return 0.85
	}
	return 0.95
}

// rightPath is the module path that fits a version; "" where the version is at fault.
func rightPath(path, v string) string {
	if module.CanonicalVersion(v) != v || v == "" {
		return ""
	}
	prefix, major, ok := module.SplitPathVersion(path)
	if !ok { // .../v0, .../v1, .../v02
		at := strings.LastIndex(path, "/v")
		if at < 0 || strings.Trim(path[at+2:], "0123456789") != "" {
			return ""
		}
		prefix, major = path[:at], ""
	}
	if module.CheckPathMajor(v, major) == nil && ok {
		return ""
	}
	number, _, _ := strings.Cut(v, ".")
	switch {
	case strings.HasPrefix(path, "gopkg.in/"):
		return prefix + "." + number
	case number == "v0" || number == "v1" || strings.HasSuffix(v, "+incompatible"):
		return prefix
	}
	return prefix + "/" + number
}

// lookGopath finds a go.mod that lies in GOPATH itself: go before 1.22 does not see it,
// later ones say that they ignore it, and do not.
func (c *Case) lookGopath(p *project) {
	dir, severity := absolute(c.Dir), keepwell.SeverityError
	switch mod := c.gomod(); {
	case mod != "":
		dir, severity = filepath.Dir(mod), keepwell.SeverityInfo
	case !c.exists("go.mod") || c.Settings.Env.Value("GO111MODULE") == "off":
		return
	}
	for _, gopath := range filepath.SplitList(c.Settings.Env.Value("GOPATH")) {
		if filepath.Clean(gopath) == dir {
			p.add("local/gopath", severity, 0.93, c.Say("doctor.project.gopath", dir), "path", dir)
		}
	}
}
