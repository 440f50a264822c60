package doctor

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/route"
)

// wayCodes are the faults of a server that another server does not have.
func wayCodes() []keepwell.Code {
	return []keepwell.Code{
		"net/dns", "net/refused", "net/reset", "net/timeout", "net/tls-timeout", "net/unreachable", "net/slow",
		"tls/expired", "tls/name-mismatch", "tls/not-tls", "tls/protocol",
		"proxy/server-error", "proxy/address-blocked", "proxy/rate-limited", "proxy/forbidden", "proxy/upstream-failed", "proxy/bad-response",
		"sum/sumdb-unreachable",
	}
}

// proxyList is GOPROXY taken apart.
type proxyList struct{ texts, seps []string }

func readProxies(v string) proxyList {
	var l proxyList
	for v != "" {
		text, sep := v, ""
		if i := strings.IndexAny(v, ",|"); i >= 0 {
			text, sep, v = v[:i], v[i:i+1], v[i+1:]
		} else {
			v = ""
		}
		if text = strings.TrimSpace(text); text != "" {
			l.texts, l.seps = append(l.texts, text), append(l.seps, sep)
		}
	}
	return l
}

func hostOfProxy(text string) string {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// mendMirror puts a public proxy that answers in the place of one that does not. It
// only fits where every server of the list is public, so that no company's rule is
// broken, and where the checksum database holds the answers of any proxy to what
// everybody gets.
func mendMirror(ctx context.Context, c *Case, f keepwell.Finding) []Mend {
	s := c.Settings
	if sumdb := s.Env.Value("GOSUMDB"); sumdb == "off" || sumdb == "" || len(faultyLints(s, "GOPROXY", s.Env.Value("GOPROXY"))) > 0 {
		return nil
	}
	list := readProxies(s.Env.Value("GOPROXY"))
	broken := strings.ToLower(hostOf(f))
	public := append(s.PublicHosts(), publicHosts()...)
	asked := false
	var servers []string
	for _, text := range list.texts {
		if text == "direct" || text == "off" {
			break
		}
		host := hostOfProxy(text)
		if !slices.Contains(public, host) || strings.Contains(text, "@") {
			return nil
		}
		asked = asked || host == broken
		servers = append(servers, text)
	}
	if len(servers) == 0 || !asked && f.Code != "sum/sumdb-unreachable" {
		return nil
	}
	var rest, candidates []string
	for i, text := range list.texts {
		if hostOfProxy(text) == broken {
			continue
		}
		rest = append(rest, text+list.seps[i])
		if i < len(servers) {
			candidates = append(candidates, text)
		}
	}
	candidates = append(candidates, route.Spares()...)
	for _, text := range readProxies(s.Go.Root["GOPROXY"]).texts {
		if text != "direct" && text != "off" {
			candidates = append(candidates, text)
		}
	}
	candidates = slices.DeleteFunc(candidates, func(text string) bool { return hostOfProxy(text) == broken })
	chosen := c.answering(ctx, candidates)
	if chosen == "" {
		return nil
	}
	value := chosen
	for _, text := range rest {
		if trimmed := strings.TrimRight(text, ",|"); trimmed != chosen {
			value += "," + trimmed
		}
	}
	if value == s.Env.Value("GOPROXY") {
		return nil
	}
	return c.assignments("mirror", []string{hostOfProxy(chosen), value}, [2]string{"GOPROXY", value})
}

// publicHosts are servers of module proxies that anybody may ask, beside the default.
func publicHosts() []string {
	return []string{"goproxy.cn", "goproxy.io", "mirrors.aliyun.com", "repo.huaweicloud.com", "mirrors.cloud.tencent.com", "goproxy.bj.bcebos.com"}
}

// wellKnown is a module that every public proxy has: no server is told of the user's
// modules before they agreed to it.
const wellKnown = "golang.org/x/mod"

// answering is the first of the servers that answers as a module proxy does; "" where
// none of them does. They are asked at once.
func (c *Case) answering(ctx context.Context, servers []string) string {
	answers := make([]bool, len(servers))
	var wg sync.WaitGroup
	for i, server := range servers {
		wg.Go(func() { answers[i] = c.answers(ctx, server) })
	}
	wg.Wait()
	if i := slices.Index(answers, true); i >= 0 {
		return servers[i]
	}
	return ""
}

func (c *Case) answers(ctx context.Context, server string) bool {
	if !strings.Contains(server, "://") {
		server = "https://" + server
	}
	o := c.Observe
	o.Each, o.All = 3*time.Second, 4*time.Second
	t, err := observe.Parse(strings.TrimRight(server, "/")+"/"+wellKnown+"/@v/list", o)
	if err != nil {
		return false
	}
	for _, r := range observe.Look(ctx, t, o) {
		if r.Layer == observe.GoProxy {
			return r.State == observe.Yes
		}
	}
	return false
}
