package doctor

import (
	"slices"
	"testing"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/diagnose"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/settings"
)

func fault(code keepwell.Code, facts ...string) keepwell.Finding {
	f := keepwell.Finding{Code: code, Confidence: 0.9, Facts: keepwell.Facts{}, Evidence: []keepwell.Evidence{{Source: "tool", Text: string(code)}}}
	for pair := range slices.Chunk(facts, 2) {
		f.Facts[pair[0]] = pair[1]
	}
	return f
}

func rivals(f keepwell.Finding, codes ...keepwell.Code) keepwell.Finding {
	for _, c := range codes {
		f.Rivals = append(f.Rivals, keepwell.Rival{Code: c})
	}
	return f
}

func warning(f keepwell.Finding) keepwell.Finding {
	f.Severity = keepwell.SeverityWarning
	return f
}

func info(f keepwell.Finding) keepwell.Finding {
	f.Severity = keepwell.SeverityInfo
	return f
}

// want is a code and its severity.
type want struct {
	code     keepwell.Code
	severity keepwell.Severity
}

func TestJudge(t *testing.T) {
	const (
		e = keepwell.SeverityError
		i = keepwell.SeverityInfo
	)
	fetch := func(o Outcome, list ...keepwell.Finding) Outcome {
		o.Check, o.Tried, o.Findings = "fetch", true, list
		return o
	}
	look := func(list ...keepwell.Finding) Outcome { return Outcome{Check: "settings", Findings: list} }
	probe := func(list ...keepwell.Finding) Outcome {
		return Outcome{Check: "network", Layers: []Looked{{}}, Findings: list}
	}
	for _, c := range []struct {
		name string
		seen []Outcome
		want []want
	}{
		{"nothing", nil, nil},
		{"what works has no fault, whatever a setting looks like", []Outcome{
			look(warning(fault("auth/goprivate-unset"))), fetch(Outcome{Works: true}), probe(fault("net/dns", "host", "a.example.org")),
		}, []want{{"auth/goprivate-unset", i}}},
		{"what the tool says leads, the rest is hygiene", []Outcome{
			look(warning(fault("local/goroot"))), fetch(Outcome{}, fault("version/unknown-revision", "module", "a.example/b")),
		}, []want{{"version/unknown-revision", e}, {"local/goroot", i}}},
		{"a rival that was seen takes the lead", []Outcome{
			fetch(Outcome{}, rivals(fault("tls/expired", "host", "a.example.org"), "tls/clock-skew")), probe(fault("tls/clock-skew", "host", "a.example.org")),
		}, []want{{"tls/clock-skew", e}}},
		{"a rival on another host does not", []Outcome{
			fetch(Outcome{}, rivals(fault("tls/expired", "host", "a.example.org"), "tls/clock-skew")), probe(fault("tls/clock-skew", "host", "b.example.org")),
		}, []want{{"tls/expired", e}, {"tls/clock-skew", i}}},
		{"no server makes a setting sound", []Outcome{
			fetch(Outcome{}, rivals(fault("proxy/misconfigured"), "net/dns")), probe(fault("net/dns")),
		}, []want{{"proxy/misconfigured", e}}},
		{"a server that sends pages explains a hash", []Outcome{
			fetch(Outcome{}, fault("sum/go-sum-mismatch", "module", "a.example/b")),
			{Check: "network", Layers: []Looked{{Target: observe.Target{Host: "a.example.org"}}, {}}, Findings: []keepwell.Finding{fault("proxy/bad-response", "host", "a.example.org")}},
		}, []want{{"proxy/bad-response", e}}},
		{"a server that is asked later does not", []Outcome{
			fetch(Outcome{}, fault("sum/go-sum-mismatch", "module", "a.example/b")),
			{Check: "network", Layers: []Looked{{Target: observe.Target{Host: "a.example.org"}}, {}}, Findings: []keepwell.Finding{fault("proxy/bad-response", "host", "b.example.org")}},
		}, []want{{"sum/go-sum-mismatch", e}, {"proxy/bad-response", i}}},
		{"the catalogue's cause takes the lead", []Outcome{
			fetch(Outcome{}, fault("tls/unknown-authority", "host", "a.example.org")), probe(fault("net/intercepted", "host", "a.example.org")),
		}, []want{{"net/intercepted", e}}},
		{"what hangs is told by the probes", []Outcome{
			fetch(Outcome{Hung: true}), probe(fault("net/timeout", "host", "a.example.org")),
		}, []want{{"net/timeout", e}}},
		{"a silence at one server is told by what its probe saw", []Outcome{
			fetch(Outcome{Hung: true}, fault("net/slow", "host", "a.example.org")), probe(fault("net/tls-timeout", "host", "a.example.org")),
		}, []want{{"net/tls-timeout", e}}},
		{"a silence is told by whatever its server said to a probe", []Outcome{
			fetch(Outcome{Hung: true}, fault("net/slow", "host", "a.example.org")), probe(fault("proxy/unauthorized", "host", "a.example.org")),
		}, []want{{"proxy/unauthorized", e}}},
		{"an HTTP proxy stands before the server that is silent", []Outcome{
			fetch(Outcome{Hung: true}, fault("net/slow", "host", "a.example.org")), probe(fault("net/http-proxy", "host", "proxy.example.org")),
		}, []want{{"net/http-proxy", e}}},
		{"nobody tried: what was looked at counts", []Outcome{look(fault("proxy/misconfigured"))}, []want{{"proxy/misconfigured", e}}},
		{"a hint from a file is no rival by being info", []Outcome{
			look(info(fault("auth/goprivate-unset"))), fetch(Outcome{}, rivals(fault("module/missing-or-private"), "auth/goprivate-unset")),
		}, []want{{"module/missing-or-private", e}, {"auth/goprivate-unset", i}}},
		{"what stops no build is a note", []Outcome{fetch(Outcome{Side: true}, fault("proxy/not-found"))}, []want{{"proxy/not-found", i}}},
		{"a further look settles what the tool left open", []Outcome{
			{Check: "modules", Tried: true, Findings: []keepwell.Finding{fault("sum/go-sum-mismatch", "module", "a.example/b")}},
			{Check: "sums", Settles: "sum/go-sum-mismatch", Findings: []keepwell.Finding{fault("sum/mirror-stale", "module", "a.example/b")}},
		}, []want{{"sum/mirror-stale", e}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []want
			for _, f := range Judge(c.seen) {
				got = append(got, want{f.Code, f.Severity})
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestJudgeKeepsProof: whoever leads, both proofs stay.
func TestJudgeKeepsProof(t *testing.T) {
	said := rivals(fault("tls/expired", "host", "a.example.org", "module", "a.example.org/b"), "tls/clock-skew")
	got := Judge([]Outcome{
		{Check: "fetch", Tried: true, Findings: []keepwell.Finding{said}},
		{Check: "network", Layers: []Looked{{}}, Findings: []keepwell.Finding{fault("tls/clock-skew", "host", "a.example.org")}},
	})
	if len(got) != 1 || len(got[0].Evidence) != 2 || got[0].Facts["module"] != "a.example.org/b" || len(got[0].Rivals) != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestNext(t *testing.T) {
	ids := func(list []Check) (out []string) {
		for _, k := range list {
			out = append(out, k.ID)
		}
		return out
	}
	c := &Case{Settings: &settings.Settings{Gos: []settings.GoCommand{{Path: "go"}}}, Machine: &diagnose.Machine{}, Asked: []Subject{{Go, "a.example/b", "v1.0.0"}}}
	has := slices.Contains[[]string]

	first := ids(Next(c, nil))
	if !has(first, "settings") || has(first, "modules") || has(first, "network") {
		t.Errorf("files are read first: %v", first)
	}
	var seen []Outcome
	for len(seen) < 20 {
		now := Next(c, seen)
		if len(now) == 0 || stageOf(now[0].ID) > Files {
			break
		}
		for _, k := range now {
			seen = append(seen, Outcome{Check: k.ID, State: observe.Yes})
		}
	}
	if got := ids(Next(c, seen)); !has(got, "modules") || has(got, "fetch") {
		t.Errorf("then the tools without a network: %v", got)
	}
	for _, k := range Next(c, seen) {
		if k.ID != "modules" {
			seen = append(seen, Outcome{Check: k.ID, State: observe.Yes})
		}
	}
	fine := append(slices.Clone(seen), Outcome{Check: "modules", Tried: true, Works: true})
	if got := ids(Next(c, fine)); has(got, "fetch") || has(got, "network") {
		t.Errorf("nothing is missing, and yet: %v", got)
	}
	wants := append(slices.Clone(seen), Outcome{Check: "modules", Wants: true})
	if got := ids(Next(c, wants)); !has(got, "fetch") || !has(got, "network") {
		t.Errorf("fetching and probing go together: %v", got)
	}
	c.Skip = []string{"network"}
	if got := ids(Next(c, wants)); has(got, "network") {
		t.Errorf("skipped, and yet: %v", got)
	}
	c.Skip, c.Only = nil, []string{"settings"}
	if got := ids(Next(c, nil)); !slices.Equal(got, []string{"settings"}) {
		t.Errorf("only settings: %v", got)
	}
}
