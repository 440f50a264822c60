// Package modconfig reads the configuration file of `keepwell proxy`: where it listens,
// whom it asks for which modules, with which credentials, and which versions may be had.
// It reports all that is wrong with a file at once, each with its line, and never holds
// half of one for the whole. It opens no connection and no store; of secrets it takes
// only references, and resolves them where it is asked to.
//
// A new key is a case in read.go, a property in schema.json and a row in the tests.
package modconfig

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell/internal/modpolicy"
	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/plainfile"
)

// Config is what a file says. What it does not say is zero.
type Config struct {
	Listen, Dir, TokenFile, Quota   string
	TLSCert, TLSKey, URL, Log, OTLP string
	S3, S3Quota                     string
	S3Unconditional                 bool
	Grace                           time.Duration
	AllowPrivate                    []string
	CommaFriendly                   bool
	Lists                           []modproxy.List
	Policy                          modpolicy.Policy
	// FirstSeen judges ages by nothing but the first sight.
	FirstSeen bool

	file  string
	lines map[string]int
}

// Where is the place of a key that stands at the top of the file, as FILE:LINE; "" where
// the file does not have it.
func (c *Config) Where(key string) string {
	if c == nil || c.lines[key] == 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d", c.file, c.lines[key])
}

// RuleLine is the line of a rule.
func (c *Config) RuleLine(name string) int { return c.lines["rule "+name] }

// Options of reading.
type Options struct {
	// Secrets resolves references; without it, credentials have none.
	Secrets bool
	// Env looks up a variable; nil: the process's.
	Env func(string) (string, bool)
	// Base is the directory of relative names.
	Base string
}

// Problem is one thing that is wrong.
type Problem struct {
	Line int
	Key  string
	Args []any
}

// Text says it.
func (p Problem) Text(lang msg.Lang) string { return msg.Text(lang, p.Key, p.Args...) }

// Problems are all of a file.
type Problems struct { //nolint:errname // it is what the reader is told, and an error besides
	File string
	List []Problem
}

func (p *Problems) Error() string { return p.Text(msg.EN) }

// Text has a line for each.
func (p *Problems) Text(lang msg.Lang) string {
	lines := make([]string, len(p.List))
	for i, one := range p.List {
		lines[i] = fmt.Sprintf("%s:%d: %s", p.File, one.Line, one.Text(lang))
	}
	return strings.Join(lines, "\n")
}

// largest bounds a file: nobody writes so many rules.
const largest = 1 << 20

// Load reads the file of that name. The error is *Problems where the file is wrong.
func Load(name string, secrets bool) (*Config, error) {
	data, err := plainfile.Read(name)
	if err != nil {
		return nil, err
	}
	base, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	return Read(name, data, Options{Secrets: secrets, Base: base})
}

// Read reads data, which is the content of the file of that name.
func Read(name string, data []byte, o Options) (*Config, error) {
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	r := &reader{o: o, c: &Config{file: name, lines: map[string]int{}}}
	if len(data) > largest {
		r.wrong(1, "config.large", largest)
	} else if top := r.document(data); top != nil {
		r.top(top)
	}
	if len(r.problems) > 0 {
		return nil, &Problems{File: name, List: r.problems}
	}
	return r.c, nil
}

// document is the one mapping in data; nil for an empty file.
func (r *reader) document(data []byte) *yaml.Node {
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		line := 1
		_, _ = fmt.Sscanf(err.Error(), "yaml: line %d:", &line) // it names one, or not
		r.wrong(line, "config.yaml", err)
		return nil
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		r.wrong(max(more.Line, 1), "config.documents")
		return nil
	}
	if len(doc.Content) != 1 {
		return nil
	}
	if r.aliased(doc.Content[0]) {
		return nil
	}
	return doc.Content[0]
}

// aliased refuses anchors that are used: what they stand for could grow without bound.
func (r *reader) aliased(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode {
		r.wrong(n.Line, "config.alias", n.Value)
		return true
	}
	found := false
	for _, c := range n.Content {
		found = r.aliased(c) || found
	}
	return found
}

// Decision is what a configuration says of one module version.
type Decision struct {
	Module   string `json:"module"`
	Version  string `json:"version,omitempty"`
	Allowed  bool   `json:"allowed"`
	Rule     string `json:"rule,omitempty"`
	Line     int    `json:"line,omitempty"`
	Reason   string `json:"reason,omitempty"`
	ReasonZH string `json:"reason_zh,omitempty"`
	// MinimumAge is demanded by AgeRule.
	MinimumAge string `json:"minimum_age,omitempty"`
	AgeRule    string `json:"age_rule,omitempty"`
	// Asked are who would be told the module's name, for Patterns.
	Asked    []string `json:"asked"`
	Patterns string   `json:"patterns,omitempty"`
}

// Decide tells which rule decides on a version; without one, on all of the module.
func (c *Config) Decide(path, version string, lists []modproxy.List, now time.Time) Decision {
	v := c.Policy.DecideModule(path, now)
	if v.Allowed && version != "" {
		v = c.Policy.Decide(path, version, now)
	}
	d := Decision{Module: path, Version: version, Allowed: v.Allowed, Rule: v.Rule, Reason: v.Reason, ReasonZH: v.ReasonZH, Asked: []string{}}
	if v.Rule != "" {
		d.Line = c.RuleLine(v.Rule)
	}
	if v.MinimumAge > 0 {
		d.MinimumAge, d.AgeRule = modpolicy.ShowAge(v.MinimumAge), v.AgeRule
	}
	if !d.Allowed {
		return d
	}
	upstreams, patterns, ok := modproxy.Asked(lists, path)
	if d.Patterns = patterns; !ok {
		d.Allowed = false
	}
	for _, u := range upstreams {
		d.Asked = append(d.Asked, u.Name)
	}
	return d
}
