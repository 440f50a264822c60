package rewrite

import (
	"bytes"
	"cmp"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/mod/semver"
)

// names tells what the package at an import path calls itself; "" where that is not
// known.
type names func(importPath string) string

// sources rewrites Go files.
type sources struct {
	paths
	// older and newer know the names of packages below from and below to.
	older, newer names
	// own says that the module of the files is itself renamed.
	own bool
}

// patch exchanges bytes of a file.
type patch struct {
	at, end int
	text    string
}

func patched(src []byte, list []patch) []byte {
	slices.SortFunc(list, func(a, b patch) int { return cmp.Compare(a.at, b.at) })
	var out []byte
	at := 0
	for _, p := range list {
		out = append(append(out, src[at:p.at]...), p.text...)
		at = p.end
	}
	return append(out, src[at:]...)
}

var generated = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.\r?$`)
})

// source rewrites one file. It returns nil bytes where nothing changes; the error is
// the parser's.
func (s sources) source(name string, src []byte) ([]byte, Source, error) {
	info := Source{Path: name}
	if !bytes.Contains(src, []byte(s.from)) {
		return nil, info, nil
	}
	head, err := readHead(name, src)
	if err != nil {
		return nil, info, err
	}
	out := patched(src, s.specs(head, &info))
	if info.Imports > 0 {
		out = s.tidied(head, src, out)
	}
	out, info.Directives = s.directives(out)
	if s.own {
		if o, ok := s.importComment(out); ok {
			out = o
			info.Directives++
		}
	}
	if info.Imports+info.Directives == 0 {
		return nil, info, nil
	}
	info.Generated = generated().Match(src[:head.offset(head.file.Package)])
	return out, info, nil
}

// head is a file down to its imports.
type head struct {
	name string
	src  []byte
	file *ast.File
	set  *token.FileSet
}

func readHead(name string, src []byte) (head, error) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, src, parser.ImportsOnly|parser.ParseComments|parser.SkipObjectResolution)
	return head{name, src, f, set}, err
}

// offset and line are true of the bytes, whatever //line comments say.
func (h head) offset(p token.Pos) int { return h.set.File(p).Offset(p) }
func (h head) line(p token.Pos) int   { return h.set.PositionFor(p, false).Line }

// specs are the exchanges of import specs.
func (s sources) specs(h head, info *Source) []patch {
	var list []patch
	var used func(string) bool
	for _, spec := range h.file.Imports {
		old, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		path, ok := s.path(old)
		if !ok {
			continue
		}
		quote := spec.Path.Value[:1]
		text := quote + path + quote
		if spec.Name == nil && !s.own {
			if used == nil {
				used = usedNames(h)
			}
			if alias := s.alias(old, path, used); alias != "" {
				text = alias + " " + text
				info.Aliased = append(info.Aliased, alias)
			}
		}
		list = append(list, patch{h.offset(spec.Path.Pos()), h.offset(spec.Path.End()), text})
		info.Imports++
	}
	return list
}

// alias is the name that a spec needs since the package there now calls itself
// otherwise than the code calls it; "" where it needs none.
func (s sources) alias(old, path string, used func(string) bool) string {
	newer := s.newer(path)
	if older := s.older(old); older != "" && newer != "" {
		if older == newer {
			return ""
		}
		return older
	}
	if newer == "" {
		newer = guesses(path)[0]
	}
	if used(newer) {
		return ""
	}
	for _, g := range guesses(old) {
		if g != newer && token.IsIdentifier(g) && used(g) {
			return g
		}
	}
	return ""
}

// usedNames are the names before a dot in a file.
func usedNames(h head) func(string) bool {
	found := map[string]bool{}
	f, err := parser.ParseFile(token.NewFileSet(), h.name, h.src, parser.SkipObjectResolution)
	if f != nil && err == nil {
		ast.Inspect(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok {
					found[x.Name] = true
				}
			}
			return true
		})
	}
	return func(name string) bool { return found[name] }
}

var major = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^v[0-9]+$`) })

// guesses are names that a package at path may have, likeliest first; never empty.
func guesses(path string) []string {
	elems := strings.Split(path, "/")
	last := elems[len(elems)-1]
	if len(elems) > 1 && major().MatchString(last) {
		last = elems[len(elems)-2]
	}
	if i := strings.LastIndex(last, ".v"); i > 0 && major().MatchString(last[i+1:]) {
		last = last[:i]
	}
	out := []string{last}
	for _, cut := range []string{"go-", "golang-"} {
		if rest, ok := strings.CutPrefix(last, cut); ok {
			out = append(out, rest)
		}
	}
	for _, cut := range []string{"-go", ".go", "-golang"} {
		if rest, ok := strings.CutSuffix(last, cut); ok {
			out = append(out, rest)
		}
	}
	out = append(out, strings.ReplaceAll(last, "-", "_"), strings.ReplaceAll(last, "-", ""))
	if i := strings.LastIndexAny(last, "-."); i >= 0 {
		out = append(out, last[i+1:])
	}
	if i := strings.IndexAny(last, "-."); i > 0 {
		out = append(out, last[:i])
	}
	return out
}

// group is a run of specs on consecutive lines, which gofmt sorts.
type group struct {
	specs []*ast.ImportSpec
	// sortable: each spec has a line to itself.
	sortable, commented bool
}

// groups are the runs of all import declarations in parentheses.
func (h head) groups() []group {
	var out []group
	for _, d := range h.file.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.IMPORT || !decl.Lparen.IsValid() {
			continue
		}
		last := h.line(decl.Lparen)
		begins := true
		for i, sp := range decl.Specs {
			spec, ok := sp.(*ast.ImportSpec)
			if !ok {
				continue
			}
			line := h.line(spec.Pos())
			if begins || line > last+1 {
				out = append(out, group{sortable: true})
			}
			g := &out[len(out)-1]
			ends := h.line(spec.End())
			if spec.Comment != nil {
				g.commented = true
				ends = h.line(spec.Comment.End())
			}
			if line != ends || line == last || i == len(decl.Specs)-1 && h.line(decl.Rparen) == ends {
				g.sortable = false
			}
			g.specs = append(g.specs, spec)
			last, begins = ends, false
		}
	}
	return out
}

// less is gofmt's order: path, name, comment.
func less(a, b *ast.ImportSpec) int {
	key := func(s *ast.ImportSpec) [3]string {
		p, err := strconv.Unquote(s.Path.Value)
		if err != nil {
			p = s.Path.Value
		}
		k := [3]string{p}
		if s.Name != nil {
			k[1] = s.Name.Name
		}
		if s.Comment != nil {
			k[2] = s.Comment.Text()
		}
		return k
	}
	x, y := key(a), key(b)
	return slices.Compare(x[:], y[:])
}

// tidied sorts the groups that were sorted before, and drops specs that are now there
// twice; out differs from src, of which h was read, in specs alone.
func (s sources) tidied(h head, src, out []byte) []byte {
	before := h.groups()
	now, err := readHead(h.name, out)
	if err != nil {
		return out
	}
	after := now.groups()
	var list []patch
	commented := false
	for i, g := range after {
		commented = commented || g.commented
		if i >= len(before) || !g.sortable || slices.IsSortedFunc(g.specs, less) || !slices.IsSortedFunc(before[i].specs, less) {
			continue
		}
		sorted := slices.SortedStableFunc(slices.Values(g.specs), less)
		for n, spec := range g.specs {
			from, to := lineAround(out, now.offset(sorted[n].Pos()))
			at, end := lineAround(out, now.offset(spec.Pos()))
			list = append(list, patch{at, end, string(out[from:to])})
		}
	}
	out = s.single(patched(out, list), h.name)
	// The comments behind specs stand in a column.
	if commented {
		if was, err := format.Source(src); err == nil && bytes.Equal(was, src) {
			if is, err := format.Source(out); err == nil {
				return is
			}
		}
	}
	return out
}

// single drops specs of paths below to that stand there twice under one name.
func (s sources) single(out []byte, name string) []byte {
	h, err := readHead(name, out)
	if err != nil {
		return out
	}
	seen := map[[2]string]bool{}
	var list []patch
	for _, spec := range h.file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil || !below(p, s.to) {
			continue
		}
		as := ""
		if spec.Name != nil {
			as = spec.Name.Name
		}
		if as == "" {
			as = s.newer(p)
		}
		key := [2]string{p, as}
		if !seen[key] {
			seen[key] = true
			continue
		}
		at, end := lineAround(out, h.offset(spec.Pos()))
		line := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(string(out[at:end])), "import"))
		if strings.HasSuffix(line, spec.Path.Value) && len(line) <= len(spec.Path.Value)+len(as)+1 { // nothing else on it
			list = append(list, patch{at, min(end+1, len(out)), ""})
		}
	}
	return patched(out, list)
}

// lineAround is the line, without its end, in which an offset lies.
func lineAround(data []byte, offset int) (at, end int) {
	at = bytes.LastIndexByte(data[:offset], '\n') + 1
	if end = bytes.IndexByte(data[offset:], '\n'); end < 0 {
		return at, len(data)
	}
	return at, offset + end
}

// directives rewrites the lines for go that name paths.
func (s sources) directives(src []byte) ([]byte, int) {
	var list []patch
	for _, word := range []string{"//go:generate ", "//go:linkname "} {
		for at := 0; at < len(src); {
			i := bytes.Index(src[at:], []byte(word))
			if i < 0 {
				break
			}
			begin := at + i
			_, end := lineAround(src, begin)
			at = end
			if begin > 0 && src[begin-1] != '\n' {
				continue
			}
			line := string(src[begin:end])
			if text := s.text(line); text != line {
				list = append(list, patch{begin, end, text})
			}
		}
	}
	return patched(src, list), len(list)
}

// importComment rewrites the comment that names the path of the package.
func (s sources) importComment(src []byte) ([]byte, bool) {
	h, err := readHead("", src)
	if err != nil {
		return src, false
	}
	line := h.line(h.file.Package)
	for _, g := range h.file.Comments {
		for _, c := range g.List {
			inner := strings.TrimSpace(strings.Trim(c.Text, "/*"))
			if h.line(c.Pos()) != line || c.Pos() < h.file.Name.End() || !strings.HasPrefix(inner, `import "`) {
				continue
			}
			// A comment's text has lost its carriage returns; the path is before them.
			at := h.offset(c.Pos())
			if text := s.text(c.Text); text != c.Text && bytes.HasPrefix(src[at:], []byte(c.Text)) {
				return patched(src, []patch{{at, at + len(c.Text), text}}), true
			}
		}
	}
	return src, false
}

// pathByte reports a byte that may stand in an import path, or in a linker's name.
func pathByte(b byte) bool {
	return b == '.' || b == '/' || b == '-' || b == '_' || b == '~' || b == '%' || b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
}

// text rewrites the paths in a line of words: import paths, names such as path.Symbol,
// and path@version, which takes the new version.
func (s sources) text(line string) string {
	var out strings.Builder
	for {
		i := strings.Index(line, s.from)
		if i < 0 {
			out.WriteString(line)
			return out.String()
		}
		end := i + len(s.from)
		for end < len(line) && pathByte(line[end]) {
			end++
		}
		word := line[i:end]
		begins := i == 0 || !pathByte(line[i-1])
		path, symbol := word, ""
		if slash := strings.LastIndexByte(word, '/'); slash >= 0 {
			slash = max(slash, len(s.from)-1) // the path's own dots are none of a symbol
			if dot := strings.IndexByte(word[slash:], '.'); dot >= 0 {
				path, symbol = word[:slash+dot], word[slash+dot:]
			}
		}
		to, ok := s.path(path)
		if major().MatchString(strings.TrimPrefix(symbol, ".")) { // gopkg.in/yaml.v2 is not gopkg.in/yaml
			ok = false
		}
		if path == s.from && !strings.Contains(path, "/") { // an ordinary word, for all we know
			ok = false
		}
		if !begins || !ok {
			out.WriteString(line[:end])
			line = line[end:]
			continue
		}
		out.WriteString(line[:i] + to + symbol)
		line = line[end:]
		if rest, ok := s.afterVersion(line); ok {
			out.WriteString("@" + s.version)
			line = rest
		}
	}
}

// afterVersion is what follows an @version at the beginning of line, where there is one
// and another takes its place.
func (s sources) afterVersion(line string) (rest string, ok bool) {
	version, ok := strings.CutPrefix(line, "@")
	if !ok || s.version == "" {
		return "", false
	}
	n := 0
	for n < len(version) && (pathByte(version[n]) || version[n] == '+') {
		n++
	}
	return version[n:], semver.IsValid(version[:n])
}
