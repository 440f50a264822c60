package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/diagnose"
	"github.com/keepwell/keepwell/internal/fingerprint"
	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
)

// inquest is what there is to say why a command failed: what it printed, as far as it
// was heard, what the machine knows, and what the proxy lived through.
type inquest struct {
	lang    msg.Lang
	heard   bool
	text    []byte
	machine *diagnose.Machine
	// base is the proxy's own address, as go prints it; "" where there was none.
	base string
	lost []modproxy.Loss
	// rule is where it is written who may be asked.
	rule string
	// at is the address of each upstream, by its name; first is the one asked first.
	at    map[string]string
	first string
}

// mostSaid is how many upstreams' words stand below a finding.
const mostSaid = 6

// explain writes after a failed command what made it fail; nothing where that is no
// matter of dependencies. What it cannot read, such as bytes that are no text, it leaves
// alone: the command's own exit code counts.
func (a *app) explain(ctx context.Context, q inquest) (told bool) {
	q.lang = a.lang
	findings, err := q.findings(ctx)
	if err != nil || len(findings) == 0 {
		return false
	}
	style := a.style()
	_, isTerminal := terminal(a.errs)
	style.Color = style.Color && isTerminal || a.color == "always"
	h, err := present.New(present.Format(a.format), a.errs, style)
	if err != nil {
		return false
	}
	if !present.Format(a.format).Machine() {
		fmt.Fprintln(a.errs)
	}
	return emit(behindProxy{h}, "run", keepwell.Target{Kind: "text", Name: "-", Bytes: int64(len(q.text))}, findings, a.lang) == nil
}

// behindProxy leaves out what the proxy has done already: asking the next server.
type behindProxy struct{ keepwell.Handler }

// Handle passes e on.
func (b behindProxy) Handle(e keepwell.Event) error {
	if f, ok := e.(keepwell.Found); ok {
		f.Finding.Remedies = slices.DeleteFunc(f.Finding.Remedies, func(r keepwell.Remedy) bool { return r.ID == "next-proxy" })
		e = f
	}
	return b.Handler.Handle(e)
}

// findings joins what the text tells with what the proxy knows. Of a download through
// the proxy it knows more than go, which saw one server only.
func (q inquest) findings(ctx context.Context) ([]keepwell.Finding, error) {
	fromText, err := q.read(ctx, q.named())
	if err != nil {
		return nil, err
	}
	blamed := q.base != "" && bytes.Contains(q.text, []byte(q.base))
	if q.base == "" || q.heard && !blamed && len(bytes.TrimSpace(q.text)) > 0 {
		return fromText, nil
	}
	known := q.fromLosses(ctx)
	if len(known) == 0 {
		if len(fromText) > 0 {
			fromText[0].Evidence = addEvidence(fromText[0].Evidence, q.besideAbsence(ctx))
		}
		return fromText, nil
	}
	server := strings.TrimPrefix(q.base, "http://")
	host, _, _ := strings.Cut(server, "/")
	fromText = slices.DeleteFunc(fromText, func(f keepwell.Finding) bool {
		return slices.ContainsFunc(f.Evidence, func(e keepwell.Evidence) bool {
			return e.Source == "server response" || strings.Contains(e.Text, host)
		})
	})
	for _, f := range fromText {
		if !slices.ContainsFunc(known, func(k keepwell.Finding) bool { return k.Code == f.Code }) {
			known = append(known, f)
		}
	}
	return known, nil
}

// named is the text with the upstream's address where the proxy only passed on that
// there is no such thing: it reads as without the proxy.
func (q inquest) named() []byte {
	if q.base == "" || q.first == "" {
		return q.text
	}
	var out bytes.Buffer
	for line := range bytes.Lines(q.text) {
		if bytes.Contains(line, []byte(": 404 Not Found")) || bytes.Contains(line, []byte(": 410 Gone")) {
			line = bytes.ReplaceAll(line, []byte(q.base), []byte(q.first))
		}
		out.Write(line)
	}
	return out.Bytes()
}

func (q inquest) read(ctx context.Context, text []byte) ([]keepwell.Finding, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil
	}
	findings, _, err := diagnose.Read(ctx, bytes.NewReader(text), fingerprint.Default(), q.machine, nil)
	return findings, err
}

// fromLosses are the faults of the upstreams, a refusal that ended the search first,
// then in the order of asking. The first has what each upstream said as its proof.
func (q inquest) fromLosses(ctx context.Context) []keepwell.Finding {
	var all []keepwell.Finding
	final := -1
	for _, l := range q.lost {
		if l.Status == http.StatusNotFound {
			continue
		}
		if len(l.Heard) == 0 {
			all = append(all, q.untold(l))
			continue
		}
		for _, h := range tellingFirst(l.Heard) {
			f, ok := q.finding(ctx, l, h)
			if !ok {
				continue
			}
			at := slices.IndexFunc(all, func(x keepwell.Finding) bool { return x.Code == f.Code })
			if at >= 0 {
				all[at].Evidence = addEvidence(all[at].Evidence, f.Evidence)
				continue
			}
			if h.Final && final < 0 {
				final = len(all)
				if l.Rule != "" {
					f.Evidence = append(f.Evidence, keepwell.Evidence{Source: "environment", Text: msg.Text(q.lang, "run.rule", h.Upstream, q.rule)})
				}
			}
			all = append(all, f)
		}
	}
	if final > 0 {
		all = slices.Concat(all[final:final+1], all[:final], all[final+1:])
	}
	for i := 1; i < len(all); i++ {
		all[0].Evidence = addEvidence(all[0].Evidence, all[i].Evidence)
	}
	if len(all) > 0 {
		all[0].Evidence = all[0].Evidence[:min(len(all[0].Evidence), mostSaid)]
	}
	return all
}

// tellingFirst has those who know of no such file behind those who could not tell: what
// kept these from it is the cause.
func tellingFirst(heard []modproxy.Heard) []modproxy.Heard {
	heard = slices.Clone(heard)
	slices.SortStableFunc(heard, func(a, b modproxy.Heard) int {
		return cmp.Compare(strconv.FormatBool(a.Absent()), strconv.FormatBool(b.Absent()))
	})
	return heard
}

// untold is the finding for a module that no upstream may hear of.
func (q inquest) untold(l modproxy.Loss) keepwell.Finding {
	return keepwell.Finding{
		Code: "proxy/forbidden", Confidence: 0.9, Tool: "go", Facts: keepwell.Facts{"module": l.Module},
		Evidence: []keepwell.Evidence{{Source: "environment", Text: msg.Text(q.lang, "run.untold", l.Module, q.rule)}},
	}
}

// besideAbsence is what those said who could not tell whether there is such a thing.
func (q inquest) besideAbsence(ctx context.Context) []keepwell.Evidence {
	var said []keepwell.Evidence
	for _, l := range q.lost {
		for _, h := range l.Heard {
			if f, ok := q.finding(ctx, l, h); ok && !h.Absent() {
				said = addEvidence(said, f.Evidence)
			}
		}
	}
	return said[:min(len(said), mostSaid)]
}

func addEvidence(have, more []keepwell.Evidence) []keepwell.Evidence {
	for _, e := range more {
		if !slices.ContainsFunc(have, func(x keepwell.Evidence) bool { return x.Source == e.Source }) {
			have = append(have, e)
		}
	}
	return have
}

// finding is the fault that one upstream showed, the same that `explain` would name had
// go met it without the proxy.
func (q inquest) finding(ctx context.Context, l modproxy.Loss, h modproxy.Heard) (keepwell.Finding, bool) {
	f := keepwell.Finding{Code: h.Code(), Confidence: 0.9, Facts: keepwell.Facts{}}
	if found, err := q.read(ctx, []byte(q.asGoWould(l, h))); err == nil && len(found) > 0 {
		f = found[0]
	}
	if f.Code == keepwell.None {
		return f, false
	}
	if h.Kind == modproxy.KindPage && f.Code == "proxy/bad-response" && !slices.ContainsFunc(f.Rivals, func(r keepwell.Rival) bool { return r.Code == "net/intercepted" }) {
		f.Rivals = append(f.Rivals, keepwell.Rival{Code: "net/intercepted"}) // a page to sign in may be the network's
	}
	f.Tool, f.Count = "go", 0
	if f.Facts == nil {
		f.Facts = keepwell.Facts{}
	}
	server := &url.URL{}
	if u, err := url.Parse(q.at[h.Upstream]); err == nil {
		server = u
	}
	host := server.Hostname()
	for name, value := range map[string]string{
		"url":    q.fileURL(l, h),
		"module": l.Module, "version": l.Version, "host": host, "proxy": host, "port": server.Port(), "status": statusOf(h.Why),
	} {
		if f.Facts[name] == "" && keepwell.ValidFact(name, value) {
			f.Facts[name] = value
		}
	}
	words := complaint(q.lang, h.Why)
	if h.Words != "" {
		words = strings.TrimSpace(h.Words)
	}
	what := l.Module
	if l.Version != "" {
		what += "@" + l.Version
	}
	f.Evidence = []keepwell.Evidence{{Source: present.FromUpstream + h.Upstream, Text: mask.Answer(what + ": " + words)}}
	return f, true
}

func statusOf(w modproxy.Why) string {
	if w.Kind != modproxy.KindStatus {
		return ""
	}
	return strconv.Itoa(w.Status)
}

// fileURL is where the upstream has the file that tells of the module; "" for source.
func (q inquest) fileURL(l modproxy.Loss, h modproxy.Heard) string {
	path, err := module.EscapePath(l.Module)
	if err != nil || q.at[h.Upstream] == "" {
		return ""
	}
	at, err := url.Parse(q.at[h.Upstream])
	if err != nil {
		return ""
	}
	at.User = nil
	file := "/@v/list"
	if version, err := module.EscapeVersion(l.Version); err == nil && l.Version != "" {
		file = "/@v/" + version + ".info"
	}
	return strings.TrimSuffix(at.String(), "/") + "/" + path + file
}

// asGoWould is what go prints of such a failure; "" where go would not have noticed, or
// has other words.
func (q inquest) asGoWould(l modproxy.Loss, h modproxy.Heard) string {
	if h.Words != "" {
		return "go: module " + l.Module + ": " + h.Words + "\n"
	}
	at := q.fileURL(l, h)
	if at == "" {
		return ""
	}
	version := cmp.Or(l.Version, "v0.0.0")
	head := "go: " + l.Module + "@" + version + ": "
	switch h.Kind {
	case modproxy.KindStatus:
		text := head + "reading " + at + ": " + strconv.Itoa(h.Status) + " " + http.StatusText(h.Status) + "\n"
		if h.Detail != "" {
			text += "\tserver response: " + h.Detail + "\n"
		}
		return text
	case modproxy.KindDNS, modproxy.KindRefused, modproxy.KindReset, modproxy.KindUnreachable, modproxy.KindTimeout, modproxy.KindTunnel,
		modproxy.KindExpired, modproxy.KindAuthority, modproxy.KindName, modproxy.KindOther:
		return head + "Get " + strconv.Quote(at) + ": " + h.Said + "\n"
	case modproxy.KindNoTLS:
		return head + "Get " + strconv.Quote(at) + ": http: server gave HTTP response to HTTPS client\n"
	case modproxy.KindStore:
		return head + "write: " + h.Detail + "\n"
	case modproxy.KindPage:
		return head + "invalid character '<' looking for beginning of value\n"
	case modproxy.KindClosed:
		return head + "Get " + strconv.Quote(at) + ": EOF\n"
	case modproxy.KindCut:
		return head + "Get " + strconv.Quote(at) + ": unexpected EOF\n"
	}
	return ""
}

// fromFlag is the origin of a list that the command line gave.
const fromFlag goenv.Origin = "--upstream"

// asAsked completes q with who was asked and where that is written.
func (q inquest) asAsked(lists []modproxy.List, env goenv.Env, flags []string) (inquest, goenv.Env) {
	q.rule = "GOPROXY=" + mask.Text(env.Value("GOPROXY"))
	q.at = map[string]string{}
	var bases, names []string
	for _, l := range lists {
		for _, u := range l.Upstreams {
			names = append(names, u.Name)
			if u.Base == nil {
				continue
			}
			q.at[u.Name] = u.Base.Redacted()
			if bases = append(bases, q.at[u.Name]); l.Patterns == "" {
				q.first = cmp.Or(q.first, q.at[u.Name])
			}
		}
	}
	// Who was asked again, was asked in its place.
	lost := slices.Clone(q.lost)
	for i, l := range lost {
		lost[i].Heard = slices.Clone(l.Heard)
		slices.SortStableFunc(lost[i].Heard, func(a, b modproxy.Heard) int {
			return cmp.Compare(slices.Index(names, a.Upstream), slices.Index(names, b.Upstream))
		})
	}
	q.lost = lost
	if len(flags) == 0 {
		return q, env
	}
	q.rule = mask.Text("--upstream " + strings.Join(flags, " --upstream "))
	env = maps.Clone(env)
	env["GOPROXY"] = goenv.Setting{Value: strings.Join(bases, ","), Origin: fromFlag}
	return q, env
}
