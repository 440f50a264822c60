package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/credentials"
	"github.com/keepwell/keepwell/internal/doctor"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/present"
)

// sureEnough is the confidence from which on a finding leaves no question open.
const sureEnough = 0.9

// openQuestion is the first finding that leaves doubt; hygiene raises none.
func openQuestion(findings []keepwell.Finding) (int, bool) {
	i := slices.IndexFunc(findings, func(f keepwell.Finding) bool {
		return severityOf(f) != keepwell.SeverityInfo && (len(f.Rivals) > 0 || f.Confidence < sureEnough)
	})
	return i, i >= 0
}

func severityOf(f keepwell.Finding) keepwell.Severity {
	if f.Severity != "" {
		return f.Severity
	}
	if entry, err := faults.Lookup(f.Code); err == nil {
		return entry.Severity
	}
	return keepwell.SeverityError
}

// asks is what a probe would look at for a finding.
type asks struct {
	// Server is for package observe: HOST[:PORT] or a URL.
	Server string
	// Host is whom it asks.
	Host string
	// Module is set where its repository is to be asked.
	Module string
}

// askedFor tells which server can answer a finding's question. repository names the
// address of a module's repository, "" where none is known.
func askedFor(f keepwell.Finding, repository func(module string) string) (asks, bool) {
	if path := f.Facts["module"]; path != "" && slices.Contains(doctor.OpenCodes(), f.Code) {
		if to := credentials.Remote(repository(path)); to.Name != "" {
			return asks{Host: to.Name, Module: path}, true
		}
	}
	if u, err := url.Parse(f.Facts["url"]); err == nil && u.Hostname() != "" && (u.Scheme == "https" || u.Scheme == "http") {
		server := &url.URL{Scheme: u.Scheme, Host: u.Host}
		if strings.Contains(u.Path, "/@v/") || strings.HasSuffix(u.Path, "/@latest") || strings.HasPrefix(f.Tool, "npm") {
			server.Path = u.Path
		}
		if f.Facts["host"] == "" || strings.EqualFold(f.Facts["host"], u.Hostname()) {
			return asks{Server: server.String(), Host: u.Hostname()}, true
		}
	}
	for _, name := range []string{"host", "proxy", "address"} {
		host := f.Facts[name]
		if host == "" {
			continue
		}
		server := host
		if port := f.Facts["port"]; port != "" && (name != "proxy" || f.Facts["host"] == "") {
			server = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		return asks{Server: server, Host: strings.Trim(host, "[]")}, true
	}
	return asks{}, false
}

// effectiveHosts are the servers that the settings in force name, and those of the
// project's own modules: asking them tells them nothing new.
func effectiveHosts(c *doctor.Case) []string {
	var out []string
	add := func(raw string) {
		u, err := url.Parse(strings.TrimSpace(raw))
		if err == nil && u.Hostname() != "" {
			out = append(out, strings.ToLower(u.Hostname()))
		}
	}
	for _, list := range [][]string{c.Observe.GoProxies, c.Observe.Npm, c.Observe.PyPI} {
		for _, raw := range list {
			add(raw)
		}
	}
	for _, host := range c.Observe.PrivateHosts {
		add("https://" + host)
	}
	if fields := strings.Fields(c.Observe.SumDB); len(fields) > 0 && fields[0] != "off" {
		name, _, _ := strings.Cut(fields[0], "+")
		add("https://" + name)
		add(fields[len(fields)-1])
	}
	module := func(path string) {
		if host, _, _ := strings.Cut(path, "/"); strings.Contains(host, ".") {
			add("https://" + host)
		}
	}
	module(c.Settings.Project.Module)
	for _, r := range c.Settings.Project.Requires {
		module(r.Path)
	}
	return out
}

// probeAnswer is what probes saw in answer to a finding's question.
type probeAnswer struct {
	// Findings are faults that they show, the lowest layer first.
	Findings []keepwell.Finding
	// Fine says that everything that was looked at is in order; Said puts it into words.
	Fine bool
	Said string
}

// answered is f after its question was put to the servers: confirmed, changed into the
// rival that was seen, or less sure, since nothing is wrong there now.
func answered(f keepwell.Finding, a probeAnswer) keepwell.Finding {
	out := f
	out.Evidence = slices.Clone(f.Evidence)
	for _, seen := range a.Findings {
		same, rival := seen.Code == f.Code, isRival(f, seen.Code)
		if !same && !rival {
			continue
		}
		out.Evidence = append(out.Evidence, seen.Evidence...)
		out.Confidence = max(f.Confidence, seen.Confidence)
		out.Rivals = slices.DeleteFunc(slices.Clone(f.Rivals), func(r keepwell.Rival) bool { return r.Code == seen.Code })
		out.Facts = keepwell.Facts{}
		for _, facts := range []keepwell.Facts{seen.Facts, f.Facts} {
			for k, v := range facts {
				out.Facts[k] = v
			}
		}
		if seen.Confidence >= sureEnough {
			out.Rivals = seen.Rivals
		}
		if rival {
			out.Code, out.Severity, out.Owner, out.Confidence = seen.Code, "", seen.Owner, seen.Confidence
			out.Facts["newpath"] = seen.Facts["newpath"]
			if out.Facts["newpath"] == "" {
				delete(out.Facts, "newpath")
			}
		}
		return out
	}
	switch {
	case len(a.Findings) > 0: // something else is wrong there: worth knowing, and no proof
		for _, seen := range a.Findings {
			out.Evidence = append(out.Evidence, seen.Evidence...)
		}
	case a.Fine:
		out.Confidence = max(0.3, f.Confidence*0.7)
		fallthrough
	case a.Said != "":
		out.Evidence = append(out.Evidence, keepwell.Evidence{Source: "probe", Text: a.Said})
	}
	return out
}

// isRival reports whether code is another cause of what f says, or a layer of the same
// way.
func isRival(f keepwell.Finding, code keepwell.Code) bool {
	if slices.ContainsFunc(f.Rivals, func(r keepwell.Rival) bool { return r.Code == code }) {
		return true
	}
	if entry, err := faults.Lookup(f.Code); err == nil {
		if slices.Contains(entry.DependsOn, code) || slices.ContainsFunc(entry.Rivals, func(r faults.Rival) bool { return r.Code == code }) {
			return true
		}
	}
	open := doctor.OpenCodes()
	if slices.Contains(open, f.Code) && (code.Family() == "auth" || code.Family() == "module") {
		return true
	}
	way := func(c keepwell.Code) bool { return c.Family() == "net" || c.Family() == "tls" }
	return way(f.Code) && way(code)
}

// settleByProbes puts the first open question to the server that can answer it.
func settleByProbes(ctx context.Context, a *app, o explainOptions, findings []keepwell.Finding) ([]keepwell.Finding, error) {
	i, open := openQuestion(findings)
	if !open {
		return findings, nil
	}
	c, err := doctorCase(ctx, a, doctorOptions{timeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	git, _ := credentials.LoadGit(ctx, os.TempDir()) // without git there are no rules of its own
	q, known := askedFor(findings[i], func(module string) string {
		_, raw := c.RepositoryOf(git, module)
		return raw
	})
	note := func(key string, args ...any) {
		fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, key, args...), true))
	}
	switch {
	case !known:
		note("explain.probe.nobody")
		return findings, nil
	case c.Forbidden(q.Host):
		note("explain.probe.never", mask.Text(q.Host))
		return findings, nil
	case !slices.Contains(effectiveHosts(c), strings.ToLower(q.Host)) && !allowedByReader(ctx, a, o, q.Host):
		note("explain.probe.kept", mask.Text(q.Host), mask.Text(q.Host))
		return findings, nil
	}
	out := slices.Clone(findings)
	out[i] = answered(findings[i], lookFor(ctx, a, c, q))
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return out, nil
}

// lookFor makes the probes.
func lookFor(ctx context.Context, a *app, c *doctor.Case, q asks) probeAnswer {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	words := probeWords{a.lang}
	if q.Module != "" {
		o := c.SettlePrivate(ctx, q.Module)
		return probeAnswer{Findings: o.Findings, Said: words.say(observe.Result{Key: o.Key, Args: o.Args})}
	}
	t, err := observe.Parse(q.Server, c.Observe)
	if err != nil {
		return probeAnswer{}
	}
	results := observe.Look(ctx, t, c.Observe)
	found := observe.Findings(results, words.say)
	bad := slices.ContainsFunc(results, func(r observe.Result) bool {
		return r.Key == "probe.below" || r.Key == "probe.forbidden" || r.State == observe.No && r.Code != ""
	})
	answer := probeAnswer{Findings: found, Fine: len(found) == 0 && !bad}
	if answer.Fine {
		answer.Said = msg.Text(a.lang, "probe.fine", mask.Text(t.String()))
	}
	return answer
}

// allowedByReader asks whether a server that no setting names may be asked. Where there
// is no terminal it may not.
func allowedByReader(ctx context.Context, a *app, o explainOptions, host string) bool {
	if _, ok := terminal(a.errs); !ok {
		return false
	}
	in := a.in
	if _, ok := terminal(a.in); !ok || o.name == "-" {
		tty, err := os.Open("/dev/tty") // standard input is the log
		if err != nil {
			return false
		}
		defer tty.Close()
		in = tty
	}
	fmt.Fprint(a.errs, present.Visible(msg.Text(a.lang, "explain.probe.ask", mask.Text(host)), true)+" ") //nolint:errcheck // the terminal
	return saysYes(&interruptible{ctx: ctx, r: in})
}

func saysYes(in io.Reader) bool {
	answer, err := bufio.NewReader(io.LimitReader(in, 64)).ReadString('\n')
	if err != nil {
		return false
	}
	return slices.Contains([]string{"y", "yes", "是"}, strings.ToLower(strings.TrimSpace(answer)))
}
