package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/doctor"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/settings"
	"golang.org/x/mod/module"
)

func fault(code keepwell.Code, confidence float64, rivals ...keepwell.Code) keepwell.Finding {
	f := keepwell.Finding{Code: code, Confidence: confidence, Facts: keepwell.Facts{}, Evidence: []keepwell.Evidence{{Source: "input", Text: "said"}}}
	for _, r := range rivals {
		f.Rivals = append(f.Rivals, keepwell.Rival{Code: r})
	}
	return f
}

func probedFault(code keepwell.Code) keepwell.Finding {
	f := fault(code, 0.95)
	f.Evidence = []keepwell.Evidence{{Source: "probe", Text: "seen"}}
	return f
}

func TestOpenQuestion(t *testing.T) {
	t.Parallel()
	info := fault("module/archived", 0.5)
	info.Severity = keepwell.SeverityInfo
	for name, row := range map[string]struct {
		list []keepwell.Finding
		want int
	}{
		"none":            {nil, -1},
		"sure":            {[]keepwell.Finding{fault("tls/not-tls", 0.95)}, -1},
		"a rival":         {[]keepwell.Finding{fault("tls/not-tls", 0.95), fault("tls/expired", 0.95, "tls/clock-skew")}, 1},
		"not sure":        {[]keepwell.Finding{fault("net/slow", 0.6)}, 0},
		"hygiene asks no": {[]keepwell.Finding{info, fault("net/slow", 0.6)}, 1},
	} {
		if got, _ := openQuestion(row.list); got != row.want {
			t.Errorf("%s: %d, want %d", name, got, row.want)
		}
	}
}

func TestAnswered(t *testing.T) {
	t.Parallel()
	open := fault("tls/expired", 0.7, "tls/clock-skew")
	for name, row := range map[string]struct {
		of      keepwell.Finding
		answer  probeAnswer
		code    keepwell.Code
		surer   int // compared with before
		proofs  int
		settled bool
	}{
		"confirmed":         {open, probeAnswer{Findings: []keepwell.Finding{probedFault("tls/expired")}}, "tls/expired", 1, 2, true},
		"the rival":         {open, probeAnswer{Findings: []keepwell.Finding{probedFault("tls/clock-skew")}}, "tls/clock-skew", 1, 2, true},
		"a lower layer":     {open, probeAnswer{Findings: []keepwell.Finding{probedFault("net/dns")}}, "net/dns", 1, 2, true},
		"something else":    {open, probeAnswer{Findings: []keepwell.Finding{probedFault("proxy/rate-limited")}}, "tls/expired", 0, 2, false},
		"all fine now":      {open, probeAnswer{Fine: true, Said: "fine"}, "tls/expired", -1, 2, false},
		"nothing was seen":  {open, probeAnswer{}, "tls/expired", 0, 1, false},
		"private after all": {fault("proxy/not-found", 0.8, "module/missing-or-private"), probeAnswer{Findings: []keepwell.Finding{probedFault("auth/goprivate-unset")}}, "auth/goprivate-unset", 1, 2, false},
		"still open":        {fault("proxy/not-found", 0.8, "module/missing-or-private"), probeAnswer{Said: "git: no login"}, "proxy/not-found", 0, 2, false},
	} {
		got := answered(row.of, row.answer)
		surer := 0
		if got.Confidence > row.of.Confidence {
			surer = 1
		} else if got.Confidence < row.of.Confidence {
			surer = -1
		}
		if got.Code != row.code || surer != row.surer || len(got.Evidence) != row.proofs || row.settled && len(got.Rivals) > 0 {
			t.Errorf("%s: %s at %.2f with %d proofs and rivals %v", name, got.Code, got.Confidence, len(got.Evidence), got.Rivals)
		}
		if row.of.Code != "proxy/not-found" && len(row.of.Evidence) != 1 {
			t.Errorf("%s: the finding itself was changed", name)
		}
	}
}

func TestAskedFor(t *testing.T) {
	t.Parallel()
	repository := func(path string) string {
		if strings.HasPrefix(path, "git.example.com/") {
			return "https://" + path
		}
		return ""
	}
	for name, row := range map[string]struct {
		code  keepwell.Code
		facts keepwell.Facts
		want  asks
	}{
		"a module":              {"proxy/not-found", keepwell.Facts{"module": "git.example.com/team/x", "proxy": "goproxy.example.org"}, asks{Host: "git.example.com", Module: "git.example.com/team/x"}},
		"a module of no host":   {"proxy/not-found", keepwell.Facts{"module": "x", "proxy": "goproxy.example.org"}, asks{Host: "goproxy.example.org", Server: "goproxy.example.org"}},
		"a proxy's file":        {"proxy/bad-response", keepwell.Facts{"url": "https://goproxy.example.org/x/@v/list", "proxy": "goproxy.example.org"}, asks{Host: "goproxy.example.org", Server: "https://goproxy.example.org/x/@v/list"}},
		"a page":                {"tls/expired", keepwell.Facts{"url": "https://git.example.com/x?go-get=1"}, asks{Host: "git.example.com", Server: "https://git.example.com"}},
		"the host, not the URL": {"net/timeout", keepwell.Facts{"url": "https://git.example.com/x", "host": "cdn.example.com", "port": "443"}, asks{Host: "cdn.example.com", Server: "cdn.example.com:443"}},
		"an address":            {"net/refused", keepwell.Facts{"address": "192.0.2.1", "port": "8081"}, asks{Host: "192.0.2.1", Server: "192.0.2.1:8081"}},
		"nobody":                {"net/slow", keepwell.Facts{}, asks{}},
	} {
		f := fault(row.code, 0.5)
		f.Facts = row.facts
		if got, _ := askedFor(f, repository); got != row.want {
			t.Errorf("%s: %+v, want %+v", name, got, row.want)
		}
	}
}

func TestEffectiveHosts(t *testing.T) {
	t.Parallel()
	c := &doctor.Case{
		Settings: &settings.Settings{Env: goenv.Env{}, Project: settings.Project{Module: "example.com/app", Requires: []module.Version{{Path: "git.example.com/team/x"}, {Path: "local/only"}}}},
		Observe:  observe.Options{GoProxies: []string{"https://goproxy.example.org:8443/x"}, SumDB: "sum.example.org+0+key https://sums.example.net", Npm: []string{"https://npm.example.org/"}},
	}
	got := effectiveHosts(c)
	for _, host := range []string{"goproxy.example.org", "sum.example.org", "sums.example.net", "npm.example.org", "example.com", "git.example.com"} {
		if !slices.Contains(got, host) {
			t.Errorf("%s is not among %v", host, got)
		}
	}
	if len(got) != 6 {
		t.Errorf("too many: %v", got)
	}
}

func TestSaysYes(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{"y\n": true, "YES\n": true, "\n": false, "n\n": false, "y": false, "": false, "是\n": true} {
		if got := saysYes(strings.NewReader(answer)); got != want {
			t.Errorf("%q: %v", answer, got)
		}
	}
}
