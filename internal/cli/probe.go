package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/http/httpproxy"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/settings"
)

// barWidth is the columns of the time line.
const barWidth = 10

func newProbeCmd(a *app) *cobra.Command {
	var second []string
	cmd := &cobra.Command{
		Use:   "probe HOST[:PORT]|URL",
		Short: "Look at one server layer by layer: name, connection, TLS, HTTP, Go's protocols / 逐层检查一台服务器：域名、连接、TLS、HTTP、Go 的协议",
		Long: "probe asks one server, layer by layer, and says at which one the way ends: DNS, TCP for each address, the HTTP\n" +
			"proxy, TLS, HTTP, and the protocol of a module proxy, checksum database, npm registry or Python index where the\n" +
			"settings of go, npm or pip name the server. A URL of one version (…/@v/v1.0.0.zip) has its files looked at.\n" +
			"For a repository it asks what git and ssh make of the address, whether the host key is known, and git ls-remote.\n" +
			"It sends no password and no token (ssh offers its keys), asks no metadata or link-local address, and ends within\n" +
			"10 seconds.\n" +
			"逐层探测一台服务器或一个仓库，指出在哪一层中断；不发送密码和令牌，10 秒内结束。",
		Example: "  keepwell probe goproxy.cn\n  keepwell probe git@git.example.com:team/widget.git\n  keepwell probe https://goproxy.cn/rsc.io/quote/@v/list",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return misused("err.probe.one", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runProbe(cmd.Context(), a, args[0], second) },
	}
	cmd.Flags().StringSliceVar(&second, "second-resolver", nil, "also ask these resolvers (addresses), which then learn the name; never for private names\n另外询问这些 DNS 服务器（对方会知道所查的域名），私有域名除外")
	return cmd
}

func runProbe(ctx context.Context, a *app, arg string, second []string) error {
	s, _ := settings.Load(ctx, "") // what could not be read is not looked at
	options := probeOptions(s)
	for _, server := range second {
		at, err := resolverAddress(server)
		if err != nil {
			return misused("err.probe.resolver", mask.Text(server))
		}
		options.Second = append(options.Second, at)
	}
	target, err := observe.Parse(arg, options)
	named := mask.Text(arg)
	switch {
	case errors.Is(err, observe.ErrForbidden):
		return &failure{exit: exitUsage, key: "err.probe.forbidden", args: []any{named}, hint: "hint.probe.metadata", unwrapped: err}
	case err != nil:
		return &failure{exit: exitUsage, key: "err.probe.target", args: []any{named, mask.Text(err.Error())}, hint: "hint.probe.target", unwrapped: err}
	}
	format := present.Format(a.format)
	handler, err := present.New(format, a.out, a.style())
	if err != nil {
		return err
	}
	results := observe.Look(ctx, target, options)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	words := probeWords{a.lang}
	findings := observe.Findings(results, words.say)
	a.exit = exitFor(findings, format)
	if format == present.Text {
		if err := shown(a, present.Outline(a.out, a.style(), words.picture(&target, results, len(findings) == 0))); err != nil {
			return err
		}
		if len(findings) == 0 {
			return nil
		}
	}
	seen := keepwell.Target{Kind: "host", Name: mask.Text(target.String())}
	if format == present.JSON {
		var doc probed
		doc.Layers = words.layers(results)
		if err := emit(&doc.gathered, "probe", seen, findings, a.lang); err != nil {
			return err
		}
		return shown(a, present.Data(a.out, format, doc))
	}
	if format == present.JSONL {
		handler = &layeredLines{handler, words.layers(results), a}
	}
	return emit(handler, "probe", seen, findings, a.lang)
}

// layeredLines puts a line for each layer after the first of the stream.
type layeredLines struct {
	keepwell.Handler
	layers []probedLayer
	a      *app
}

// Handle passes events on.
func (l *layeredLines) Handle(e keepwell.Event) error {
	if err := l.Handler.Handle(e); err != nil {
		return err
	}
	if _, first := e.(keepwell.Started); !first {
		return nil
	}
	for _, layer := range l.layers {
		line := struct {
			Event string `json:"event"`
			probedLayer
		}{"layer", layer}
		if err := present.Data(l.a.out, present.JSONL, line); err != nil {
			return err
		}
	}
	return nil
}

// probed is the document of `keepwell probe --json`: that of all commands with findings,
// and what each layer showed.
type probed struct {
	gathered
	Layers []probedLayer `json:"layers"`
}

// gathered is the document of all commands with findings, made from their stream of
// events.
type gathered struct{ keepwell.Document }

type probedLayer struct {
	Layer  observe.Layer `json:"layer"`
	State  observe.State `json:"state"`
	Code   keepwell.Code `json:"code,omitempty"`
	Text   string        `json:"text"`
	Said   string        `json:"said,omitempty"`
	AtMS   float64       `json:"at_ms"`
	TookMS float64       `json:"took_ms"`
}

// Handle gathers the stream of events.
func (d *gathered) Handle(e keepwell.Event) error {
	switch e := e.(type) {
	case keepwell.Started:
		d.Command, d.Findings = e.Command, []keepwell.Finding{}
	case keepwell.Found:
		d.Findings = append(d.Findings, e.Finding)
	case keepwell.Finished:
		d.Target = e.Target
	}
	return nil
}

func (w probeWords) layers(results []observe.Result) []probedLayer {
	out := make([]probedLayer, 0, len(results))
	for _, r := range results {
		out = append(out, probedLayer{r.Layer, r.State, r.Code, w.say(r), r.Said, milliseconds(r.At), milliseconds(r.Took)})
	}
	return out
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// probeOptions reads what of the machine decides: HTTP proxies, GOPROXY and GOSUMDB,
// npm's registries and pip's indexes. Where there is no go, its protocols are not
// looked at.
func probeOptions(s *settings.Settings) observe.Options {
	o := observe.Options{Proxy: httpproxy.FromEnvironment().ProxyFunc(), Resolvers: observe.SystemResolvers()}
	for entry := range strings.FieldsFuncSeq(s.Env.Value("GOPROXY"), func(r rune) bool { return r == ',' || r == '|' }) {
		entry = strings.TrimSpace(entry)
		if u, err := url.Parse(entry); err == nil && u.Host != "" {
			o.GoProxies = append(o.GoProxies, entry)
		}
	}
	o.SumDB = s.Env.Value("GOSUMDB")
	for _, name := range []string{"GOPRIVATE", "GONOPROXY", "GONOSUMDB"} {
		o.Private = append(o.Private, strings.FieldsFunc(s.Env.Value(name), func(r rune) bool { return r == ',' })...)
	}
	for _, e := range s.Npm {
		if e.Credential != "" && e.Host != "" {
			o.PrivateHosts = append(o.PrivateHosts, e.Host)
		} else if e.InForce && (e.Name == "registry" || strings.HasSuffix(e.Name, ":registry")) {
			o.Npm = append(o.Npm, e.Value)
		}
	}
	for _, e := range s.Pip {
		if e.Credential != "" && e.Host != "" {
			o.PrivateHosts = append(o.PrivateHosts, e.Host)
		}
		if e.InForce && (e.Name == "index-url" || e.Name == "extra-index-url") {
			o.PyPI = append(o.PyPI, strings.Fields(e.Value)...)
		}
	}
	return o
}

// resolverAddress reads ADDRESS[:PORT]: a name would have to be resolved first.
func resolverAddress(text string) (string, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(a, 53).String(), nil
	}
	at, err := netip.ParseAddrPort(text)
	return at.String(), err
}

// probeWords puts results into words.
type probeWords struct{ lang msg.Lang }

func (w probeWords) say(r observe.Result) string {
	args := make([]any, len(r.Args))
	for i, v := range r.Args {
		args[i] = v
	}
	return msg.Text(w.lang, r.Key, args...)
}

// picture is a line a layer: what it says, when on the time line, how long, what was
// seen.
func (w probeWords) picture(t *observe.Target, results []observe.Result, fine bool) []present.Line {
	head := msg.Text(w.lang, "probe.head", mask.Text(t.String()))
	if t.Via != nil {
		head = msg.Text(w.lang, "probe.via", mask.Text(t.String()), t.Via.Host)
	}
	lines := []present.Line{{Text: head, Tone: present.Bold}}
	whole := slices.MaxFunc(results, func(a, b observe.Result) int { return int(a.At + a.Took - b.At - b.Took) })
	for _, r := range results {
		mark := map[observe.State]string{observe.Yes: "✓", observe.No: "✗", observe.NotChecked: "·"}[r.State]
		took := ""
		if r.State != observe.NotChecked {
			took = msg.Text(w.lang, "probe.ms", r.Took.Milliseconds())
		}
		gutter := fmt.Sprintf("  %s %s %8s  ", mark, bar(r, whole.At+whole.Took), took)
		line := present.Line{Gutter: gutter, Rest: strings.Repeat(" ", 4+barWidth+11), Label: msg.Text(w.lang, "probe.layer."+string(r.Layer)), Text: w.say(r)}
		if r.State == observe.NotChecked {
			line.Tone = present.Faint
		}
		lines = append(lines, line)
	}
	lines = append(lines, present.Line{})
	if fine {
		key := "probe.fine"
		if slices.ContainsFunc(results, func(r observe.Result) bool { return r.Key == "probe.below" || r.Key == "probe.forbidden" }) {
			key = "probe.partial"
		}
		lines = append(lines, present.Line{Text: msg.Text(w.lang, key, mask.Text(t.String()))})
	}
	return lines
}

// bar places a probe on the time line of the whole.
func bar(r observe.Result, whole time.Duration) string {
	if r.State == observe.NotChecked || whole <= 0 {
		return strings.Repeat(" ", barWidth)
	}
	from := min(int(r.At*barWidth/whole), barWidth-1)
	to := min(max(int((r.At+r.Took)*barWidth/whole), from+1), barWidth)
	return strings.Repeat("·", from) + strings.Repeat("█", to-from) + strings.Repeat("·", barWidth-to)
}
