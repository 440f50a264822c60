package daemon

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/actions"
	"github.com/keepwell/keepwell/internal/alerts"
	"github.com/keepwell/keepwell/internal/condition"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/proc"
)

// Config is what `keepwell serve` is told. The keys of the file are the tags; each value
// that is a word, a number, a time or a list of words can be set by KEEPWELL_ and its path
// in capitals, too (KEEPWELL_TLS_CERT).
type Config struct {
	Listen   string `yaml:"listen"`
	URL      string `yaml:"url"`
	Open     bool   `yaml:"open"` // plain HTTP beyond this machine
	TLS      TLS    `yaml:"tls"`
	Data     string `yaml:"data" path:"dir"`
	Database string `yaml:"database"`
	Log      string `yaml:"log"`
	// Grace is how long requests and effects may go on after a signal to end.
	Grace        time.Duration       `yaml:"grace"`
	Playbooks    Playbooks           `yaml:"playbooks"`
	Fingerprints string              `yaml:"fingerprints" path:"dir"`
	Secrets      Secrets             `yaml:"secrets"`
	Scripts      Scripts             `yaml:"scripts"`
	HTTP         HTTP                `yaml:"http"`
	Notify       map[string]Receiver `yaml:"notify"`
	Tickets      map[string]Tracker  `yaml:"tickets"`
	Prometheus   string              `yaml:"prometheus"`
	Clusters     map[string]Cluster  `yaml:"clusters"`
	Redis        map[string]Redis    `yaml:"redis"`
	Databases    map[string]Database `yaml:"databases"`
	Hooks        Hooks               `yaml:"hooks"`
	Escalate     Escalate            `yaml:"escalate"`
	Ansible      Ansible             `yaml:"ansible"`
	OIDC         OIDC                `yaml:"oidc"`
	Modules      Modules             `yaml:"modules"`
	// MaxRuns is how many runs of all playbooks may begin within an hour; 0: no limit.
	MaxRuns   int64     `yaml:"max_runs"`
	Workers   int64     `yaml:"workers"`
	Retention Retention `yaml:"retention"`
	Journal   Journal   `yaml:"journal"`

	mappings map[string]*alerts.Mapping
}

// The parts of a configuration.
type (
	// TLS is a certificate and its key.
	TLS struct {
		Cert string `yaml:"cert" path:"file"`
		Key  string `yaml:"key" path:"file"`
	}
	// Playbooks are the files of a directory.
	Playbooks struct {
		Dir string `yaml:"dir" path:"dir"`
		// Hold is how long a version that is new only observes.
		Hold time.Duration `yaml:"hold"`
	}
	// Secrets are the files of a directory, beside KEEPWELL_SECRET_NAME.
	Secrets struct {
		Dir string `yaml:"dir" path:"dir"`
	}
	// Scripts are which there are, and how they are held.
	Scripts struct {
		Dirs       []string      `yaml:"dirs" path:"dir"`
		CPU        time.Duration `yaml:"cpu"`
		MemoryMB   int64         `yaml:"memory_mb"`
		FileSizeMB int64         `yaml:"file_size_mb"`
		OpenFiles  int64         `yaml:"open_files"`
		UID        int64         `yaml:"uid"`
		GID        int64         `yaml:"gid"`
		OutputKB   int64         `yaml:"output_kb"`
		Processes  int64         `yaml:"processes"`
		Files      Files         `yaml:"files"`
	}
	// Files are what scripts reach; see [actions.Files]. Nothing said: as their user may.
	Files struct {
		Readable []string `yaml:"readable" path:"file"`
		Writable []string `yaml:"writable" path:"file"`
		NoTCP    bool     `yaml:"no_tcp"`
		Strict   bool     `yaml:"strict"`
	}
	// Ansible is where playbooks of Ansible are; see [actions.Ansible].
	Ansible struct {
		Program string   `yaml:"program"`
		Dirs    []string `yaml:"dirs" path:"dir"`
		Home    string   `yaml:"home" path:"dir"`
		Env     []string `yaml:"env"`
	}
	// OIDC is how people log in at an OpenID provider; see [access.OIDC].
	OIDC struct {
		Issuer       string            `yaml:"issuer"`
		ClientID     string            `yaml:"client_id"`
		ClientSecret string            `yaml:"client_secret"`
		Scopes       []string          `yaml:"scopes"`
		Groups       string            `yaml:"groups"` // the claim
		Roles        map[string]string `yaml:"roles"`  // of groups
		Others       string            `yaml:"others"` // the role of who is in none of them
		Name         string            `yaml:"name"`   // the claim
	}
	// Modules is the module proxy at /mod/, which is off where no upstream is named.
	Modules struct {
		Upstream []string `yaml:"upstream"`
		Dir      string   `yaml:"dir" path:"dir"`
		Private  []string `yaml:"allow_private"`
		Quota    int64    `yaml:"quota_gb"`
	}
	// HTTP says where requests of playbooks may go.
	HTTP struct {
		Hosts   []string `yaml:"hosts"`
		Private []string `yaml:"private"`
	}
	// Receiver is where people read.
	Receiver struct {
		Type string   `yaml:"type"`
		URL  string   `yaml:"url"`
		Key  string   `yaml:"key"`
		Lang string   `yaml:"lang"`
		From string   `yaml:"from"`
		To   []string `yaml:"to"`
		User string   `yaml:"user"`
		CA   string   `yaml:"ca" path:"file"`
	}
	// Tracker is where tickets are.
	Tracker struct {
		Type    string `yaml:"type"`
		URL     string `yaml:"url"`
		Project string `yaml:"project"`
		Token   string `yaml:"token"`
		User    string `yaml:"user"`
		Issue   string `yaml:"issue"`
	}
	// Cluster is a Kubernetes cluster; see [actions.Cluster].
	Cluster struct {
		Kubeconfig  string   `yaml:"kubeconfig" path:"file"`
		Context     string   `yaml:"context"`
		Account     string   `yaml:"account" path:"dir"`
		Namespaces  []string `yaml:"namespaces"`
		Nodes       bool     `yaml:"nodes"`
		MaxReplicas int64    `yaml:"max_replicas"`
	}
	// Redis is a server of Redis; see [actions.Redis].
	Redis struct {
		Address  string   `yaml:"address"`
		User     string   `yaml:"user"`
		Password string   `yaml:"password"`
		DB       int64    `yaml:"db"`
		TLS      bool     `yaml:"tls"`
		CA       string   `yaml:"ca" path:"file"`
		Write    bool     `yaml:"write"`
		Commands []string `yaml:"commands"`
	}
	// Database is one that playbooks ask; see [actions.Database].
	Database struct {
		URL   string `yaml:"url"`
		Write bool   `yaml:"write"`
	}
	// Hooks are where alerts come in.
	Hooks struct {
		Token   string               `yaml:"token"` // of senders that show one
		HMAC    string               `yaml:"hmac"`  // the key of senders that sign
		Generic map[string]yaml.Node `yaml:"generic"`
	}
	// Escalate says who is told when.
	Escalate struct {
		To      []string      `yaml:"to"`
		Channel string        `yaml:"channel"`
		After   time.Duration `yaml:"after"`
	}
	// Retention is how long things are kept.
	Retention struct {
		Alerts  time.Duration `yaml:"alerts"`
		Journal time.Duration `yaml:"journal"`
	}
	// Journal says whose signatures of it count.
	Journal struct {
		// Keys are the public keys of all nodes, in hex. Nothing said: those in the database
		// are trusted on first use.
		Keys []string `yaml:"keys"`

		pinned []ed25519.PublicKey
	}
)

const day = 24 * time.Hour

// Defaults is the configuration where nothing is said.
func Defaults() *Config {
	return &Config{
		Listen: "127.0.0.1:9620", Log: "json", Grace: 30 * time.Second, Workers: 20,
		Playbooks: Playbooks{Hold: day}, Escalate: Escalate{After: 15 * time.Minute},
		Retention: Retention{Alerts: 90 * day, Journal: 365 * day},
	}
}

// Pinned are the public keys of Keys.
func (j Journal) Pinned() []ed25519.PublicKey { return j.pinned }

// Problem is something wrong with a configuration.
type Problem struct {
	// Where is the file or the variable; Line and Column are 0 where there are none.
	Where        string
	Line, Column int
	Key          string
	Args         []any
}

// In is the problem in a language.
func (p Problem) In(lang msg.Lang) string {
	text := msg.Text(lang, p.Key, msg.Words(lang, p.Args)...)
	switch {
	case p.Line > 0:
		return fmt.Sprintf("%s:%d:%d: %s", p.Where, p.Line, p.Column, text)
	case p.Where != "":
		return p.Where + ": " + text
	}
	return text
}

// ConfigErrors is everything that is wrong, as one error.
type ConfigErrors []Problem

// Error implements error.
func (ps ConfigErrors) Error() string { return ps.Text(msg.EN) }

// Text is everything, a line each.
func (ps ConfigErrors) Text(lang msg.Lang) string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.In(lang)
	}
	return strings.Join(lines, "\n")
}

// Source is where a configuration comes from; what comes later outranks what is before.
type Source struct {
	File    string   // "": none
	Environ []string // NAME=VALUE
	// Flags are paths of keys, such as "listen", with what was said.
	Flags map[string]string
}

// Load reads a configuration and reports everything that is wrong at once, as [ConfigErrors].
func Load(s Source) (*Config, error) {
	c, r, err := load(s)
	if err == nil && len(r.problems) > 0 {
		return nil, r.problems
	}
	return c, err
}

// load reads; what is wrong with what it read is in the reader.

func load(s Source) (*Config, *reader, error) {
	c := Defaults()
	r := &reader{where: s.File}
	if s.File != "" {
		doc, err := plainfile.Read(s.File)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the configuration: %w", err)
		}
		r.read(doc, c)
	}
	r.environ(s.Environ, c)
	r.flags(s.Flags, c)
	r.judge(c)
	return c, r, nil
}

var wordForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`) })

// reference is a secret by name.
var reference = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\$\{secret:[^}]*\}`) })

// judge reports what can only be seen of the whole.
func (r *reader) judge(c *Config) {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		r.at("listen", "serve.listen", c.Listen)
	}
	if c.Log != "json" && c.Log != "text" {
		r.at("log", "serve.enum", "log", "json, text")
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		r.at("tls", "serve.pair")
	}
	if c.Database != "" && !isPostgres(c.Database) {
		r.at("database", "serve.database")
	}
	for key, address := range map[string]string{"url": c.URL, "prometheus": c.Prometheus} {
		if address != "" && !strings.Contains(address, "${") && !isWeb(address) {
			r.at(key, "serve.address", key)
		}
	}
	r.judgeOIDC(c)
	if beyond(c.Listen) && c.TLS.Cert == "" && !c.Open {
		r.at("listen", "serve.notls", c.Listen)
	}
	for _, text := range c.Journal.Keys {
		public, err := journal.ParseKey(text)
		if err != nil {
			r.at("journal.keys", "serve.journal.key", text)
			continue
		}
		c.Journal.pinned = append(c.Journal.pinned, public)
	}
	r.judgeParts(c)
	r.judgeSystems(c)
	r.judgeNumbers(c)
	r.judgeMappings(c)
	slices.SortStableFunc(r.problems, func(a, b Problem) int { return a.Line - b.Line })
}

func (r *reader) judgeParts(c *Config) {
	for name, to := range c.Notify {
		if types := []string{"slack", "dingtalk", "lark", "wecom", "teams", "email", "other"}; !slices.Contains(types, to.Type) {
			r.at("notify."+name, "serve.enum", "type", strings.Join(types, ", "))
		}
		if to.URL == "" {
			r.at("notify."+name, "serve.lacks", "url")
		}
	}
	for name, t := range c.Tickets {
		types := []string{"github", "gitlab", "gitea", "jira", "jira-server", "generic"}
		if !slices.Contains(types, t.Type) {
			r.at("tickets."+name, "serve.enum", "type", strings.Join(types, ", "))
		}
		if t.URL == "" {
			r.at("tickets."+name, "serve.lacks", "url")
		}
		if slices.Contains(types, t.Type) && t.Type != "generic" {
			r.judgeTracker("tickets."+name, t)
		}
	}
	for _, name := range c.Escalate.To {
		if _, ok := c.Notify[name]; !ok {
			r.at("escalate.to", "serve.receiver", name)
		}
	}
	for key, dirs := range map[string][]string{"scripts.dirs": c.Scripts.Dirs, "playbooks.dir": {c.Playbooks.Dir}, "fingerprints": {c.Fingerprints}, "secrets.dir": {c.Secrets.Dir}, "ansible.dirs": c.Ansible.Dirs} {
		for _, dir := range dirs {
			if st, err := os.Stat(dir); dir != "" && (err != nil || !st.IsDir()) {
				r.at(key, "serve.dir", dir)
			}
		}
	}
}

// judgeTracker reports what the program of a tracker cannot do without: it is asked with
// a token, in the cloud's Jira for a user's, and of a project.
func (r *reader) judgeTracker(key string, t Tracker) {
	lacks := func(name, value string, needed bool) {
		if needed && value == "" {
			r.at(key, "serve.lacks", name)
		}
	}
	lacks("project", t.Project, true)
	lacks("token", t.Token, true)
	lacks("user", t.User, t.Type == "jira")
	if example := actions.Tracker(t).ProjectForm(); t.Project != "" && example != "" {
		r.at(key+".project", "serve.project", key+".project", example)
	}
}

// judgeSystems reports what cannot be where actions go.
func (r *reader) judgeSystems(c *Config) {
	for name, to := range c.Redis {
		if to.Address == "" {
			r.at("redis."+name, "serve.lacks", "address")
		} else if _, _, err := net.SplitHostPort(reference().ReplaceAllString(to.Address, "x:1")); err != nil && !strings.HasPrefix(to.Address, "unix:") {
			r.at("redis."+name+".address", "serve.hostport", "redis."+name+".address")
		}
		if to.DB < 0 || to.DB > 1<<16 {
			r.at("redis."+name+".db", "serve.number", "redis."+name+".db")
		}
	}
	for name, to := range c.Databases {
		if to.URL == "" {
			r.at("databases."+name, "serve.lacks", "url")
		} else if !isPostgres(to.URL) {
			r.at("databases."+name+".url", "serve.database.url", "databases."+name+".url")
		}
	}
	for _, host := range c.HTTP.Hosts {
		if host != strings.ToLower(host) || strings.ContainsAny(host, "/@*? ") {
			r.at("http.hosts", "serve.host", host)
		}
	}
	for _, host := range c.HTTP.Private {
		if !slices.Contains(c.HTTP.Hosts, host) && !slices.Contains(c.HTTP.Hosts, strings.TrimSuffix(strings.TrimSuffix(host, ":443"), ":80")) {
			r.at("http.private", "serve.private", host)
		}
	}
}

// isPostgres tells addresses of PostgreSQL; a secret alone may hold one.
func isPostgres(address string) bool {
	if strings.HasPrefix(address, "${secret:") {
		return true
	}
	u, err := url.Parse(reference().ReplaceAllString(address, "x"))
	return err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") && (u.Host != "" || u.RawQuery != "")
}

// judgeOIDC reports what an OpenID provider cannot do with.
func (r *reader) judgeOIDC(c *Config) {
	o := c.OIDC
	if o.Issuer == "" {
		if o.ClientID != "" || o.ClientSecret != "" || len(o.Roles) > 0 || o.Others != "" {
			r.at("oidc", "serve.lacks", "issuer")
		}
		return
	}
	if !isWeb(o.Issuer) {
		r.at("oidc.issuer", "serve.address", "oidc.issuer")
	}
	if o.ClientID == "" {
		r.at("oidc", "serve.lacks", "client_id")
	}
	if c.URL == "" {
		r.at("oidc", "serve.oidc.url")
	}
	if o.ClientSecret != "" && !reference().MatchString(o.ClientSecret) {
		r.at("oidc.client_secret", "serve.reference", "oidc.client_secret")
	}
	if len(o.Roles) == 0 && o.Others == "" {
		r.at("oidc", "serve.lacks", "roles")
	}
	for group, role := range o.Roles {
		r.role("oidc.roles."+group, role)
	}
	if o.Others != "" {
		r.role("oidc.others", o.Others)
	}
}

func (r *reader) role(key, word string) {
	if _, err := access.ParseRole(word); err != nil {
		r.at(key, "serve.enum", key, "viewer, operator, admin")
	}
}

// judgeMappings makes the mappings of hooks.
func (r *reader) judgeMappings(c *Config) {
	c.mappings = map[string]*alerts.Mapping{}
	for name, n := range c.Hooks.Generic {
		if !wordForm().MatchString(name) {
			r.at("hooks.generic", "serve.name", name)
		}
		if n.Kind == yaml.MappingNode && !slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return c.Value == "name" }) {
			word := func(s string) *yaml.Node {
				return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Line: n.Line, Column: n.Column}
			}
			n.Content = append([]*yaml.Node{word("name"), word(name)}, n.Content...)
		}
		m, err := alerts.NewMapping(r.doc, &n)
		if err != nil {
			r.joined("hooks.generic."+name, err)
			continue
		}
		c.mappings[name] = m
	}
}

// judgeNumbers reports what is too small or too large.
func (r *reader) judgeNumbers(c *Config) {
	for key, n := range map[string]int64{
		"workers": c.Workers, "max_runs": c.MaxRuns, "scripts.memory_mb": c.Scripts.MemoryMB, "scripts.file_size_mb": c.Scripts.FileSizeMB,
		"scripts.open_files": c.Scripts.OpenFiles, "scripts.uid": c.Scripts.UID, "scripts.gid": c.Scripts.GID, "scripts.output_kb": c.Scripts.OutputKB,
		"scripts.processes": c.Scripts.Processes, "modules.quota_gb": c.Modules.Quota,
	} {
		if n < 0 || n > 1<<31 {
			r.at(key, "serve.number", key)
		} else if key == "workers" && n == 0 {
			r.at(key, "serve.workers")
		}
	}
	for key, d := range map[string]time.Duration{
		"grace": c.Grace, "playbooks.hold": c.Playbooks.Hold, "escalate.after": c.Escalate.After, "retention.alerts": c.Retention.Alerts, "retention.journal": c.Retention.Journal, "scripts.cpu": c.Scripts.CPU,
	} {
		if d < 0 || d < day && strings.HasPrefix(key, "retention") {
			r.at(key, "serve.time", key)
		}
	}
}

// joined reports each of the errors that err joins.
func (r *reader) joined(key string, err error) {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			r.joined(key, e)
		}
		return
	}
	if s, ok := errors.AsType[*condition.SourceError](err); ok && s.Line > 0 {
		r.wrong(place{r.where, s.Line, s.Column}, s.Key, s.Args...)
		return
	}
	r.at(key, "serve.mapping", err)
}

func isWeb(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// beyond tells addresses that other machines may reach.
func beyond(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false // told of
	}
	ip, err := netip.ParseAddr(host)
	return host != "localhost" && (err != nil || !ip.IsLoopback())
}

// plain tells of passwords that go over the network as they are, as far as can be seen.
func (c *Config) plain() bool {
	return c.Open && beyond(c.Listen) && c.TLS.Cert == "" && !strings.HasPrefix(strings.ToLower(c.URL), "https://")
}

// around is what actions need beside a configuration.
type around struct {
	secrets  func(string) (string, error)
	launcher []string
	keepers  *proc.Keepers
	lang     msg.Lang
	instance string
	doctor   func(context.Context, string) (actions.Examination, error)
}

// actions are the options of the actions.
func (c *Config) actions(a around) actions.Options {
	const mega = 1 << 20
	o := actions.Options{
		Secrets: a.secrets, Lang: a.lang, Doctor: a.doctor, Ansible: actions.Ansible(c.Ansible), HTTP: actions.Guard{Hosts: c.HTTP.Hosts, Private: c.HTTP.Private}, Prometheus: c.Prometheus, Instance: a.instance,
		Receivers: map[string]actions.Receiver{}, Trackers: map[string]actions.Tracker{},
		Clusters: map[string]actions.Cluster{}, Redis: map[string]actions.Redis{}, Databases: map[string]actions.Database{},
		Scripts: actions.Scripts{
			Dirs: c.Scripts.Dirs, Launcher: a.launcher, Keepers: a.keepers, MaxOutput: int(c.Scripts.OutputKB << 10),
			Limits: actions.Limits{
				CPUSeconds: uint64(max(0, c.Scripts.CPU/time.Second)), Memory: uint64(max(0, c.Scripts.MemoryMB)) * mega, FileSize: uint64(max(0, c.Scripts.FileSizeMB)) * mega,
				OpenFiles: uint64(max(0, c.Scripts.OpenFiles)), UID: int(c.Scripts.UID), GID: int(c.Scripts.GID),
				Processes: uint64(max(0, c.Scripts.Processes)), Files: c.Scripts.Files.limits(),
			},
		},
	}
	for name, r := range c.Notify {
		o.Receivers[name] = actions.Receiver(r)
	}
	for name, t := range c.Tickets {
		o.Trackers[name] = actions.Tracker(t)
	}
	for name, k := range c.Clusters {
		o.Clusters[name] = actions.Cluster(k)
	}
	for name, r := range c.Redis {
		o.Redis[name] = actions.Redis{Address: r.Address, User: r.User, Password: r.Password, DB: int(r.DB), TLS: r.TLS, CA: r.CA, Write: r.Write, Commands: r.Commands}
	}
	for name, d := range c.Databases {
		o.Databases[name] = actions.Database(d)
	}
	return o
}

// limits are nil where nothing is said.
func (f Files) limits() *actions.Files {
	if len(f.Readable)+len(f.Writable) == 0 && !f.NoTCP && !f.Strict {
		return nil
	}
	l := actions.Files(f)
	return &l
}

// returnPath is where the OpenID provider sends people back to.
const returnPath = "/login/return"

// door are the options of the door.
func (c *Config) door(secrets func(string) (string, error)) access.Options {
	o := access.Options{Secure: strings.HasPrefix(strings.ToLower(c.URL), "https://") || c.TLS.Cert != ""}
	if c.URL != "" {
		o.Origins = []string{origin(c.URL)}
	}
	if c.OIDC.Issuer == "" {
		return o
	}
	roles := map[string]access.Role{}
	for group, role := range c.OIDC.Roles {
		roles[group] = access.Role(role)
	}
	o.OIDC = &access.OIDC{
		Issuer: c.OIDC.Issuer, ClientID: c.OIDC.ClientID, Scopes: c.OIDC.Scopes, Groups: c.OIDC.Groups, Roles: roles,
		Secret:   func() (string, error) { return resolve(c.OIDC.ClientSecret, secrets) },
		Redirect: strings.TrimSuffix(c.URL, "/") + returnPath, Others: access.Role(c.OIDC.Others), Name: c.OIDC.Name,
	}
	return o
}

// origin is what browsers call the server of an address.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address // told of
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

var errNoSecret = errors.New("there is no such secret (hint: a file of its name in secrets.dir, or KEEPWELL_SECRET_ and its name)")

// secretsOf resolves references: by KEEPWELL_SECRET_NAME, by a file of the directory of
// the configuration, or by one of systemd's credentials.
func secretsOf(c *Config, environ []string) func(string) (string, error) {
	return func(name string) (string, error) {
		if !wordForm().MatchString(name) {
			return "", errNoSecret
		}
		if v, ok := lookup(environ, "KEEPWELL_SECRET_"+name); ok && v != "" {
			return v, nil
		}
		credentials, _ := lookup(environ, "CREDENTIALS_DIRECTORY")
		for _, dir := range []string{c.Secrets.Dir, credentials} {
			if dir == "" {
				continue
			}
			data, err := plainfile.Read(filepath.Join(dir, name))
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return "", fmt.Errorf("reading it: %w", err)
			}
			if text := strings.TrimRight(string(data), "\r\n"); text != "" {
				return text, nil
			}
			return "", errors.New("its file is empty")
		}
		return "", errNoSecret
	}
}

func lookup(environ []string, name string) (string, bool) {
	for _, e := range slices.Backward(environ) {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v, true
		}
	}
	return "", false
}
