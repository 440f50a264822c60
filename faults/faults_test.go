package faults_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
)

// catalogue is every code there is. A code is added here when its file is; a
// file that gets lost is noticed here.
var catalogue = map[string]string{
	"net":     "dns timeout refused reset unreachable tls-timeout http-proxy slow sandboxed intercepted",
	"tls":     "expired unknown-authority name-mismatch protocol not-tls clock-skew",
	"proxy":   "not-found forbidden address-blocked unauthorized rate-limited server-error upstream-failed bad-response off misconfigured",
	"sum":     "go-sum-mismatch lock-mismatch sumdb-mismatch sumdb-unreachable sumdb-not-found not-yet-known missing-entry malformed misconfigured cache-corrupt mirror-stale",
	"version": "no-match unknown-revision invalid major-suffix retracted go-too-old toolchain ambiguous-import incompatible conflict runtime-too-old",
	"module":  "missing-or-private repo-gone moved no-package not-required bad-path vanity not-in-std case unzippable deprecated archived",
	"auth":    "git-prompt ssh-key host-key forbidden expired-token goprivate-unset exposed-login",
	"vcs":     "tool-missing transfer ownership disallowed server-error git-config stale-clone other",
	"local":   "no-go-mod go-mod-parse readonly vendor workspace replace cache-permission cache-corrupt disk-full gopath goroot import-cycle oom externally-managed build-tool-missing runtime-broken",
	"ops":     "connection-pool-exhausted third-party-latency third-party-rate-limited cache-avalanche redis-memory-high redis-replication-broken redis-down database-down replication-lag replication-stopped deadlocks slow-queries too-many-connections disk-full inodes-full disk-latency raid-degraded certificate-expiring certificate-expired tls-handshake-failures pod-crash-loop oom-kill image-pull-failure pod-not-ready node-not-ready node-pressure pvc-nearly-full replicas-mismatch hpa-maxed-out job-failed cpu-throttled control-plane-down load-high memory-high swap-thrash file-descriptors-exhausted clock-skew service-unit-failed conntrack-full network-errors dns-failure endpoint-unreachable http-5xx latency-high error-budget-burn queue-backlog kafka-under-replicated target-down prometheus-failing alerts-not-sent gc-pauses thread-pool-exhausted backup-failed unclassified",
	"none":    "other",
}

func wantCodes() []keepwell.Code {
	var codes []keepwell.Code
	for family, names := range catalogue {
		for name := range strings.FieldsSeq(names) {
			codes = append(codes, keepwell.Code(family+"/"+name))
		}
	}
	slices.Sort(codes)
	return codes
}

// everyFault runs f once per fault that can be read, as a subtest named after its code.
func everyFault(t *testing.T, f func(t *testing.T, fault *faults.Fault)) {
	t.Helper()
	for _, code := range faults.Codes() {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			fault, err := faults.Lookup(code)
			if err != nil {
				t.Fatal(err)
			}
			f(t, fault)
		})
	}
}

// prose lists every sentence of a fault by where it stands.
func prose(f *faults.Fault) map[string]faults.Text {
	texts := map[string]faults.Text{"title": f.Title, "cause": f.Cause, "why": f.Why}
	for _, r := range f.Remedies {
		texts["remedy "+r.ID] = r.Title
	}
	for _, r := range f.Rivals {
		texts["tells "+string(r.Code)] = r.Tells
	}
	return texts
}

// commands lists every command template of a fault by where it stands.
func commands(f *faults.Fault) map[string]string {
	list := map[string]string{}
	for _, r := range f.Remedies {
		list["command "+r.ID] = r.Command
		list["undo "+r.ID] = r.Undo
	}
	for _, r := range f.Rivals {
		list["probe "+string(r.Code)] = r.Probe
	}
	for where, command := range list {
		if command == "" {
			delete(list, where)
		}
	}
	return list
}

func factNames() []string {
	var names []string
	for _, k := range keepwell.FactKinds() {
		names = append(names, k.Name)
	}
	return names
}

// factsOf gives every fact the same value; those whose kind forbids it are
// dropped when a template is filled.
func factsOf(value string) keepwell.Facts {
	facts := keepwell.Facts{}
	for _, name := range factNames() {
		facts[name] = value
	}
	return facts
}

func TestCodesAreComplete(t *testing.T) {
	got, want := faults.Codes(), wantCodes()
	for _, code := range want {
		if !slices.Contains(got, code) {
			t.Errorf("faults/%s.yaml is missing", code)
		}
	}
	for _, code := range got {
		if !slices.Contains(want, code) {
			t.Errorf("%s is in no list: add it to the catalogue of this test", code)
		}
	}
	if !slices.Contains(got, keepwell.None) {
		t.Errorf("Codes() does not hold %s", keepwell.None)
	}
}

func TestPathsNameTheirCode(t *testing.T) {
	everyFault(t, func(t *testing.T, f *faults.Fault) {
		if name := strings.TrimPrefix(t.Name(), "TestPathsNameTheirCode/"); string(f.Code) != name {
			t.Errorf("%s.yaml has code %s", name, f.Code)
		}
		if err := errors.Join(f.Severity.Validate(), f.Owner.Validate(), f.Code.Validate()); err != nil {
			t.Error(err)
		}
		ids := map[string]bool{}
		for _, r := range f.Remedies {
			if err := r.Safety.Validate(); err != nil {
				t.Errorf("remedy %s: %v", r.ID, err)
			}
			if ids[r.ID] {
				t.Errorf("remedy id %s stands twice", r.ID)
			}
			ids[r.ID] = true
			if r.Undo != "" && r.Command == "" {
				t.Errorf("remedy %s undoes a command that it does not have", r.ID)
			}
		}
	})
}

func TestLookupRefusesWhatIsNoCode(t *testing.T) {
	for _, code := range []keepwell.Code{"", "net", "net/", "/dns", "net/nope", "../net/dns", "net/../net/dns", "net/dns.yaml", "NET/DNS", "net/dns\x00"} {
		if _, err := faults.Lookup(code); !errors.Is(err, faults.ErrUnknown) {
			t.Errorf("Lookup(%q) = %v, want ErrUnknown", code, err)
		}
	}
}

func TestParseRefusesUnknownKeys(t *testing.T) {
	if _, err := faults.Parse([]byte("code: net/dns\nretriable: true\n")); err == nil {
		t.Error("a misspelt key was accepted")
	}
}

func TestSchema(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(faults.Schema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	names, err := fs.Glob(os.DirFS("."), "*/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no fault files here: %v", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var value any
		if err := yaml.Unmarshal(data, &value); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

var (
	// foreignWords are quoted messages of tools; they may stay English in Chinese.
	foreignWords = regexp.MustCompile("“[^”]*”|`[^`]*`|\"[^\"]*\"|\\([^)]*\\)|（[^）]*）")
	quoted       = regexp.MustCompile(`“[^”]*”`)
	// latinSentence is a run of English words that no setting or command name explains.
	latinSentence = regexp.MustCompile(`(?:\b[a-zA-Z]{2,}[ ,]+){6,}[a-zA-Z]{2,}`)
	// brokenLine is a space that folding a line inside Chinese text leaves behind.
	brokenLine = regexp.MustCompile(`\p{Han} +\p{Han}|[，。；：、（）！？] +| +[，。；：、（）！？]`)
	halfWidth  = regexp.MustCompile(`\p{Han}[,;?!]|\p{Han}[.:](?:\s|\p{Han}|$)`)
	english    = regexp.MustCompile(` {2,}| [,;)](?:\s|$)| [.!?]$|\( `)
)

// TestProse holds every text of every code in both languages to the habits of
// the catalogue.
func TestProse(t *testing.T) {
	everyFault(t, func(t *testing.T, f *faults.Fault) {
		for where, text := range prose(f) {
			if err := checkText(text); err != nil {
				t.Errorf("%s: %v", where, err)
			}
		}
		for _, lang := range []string{"en", "zh"} {
			if title := faults.Prose(f.Title.In(lang), nil); utf8.RuneCountInString(title) > 70 {
				t.Errorf("title in %s has more than 70 characters: %s", lang, title)
			}
			if cause := faults.Prose(f.Cause.In(lang), nil); sentences(cause) != 1 {
				t.Errorf("cause in %s has %d sentences, want 1: %s", lang, sentences(cause), cause)
			}
		}
		if r := []rune(faults.Prose(f.Cause.EN, nil)); unicode.IsLower(r[0]) && !properLower(string(r)) {
			t.Errorf("cause begins in lower case: %s", string(r))
		}
	})
}

// properLower reports whether text begins with a name that is written small.
func properLower(text string) bool {
	first, _, _ := strings.Cut(text, " ")
	first = strings.TrimSuffix(strings.Trim(first, `,"“”`), "'s")
	return slices.Contains([]string{"go", "git", "npm", "pip", "ssh", "pnpm", "go.mod", "go.sum", "go.work"}, first)
}

func checkText(text faults.Text) error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if strings.TrimSpace(text.EN) == "" || strings.TrimSpace(text.ZH) == "" {
		add("one language is empty: en %q, zh %q", text.EN, text.ZH)
	}
	en, zh := placeholderNames(text.EN), placeholderNames(text.ZH)
	if !slices.Equal(en, zh) {
		add("placeholders differ: en %v, zh %v", en, zh)
	}
	for _, p := range slices.Concat(faults.Placeholders(text.EN), faults.Placeholders(text.ZH)) {
		if !slices.Contains(factNames(), p.Name) {
			add("{%s} is no fact", p.Name)
		}
		if !p.Optional {
			add("{%s} has no fallback", p.Name)
		}
	}
	for _, filled := range []string{faults.Prose(text.EN, nil), faults.Prose(text.ZH, nil)} {
		if strings.ContainsAny(filled, "{}") {
			add("a brace is left without facts: %s", filled)
		}
		if filled != strings.TrimSpace(filled) || strings.Contains(filled, "\n") {
			add("blanks around or line ends inside: %q", filled)
		}
	}
	filledEN := faults.Prose(text.EN, nil)
	if m := english.FindString(filledEN); m != "" {
		add("English reads badly without facts at %q: %s", m, filledEN)
	}
	if strings.ContainsFunc(text.EN, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
		add("Han characters in English: %s", text.EN)
	}
	filledZH := faults.Prose(text.ZH, nil)
	bare := foreignWords.ReplaceAllString(filledZH, "Q")
	switch {
	case !strings.ContainsFunc(filledZH, func(r rune) bool { return unicode.Is(unicode.Han, r) }):
		add("no Han characters in Chinese: %s", filledZH)
	case latinSentence.MatchString(bare):
		add("an English sentence in Chinese: %s", latinSentence.FindString(bare))
	}
	if m := brokenLine.FindString(quoted.ReplaceAllString(filledZH, "Q")); m != "" {
		add("a space inside Chinese at %q: %s", m, filledZH)
	}
	if m := halfWidth.FindString(bare); m != "" {
		add("half-width punctuation in Chinese at %q: %s", m, filledZH)
	}
	for _, value := range hostile {
		facts := factsOf(value)
		for _, filled := range []string{faults.Prose(text.EN, facts), faults.Prose(text.ZH, facts)} {
			if strings.ContainsAny(filled, "{}\n") {
				add("filled with %q a brace or line end is left: %s", value, filled)
			}
		}
	}
	return errors.Join(errs...)
}

func placeholderNames(template string) []string {
	var names []string
	for _, p := range faults.Placeholders(template) {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

var sentenceEnd = regexp.MustCompile(`[.!?]["”)]?(?:\s|$)|[。！？]`)

func sentences(text string) int { return len(sentenceEnd.FindAllString(text, -1)) }

// TestCausesDiffer keeps two codes from saying the same or nearly the same, with
// placeholders as they stand and with nothing known.
func TestCausesDiffer(t *testing.T) {
	all, err := faults.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range []string{"en", "zh"} {
		for i, a := range all {
			for _, b := range all[:i] {
				templateA, templateB := a.Cause.In(lang), b.Cause.In(lang)
				filledA, filledB := faults.Prose(templateA, nil), faults.Prose(templateB, nil)
				if templateA == templateB || filledA == filledB {
					t.Errorf("%s and %s share a cause in %s: %s", a.Code, b.Code, lang, filledA)
				} else if s := similarity(filledA, filledB); s > 0.6 {
					t.Errorf("%s and %s have nearly the same cause in %s (%.2f):\n\t%s\n\t%s", a.Code, b.Code, lang, s, filledA, filledB)
				}
				if ta, tb := faults.Prose(a.Title.In(lang), nil), faults.Prose(b.Title.In(lang), nil); ta == tb {
					t.Errorf("%s and %s share a title in %s: %s", a.Code, b.Code, lang, ta)
				}
			}
		}
	}
}

// similarity is the share of character trigrams that two texts have in common.
func similarity(a, b string) float64 {
	ga, gb := trigrams(a), trigrams(b)
	common := 0
	for g := range ga {
		if gb[g] {
			common++
		}
	}
	return float64(common) / float64(max(1, len(ga)+len(gb)-common))
}

func trigrams(s string) map[string]bool {
	r := []rune(strings.ToLower(s))
	set := map[string]bool{}
	for i := 0; i+3 <= len(r); i++ {
		set[string(r[i:i+3])] = true
	}
	return set
}

func TestReferences(t *testing.T) {
	all, err := faults.All()
	if err != nil {
		t.Fatal(err)
	}
	known := wantCodes()
	dependsOn := map[keepwell.Code][]keepwell.Code{}
	for _, f := range all {
		dependsOn[f.Code] = f.DependsOn
		for _, code := range f.DependsOn {
			if !slices.Contains(known, code) || code == keepwell.None {
				t.Errorf("%s depends on %q, which is no fault", f.Code, code)
			}
		}
		seen := map[keepwell.Code]bool{f.Code: true}
		for _, r := range f.Rivals {
			if !slices.Contains(known, r.Code) {
				t.Errorf("%s has rival %q, which does not exist", f.Code, r.Code)
			}
			if seen[r.Code] {
				t.Errorf("%s names rival %s twice, or itself", f.Code, r.Code)
			}
			seen[r.Code] = true
		}
	}
	for _, f := range all {
		if cycle := findCycle(f.Code, dependsOn, nil); cycle != nil {
			t.Errorf("depends_on goes in a circle: %v", cycle)
			break
		}
	}
}

func findCycle(code keepwell.Code, dependsOn map[keepwell.Code][]keepwell.Code, trail []keepwell.Code) []keepwell.Code {
	if slices.Contains(trail, code) {
		return append(trail, code)
	}
	for _, next := range dependsOn[code] {
		if cycle := findCycle(next, dependsOn, append(slices.Clone(trail), code)); cycle != nil {
			return cycle
		}
	}
	return nil
}

// forbidden is what no remedy, undo or probe may hold: it turns verification off
// or tells nothing more than "do it anyway".
var forbidden = []*regexp.Regexp{
	regexp.MustCompile(`(?i)GOSUMDB=["']?off`),
	regexp.MustCompile(`GONOSUMDB=|GONOSUMCHECK|GOINSECURE=|GOFLAGS=\S*-insecure|\bgo get\b.* -insecure\b`),
	regexp.MustCompile(`GO(PRIVATE|NOPROXY)=["']?\*["']?(\s|$|,)`),
	regexp.MustCompile(`GOVCS=["']?(\*|public):(all|\*)`),
	regexp.MustCompile(`(?i)strict[-_]ssl|trusted[-_]host|NODE_TLS_REJECT_UNAUTHORIZED|PYTHONHTTPSVERIFY`),
	regexp.MustCompile(`(?i)sslVerify|GIT_SSL_NO_VERIFY|StrictHostKeyChecking[= ]["']?(no|off|accept-new)|UserKnownHostsFile`),
	regexp.MustCompile(`\bcurl\b[^|;&]*\s(-[a-zA-Z]*k[a-zA-Z]*|--insecure|--proxy-insecure)(\s|$)`),
	regexp.MustCompile(`--no-check-certificate|--allow-unauthenticated|--allow-insecure|--no-verify\b|--skip-integrity|--no-gpg-check`),
	regexp.MustCompile(`--force\b|--break-system-packages|--no-frozen-lockfile`),
	regexp.MustCompile(`safe\.directory\s+["']?\*`),
	regexp.MustCompile(`\bcurl\b.*\|\s*(sudo\s+)?(ba|z)?sh\b|rm -rf? (/|~|"\$HOME")(\s|$)|chmod\s+(-R\s+)?0?777`),
}

// touchy is what a remedy called safe may not do: trust, ownership, packages.
var touchy = []*regexp.Regexp{
	regexp.MustCompile(`\bsudo\b|\bsu -|\bchown\b|\bchgrp\b|\bchmod\b|\bicacls\b|\btakeown\b`),
	regexp.MustCompile(`known_hosts|ssh-keyscan[^|]*>|ssh-keygen -R|safe\.directory|go\.sum\b|package-lock|pnpm-lock|yarn\.lock`),
	regexp.MustCompile(`update-ca|ca-certificates|/etc/ssl|/etc/pki|/usr/local/share/ca|sslCA|cafile|SSL_CERT_|NODE_EXTRA_CA_CERTS|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|security add-trusted|certutil|GODEBUG=\S*x509`),
	regexp.MustCompile(`\b(apt|apt-get|apk|dnf|yum|zypper|brew|choco|winget|pacman)\s+(-\S+\s+)*(install|add|upgrade|update|remove|-S)\b`),
	regexp.MustCompile(`\bgo\s+(get|install|work vendor|mod (tidy|init|vendor|edit -(require|replace|dropreplace)))\b`),
	regexp.MustCompile(`\b(npm|pnpm|yarn|bun)\s+(-\S+\s+)*(install|i|add|update|upgrade|audit fix|login|dedupe)\b|\bnpx\s`),
	regexp.MustCompile(`\b(pip3?|pipx|uv|poetry|conda)\s+(pip\s+)?(install|add|sync|download)\b|ensurepip`),
	regexp.MustCompile(`--legacy-peer-deps|go env -w [^;&|]*GO(PRIVATE|NOPROXY|VCS|AUTH|SUMDB)=|git config [^;&|]*credential\.|git credential (approve|reject)`),
}

// reading matches steps that look and change nothing, whatever they name.
var reading = regexp.MustCompile(`^\s*(grep|cat|ls|head|tail|sed -n|wc|diff|cmp|stat|file|openssl (x509|s_client|verify)|git (diff|log|status|show|ls-files|check-ignore|config --(show-origin|get|list))|go (env|version|list|mod (graph|why|verify))|ssh-keygen (-l|-F)|apt-cache|command -v|test|\[)(\s|$)`)

var step = regexp.MustCompile(`&&|\|\||[;|&\n]`)

func TestRemediesKeepVerificationOn(t *testing.T) {
	everyFault(t, func(t *testing.T, f *faults.Fault) {
		for where, command := range commands(f) {
			for _, bad := range forbidden {
				if m := bad.FindString(command); m != "" {
					t.Errorf("%s holds %q, which no remedy may: %s", where, m, command)
				}
			}
		}
		for i, r := range f.Remedies {
			if i == 0 && strings.Contains(r.Command, "--legacy-peer-deps") {
				t.Errorf("remedy %s: --legacy-peer-deps is no first answer", r.ID)
			}
			if r.Safety == keepwell.SafetySafe {
				checkSafe(t, r)
			}
		}
	})
}

func checkSafe(t *testing.T, r faults.Remedy) {
	t.Helper()
	for part := range strings.SplitSeq(step.ReplaceAllString(r.Command, "\x00"), "\x00") {
		if reading.MatchString(part) || strings.Contains(r.Command, `cd "$(mktemp -d)"`) {
			continue
		}
		for _, bad := range touchy {
			if m := bad.FindString(part); m != "" {
				t.Errorf("remedy %s is called safe but does %q: %s", r.ID, m, r.Command)
			}
		}
	}
}

// TestCommandsFitTheirFacts holds the placeholders of commands to the facts that exist.
func TestCommandsFitTheirFacts(t *testing.T) {
	harmless := regexp.MustCompile(`^[A-Za-z0-9@%+=:,./_-]+$`)
	everyFault(t, func(t *testing.T, f *faults.Fault) {
		for where, command := range commands(f) {
			for _, p := range faults.Placeholders(command) {
				if !slices.Contains(factNames(), p.Name) {
					t.Errorf("%s: {%s} is no fact: %s", where, p.Name, command)
				}
				if p.Optional && !harmless.MatchString(p.Fallback) {
					t.Errorf("%s: fallback %q of {%s} is not one plain word: %s", where, p.Fallback, p.Name, command)
				}
			}
			if strings.Contains(command, "keepwell ") && !regexp.MustCompile(`keepwell (explain|faults)\b`).MatchString(command) {
				t.Errorf("%s uses a keepwell command that is not there yet: %s", where, command)
			}
			if m := brokenLine.FindString(command); m != "" || strings.TrimSpace(command) != command {
				t.Errorf("%s has stray blanks: %q", where, command)
			}
		}
	})
}

// hostile are values that a log, a server or a repository might plant.
var hostile = []string{
	"x; rm -rf ~", "$(id)", "`id`", "a'b", `a"b`, "a\nb", "a\r\nb", "-rf", "--upload-pack=id", "a b", "a\tb", `a\b`, `a\`, "'", "''", "'; id; '",
	"$HOME", "~", "*", "?", "a|b", "a&b", "a>b", "a<b", "#x", "!x", "a#b", "=x", "a=b", "(x)", "\x1b[31mx", "x\x00y", "%0Aid", "/etc/passwd", "../../x", "例子", "",
}

// TestCommandsHoldHostileFacts fills each command with hostile facts: the result
// is either refused, or has the very words that it has with a harmless value,
// with the hostile one standing in that value's place.
func TestCommandsHoldHostileFacts(t *testing.T) {
	everyFault(t, func(t *testing.T, f *faults.Fault) {
		for where, command := range commands(f) {
			for _, p := range faults.Placeholders(command) {
				for _, value := range hostile {
					if err := holds(command, p.Name, value); err != nil {
						t.Errorf("%s, %s = %q: %v", where, p.Name, value, err)
					}
				}
			}
		}
	})
}

// samples are harmless values that no command holds otherwise.
func samples() keepwell.Facts {
	return keepwell.Facts{
		"module": "zq.example/mod", "scope": "zq.example/scope", "version": "v9.8.7", "package": "zq.example/pkg", "parent": "zq.example/parent", "newpath": "zq.example/new",
		"host": "zq.example", "address": "192.0.2.97", "port": "9871", "url": "https://zq.example/url", "status": "599", "phase": "zqphase",
		"proxy": "zqproxy.example", "path": "/zq/path", "tool": "zqtool", "goversion": "1.987", "running": "1.986", "revision": "zqrevision",
		"value": "zqvalue", "name": "zqname", "server": "zqserver",
	}
}

func holds(command, name, value string) error {
	facts := samples()
	harmless := facts[name]
	plain, err := faults.Command(command, facts)
	if err != nil {
		return fmt.Errorf("refused with harmless facts: %w", err)
	}
	facts[name] = value
	filled, err := faults.Command(command, facts)
	switch {
	case errors.Is(err, faults.ErrMissing):
		return nil
	case err != nil:
		return err
	}
	if !keepwell.ValidFact(name, value) { // the fallback took its place
		if _, err := words(filled); err != nil {
			return fmt.Errorf("%w: %s", err, filled)
		}
		return nil
	}
	if strings.ContainsAny(value, "\x00\n\r\x1b") || strings.HasPrefix(value, "-") {
		return fmt.Errorf("a value with control characters or a leading hyphen is taken for a valid fact")
	}
	want, err := words(plain)
	if err != nil {
		return fmt.Errorf("%w: %s", err, plain)
	}
	got, err := words(filled)
	if err != nil {
		return fmt.Errorf("%w: %s", err, filled)
	}
	for i := range want {
		want[i] = strings.ReplaceAll(want[i], harmless, value)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("the value does not stay inside its word: %q, want %q", got, want)
	}
	return nil
}

// TestCommandsAreShell lets the shell parse each command.
func TestCommandsAreShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh here")
	}
	all, err := faults.All()
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	where := map[int]string{}
	line := 1
	for _, f := range all {
		for at, command := range commands(f) {
			for _, path := range []string{"/zq/path", "a'b; id", "$(id)"} {
				facts := samples()
				facts["path"], facts["value"], facts["name"], facts["server"] = path, path, path, path
				filled, err := faults.Command(command, facts)
				if err != nil {
					t.Errorf("%s %s: %v", f.Code, at, err)
					continue
				}
				where[line] = string(f.Code) + " " + at
				fmt.Fprintf(&script, "%s\n", filled)
				line += 1 + strings.Count(filled, "\n")
			}
		}
	}
	cmd := exec.Command(sh, "-n")
	cmd.Stdin = strings.NewReader(script.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("sh -n: %v: %s (lines: %v)", err, out, where)
	}
}

// TestQuoteMatchesTheShell compares Quote, and the word splitter of this test,
// with a real shell.
func TestQuoteMatchesTheShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh here")
	}
	for _, value := range hostile {
		if strings.Contains(value, "\x00") { // no argument can hold it
			continue
		}
		out, err := exec.Command(sh, "-c", "printf '<%s>' pre"+faults.Quote(value)+"post x").Output()
		if want := "<pre" + value + "post><x>"; err != nil || string(out) != want {
			t.Errorf("Quote(%q): the shell sees %q, want %q (%v)", value, out, want, err)
		}
		got, err := words("printf pre" + faults.Quote(value) + "post x")
		if want := []string{"printf", "pre" + value + "post", "x"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("words of %q: %q, want %q (%v)", value, got, want, err)
		}
	}
}

func TestFillDoesNotFillTwice(t *testing.T) {
	facts := keepwell.Facts{"path": "{module}", "module": "zq.example/mod"}
	if got, want := faults.Prose("in {path|here}", facts), "in {module}"; got != want {
		t.Errorf("Prose = %q, want %q", got, want)
	}
	if _, err := faults.Command("ls {host}", facts); !errors.Is(err, faults.ErrMissing) {
		t.Errorf("Command without its fact: %v, want ErrMissing", err)
	}
}

// TestDescribe fills a finding for every code and language, with and without facts.
func TestDescribe(t *testing.T) {
	everyFault(t, func(t *testing.T, fault *faults.Fault) {
		for _, lang := range []string{"en", "zh"} {
			for _, facts := range []keepwell.Facts{nil, samples(), factsOf("$(id)")} {
				f := keepwell.Finding{Code: fault.Code, Confidence: 1, Facts: facts}
				for _, r := range fault.Rivals {
					f.Rivals = append(f.Rivals, keepwell.Rival{Code: r.Code})
				}
				if err := faults.Describe(&f, lang); err != nil {
					t.Fatal(err)
				}
				if err := f.Validate(); err != nil {
					t.Error(err)
				}
				for i, r := range f.Remedies {
					if r.Command == "" && r.Safety != keepwell.SafetyManual {
						t.Errorf("remedy %s has no command and is %s", fault.Remedies[i].ID, r.Safety)
					}
				}
			}
		}
	})
}

// TestDescribeSpeaksTheToolsLanguage: npm and pip have packages where go has
// modules, and a probe is shown only where it is the tool's own and asks after
// what is known.
func TestDescribeSpeaksTheToolsLanguage(t *testing.T) {
	t.Parallel()
	f := keepwell.Finding{
		Code: "module/missing-or-private", Tool: "npm", Facts: keepwell.Facts{"package": "@acme/widget"},
		Rivals: []keepwell.Rival{{Code: "module/repo-gone"}},
	}
	if err := faults.Describe(&f, "en"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(f.Title, "@acme/widget") || !strings.Contains(f.Cause, "@acme/widget") {
		t.Errorf("the package is not named: %s: %s", f.Title, f.Cause)
	}
	if r := f.Rivals[0]; r.Probe != "" || r.Tells != "" {
		t.Errorf("a probe for no known repository: %s (%s)", r.Probe, r.Tells)
	}
	for tool, want := range map[string]bool{"npm": true, "pip": false, "": true} {
		f := keepwell.Finding{Code: "sum/lock-mismatch", Tool: tool, Rivals: []keepwell.Rival{{Code: "local/cache-corrupt"}}}
		if err := faults.Describe(&f, "en"); err != nil {
			t.Fatal(err)
		}
		if got := f.Rivals[0].Probe != ""; got != want {
			t.Errorf("tool %q: npm's probe is shown: %v, want %v", tool, got, want)
		}
	}
}

// TestToolsKeepTheirRemedies: whoever diagnoses a fault in the output of a tool
// finds a remedy for that tool, and is never shown those for all the others.
func TestToolsKeepTheirRemedies(t *testing.T) {
	known := []string{"go", "npm", "pip", "git"}
	everyFault(t, func(t *testing.T, f *faults.Fault) {
		for _, r := range f.Remedies {
			for _, tool := range r.Tools {
				if !slices.Contains(known, tool) {
					t.Errorf("remedy %s is for %q, want one of %v", r.ID, tool, known)
				}
			}
			if command := strings.Fields(r.Command); len(r.Tools) == 0 && len(command) > 0 && slices.Contains([]string{"npm", "pip", "pnpm", "uv"}, command[0]) && mixed(f) {
				t.Errorf("remedy %s runs %s and is not tagged with its tool", r.ID, command[0])
			}
		}
		for _, tool := range producers(t, f.Code) {
			if !slices.ContainsFunc(f.Remedies, func(r faults.Remedy) bool { return len(r.Tools) == 0 || slices.Contains(r.Tools, tool) }) {
				t.Errorf("%s can print this, but no remedy is for it", tool)
			}
			for _, lang := range []string{"en", "zh"} {
				finding := keepwell.Finding{Code: f.Code, Tool: tool}
				if err := faults.Describe(&finding, lang); err != nil || len(finding.Remedies) == 0 {
					t.Errorf("no remedy for %s in %s (%v)", tool, lang, err)
				}
			}
		}
	})
}

// mixed reports whether f has remedies for some tools only.
func mixed(f *faults.Fault) bool {
	return slices.ContainsFunc(f.Remedies, func(r faults.Remedy) bool { return len(r.Tools) > 0 })
}

// producers lists the tools that can print code, by the files of the fingerprint
// library; what git says, it says also when go runs it.
func producers(t *testing.T, code keepwell.Code) []string {
	t.Helper()
	library := os.DirFS("../internal/fingerprint/library")
	names, err := fs.Glob(library, "*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no fingerprints: %v", err)
	}
	var tools []string
	for _, name := range names {
		data, err := fs.ReadFile(library, name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(data, []byte("\n  code: "+string(code)+"\n")) {
			continue
		}
		tool, _, _ := strings.Cut(strings.TrimSuffix(name, ".yaml"), "-")
		tools = append(tools, tool)
		if tool == "git" {
			tools = append(tools, "go")
		}
	}
	slices.Sort(tools)
	return slices.Compact(tools)
}

// TestExamples keeps the examples free of words that belong to a person or a
// default server; the fingerprints' tests prove that they are diagnosed.
func TestExamples(t *testing.T) {
	private := regexp.MustCompile(`proxy\.golang\.` + `org|registry\.npmjs\.` + `org|deb\.debian\.` + `org|files\.pythonhosted\.` + `org`)
	everyFault(t, func(t *testing.T, f *faults.Fault) {
		if lines := strings.Count(strings.TrimRight(f.Example, "\n"), "\n") + 1; lines > 16 {
			t.Errorf("the example has %d lines", lines)
		}
		if m := private.FindString(f.Example); m != "" {
			t.Errorf("the example names %s", m)
		}
		if f.Origin != faults.Captured && f.Origin != faults.Composed {
			t.Errorf("origin %q", f.Origin)
		}
	})
}

// words splits a command as a POSIX shell does: quotes are removed, operators
// stand alone, $(…) is split in the same way and kept as one piece.
func words(command string) ([]string, error) {
	s := splitter{in: command}
	list := s.list(0)
	if s.err == nil && s.at < len(s.in) {
		s.err = fmt.Errorf("unexpected ) at %d", s.at)
	}
	return list, s.err
}

type splitter struct {
	in  string
	at  int
	err error
}

// list reads words up to the end, or to the closing bracket where depth > 0.
func (s *splitter) list(depth int) []string {
	var out []string
	var word strings.Builder
	started := false
	flush := func() {
		if started {
			out = append(out, word.String())
		}
		word.Reset()
		started = false
	}
	for s.at < len(s.in) && s.err == nil {
		c := s.in[s.at]
		switch {
		case c == ' ' || c == '\t':
			flush()
			s.at++
		case c == ')' && depth > 0:
			flush()
			return out
		case strings.IndexByte("\n;&|<>()", c) >= 0:
			flush()
			out = append(out, "OP"+string(c))
			s.at++
		case c == '#' && !started:
			s.err = fmt.Errorf("comment at %d", s.at)
		default:
			started = true
			s.piece(&word)
		}
	}
	flush()
	if depth > 0 && s.err == nil {
		s.err = errors.New("unclosed $(")
	}
	return out
}

// piece reads one quoted part, substitution or plain character.
func (s *splitter) piece(word *strings.Builder) {
	rest := s.in[s.at:]
	switch {
	case rest[0] == '\'':
		end := strings.IndexByte(rest[1:], '\'')
		if end < 0 {
			s.err = errors.New("unclosed '")
			return
		}
		word.WriteString(rest[1 : 1+end])
		s.at += end + 2
	case rest[0] == '"':
		s.at++
		s.double(word)
	case rest[0] == '\\':
		if len(rest) < 2 {
			s.err = errors.New("backslash at the end")
			return
		}
		word.WriteByte(rest[1])
		s.at += 2
	case rest[0] == '`':
		s.err = fmt.Errorf("backquote at %d", s.at)
	case strings.HasPrefix(rest, "$("):
		s.substitution(word)
	default:
		word.WriteByte(rest[0])
		s.at++
	}
}

// double reads the rest of a double-quoted part.
func (s *splitter) double(word *strings.Builder) {
	for s.at < len(s.in) && s.err == nil {
		rest := s.in[s.at:]
		switch {
		case rest[0] == '"':
			s.at++
			return
		case rest[0] == '\\' && len(rest) > 1 && strings.IndexByte("$`\"\\\n", rest[1]) >= 0:
			word.WriteByte(rest[1])
			s.at += 2
		case rest[0] == '`':
			s.err = fmt.Errorf("backquote at %d", s.at)
		case strings.HasPrefix(rest, "$("):
			s.substitution(word)
		default:
			word.WriteByte(rest[0])
			s.at++
		}
	}
	if s.err == nil {
		s.err = errors.New(`unclosed "`)
	}
}

func (s *splitter) substitution(word *strings.Builder) {
	s.at += 2
	inner := s.list(1)
	if s.err == nil {
		s.at++ // the closing bracket
		fmt.Fprintf(word, "$(%s)", strings.Join(inner, "\x01"))
	}
}

// FuzzParse feeds the loader of fault files: it never panics, and what it
// accepts can be filled.
func FuzzParse(f *testing.F) {
	names, err := fs.Glob(os.DirFS("."), "*/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(path.Clean(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("code: &a net/dns\ndepends_on: [*a, *a]\n"))
	f.Add([]byte("title: {en: '{host|}', zh: '{{host}|{x'}\nremedies: [{command: '{path}{path|a}'}]\n"))
	f.Add([]byte("%YAML 1.1\n---\n!!binary code\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		fault, err := faults.Parse(data)
		if err != nil {
			return
		}
		for _, facts := range []keepwell.Facts{nil, samples(), factsOf("$(id)")} {
			for _, text := range prose(fault) {
				_ = faults.Prose(text.EN, facts)
				_ = faults.Prose(text.ZH, facts)
			}
			for _, command := range commands(fault) {
				if _, err := faults.Command(command, facts); err != nil && !errors.Is(err, faults.ErrMissing) {
					t.Errorf("Command(%q) = %v", command, err)
				}
			}
		}
	})
}

// TestCommandsAskTheVeryServer: scheme and port are those that were asked, wherever a
// fault's commands go to the server that was.
func TestCommandsAskTheVeryServer(t *testing.T) {
	t.Parallel()
	const base = "http://goproxy.example.org:8081"
	facts := keepwell.Facts{"host": "goproxy.example.org", "proxy": "goproxy.example.org", "port": "8081", "url": base + "/example.com/widget/@v/v1.0.0.info", "module": "example.com/widget", "version": "v1.0.0"}
	everyFault(t, func(t *testing.T, f *faults.Fault) {
		var templates []string
		for _, r := range f.Remedies {
			templates = append(templates, r.Command)
		}
		for _, r := range f.Rivals {
			templates = append(templates, r.Probe)
		}
		for _, template := range templates {
			command, err := faults.Command(template, facts)
			if err != nil || !strings.Contains(command, "curl") {
				continue
			}
			if strings.Contains(command, "https://goproxy.example.org") {
				t.Errorf("another scheme and port than %s: %s", base, command)
			}
		}
	})
	for url, want := range map[string]string{
		"https://goproxy.example.org/x": "curl -sSI http://goproxy.example.org:443/", "http://goproxy.example.org/x": "curl -sSI http://goproxy.example.org:80/", "": "curl -sSI http://goproxy.example.org:80/",
	} {
		got, err := faults.Command("curl -sSI http://{host}:{port|80}/", keepwell.Facts{"host": "goproxy.example.org", "url": url})
		if err != nil || got != want {
			t.Errorf("%s: %s, %v", url, got, err)
		}
	}
}
