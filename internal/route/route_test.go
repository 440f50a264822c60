package route_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/route"
)

// config is go's settings as pairs of name and value, all from the environment, on
// top of a machine that says nothing.
func config(pairs ...string) route.Config {
	env := goenv.Env{
		"GOPROXY": {Value: "https://mirror.example.org,direct", Origin: goenv.FromGOROOT, File: "/usr/local/go/go.env"},
		"GOSUMDB": {Value: "sum.golang.org", Origin: goenv.FromGOROOT, File: "/usr/local/go/go.env"},
	}
	for pair := range slices.Chunk(pairs, 2) {
		env[pair[0]] = goenv.Setting{Value: pair[1], Origin: goenv.FromOS}
	}
	return route.Config{Env: env, Public: []string{"mirror.example.org"}}
}

func plan(cfg route.Config, modulePath string) route.Route {
	return route.Plan(cfg, route.Query{Module: modulePath, Version: "v1.0.0"})
}

// falls is a route with what falls through behind each hop.
func falls(r route.Route) string {
	var words []string
	for _, h := range r.Hops {
		name := string(h.Kind)
		if h.Kind == route.Proxy {
			name = h.Server
		}
		if h.Passed != nil {
			name = "(" + name + ")"
		}
		words = append(words, name+" "+string(h.Falls))
	}
	return strings.Join(words, ", ")
}

func TestHops(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		story string
		cfg   route.Config
		want  string
	}{
		{"the default", config(), "mirror.example.org not-found, direct end"},
		{"a bar falls on anything", config("GOPROXY", "https://a.example.org|https://b.example.org,direct"), "a.example.org any, b.example.org not-found, direct end"},
		{"no scheme is https, blanks do not matter", config("GOPROXY", " a.example.org:8080/x , off "), "a.example.org:8080 not-found, off end"},
		{"behind direct nothing is read", config("GOPROXY", "direct,https://a.example.org"), "direct end"},
		{"a separator at the end changes nothing", config("GOPROXY", "https://a.example.org|"), "a.example.org end"},
		{"a private module asks no proxy", config("GOPRIVATE", "git.example.com/team"), "noproxy not-found, (mirror.example.org) not-found, direct end"},
		{"a module beside it does", config("GOPRIVATE", "git.example.com/other"), "(noproxy) not-found, mirror.example.org not-found, direct end"},
		{"GONOPROXY outranks GOPRIVATE", config("GOPRIVATE", "git.example.com", "GONOPROXY", "none"), "(noproxy) not-found, mirror.example.org not-found, direct end"},
		{"with GOPROXY=direct there is nothing to go past", config("GOPRIVATE", "git.example.com", "GOPROXY", "direct"), "direct end"},
		{"off is off, also for private modules", config("GOPRIVATE", "git.example.com", "GOPROXY", "off"), "noproxy not-found, (off) end"},
		{"a directory", config("GOPROXY", "file:///srv/modules,off"), "file:///srv/modules not-found, off end"},
	} {
		if diff := cmp.Diff(c.want, falls(plan(c.cfg, "git.example.com/team/widget"))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.story, diff)
		}
	}
}

func TestRulesNameTheirSetting(t *testing.T) {
	t.Parallel()
	r := plan(config("GOPRIVATE", "other.example.org,*.example.com", "GOPROXY", "https://bob:hunter2@proxy.example.org,direct,https://late.example.org"), "git.example.com/team/widget")
	want := route.Rule{Code: "pattern", Setting: "GONOPROXY", Origin: "environment", From: "GOPRIVATE", Item: 2, Value: "*.example.com"}
	if diff := cmp.Diff(want, r.Hops[0].Rule); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&want, r.Hops[1].Passed); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(route.Rule{Code: "item", Setting: "GOPROXY", Origin: "environment", Item: 1, Value: "https://proxy.example.org"}, r.Hops[1].Rule); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"https://late.example.org"}, r.Ignored); diff != "" {
		t.Error(diff)
	}
	if r.Checksum.Used || r.Checksum.Rule.From != "GOPRIVATE" {
		t.Errorf("checksum %+v", r.Checksum)
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		q    route.Query
		want []string
	}{
		{route.Query{Module: "github.com/BurntSushi/toml", Version: "v1.0.0"}, []string{"@v/v1.0.0.info", "@v/v1.0.0.mod", "@v/v1.0.0.zip"}},
		{route.Query{Module: "github.com/BurntSushi/toml"}, []string{"@v/list", "@latest"}},
		{route.Query{Module: "github.com/BurntSushi/toml", Version: "latest"}, []string{"@v/list", "@latest"}},
		{route.Query{Module: "github.com/BurntSushi/toml", Version: "main"}, []string{"@v/main.info"}},
		{route.Query{Module: "github.com/BurntSushi/toml", Version: "v1.0.0-RC1"}, []string{"@v/v1.0.0-%21r%21c1.info", "@v/v1.0.0-%21r%21c1.mod", "@v/v1.0.0-%21r%21c1.zip"}},
	} {
		var got []string
		for _, a := range route.Plan(config("GOPROXY", "https://bob:pw@proxy.example.org/a/"), c.q).Hops[0].Asks {
			got = append(got, strings.TrimPrefix(a.URL, "https://proxy.example.org/a/github.com/%21burnt%21sushi/toml/"))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.q, diff)
		}
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"goproxy":                     "bad-proxy",
		"https://a.example.org,ftp:/": "bad-proxy",
		"file://host/x":               "bad-proxy",
		",|":                          "no-proxy",
	} {
		r := plan(config("GOPROXY", value), "git.corp/team/widget")
		if len(r.Problems) != 1 || r.Problems[0].Code != want {
			t.Errorf("GOPROXY=%q: problems %+v, want %s", value, r.Problems, want)
		}
		if len(r.Leaks) > 0 {
			t.Errorf("GOPROXY=%q: go stops, and yet %+v", value, r.Leaks)
		}
	}
	if r := plan(config(), "widget"); len(r.Problems) != 1 || r.Problems[0].Code != "bad-path" {
		t.Errorf("problems %+v", r.Problems)
	}
}

func TestDirect(t *testing.T) {
	t.Parallel()
	direct := func(cfg route.Config, modulePath string) route.Direct {
		cfg.Env = maps.Clone(cfg.Env)
		cfg.Env["GOPROXY"] = goenv.Setting{Value: "direct"}
		return *plan(cfg, modulePath).Hops[0].Direct
	}
	rules := config()
	rules.InsteadOf = map[string]string{"https://github.com/": "git@github.com:", "https://github.com/acme/": "ssh://git@git.example.com/acme/"}
	if d := direct(rules, "github.com/acme/widget/v2"); d.Repo != "https://github.com/acme/widget" || d.Rewritten != "ssh://git@git.example.com/acme/widget" || d.Rewrite != "https://github.com/acme/" {
		t.Errorf("rewriting: %+v", d)
	}
	if d := direct(config(), "git.example.com/team/widget"); d.Discovery != "https://git.example.com/team/widget?go-get=1" || d.Found != "page" {
		t.Errorf("discovery: %+v", d)
	}
	if d := direct(config("GOINSECURE", "*.example.com"), "git.example.com/team/widget"); d.Insecure == nil || d.Insecure.Value != "*.example.com" {
		t.Errorf("insecure: %+v", d)
	}
	known := config()
	known.Known = map[string]route.Import{"git.example.com/team/widget": {Prefix: "git.example.com/team/widget", VCS: "svn", Repo: "https://svn.example.com/widget"}}
	if d := direct(known, "git.example.com/team/widget"); d.Problem == nil || d.Problem.Code != "vcs-forbidden" {
		t.Errorf("svn for a public module: %+v", d)
	}
	known.Env = maps.Clone(known.Env)
	known.Env["GOPRIVATE"] = goenv.Setting{Value: "git.example.com"}
	if d := direct(known, "git.example.com/team/widget"); d.Problem != nil || d.VCS != "svn" {
		t.Errorf("svn for a private module: %+v", d)
	}
	for value, want := range map[string]string{"": "public:git|hg", "git.example.com:git": "git.example.com:git", "public:off": "public:off"} {
		if d := direct(config("GOVCS", value), "git.example.com/team/widget"); d.Policy.Value != want {
			t.Errorf("GOVCS=%q: %+v", value, d.Policy)
		}
	}
}

func TestChecksum(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		story string
		cfg   route.Config
		q     route.Query
		want  string
	}{
		{"the default", config(), route.Query{}, "sumdb sum.golang.org via mirror.example.org not-found, else https://sum.golang.org"},
		{"the address for China", config("GOSUMDB", "sum.golang.google.cn"), route.Query{}, "sumdb-url sum.golang.org via , else https://sum.golang.google.cn"},
		{"off", config("GOSUMDB", "off"), route.Query{}, "not asked: sumdb-off"},
		{"go.sum has it", config(), route.Query{InSum: true}, "not asked: go.sum"},
		{"private", config("GOPRIVATE", "git.example.com"), route.Query{}, "not asked: pattern"},
		{"GONOSUMDB outranks GOPRIVATE", config("GOPRIVATE", "git.example.com", "GONOSUMDB", "none"), route.Query{}, "sumdb sum.golang.org via mirror.example.org not-found, else https://sum.golang.org"},
		{"a toolchain", config("GOSUMDB", "off"), route.Query{Module: "golang.org/toolchain"}, "problem sumdb-off"},
		{"no key", config("GOSUMDB", "sum.example.org"), route.Query{}, "problem sumdb-key"},
		{"too much", config("GOSUMDB", "a b c"), route.Query{}, "problem sumdb-fields"},
		{"blank", config("GOSUMDB", " "), route.Query{}, "problem sumdb-missing"},
	} {
		if c.q.Module == "" {
			c.q.Module = "git.example.com/team/widget"
		}
		c.q.Version = "v1.0.0"
		s := route.Plan(c.cfg, c.q).Checksum
		var via []string
		for _, v := range s.Via {
			via = append(via, v.Server+" "+string(v.Falls))
		}
		got := s.Rule.Code + " " + s.Name + " via " + strings.Join(via, " ") + ", else " + s.Direct
		switch {
		case s.Problem != nil:
			got = "problem " + s.Problem.Code
		case !s.Used:
			got = "not asked: " + s.Rule.Code
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.story, diff)
		}
	}
}

func TestLeaks(t *testing.T) {
	t.Parallel()
	with := func(cfg route.Config, change func(*route.Config)) route.Config {
		change(&cfg)
		return cfg
	}
	for _, c := range []struct {
		story, module string
		cfg           route.Config
		want          string // servers, then the marks
	}{
		{"a public module", "github.com/acme/widget", config(), ""},
		{"a domain that is not public", "git.corp/team/widget", config(), "mirror.example.org! sum.golang.org!: private-domain"},
		{"a part of the domain that is not", "git.corp.acme.com/team/widget", config(), "mirror.example.org sum.golang.org: private-label"},
		{"a private address", "192.168.1.9/team/widget", config(), "mirror.example.org! sum.golang.org!: private-address"},
		{"covered by GOPRIVATE, nobody is told", "git.corp/team/widget", config("GOPRIVATE", "git.corp"), ""},
		{"covered, but GONOSUMDB tells the database", "git.corp/team/widget", config("GOPRIVATE", "git.corp", "GONOSUMDB", "none"), "sum.golang.org!: private-domain covered sibling"},
		{"covered, but GONOPROXY tells a public proxy", "git.corp/team/widget", config("GOPRIVATE", "git.corp", "GONOPROXY", "none"), "mirror.example.org!: private-domain covered sibling"},
		{"covered, and the proxy is the company's", "git.corp/team/widget", config("GOPRIVATE", "git.corp", "GONOPROXY", "none", "GOPROXY", "https://goproxy.acme.com"), ""},
		{"a neighbour of what is covered", "git.acme.com/team/widget", config("GOPRIVATE", "git.acme.com/other"), "mirror.example.org! sum.golang.org!: sibling"},
		{"a neighbour on a forge is of the same owner", "github.com/acme/widget", config("GOPRIVATE", "github.com/acme/other"), "mirror.example.org! sum.golang.org!: sibling"},
		{"another owner on the forge is none", "github.com/spf13/cobra", config("GOPRIVATE", "github.com/acme/other"), ""},
		{"git rewrites the owner", "github.com/acme/widget", with(config(), func(c *route.Config) {
			c.InsteadOf = map[string]string{"https://github.com/acme": "git@github.com:acme"}
		}), "mirror.example.org! sum.golang.org!: insteadof"},
		{"git rewrites all of the forge", "github.com/acme/widget", with(config(), func(c *route.Config) { c.InsteadOf = map[string]string{"https://github.com/": "git@github.com:"} }), ""},
		{"netrc has a login for the host", "git.acme.com/team/widget", with(config(), func(c *route.Config) { c.Netrc = []string{"git.acme.com"} }), "mirror.example.org! sum.golang.org!: netrc"},
		{"netrc has a login for the forge", "github.com/acme/widget", with(config(), func(c *route.Config) { c.Netrc = []string{"github.com"} }), ""},
		{"the owner of a private main module", "github.com/acme/widget", with(config("GOPRIVATE", "github.com/acme/shop"), func(c *route.Config) { c.Main = []string{"github.com/acme/shop"} }), "mirror.example.org! sum.golang.org!: sibling owner"},
		{"a proxy of the same domain, and no database", "git.corp.acme.com/team/widget", config("GOPROXY", "https://goproxy.acme.com", "GOSUMDB", "off"), ""},
		{"a proxy of the same country is another's", "git.corp.acme.co.uk/team/widget", config("GOPROXY", "https://goproxy.other.co.uk", "GOSUMDB", "off"), "goproxy.other.co.uk: private-label"},
		{"a proxy in the private network", "git.corp/team/widget", config("GOPROXY", "http://10.1.2.3:3000", "GOSUMDB", "off"), ""},
		{"a proxy that knows us", "git.corp/team/widget", with(config("GOPROXY", "https://proxy.other.com", "GOSUMDB", "off"), func(c *route.Config) { c.Netrc = []string{"proxy.other.com"} }), ""},
		{"a directory", "git.corp/team/widget", config("GOPROXY", "file:///srv/modules", "GOSUMDB", "off"), ""},
		{"off", "git.corp/team/widget", config("GOPROXY", "off", "GOSUMDB", "off"), ""},
	} {
		r := plan(c.cfg, c.module)
		var servers, marks []string
		for _, l := range r.Leaks {
			name := l.To
			if l.Certain {
				name += "!"
			}
			servers = append(servers, name)
		}
		got := ""
		if len(r.Leaks) > 0 {
			for _, m := range r.Leaks[0].Why {
				marks = append(marks, m.Code)
			}
			got = strings.Join(servers, " ") + ": " + strings.Join(marks, " ")
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.story, diff)
		}
	}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	cfg := config("HTTPS_PROXY", "http://bob:hunter2@squid.example.org:3128", "NO_PROXY", ".example.com", "GOAUTH", "git /srv/auth;netrc;/usr/bin/login --token=hunter2",
		"GOPROXY", "https://proxy.example.org,https://proxy.example.com,http://plain.example.org,http://127.0.0.1:3000,https://bob:hunter2@own.example.org:8443,http://bob:hunter2@own.example.org")
	cfg.Netrc = []string{"proxy.example.org", "own.example.org"}
	r := plan(cfg, "github.com/acme/widget")
	var got []string
	for _, h := range r.Hops {
		var sources []string
		for _, c := range h.Access.Credential {
			sources = append(sources, strings.TrimSpace(c.Source+" "+c.Name))
		}
		got = append(got, h.Server+": "+strings.Join(sources, ", ")+"; "+h.Access.TunnelRule.Code+" "+h.Access.Tunnel)
	}
	want := []string{
		"proxy.example.org: git /srv/auth, netrc proxy.example.org, command /usr/bin/login; tunnel http://squid.example.org:3128",
		"proxy.example.com: git /srv/auth, command /usr/bin/login; no-proxy-list ",
		"plain.example.org: plain; no-tunnel ",
		"127.0.0.1:3000: plain; no-tunnel ",
		"own.example.org:8443: url; tunnel http://squid.example.org:3128",
		"own.example.org: url-refused; no-tunnel ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	doc, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(doc), "hunter2") {
		t.Errorf("a secret is left in %s", doc)
	}
}

func TestNetrcMachines(t *testing.T) {
	t.Parallel()
	got := route.NetrcMachines([]byte("machine a.example.com login bob password x\nmachine b.example.com\nlogin bob\npassword x\n" +
		"machine nopassword.example.com login bob\nmachine c.example.com password x login bob account y\nmacdef init\nmachine d login e password f\n\nmachine e.example.com login bob password x\n" +
		"default login anonymous password x\n"))
	if diff := cmp.Diff([]string{"a.example.com", "b.example.com", "c.example.com", "e.example.com"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestGroupsAndDiff(t *testing.T) {
	t.Parallel()
	modules := []string{"github.com/acme/widget", "git.corp/team/lib", "github.com/acme/gear"}
	all := func(cfg route.Config) (list []route.Route) {
		for _, m := range modules {
			list = append(list, plan(cfg, m))
		}
		return list
	}
	before, after := all(config()), all(config("GOPRIVATE", "git.corp"))
	groups := route.Groups(after)
	if len(groups) != 2 || len(groups[0].Modules) != 2 || !groups[1].Summary.Private {
		t.Errorf("groups %+v", groups)
	}
	d := route.Diff(before, after)
	if d.Same != 2 || len(d.Changes) != 1 || !slices.Equal(d.Changes[0].Modules, []string{"git.corp/team/lib"}) {
		t.Errorf("changes %+v", d)
	}
	if len(d.Closed) != 2 || d.Closed[0].To != "mirror.example.org" || len(d.Opened) != 0 {
		t.Errorf("closed %+v, opened %+v", d.Closed, d.Opened)
	}
	if back := route.Diff(after, before); len(back.Opened) != 2 || len(back.Closed) != 0 {
		t.Errorf("the way back: %+v", back)
	}
	if same := route.Diff(before, before); same.Same != 3 || len(same.Changes) != 0 {
		t.Errorf("no change: %+v", same)
	}
}

// FuzzPlan: no setting and no name makes it panic or hang, and no login that stands in
// GOPROXY comes out.
func FuzzPlan(f *testing.F) {
	f.Add("https://bob:s3cr3tpw@a.example.org|direct", "git.example.com", "github.com/a/b", "v1.0.0", "sum.golang.org")
	f.Add("：，|,,|", ",,[", "a//b", "\x00", "a b c")
	f.Add("bob:12#x@y,https://bob:p/w@z", "*", "10.0.0.1/x.git/y", "latest", "off")
	f.Fuzz(func(t *testing.T, proxies, private, modulePath, version, sumdb string) {
		const secret = "hunter2hunter2"
		cfg := config("GOPROXY", "https://bob:"+secret+"@a.example.org,"+proxies, "GOPRIVATE", private, "GOSUMDB", sumdb, "GOVCS", private)
		r := route.Plan(cfg, route.Query{Module: modulePath, Version: version})
		_ = r.Summary()
		if doc, err := json.Marshal(r); err != nil || strings.Contains(string(doc), secret) {
			t.Errorf("a secret is left, or no JSON (%v): %s", err, doc)
		}
		sim := route.Simulate(cfg, route.Download, route.Query{Module: modulePath, Version: version}, func(string) route.Answer { return route.Answer{Status: 404} })
		if sim.Outcome.OK {
			t.Errorf("succeeded with nothing: %+v", sim)
		}
	})
}
