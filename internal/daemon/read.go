package daemon

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell/internal/spelling"
)

// reader fills in a Config by its tags, and gathers what is wrong.
type reader struct {
	where    string
	doc      []byte
	problems ConfigErrors
	// places are where the values of keys stand, by path.
	places map[string]place
}

type place struct {
	where        string
	line, column int
}

// maxProblems bounds what is told of one configuration.
const maxProblems = 100

func (r *reader) wrong(p place, key string, args ...any) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, Problem{p.where, p.line, p.column, key, args})
	}
}

// at reports something wrong with the value of a key, or of what it stands in.
func (r *reader) at(path, key string, args ...any) {
	p, ok := r.places[path]
	for up := path; !ok && strings.Contains(up, "."); p, ok = r.places[up] {
		up = up[:strings.LastIndexByte(up, '.')]
	}
	if !ok {
		p.where = path
	}
	r.wrong(p, key, args...)
}

func (r *reader) put(path string, p place) {
	if r.places == nil {
		r.places = map[string]place{}
	}
	r.places[path] = p
}

func (r *reader) node(n *yaml.Node) place { return place{r.where, n.Line, n.Column} }

// read fills in what a file says.
func (r *reader) read(doc []byte, c *Config) {
	r.doc = doc
	var root yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(doc))
	switch err := dec.Decode(&root); {
	case errors.Is(err, io.EOF):
		return // nothing is said
	case err != nil:
		r.wrong(place{where: r.where}, "config.yaml", strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	if dec.Decode(&yaml.Node{}) == nil {
		r.wrong(place{where: r.where}, "config.documents")
	}
	r.fill(root.Content[0], reflect.ValueOf(c).Elem(), "", "")
}

// names are the keys of a struct, with their fields.
func names(t reflect.Type) map[string]reflect.StructField {
	out := map[string]reflect.StructField{}
	for f := range t.Fields() {
		if name := f.Tag.Get("yaml"); name != "" {
			out[name] = f
		}
	}
	return out
}

// fill puts n into v. path is the key, kind says whether words are names of files.
func (r *reader) fill(n *yaml.Node, v reflect.Value, path, kind string) {
	r.put(path, r.node(n))
	if n.Kind == yaml.AliasNode {
		r.wrong(r.node(n), "config.alias", n.Value)
		return
	}
	switch {
	case v.Type() == reflect.TypeFor[yaml.Node]():
		v.Set(reflect.ValueOf(*n))
	case v.Kind() == reflect.Struct:
		known := names(v.Type())
		r.pairs(n, slices.Sorted(maps.Keys(known)), func(k, e *yaml.Node) {
			f := known[k.Value]
			r.fill(e, v.FieldByIndex(f.Index), join(path, k.Value), f.Tag.Get("path"))
		})
	case v.Kind() == reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		r.pairs(n, nil, func(k, e *yaml.Node) {
			value := reflect.New(v.Type().Elem()).Elem()
			r.fill(e, value, join(path, k.Value), "")
			v.SetMapIndex(reflect.ValueOf(k.Value), value)
		})
	case v.Kind() == reflect.Slice:
		r.list(n, v, path, kind)
	case n.Kind != yaml.ScalarNode || n.Tag == "!!null":
		r.wrong(r.node(n), "config.word", path)
	default:
		r.scalar(r.node(n), n.Value, v, path, kind)
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// pairs hands on the keys of a mapping; known, where it is not nil, are all that there are.
func (r *reader) pairs(n *yaml.Node, known []string, each func(k, v *yaml.Node)) {
	if n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.wrong(r.node(n), "config.mapping", strings.Join(known, ", "))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		switch {
		case seen[k.Value] > 0:
			r.wrong(r.node(k), "config.twice", k.Value, seen[k.Value])
		case known != nil && !slices.Contains(known, k.Value):
			r.unknown(r.node(k), k.Value, known)
		default:
			each(k, n.Content[i+1])
		}
		seen[k.Value] = k.Line
	}
}

func (r *reader) unknown(p place, got string, known []string) {
	if near := spelling.Meant(got, known); near != "" {
		r.wrong(p, "config.near", got, near)
		return
	}
	r.wrong(p, "config.unknown", got, strings.Join(known, ", "))
}

func (r *reader) list(n *yaml.Node, v reflect.Value, path, kind string) {
	entries := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		entries = n.Content
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, len(entries)))
	for _, e := range entries {
		if e.Kind != yaml.ScalarNode || e.Tag == "!!null" || e.Value == "" {
			r.wrong(r.node(e), "config.words", path)
			continue
		}
		value := reflect.New(v.Type().Elem()).Elem()
		r.scalar(r.node(e), e.Value, value, path, kind)
		v.Set(reflect.Append(v, value))
	}
}

// scalar puts a word into v.
func (r *reader) scalar(p place, word string, v reflect.Value, path, kind string) {
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		d, ok := duration(word)
		if !ok {
			r.wrong(p, "serve.duration", path)
			return
		}
		v.SetInt(int64(d))
	case v.Kind() == reflect.Int64:
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			r.wrong(p, "serve.number", path)
			return
		}
		v.SetInt(n)
	case v.Kind() == reflect.Bool:
		if word != "true" && word != "false" {
			r.wrong(p, "config.bool", path)
		}
		v.SetBool(word == "true")
	case strings.ContainsAny(word, "\r\n\x00"):
		r.wrong(p, "config.word", path)
	default:
		v.SetString(r.file(p, word, kind))
	}
}

// file is a word as the whole name of a file, where it is one: those of the configuration
// begin where it lies, others in the working directory.
func (r *reader) file(p place, word, kind string) string {
	if kind == "" || word == "" || filepath.IsAbs(word) {
		return word
	}
	if p.line > 0 {
		word = filepath.Join(filepath.Dir(r.where), word)
	}
	whole, err := filepath.Abs(word)
	if err != nil {
		return word
	}
	return whole
}

// duration reads 90s, 15m, 12h or 30d.
func duration(s string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		const most = 100_000
		n, err := strconv.ParseUint(days, 10, 32)
		return time.Duration(n) * day, err == nil && n <= most
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= 0
}

// entry is a value, and whether it is the name of a file.
type entry struct {
	reflect.Value
	kind string
}

// words are the values that a single word can set, by their path.
func words(v reflect.Value, path string) map[string]entry {
	out := map[string]entry{}
	for name, f := range names(v.Type()) {
		field, at := v.FieldByIndex(f.Index), join(path, name)
		switch field.Kind() { //nolint:exhaustive // the others take no word
		case reflect.Struct:
			maps.Copy(out, words(field, at))
		case reflect.String, reflect.Bool, reflect.Int64, reflect.Slice:
			out[at] = entry{field, f.Tag.Get("path")}
		}
	}
	return out
}

// elsewhere are the variables that other commands take and that scripts are given.
func elsewhere() []string {
	return []string{
		"KEEPWELL_SERVER", "KEEPWELL_TOKEN", "KEEPWELL_CACHE", "KEEPWELL_STATE", "KEEPWELL_ALERT", "KEEPWELL_ASSET", "KEEPWELL_CODE", "KEEPWELL_INCIDENT",
		"KEEPWELL_KEY", "KEEPWELL_PLAYBOOK", "KEEPWELL_PRIORITY", "KEEPWELL_RUN",
	}
}

// environ fills in what KEEPWELL_ variables say. Others of that name may belong to
// others; only one that is nearly right is wrong.
func (r *reader) environ(environ []string, c *Config) {
	fields := words(reflect.ValueOf(c).Elem(), "")
	known := map[string]string{}
	for path := range fields {
		known["KEEPWELL_"+strings.ToUpper(strings.ReplaceAll(path, ".", "_"))] = path
	}
	all := slices.Sorted(maps.Keys(known))
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "KEEPWELL_") || strings.HasPrefix(name, "KEEPWELL_SECRET_") {
			continue
		}
		path, ok := known[name]
		if !ok {
			if near := spelling.Meant(name, all); near != "" && !slices.Contains(elsewhere(), name) {
				r.wrong(place{where: name}, "config.near", name, near)
			}
			continue
		}
		r.word(place{where: name}, path, value, fields[path])
	}
}

// flags fills in what flags say.
func (r *reader) flags(said map[string]string, c *Config) {
	fields := words(reflect.ValueOf(c).Elem(), "")
	for path, value := range said {
		r.word(place{where: "--" + path}, path, value, fields[path])
	}
}

func (r *reader) word(p place, path, value string, v entry) {
	r.put(path, p)
	if v.Kind() != reflect.Slice {
		r.scalar(p, value, v.Value, path, v.kind)
		return
	}
	list := slices.DeleteFunc(strings.Split(value, ","), func(s string) bool { return s == "" })
	for i := range list {
		list[i] = r.file(p, list[i], v.kind)
	}
	v.Set(reflect.ValueOf(list))
}
