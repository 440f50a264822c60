package diagnose_test

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/modfile"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/diagnose"
	"github.com/keepwell/keepwell/internal/fingerprint"
	"github.com/keepwell/keepwell/internal/goenv"
)

// setting makes an environment of variables that the OS sets.
func setting(pairs ...string) *diagnose.Machine {
	env := goenv.Env{}
	for i := 0; i < len(pairs); i += 2 {
		env[pairs[i]] = goenv.Setting{Value: pairs[i+1], Origin: goenv.FromOS}
	}
	return &diagnose.Machine{Env: env}
}

func goMod(t *testing.T, text string) *diagnose.Machine {
	t.Helper()
	f, err := modfile.Parse("go.mod", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &diagnose.Machine{GoMod: f}
}

func firstFinding(t *testing.T, text string, m *diagnose.Machine) keepwell.Finding {
	t.Helper()
	findings, _, err := diagnose.Read(t.Context(), strings.NewReader(text), fingerprint.Default(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(findings) == 0 {
		t.Fatalf("nothing found in\n%s", text)
	}
	return findings[0]
}

const getWidget = `go: example.com/widget@v1.2.0: Get "https://goproxy.example.org/example.com/widget/@v/v1.2.0.info": `

// TestOneTextTwoMachines: the same words mean another fault on another machine.
// Each row is a pair: what the text says by itself, and what it says there.
func TestOneTextTwoMachines(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		story, text string
		alone       keepwell.Code
		machine     *diagnose.Machine
		there       keepwell.Code
		proof       string // words of the proof from there
	}{
		{
			"refused by the configured proxy", getWidget + "dial tcp 127.0.0.1:7890: connect: connection refused",
			"net/refused", setting("HTTPS_PROXY", "http://127.0.0.1:7890"), "net/http-proxy", "HTTPS_PROXY=http://127.0.0.1:7890 (environment)",
		},
		{
			"refused by the proxy on its default port", getWidget + "dial tcp 203.0.113.9:80: connect: connection refused",
			"net/refused", setting("https_proxy", "203.0.113.9"), "net/http-proxy", "https_proxy=203.0.113.9",
		},
		{
			"a time-out at the proxy", getWidget + "dial tcp 203.0.113.9:3128: i/o timeout",
			"net/timeout", setting("HTTPS_PROXY", "http://203.0.113.9:3128"), "net/http-proxy", "HTTPS_PROXY=",
		},
		{
			"the proxy's name does not resolve", getWidget + "dial tcp: lookup squid.example.org on 10.0.0.2:53: no such host",
			"net/dns", setting("HTTPS_PROXY", "http://squid.example.org:3128"), "net/http-proxy", "squid.example.org:3128",
		},
		{
			"GOPROXY with a Chinese comma", getWidget + "dial tcp: lookup goproxy.example.org: no such host",
			"net/dns", setting("GOPROXY", "https://goproxy.cn，direct"), "proxy/misconfigured", "GOPROXY=https://goproxy.cn，direct",
		},
		{
			"GOPROXY without the colon of its scheme", getWidget + "dial tcp: lookup https: no such host",
			"net/dns", setting("GOPROXY", "https//goproxy.cn,direct"), "proxy/misconfigured", "GOPROXY=https//goproxy.cn,direct",
		},
		{
			"GOPROXY names another server here", getWidget + "dial tcp 203.0.113.7:443: i/o timeout",
			"net/timeout", setting("GOPROXY", "https://goproxy.cn,direct"), "proxy/misconfigured", "GOPROXY=https://goproxy.cn,direct",
		},
		{
			"a sandbox of Nix", getWidget + "dial tcp: lookup goproxy.example.org: no such host",
			"net/dns", setting("NIX_BUILD_TOP", "/build"), "net/sandboxed", "NIX_BUILD_TOP=/build",
		},
		{
			"a clock that is behind", getWidget + "tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
			"tls/expired", &diagnose.Machine{Now: now.AddDate(-5, 0, 0), Newest: now}, "tls/clock-skew", "clock: 2021-01-01T00:00:00Z < 2026-01-01T00:00:00Z",
		},
		{
			"a module that is private here",
			"go: git.example.com/team/widget@v1.0.0: invalid version: git ls-remote -q --end-of-options https://git.example.com/team/widget in /go/pkg/mod/cache/vcs/0123456789ab: exit status 128:\n\tremote: Repository not found.\n\tfatal: repository 'https://git.example.com/team/widget/' not found",
			"", setting("GOPRIVATE", "git.example.com"), "auth/git-prompt", "GOPRIVATE=git.example.com",
		},
		{
			"a sibling of what is private here",
			"go: git.example.com/team/widget@v1.2.0: reading https://goproxy.cn/git.example.com/team/widget/@v/v1.2.0.info: 404 Not Found\n\tserver response: not found",
			"", setting("GOPRIVATE", "git.example.com/other"), "auth/goprivate-unset", "GOPRIVATE=git.example.com/other",
		},
		{
			"git is told to go elsewhere",
			"fatal: could not read Username for 'https://git.example.com': terminal prompts disabled",
			"auth/git-prompt", &diagnose.Machine{InsteadOf: map[string]string{"https://git.example.com/": "https://mirror.example.net/"}}, "vcs/git-config", "url.https://mirror.example.net/.insteadOf=https://git.example.com/",
		},
		{
			"a list that ends in off", "go: example.com/widget@v1.2.0: module lookup disabled by GOPROXY=off",
			"proxy/off", setting("GOPROXY", "https://goproxy.cn,off"), "proxy/misconfigured", "GOPROXY=https://goproxy.cn,off",
		},
		{
			"a toolchain that may not be fetched", "go: download go1.25.0 for linux/amd64: toolchain not available",
			"version/toolchain", setting("GOPROXY", "off"), "proxy/off", "GOPROXY=off",
		},
		{
			"modules are off", "go: go.mod file not found in current directory or any parent directory; see 'go help modules'",
			"local/no-go-mod", setting("GO111MODULE", "off"), "local/gopath", "GO111MODULE=off",
		},
		{
			"a workspace", "main.go:4:2: missing go.sum entry for module providing package example.com/widget; to add:\n\tgo mod download example.com/widget",
			"sum/missing-entry", setting("GOWORK", "/src/go.work"), "local/workspace", "GOWORK=/src/go.work",
		},
		{
			"a database of one's own", `go: example.com/widget@v1.2.0: verifying module: Get "https://sum.example.org/lookup/example.com/widget@v1.2.0": dial tcp 203.0.113.7:443: i/o timeout`,
			"sum/sumdb-unreachable", setting("GOSUMDB", "sum.example.org"), "sum/misconfigured", "GOSUMDB=sum.example.org",
		},
		{
			"a replaced module", "go: example.com/widget@v1.2.9: invalid version: unknown revision v1.2.9",
			"version/unknown-revision", goMod(t, "module example.com/shop\n\nreplace example.com/widget => ../widget\n"), "local/replace", "replace example.com/widget => ../widget",
		},
		{
			"an older Go", "main.go:4:2: package slices is not in std (/usr/local/go/src/slices)",
			"", &diagnose.Machine{GoVersion: "1.20.14"}, "version/go-too-old", "go version go1.20.14",
		},
		{
			"a newer Go that is broken", "main.go:4:2: package slices is not in std (/usr/local/go/src/slices)",
			"", &diagnose.Machine{GoVersion: "1.24.1"}, "local/goroot", "go version go1.24.1",
		},
	} {
		t.Run(c.story, func(t *testing.T) {
			t.Parallel()
			alone := firstFinding(t, c.text, nil)
			if c.alone != "" && alone.Code != c.alone {
				t.Errorf("alone: %s, want %s", alone.Code, c.alone)
			}
			there := firstFinding(t, c.text, c.machine)
			if there.Code != c.there || there.Code == alone.Code && c.alone != "" {
				t.Fatalf("there: %s, want %s (alone: %s)", there.Code, c.there, alone.Code)
			}
			if alone.Code == there.Code { // the text alone says as much
				return
			}
			proof := there.Evidence[len(there.Evidence)-1]
			if proof.Source != "environment" || !strings.Contains(proof.Text, c.proof) || proof.Line != 0 {
				t.Errorf("proof %+v, want %q", proof, c.proof)
			}
			if len(there.Rivals) == 0 || there.Rivals[0].Code != alone.Code {
				t.Errorf("rivals %+v: what the text says alone should come first", there.Rivals)
			}
			if there.Confidence >= 1 || there.Confidence < 0.5 {
				t.Errorf("confidence %v", there.Confidence)
			}
		})
	}
}

// TestOneSandboxIsOneFault: what the surroundings made one fault is told once.
func TestOneSandboxIsOneFault(t *testing.T) {
	t.Parallel()
	text := "building '/nix/store/abc-widget.drv'\n\n" + getWidget + "dial tcp: lookup goproxy.example.org: no such host\n\n" +
		getWidget + "dial tcp 203.0.113.7:443: connect: connection refused\n"
	findings, _, err := diagnose.Read(t.Context(), strings.NewReader(text), fingerprint.Default(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(findings) != 1 || findings[0].Code != "net/sandboxed" || findings[0].Count != 2 {
		t.Errorf("got %+v, want net/sandboxed twice in one finding", findings)
	}
}

// TestRefusedByThisMachine: nobody but the reader mends what loopback refuses.
func TestRefusedByThisMachine(t *testing.T) {
	t.Parallel()
	for address, owner := range map[string]keepwell.Owner{"127.0.0.1:9": keepwell.OwnerYou, "[::1]:9": keepwell.OwnerYou, "203.0.113.7:443": ""} {
		if f := firstFinding(t, getWidget+"dial tcp "+address+": connect: connection refused\n", nil); f.Code != "net/refused" || f.Owner != owner {
			t.Errorf("%s: %s owned by %q, want net/refused by %q", address, f.Code, f.Owner, owner)
		}
	}
}

// TestNoLoginInAURLFact: not even a masked one, which a pasted command would send.
func TestNoLoginInAURLFact(t *testing.T) {
	t.Parallel()
	f := firstFinding(t, "go: example.com/widget@v1.2.0: reading https://ci:hunter2@goproxy.example.org/example.com/widget/@v/v1.2.0.mod: 403 Forbidden\n", nil)
	if want := "https://goproxy.example.org/example.com/widget/@v/v1.2.0.mod"; f.Facts["url"] != want {
		t.Errorf("url is %s, want %s", f.Facts["url"], want)
	}
}

// TestMachineThatSaysNothingNew: settings that do not bear on the fault leave it as
// it is.
func TestMachineThatSaysNothingNew(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	refused, dns := getWidget+"dial tcp 203.0.113.7:443: connect: connection refused", getWidget+"dial tcp: lookup goproxy.example.org: no such host"
	for _, c := range []struct {
		story, text string
		machine     *diagnose.Machine
		want        keepwell.Code
	}{
		{"nothing known", refused, &diagnose.Machine{}, "net/refused"},
		{"a proxy elsewhere", refused, setting("HTTPS_PROXY", "http://127.0.0.1:7890"), "net/refused"},
		{"a proxy of another name", dns, setting("HTTPS_PROXY", "http://squid.example.org:3128"), "net/dns"},
		{"a GOPROXY with a blank, which go trims", dns, setting("GOPROXY", "https://goproxy.example.org, direct"), "net/dns"},
		{"a GOPROXY in GOROOT/go.env", refused, &diagnose.Machine{Env: goenv.Env{"GOPROXY": {Value: "https://goproxy.cn,direct", Origin: goenv.FromGOROOT}}}, "net/refused"},
		{"a clock that is right", getWidget + "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-01-01T00:00:00Z is after 2025-01-01T00:00:00Z", &diagnose.Machine{Now: now, Newest: now.AddDate(-1, 0, 0)}, "tls/expired"},
		{"GOPROXY is off alone", "go: example.com/widget@v1.2.0: module lookup disabled by GOPROXY=off", setting("GOPROXY", "off"), "proxy/off"},
		{"GOPROXY is not off here", "go: example.com/widget@v1.2.0: module lookup disabled by GOPROXY=off", setting("GOPROXY", "https://goproxy.cn,direct"), "proxy/off"},
		{"no workspace", "main.go:4:2: missing go.sum entry for module providing package example.com/widget; to add:\n\tgo mod download example.com/widget", setting("GOWORK", "off"), "sum/missing-entry"},
		{"another module is replaced", "go: example.com/widget@v1.2.9: invalid version: unknown revision v1.2.9", goMod(t, "module example.com/shop\n\nreplace example.com/gadget => ../gadget\n"), "version/unknown-revision"},
		{"insteadOf that only changes the scheme", "fatal: could not read Username for 'https://git.example.com': terminal prompts disabled", &diagnose.Machine{InsteadOf: map[string]string{"https://git.example.com/": "ssh://git@git.example.com/"}}, "auth/git-prompt"},
	} {
		t.Run(c.story, func(t *testing.T) {
			t.Parallel()
			if got := firstFinding(t, c.text, c.machine); got.Code != c.want {
				t.Errorf("%s, want %s", got.Code, c.want)
			}
		})
	}
}

// TestSettingsAreMasked: a proxy's password is no proof.
func TestSettingsAreMasked(t *testing.T) {
	t.Parallel()
	f := firstFinding(t, getWidget+"dial tcp 127.0.0.1:7890: connect: connection refused", setting("HTTPS_PROXY", "http://bob:hunter2@127.0.0.1:7890"))
	for _, e := range f.Evidence {
		if strings.Contains(e.Text, "hunter2") {
			t.Errorf("%+v", e)
		}
	}
}

// TestALongPreambleHidesNoFault: log shippers put the same long words before every
// line; a fault that comes once must be found behind a thousand others.
func TestALongPreambleHidesNoFault(t *testing.T) {
	t.Parallel()
	preamble := `{"cluster":"production","namespace":"continuous-integration","workload":"dependency-download-worker","annotations":"` +
		strings.Repeat("quite a long story that says nothing at all, ", 12) + `","line":"`
	var text strings.Builder
	for range 300 {
		text.WriteString(preamble + "go: example.com/widget@v1.2.0: Get https://goproxy.example.org/example.com/widget/@v/list: dial tcp 203.0.113.7:443: connect: connection refused\"}\n")
	}
	text.WriteString(preamble + "go: example.com/gadget@v1.0.0: Get https://goproxy.example.org/example.com/gadget/@v/list: dial tcp: lookup goproxy.example.org: no such host\"}\n")
	for range 300 {
		text.WriteString(preamble + "go: example.com/widget@v1.2.0: Get https://goproxy.example.org/example.com/widget/@v/list: dial tcp 203.0.113.7:443: connect: connection refused\"}\n")
	}
	findings, _, err := diagnose.Read(t.Context(), strings.NewReader(text.String()), fingerprint.Default(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, f := range findings {
		codes = append(codes, string(f.Code))
	}
	if got := strings.Join(codes, " "); !strings.Contains(got, "net/refused") || !strings.Contains(got, "net/dns") {
		t.Errorf("found %s", got)
	}
}

// TestStatusesAreNotRepeatsOfOneAnother: lines that differ only in the status are
// different faults.
func TestStatusesAreNotRepeatsOfOneAnother(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for _, status := range []string{"502", "503", "403"} {
		for range 300 {
			text.WriteString("fatal: unable to access 'https://git.example.com/team/widget/': The requested URL returned error: " + status + "\n\n" + strings.Repeat("INFO nothing happens here\n", 3))
		}
	}
	findings, _, err := diagnose.Read(t.Context(), strings.NewReader(text.String()), fingerprint.Default(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	found := map[keepwell.Code]bool{}
	for _, f := range findings {
		found[f.Code] = true
	}
	if !found["vcs/server-error"] || !found["auth/forbidden"] {
		t.Errorf("found %v", found)
	}
}

// TestRefusedByALocalStandIn: npm's request for a public host that ends at an odd port
// of this machine was led there by a proxy setting.
func TestRefusedByALocalStandIn(t *testing.T) {
	t.Parallel()
	const refused = "npm error code ECONNREFUSED\nnpm error request to https://npm.example.org/left-widget failed, reason: connect ECONNREFUSED "
	for address, want := range map[string]keepwell.Code{"127.0.0.1:8080": "net/http-proxy", "127.0.0.1:443": "net/refused", "203.0.113.7:8080": "net/refused"} {
		if got := firstFinding(t, refused+address+"\n", nil).Code; got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
