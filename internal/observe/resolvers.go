package observe

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// How a resolver is asked over UDP: anew after a while, since a datagram may be lost.
const (
	mostResolvers = 4
	askAgain      = time.Second
	resolverLimit = 2500 * time.Millisecond // programs give up on one at five seconds; nobody wants that
	largestPacket = 4096
)

// SystemResolvers are the resolvers of /etc/resolv.conf as HOST:PORT; behind
// systemd's stub also those that it asks. None where there is no such file.
func SystemResolvers() []string {
	list := nameservers("/etc/resolv.conf")
	if slices.Contains(list, "127.0.0.53:53") {
		list = append(list, nameservers("/run/systemd/resolve/resolv.conf")...)
	}
	return list
}

func nameservers(file string) []string {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, 64<<10))
	var out []string
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil {
			out = append(out, netip.AddrPortFrom(a, 53).String())
		}
	}
	return out[:min(len(out), mostResolvers)]
}

// Public reports whether a host's name may be told to strangers: one of the whole
// Internet, which no pattern of GOPRIVATE and its kin covers.
func Public(host string, patterns []string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") {
		return false
	}
	for _, end := range strings.Fields(".local .localhost .internal .intranet .lan .home .corp .private .home.arpa .test .invalid .example .onion .arpa") {
		if strings.HasSuffix(host, end) {
			return false
		}
	}
	return !slices.ContainsFunc(patterns, func(p string) bool {
		first, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(p)), "/")
		ok, err := path.Match(first, host)
		return err != nil || ok
	})
}

// reply is what one resolver said.
type reply struct {
	server string
	second bool // not of this machine's settings
	addrs  []netip.Addr
	code   dnsmessage.RCode
	err    error
	took   time.Duration
}

// resolvers asks each resolver by itself, and strangers only for public names.
func (s *session) resolvers(ctx context.Context) []Result {
	public := Public(s.target.Host, s.Private)
	list := make([]reply, 0, len(s.Resolvers)+len(s.Second))
	for _, server := range s.Resolvers {
		list = append(list, reply{server: server})
	}
	for _, server := range s.Second {
		if public && !slices.Contains(s.Resolvers, server) {
			list = append(list, reply{server: server, second: true})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, resolverLimit)
	defer cancel()
	var wg sync.WaitGroup
	for i := range list {
		wg.Go(func() { list[i].ask(ctx, s.target.Host) })
	}
	wg.Wait()
	out := make([]Result, len(list))
	for i, r := range list {
		out[i] = s.replied(r, public)
		out[i].Took = r.took
	}
	// One that answers is enough: a fault is only where none does.
	good := slices.IndexFunc(out, func(r Result) bool { return r.State == Yes })
	for i := range out {
		switch {
		case good >= 0 && !list[good].second && out[i].Code == "net/dns", list[i].second:
			out[i].Code = ""
		case good >= 0 && list[good].second && out[i].Code != "":
			out[i].Said = list[good].server + ": " + strings.Join(out[good].Args[1:], " ")
		}
	}
	if len(out) == 0 {
		return []Result{{State: NotChecked, Key: "probe.resolver.none"}}
	}
	return out
}

// replied puts what a resolver said into words.
func (s *session) replied(r reply, public bool) Result {
	out := Result{State: No, Args: []string{clip(r.server)}, Code: "net/dns", Facts: s.facts("phase", "lookup")}
	words := make([]string, len(r.addrs))
	for i, a := range r.addrs {
		words[i] = a.String()
	}
	odd := func(test func(netip.Addr) bool) bool {
		return len(r.addrs) > 0 && !slices.ContainsFunc(r.addrs, func(a netip.Addr) bool { return !test(a) })
	}
	switch {
	case errors.Is(r.err, ErrForbidden):
		return Result{State: NotChecked, Key: "probe.forbidden", Args: out.Args}
	case errors.Is(r.err, syscall.ECONNREFUSED):
		out.Key = "probe.resolver.dead"
	case r.err != nil && timedOut(r.err):
		out.Key = "probe.resolver.silent"
	case r.err != nil:
		out.Key, out.Said = "probe.resolver.odd", said(r.err)
	case r.code == dnsmessage.RCodeNameError:
		out.Key = "probe.resolver.unknown"
	case r.code == dnsmessage.RCodeServerFailure:
		out.Key = "probe.resolver.failed"
	case r.code == dnsmessage.RCodeRefused:
		out.Key = "probe.resolver.refuses"
	case r.code != dnsmessage.RCodeSuccess:
		out.Key, out.Said = "probe.resolver.odd", r.code.String()
	case len(r.addrs) == 0:
		out.Key = "probe.resolver.empty"
	case odd(func(a netip.Addr) bool { return a.IsUnspecified() || a.IsMulticast() || public && a.IsLoopback() }):
		out.Key, out.Args, out.Code = "probe.resolver.bogus", append(out.Args, strings.Join(words, ", ")), "net/intercepted"
	default:
		out = Result{State: Yes, Key: "probe.resolver.good", Args: append(out.Args, strings.Join(words, ", "))}
		if r.second {
			out.Key = "probe.resolver.second"
		} else if public && odd(netip.Addr.IsPrivate) {
			out.Key = "probe.resolver.private"
		}
	}
	return out
}

// ask asks for IPv4 and IPv6 addresses at once.
func (r *reply) ask(ctx context.Context, host string) {
	began := time.Now()
	name, err := dnsmessage.NewName(strings.TrimSuffix(host, ".") + ".")
	if err != nil {
		r.err = err
		return
	}
	kinds := []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA}
	got := make([]reply, len(kinds))
	var wg sync.WaitGroup
	for i, kind := range kinds {
		wg.Go(func() { got[i].addrs, got[i].code, got[i].err = exchange(ctx, r.server, name, kind) })
	}
	wg.Wait()
	r.took = max(time.Since(began), 1)
	for _, g := range got {
		r.addrs = append(r.addrs, g.addrs...)
	}
	slices.SortFunc(r.addrs, netip.Addr.Compare)
	if len(r.addrs) == 0 {
		// That the name is not there counts more than that one kind was not answered.
		r.code, r.err = cmp.Or(got[0].code, got[1].code), cmp.Or(got[0].err, got[1].err)
		if r.code != dnsmessage.RCodeSuccess {
			r.err = nil
		}
	}
}

// exchange asks one question over UDP, and over TCP where the answer is too long.
func exchange(ctx context.Context, server string, name dnsmessage.Name, kind dnsmessage.Type) ([]netip.Addr, dnsmessage.RCode, error) {
	q := dnsmessage.Question{Name: name, Type: kind, Class: dnsmessage.ClassINET}
	msg := dnsmessage.Message{Header: dnsmessage.Header{ID: uint16(rand.N(1 << 16)), RecursionDesired: true}, Questions: []dnsmessage.Question{q}} //nolint:gosec // what is read decides nothing
	packed, err := msg.Pack()
	if err != nil {
		return nil, 0, fmt.Errorf("asking for %s: %w", name, err)
	}
	for _, network := range []string{"udp", "tcp"} {
		conn, err := dialer().DialContext(ctx, network, server)
		if err != nil {
			return nil, 0, err
		}
		done := deadline(ctx, conn)
		var head dnsmessage.Header
		var addrs []netip.Addr
		if network == "udp" {
			head, addrs, err = overUDP(conn, packed, msg.ID, q)
		} else {
			head, addrs, err = overTCP(conn, packed, msg.ID, q)
		}
		done()
		_ = conn.Close()
		if err != nil || !head.Truncated || network == "tcp" {
			return addrs, head.RCode, err
		}
	}
	return nil, 0, errAnswer
}

var errAnswer = errors.New("not an answer to the question")

// overUDP sends the question, and again after a while, until an answer to it comes.
func overUDP(conn net.Conn, packed []byte, id uint16, q dnsmessage.Question) (dnsmessage.Header, []netip.Addr, error) {
	send := func() error { _, err := conn.Write(packed); return err }
	if err := send(); err != nil {
		return dnsmessage.Header{}, nil, err
	}
	again := time.AfterFunc(askAgain, func() { _ = send() })
	defer again.Stop()
	buf := make([]byte, largestPacket)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return dnsmessage.Header{}, nil, err
		}
		if head, addrs, err := parse(buf[:n], id, q); !errors.Is(err, errAnswer) { // others' datagrams do not count
			return head, addrs, err
		}
	}
}

func overTCP(conn net.Conn, packed []byte, id uint16, q dnsmessage.Question) (dnsmessage.Header, []netip.Addr, error) {
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)); err != nil {
		return dnsmessage.Header{}, nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return dnsmessage.Header{}, nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return dnsmessage.Header{}, nil, err
	}
	return parse(buf, id, q)
}

// parse reads the addresses of an answer; errAnswer where it is none to the question.
func parse(packet []byte, id uint16, q dnsmessage.Question) (dnsmessage.Header, []netip.Addr, error) {
	var p dnsmessage.Parser
	head, err := p.Start(packet)
	if err != nil || head.ID != id || !head.Response {
		return head, nil, errAnswer
	}
	asked, err := p.AllQuestions()
	if err != nil || len(asked) > 1 || len(asked) == 1 && (asked[0].Type != q.Type || !strings.EqualFold(asked[0].Name.String(), q.Name.String())) {
		return head, nil, errAnswer
	}
	var addrs []netip.Addr
	for {
		h, err := p.AnswerHeader()
		switch {
		case errors.Is(err, dnsmessage.ErrSectionDone), err != nil && head.Truncated:
			return head, addrs, nil
		case err != nil:
			return head, addrs, fmt.Errorf("reading the answer: %w", err)
		}
		switch h.Type {
		case dnsmessage.TypeA:
			if r, err := p.AResource(); err == nil {
				addrs = append(addrs, netip.AddrFrom4(r.A))
				continue
			}
		case dnsmessage.TypeAAAA:
			if r, err := p.AAAAResource(); err == nil {
				addrs = append(addrs, netip.AddrFrom16(r.AAAA).Unmap())
				continue
			}
		default:
			if p.SkipAnswer() == nil {
				continue
			}
		}
		if head.Truncated {
			return head, addrs, nil
		}
		return head, addrs, errors.New("reading the answer: a record is broken")
	}
}
