package modconfig_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell/internal/modconfig"
	"github.com/keepwell/keepwell/internal/msg"
)

const secret = "canary-7d1f0c"

func environment(name string) (string, bool) {
	v, ok := map[string]string{"TOKEN": secret, "EMPTY": "", "SHORT": "abc", "BLANK": "abc def ghi"}[name]
	return v, ok
}

func read(t testing.TB, text string) (*modconfig.Config, []string) {
	t.Helper()
	c, err := modconfig.Read("proxy.yaml", []byte(text), modconfig.Options{Secrets: true, Env: environment, Base: "/etc/keepwell"})
	var p *modconfig.Problems
	if errors.As(err, &p) {
		return nil, strings.Split(p.Text(msg.EN), "\n")
	}
	if err != nil {
		t.Fatal(err)
	}
	return c, nil
}

// schemaSays holds a text to schema.json.
func schemaSays(t testing.TB, text string) error {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		return err
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw)))
	if err != nil {
		return err
	}
	return schema.Validate(doc)
}

const whole = `
listen: 127.0.0.1:3000
dir: modules
token_file: /etc/keepwell/tokens
quota: 20G
s3: https://s3.example.com/modules/go?region=eu
s3_quota: 200G
s3_unconditional: true
tls_cert: cert.pem
tls_key: /etc/keepwell/key.pem
url: https://modules.example.com
log: text
otlp: http://127.0.0.1:4318
grace: 30s
allow_private: [git.corp.example, 10.0.0.7:8443]
comma_friendly: true
upstreams:
  - modules: [git.corp.example, "*.corp.example/team"]
    servers: [direct]
    credentials: [corp, key]
  - modules: mirror.example.net
    servers: "https://mirror.example.net:8443!"
    credentials: mirror
  - servers: [https://goproxy.example.org, https://mirror.example.com!, direct]
    own_logins: true
credentials:
  corp: {hosts: [git.corp.example], user: reader, password: "${TOKEN}"}
  key: {hosts: ssh.corp.example, ssh_key: KEY, known_hosts: known}
  mirror: {hosts: [mirror.example.net:8443], bearer: "file:SECRET"}
minimum_age: 7d
minimum_age_except: [git.corp.example]
age_by: first-seen
rules:
  - name: urgent
    action: allow
    modules: example.com/log
    versions: 2.17.1
    minimum_age: 0
  - name: no-log
    action: deny
    modules: [example.com/log]
    versions: ["<1.2", ">=2.0.0 <2.17.1"]
    reason: {en: remote code, zh: 远程代码执行}
    until: 2027-01-31
  - {name: go, action: deny, modules: golang.org/toolchain, versions: [<1.25, pre-release], reason: too old}
`

// withFiles puts files with the right modes in the places that whole names.
func withFiles(t testing.TB, text string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"KEY": "key\n", "SECRET": secret + "-2\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return strings.NewReplacer("KEY", filepath.Join(dir, "KEY"), "SECRET", filepath.Join(dir, "SECRET")).Replace(text)
}

func TestRead(t *testing.T) {
	t.Parallel()
	text := withFiles(t, whole)
	if err := schemaSays(t, text); err != nil {
		t.Errorf("schema.json: %v", err)
	}
	c, problems := read(t, text)
	if problems != nil {
		t.Fatal(problems)
	}
	if c.Dir != "/etc/keepwell/modules" || c.Listen != "127.0.0.1:3000" || c.TokenFile != "/etc/keepwell/tokens" || c.Quota != "20G" || c.S3 != "https://s3.example.com/modules/go?region=eu" || c.S3Quota != "200G" || !c.S3Unconditional || !c.CommaFriendly || c.TLSCert != "/etc/keepwell/cert.pem" || c.Log != "text" || c.Grace != 30*time.Second || !c.FirstSeen {
		t.Errorf("%+v", c)
	}
	if c.Where("listen") != "proxy.yaml:2" || c.Where("nothing") != "" {
		t.Errorf("%s %s", c.Where("listen"), c.Where("nothing"))
	}
	if len(c.Lists) != 3 || c.Lists[0].Patterns != "git.corp.example,*.corp.example/team" || !c.Lists[1].Upstreams[0].Final || c.Lists[2].Upstreams[0].Logins != nil {
		t.Errorf("%+v", c.Lists)
	}
	corp, mirror := c.Lists[0].Upstreams[0].Logins.Credentials, c.Lists[1].Upstreams[0].Logins.Credentials
	if len(corp) != 2 || corp[0].Password != secret || corp[1].KnownHosts != "/etc/keepwell/known" || len(mirror) != 1 || mirror[0].Bearer != secret+"-2" {
		t.Error("the credentials are others")
	}
	if shown := fmt.Sprintf("%v %+v %#v", corp, corp, corp); strings.Contains(shown, "canary") {
		t.Errorf("a secret is shown: %s", shown)
	}
	day := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for _, x := range []struct{ module, version, want string }{
		{"example.com/log", "v2.17.1", "allowed urgent 34  goproxy.example.org,mirror.example.com,direct"},
		{"example.com/log", "v2.3.0", "denied no-log 39  "},
		{"example.com/other", "v1.0.0", "allowed  0 7d goproxy.example.org,mirror.example.com,direct"},
		{"git.corp.example/x", "v1.0.0", "allowed  0  direct"},
		{"golang.org/toolchain", "v0.0.1-go1.24.1.linux-amd64", "denied go 45  "},
	} {
		d := c.Decide(x.module, x.version, c.Lists, day)
		verdict := map[bool]string{true: "allowed", false: "denied"}[d.Allowed]
		if got := fmt.Sprintf("%s %s %d %s %s", verdict, d.Rule, d.Line, d.MinimumAge, strings.Join(d.Asked, ",")); got != x.want {
			t.Errorf("%s@%s: %q, want %q", x.module, x.version, got, x.want)
		}
	}
}

// TestAllThatIsWrongIsToldAtOnce with the line of each.
func TestAllThatIsWrongIsToldAtOnce(t *testing.T) {
	t.Parallel()
	c, problems := read(t, `listn: 127.0.0.1:3000
quota: 5X
allow_private: ["http://a.b"]
comma-friendly: yes
upstreams:
  - servers: [ftp://a.b, https://u:p@h.example]
  - modules: [a.b]
    servers: direct
    credentials: [nobody]
credentials:
  literal: {hosts: [a.b], user: x, password: hunter2hunter2}
  both: {hosts: [a.b], bearer: "${TOKEN}", ssh_key: k}
rules:
  - name: twice
    action: forbid
    modules: a.b
  - name: twice
    action: deny
    modules: [https://a.b/c]
    versions: [^1.2.3]
    untl: tomorrow
  - action: deny
`)
	if c != nil {
		t.Fatal("it was taken")
	}
	want := []string{
		`proxy.yaml:1: unknown key "listn"; did you mean "listen"?`,
		`proxy.yaml:2: quota: want a number with K, M, G or T, not "5X"`,
		`proxy.yaml:3: "http://a.b" is no host name, with or without a port`,
		`proxy.yaml:4: unknown key "comma-friendly"; did you mean "comma_friendly"?`,
		`proxy.yaml:6: servers: upstream "ftp://a.b": want http, https, file or direct`,
		`proxy.yaml:6: servers: an address has no login in this file; write a credential and name it`,
		`proxy.yaml:7: this entry is never reached: the one in line 6 has no modules, so it takes all that are left`,
		`proxy.yaml:9: there is no credential "nobody"; there are: both, literal`,
		`proxy.yaml:11: password: a secret has no place in this file; write ${VARIABLE} or file:PATH`,
		`proxy.yaml:11: no entry of upstreams names the credential "literal"`,
		`proxy.yaml:12: /etc/keepwell/k: no such file or directory`,
		`proxy.yaml:12: want exactly one of password (with user), bearer, ssh_key, helper`,
		`proxy.yaml:12: no entry of upstreams names the credential "both"`,
		`proxy.yaml:15: action: want one of allow, deny`,
		`proxy.yaml:17: the rule "twice" is there twice (first in line 14): a refusal could not be told apart`,
		`proxy.yaml:19: pattern "https://a.b/c": want a module path, not a URL`,
		`proxy.yaml:20: version "^1.2.3": want such as <1.2.3, >=2.0.0, 1.2.3, pre-release, pseudo or release`,
		`proxy.yaml:21: unknown key "untl"; did you mean "until"?`,
		`proxy.yaml:22: name is missing`,
		`proxy.yaml:22: modules is missing`,
	}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, p := range problems {
		if strings.Contains(p, "hunter2") || strings.Contains(p, "u:p@") {
			t.Errorf("a secret is told: %s", p)
		}
	}
}

// TestRefused are files of one mistake each; schema.json refuses those that it can know.
func TestRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open, secretFile := filepath.Join(dir, "open"), filepath.Join(dir, "own")
	for name, mode := range map[string]os.FileMode{open: 0o644, secretFile: 0o600} {
		if err := os.WriteFile(name, []byte(secret), mode); err != nil {
			t.Fatal(err)
		}
	}
	login := func(s string) string {
		return "upstreams: [{servers: direct, credentials: c}]\ncredentials: {c: {hosts: a.b, " + s + "}}\n"
	}
	for text, want := range map[string]string{
		"- a":                                   "!want keys and values (age_by, allow_private",
		"listen: [a]":                           "!listen: want a text",
		"listen: ''":                            "!listen: want a text",
		"listen: \"a\\nb\"":                     "!listen: want a text",
		"listen: a\nlisten: b":                  "!stands here a second time (first in line 1)",
		"comma_friendly: 1":                     "!want true or false",
		"comma_friendly: 'true'":                "!want true or false",
		"quota: 0":                              "!quota",
		"s3_quota: much":                        "!s3_quota",
		"s3_unconditional: 1":                   "!s3_unconditional",
		"s3: s3.example.com/m":                  "!want https://HOST/BUCKET",
		"s3: https://s3.example.com/?region=eu": "!want https://HOST/BUCKET",
		"s3: https://key:secret@s3.example.com/m": "!no keys here",
		"s3: [a]":                   "!s3",
		"upstreams: direct":         "!upstreams: want a list",
		"upstreams: []":             "!not empty",
		"upstreams: [{}]":           "!servers is missing",
		"upstreams: [direct]":       "!want keys and values",
		"upstreams: [{servers: []}": "!YAML",
		"upstreams: [{servers: a.b, own_logins: true, credentials: x}]\n": "exclude each other",
		"upstreams: [{servers: 'a.b=direct'}]":                            "patterns belong into modules",
		"upstreams: [{modules: [], servers: direct}]":                     "!modules: want",
		"rules: {}": "!rules: want a list",
		"rules: [{name: a b, action: deny, modules: x}]":                      "!name: want",
		"rules: [{name: minimum-age, action: deny, modules: x}]":              "!name: want",
		"rules: [{name: a, action: deny, modules: 'x,y'}]":                    "!one pattern",
		"rules: [{name: a, action: deny, modules: x, minimum_age: 1d}]":       "minimum_age belongs",
		"rules: [{name: a, action: deny, modules: x, until: soon}]":           "!until",
		"rules: [{name: a, action: deny, modules: x, reason: {de: x}}]":       "!unknown key",
		"rules: [{name: a, action: deny, modules: x, versions: '>=1.26rc1'}]": "only the module golang.org/toolchain",
		"grace: soon": "!grace: want", "log: xml": "!log: want",
		"minimum_age: 7":                               "!age \"7\"",
		"minimum_age_except: a.b":                      "without minimum_age",
		"age_by: commit":                               "!age_by",
		"a: &x [1]\nb: *x":                             "aliases are not read",
		"listen: a\n---\nlisten: b":                    "more than one",
		"\tlisten: a":                                  "!YAML",
		"credentials: {c: {}}":                         "!exactly one of",
		login("user: u"):                               "!exactly one of",
		login("password: '${TOKEN}'"):                  "!user is missing",
		login("bearer: plain-text-secret"):             "!a secret has no place",
		login("bearer: '${TOKEN} '"):                   "!a secret has no place",
		login("bearer: 'file:'"):                       "!a secret has no place",
		login("bearer: '${NONE}'"):                     "the variable NONE is not set",
		login("bearer: '${EMPTY}'"):                    "the variable EMPTY is not set",
		login("bearer: '${SHORT}'"):                    "at least 6 characters",
		login("bearer: '${BLANK}'"):                    "without blanks",
		login("bearer: 'file:" + dir + "/no'"):         "no such file",
		login("bearer: 'file:" + dir + "'"):            "no regular file",
		login("bearer: 'file:" + open + "'"):           "may be read or changed by others (mode -rw-r--r--); chmod 600",
		login("ssh_key: " + open):                      "may be read or changed by others",
		login("helper: '!echo password=x'"):            "!helper: want an absolute path",
		login("helper: ../x"):                          "helper: want an absolute path",
		login("helper: store, user: x"):                "user does not go with helper",
		login("bearer: '${TOKEN}', known_hosts: /k"):   "known_hosts does not go",
		login("user: \"a\\nb\", password: '${TOKEN}'"): "user: want a text",
		"upstreams: [{servers: 'http://a.b', credentials: c}]\ncredentials: {c: {hosts: a.b, bearer: '${TOKEN}'}}":       "no https server",
		"upstreams: [{servers: 'https://a.b:8443', credentials: c}]\ncredentials: {c: {hosts: a.b, bearer: '${TOKEN}'}}": "no https server",
		"upstreams: [{servers: 'https://a.b', credentials: c}]\ncredentials: {c: {hosts: a.b, helper: store}}":           "no https server",
	} {
		want, schema := strings.CutPrefix(want, "!")
		_, problems := read(t, text)
		if !strings.Contains(strings.Join(problems, "\n"), want) || len(problems) == 0 {
			t.Errorf("%s\n%v, want %s", text, problems, want)
		}
		if err := schemaSays(t, text); schema && err == nil {
			t.Errorf("%s\nschema.json takes it", text)
		}
		if strings.Contains(strings.Join(problems, ""), secret) || strings.Contains(strings.Join(problems, ""), "plain-text-secret") {
			t.Errorf("a secret is told: %v", problems)
		}
	}
	if _, problems := read(t, login("bearer: 'file:"+secretFile+"'")); problems != nil {
		t.Error(problems)
	}
	if _, problems := read(t, strings.Repeat("#", 2<<20)); len(problems) != 1 || !strings.Contains(problems[0], "larger") {
		t.Error(problems)
	}
	for _, text := range []string{"", "# nothing\n", "listen: 127.0.0.1:1\nquota: 500\n"} {
		if _, problems := read(t, text); problems != nil {
			t.Error(problems)
		}
	}
}

// TestRulesCanBeTriedWithoutSecrets: on a machine that has none of them.
func TestRulesCanBeTriedWithoutSecrets(t *testing.T) {
	t.Parallel()
	if _, err := modconfig.Read("x", []byte(strings.NewReplacer("${TOKEN}", "${NONE}").Replace(whole)), modconfig.Options{Env: environment}); err != nil {
		t.Error(err)
	}
}

func TestChinese(t *testing.T) {
	t.Parallel()
	_, err := modconfig.Read("代理.yaml", []byte("listn: x\nminimum_age: soon\n"), modconfig.Options{})
	var p *modconfig.Problems
	if !errors.As(err, &p) {
		t.Fatal(err)
	}
	want := "代理.yaml:1: 未知的键 \"listn\"；是否想写 \"listen\"？\n代理.yaml:2: 时长无效，应为数字加 d、w 或 h，例如 7d：age \"soon\": want a number with d, w or h, such as 7d"
	if diff := cmp.Diff(want, p.Text(msg.ZH)); diff != "" {
		t.Error(diff)
	}
}

// FuzzRead: no text makes it panic or hang, and whoever is refused is told why.
func FuzzRead(f *testing.F) {
	f.Add(whole)
	f.Add("a: &a [*a]")
	f.Add("rules: [{name: x, action: deny, modules: '*', versions: '<1'}]")
	f.Add("credentials: {c: {hosts: a.b, bearer: '${TOKEN}'}}")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := modconfig.Read("f", []byte(text), modconfig.Options{Secrets: false, Env: environment, Base: "/"})
		if (c == nil) != (err != nil) {
			t.Fatalf("%v, %v", c, err)
		}
		if err != nil && (strings.Count(err.Error(), "f:") == 0 || strings.Contains(err.Error(), "%!")) {
			t.Errorf("no place: %v", err)
		}
		if c != nil {
			c.Decide("example.com/x", "v1.0.0", c.Lists, time.Unix(0, 0))
		}
	})
}

// TestDocumentedFile loads the file of docs/proxy-rules.md, in both languages.
func TestDocumentedFile(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"proxy-rules.md", "proxy-rules.zh-CN.md"} {
		data, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(data), "```yaml\n")
		text, _, ok := strings.Cut(rest, "```")
		if err := schemaSays(t, text); err != nil || !ok {
			t.Errorf("%s: schema.json: %v", name, err)
		}
		c, err := modconfig.Read("proxy.yaml", []byte(text), modconfig.Options{})
		if err != nil {
			t.Fatal(err)
		}
		day := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
		d := c.Decide("example.com/log", "v2.3.0+incompatible", c.Lists, day)
		if d.Allowed || !strings.Contains(string(data), fmt.Sprintf("(proxy.yaml:%d)", d.Line)) && !strings.Contains(string(data), fmt.Sprintf("（proxy.yaml:%d）", d.Line)) {
			t.Errorf("%s: %+v", name, d)
		}
		if d := c.Decide("github.com/acme/x", "v1.0.0", c.Lists, day); !d.Allowed || d.MinimumAge != "" || len(d.Asked) != 1 {
			t.Errorf("%s: %+v", name, d)
		}
	}
}
