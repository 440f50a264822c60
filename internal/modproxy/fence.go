package modproxy

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/keepwell/keepwell/internal/observe"
)

// fence is an HTTP proxy on loopback through which the go and git commands of direct
// entries reach the world, and nothing but the world: it looks at each address when it
// connects to it, so that neither a name that changes, nor a redirect, nor a go-import
// page leads into the private network. Each fetch has a password of its own, which
// tells whose a refusal is; nobody else may use the fence.
type fence struct {
	p      *Proxy
	addr   string
	server *http.Server
	// parent is the HTTP proxy of the machine, if it has one.
	parent func(*url.URL) (*url.URL, error)
	under  sync.WaitGroup

	mu      sync.Mutex
	fetches map[string]*fenced
}

// fenced is one fetch behind the fence.
type fenced struct {
	f        *fence
	password string
	refused  string // the host that was refused; under the fence's mu
}

type fenceKey struct{}

// behindFence makes ctx one whose go command runs behind the fence, where u is direct and
// the module is anybody's. Lists with patterns are for the operator's own servers: those
// are reached freely, by ssh too.
func (p *Proxy) behindFence(ctx context.Context, u *Upstream, a ask) (context.Context, error) {
	if _, own := p.upstreamsFor(a.module); !u.isDirect() || own || p.Resolve == nil {
		return ctx, nil
	}
	p.fenceOnce.Do(func() { p.fence, p.fenceErr = p.newFence() })
	if p.fenceErr != nil {
		return ctx, fmt.Errorf("the fence around direct fetches: %w", p.fenceErr)
	}
	one := &fenced{f: p.fence, password: rand.Text()}
	p.fence.mu.Lock()
	defer p.fence.mu.Unlock()
	p.fence.fetches[one.password] = one
	return context.WithValue(ctx, fenceKey{}, one), nil
}

// fenceSaid ends what behindFence began: what the fence refused was the reason.
func (p *Proxy) fenceSaid(ctx context.Context, err error) error {
	one, ok := ctx.Value(fenceKey{}).(*fenced)
	if !ok {
		return err
	}
	one.f.mu.Lock()
	defer one.f.mu.Unlock()
	delete(one.f.fetches, one.password)
	if err != nil && one.refused != "" {
		return &trouble{how: refused, said: one.refused + " has a private address, which is not asked for this module", err: errPrivate}
	}
	return err
}

// fenceEnv are the settings of go and git behind the fence: every request through it, by
// http and https only, and git as the only version control system.
func fenceEnv(ctx context.Context, have []string) []string {
	one, ok := ctx.Value(fenceKey{}).(*fenced)
	if !ok {
		return nil
	}
	at := "http://keepwell:" + one.password + "@" + one.f.addr
	env := []string{
		"HTTPS_PROXY=" + at, "https_proxy=" + at, "HTTP_PROXY=" + at, "http_proxy=" + at,
		"ALL_PROXY=", "all_proxy=", "NO_PROXY=", "no_proxy=",
		// Go asks loopback addresses without a proxy, whatever is set; but by plain http it
		// asks nobody where this says that it is a CGI program. That leaves https, where this
		// machine would have to have a certificate for its own loopback address.
		"REQUEST_METHOD=GET",
		"GIT_ALLOW_PROTOCOL=http:https", "GOVCS=*:git", "GOINSECURE=",
	}
	if !slices.ContainsFunc(have, func(v string) bool { return strings.HasPrefix(v, "GIT_CONFIG_COUNT=") }) {
		env = append(env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.proxy", "GIT_CONFIG_VALUE_0="+at) // it outranks the environment
	}
	return env
}

func (p *Proxy) newFence() (*fence, error) {
	ln, err := (&net.ListenConfig{}).Listen(p.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &fence{p: p, addr: ln.Addr().String(), fetches: map[string]*fenced{}, parent: httpproxy.FromEnvironment().ProxyFunc()}
	f.server = &http.Server{
		Handler: f, ReadHeaderTimeout: p.Limits.Connect, MaxHeaderBytes: largestHeader,
		BaseContext: func(net.Listener) context.Context { return p.ctx },
	}
	p.work.Go(func() {
		_ = f.server.Serve(ln) // ends with the proxy
		f.under.Wait()
	})
	p.work.Go(func() {
		<-p.ctx.Done()
		_ = f.server.Close() // nobody is served any more
	})
	return f, nil
}

// of finds whose request it is.
func (f *fence) of(r *http.Request) *fenced {
	coded, _ := strings.CutPrefix(r.Header.Get("Proxy-Authorization"), "Basic ")
	plain, _ := base64.StdEncoding.DecodeString(coded) // nobody has an empty password
	_, password, _ := strings.Cut(string(plain), ":")
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fetches[password]
}

// ServeHTTP serves CONNECT. Plain http is for nobody here: what it brings anyone on the
// way can change, and go does not ask for it.
func (f *fence) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.under.Add(1)
	defer f.under.Done()
	one := f.of(r)
	if one == nil {
		w.Header().Set("Proxy-Authenticate", `Basic realm="keepwell"`)
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	if r.Method != http.MethodConnect {
		http.Error(w, "only https", http.StatusForbidden)
		return
	}
	out, err := f.dial(r.Context(), r.Host)
	if err != nil {
		status := http.StatusBadGateway
		if errors.Is(err, errPrivate) {
			status = http.StatusForbidden
			f.mu.Lock()
			one.refused = clean(hostOf(r.Host))
			f.mu.Unlock()
			f.p.Log.Warn("a direct fetch was led to a private address, which was refused", "host", clean(r.Host))
		}
		http.Error(w, clean(err.Error()), status)
		return
	}
	defer out.Close() //nolint:errcheck // what was sent counts
	in, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer in.Close() //nolint:errcheck // as above
	if _, err := io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n"); err == nil {
		join(r.Context(), in, buffered.Reader, out) // which ends with the proxy
	}
}

// join copies both ways until either ends, or ctx does.
func join(ctx context.Context, in net.Conn, from io.Reader, out net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = in.Close(); _ = out.Close() })
	defer stop()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(in, out) // the other side sees where it ends
		_ = in.Close()
	})
	_, _ = io.Copy(out, from) // as above
	_ = out.Close()
	back.Wait()
}

// hostOf is the name in host:port, or in a host alone.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

// dial connects to the address, or to the machine's own HTTP proxy for it; addresses are
// looked at where they are known.
func (f *fence) dial(ctx context.Context, address string) (net.Conn, error) {
	host := hostOf(address)
	free := slices.Contains(f.p.live.Load().Private, host)
	if ip, err := netip.ParseAddr(host); err == nil && !free && isInside(ip) {
		return nil, errPrivate
	}
	parent, err := f.parent(&url.URL{Scheme: "https", Host: address})
	if err != nil {
		return nil, err
	}
	if parent != nil {
		return f.through(ctx, parent, address)
	}
	d := net.Dialer{Timeout: f.p.Limits.Connect, Control: func(_, resolved string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(resolved)
		if err != nil {
			return err
		}
		if ip := at.Addr().Unmap(); observe.Forbidden(ip) || isInside(ip) && !free {
			return errPrivate
		}
		return nil
	}}
	return d.DialContext(ctx, "tcp", address)
}

// through asks the machine's HTTP proxy for a way to address, which decides what it leads
// to.
func (f *fence) through(ctx context.Context, parent *url.URL, address string) (net.Conn, error) {
	if parent.Scheme != "http" {
		return nil, fmt.Errorf("direct fetches cannot use the proxy of this machine: %s://", parent.Scheme)
	}
	conn, err := (&net.Dialer{Timeout: f.p.Limits.Connect}).DialContext(ctx, "tcp", withPort(parent))
	if err != nil {
		return nil, err
	}
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if u := parent.User; u != nil {
		password, _ := u.Password()
		r.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	_ = conn.SetDeadline(time.Now().Add(f.p.Limits.Connect)) // without one, the fetch's own holds
	if err = r.WithContext(ctx).Write(conn); err == nil {
		// Byte by byte: what comes after the header is the tunnel's.
		var resp *http.Response
		if resp, err = http.ReadResponse(bufio.NewReaderSize(oneByte{conn}, 16), r); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("the proxy of this machine answered %d", resp.StatusCode)
			}
		}
	}
	_ = conn.SetDeadline(time.Time{})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// oneByte keeps a buffered reader from reading on.
type oneByte struct{ io.Reader }

func (o oneByte) Read(data []byte) (int, error) { return o.Reader.Read(data[:min(1, len(data))]) }
