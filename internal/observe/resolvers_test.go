package observe_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/observe"
)

// nameserver answers every question by what answer returns, over UDP and TCP, and
// counts the questions. Nil is silence; a truncated answer over UDP is whole over TCP.
func nameserver(t *testing.T, answer func(q dnsmessage.Question) *dnsmessage.Message) (at string, asked func() int) {
	t.Helper()
	ln := listen(t)
	udp, err := net.ListenPacket("udp", ln.Addr().String())
	if err != nil {
		t.Skip("the port is taken over UDP")
	}
	var mu sync.Mutex
	n := 0
	reply := func(packet []byte, tcp bool) []byte {
		mu.Lock()
		defer mu.Unlock()
		n++
		var q dnsmessage.Message
		if q.Unpack(packet) != nil {
			return nil
		}
		m := answer(q.Questions[0])
		if m == nil {
			return nil
		}
		m.ID, m.Response, m.Questions = q.ID, true, q.Questions
		if m.Truncated && tcp {
			m.Truncated = false
		} else if m.Truncated {
			m.Answers = nil
		}
		b, _ := m.Pack()
		return b
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 4096)
		for {
			size, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			if b := reply(buf[:size], false); b != nil {
				_, _ = udp.WriteTo([]byte("rubbish"), from)
				_, _ = udp.WriteTo(b, from)
			}
		}
	})
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			var size [2]byte
			_, _ = io.ReadFull(c, size[:])
			buf := make([]byte, binary.BigEndian.Uint16(size[:]))
			_, _ = io.ReadFull(c, buf)
			b := reply(buf, true)
			_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
			_ = c.Close()
		}
	})
	t.Cleanup(func() { _ = ln.Close(); _ = udp.Close(); wg.Wait() })
	return ln.Addr().String(), func() int { mu.Lock(); defer mu.Unlock(); return n }
}

func answers(addrs ...string) func(dnsmessage.Question) *dnsmessage.Message {
	return func(q dnsmessage.Question) *dnsmessage.Message {
		m := &dnsmessage.Message{}
		for _, s := range addrs {
			a := netip.MustParseAddr(s)
			h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
			if a.Is4() && q.Type == dnsmessage.TypeA {
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
			} else if a.Is6() && q.Type == dnsmessage.TypeAAAA {
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
			}
		}
		return m
	}
}

func refusing(code dnsmessage.RCode) func(dnsmessage.Question) *dnsmessage.Message {
	return func(dnsmessage.Question) *dnsmessage.Message {
		return &dnsmessage.Message{Header: dnsmessage.Header{RCode: code}}
	}
}

func TestResolvers(t *testing.T) {
	t.Parallel()
	long := func(q dnsmessage.Question) *dnsmessage.Message {
		m := answers("203.0.113.7")(q)
		m.Truncated = true
		return m
	}
	for name, c := range map[string]struct {
		answer func(dnsmessage.Question) *dnsmessage.Message
		key    string
		code   keepwell.Code
		system string // what the system finds; empty: nothing
	}{
		"both kinds": {answers("203.0.113.7", "2001:db8::7"), "probe.resolver.good", "", ""},
		"over TCP":   {long, "probe.resolver.good", "", ""},
		"private":    {answers("10.0.0.7"), "probe.resolver.private", "", ""},
		"zero":       {answers("0.0.0.0", "::"), "probe.resolver.bogus", "net/intercepted", ""},
		"loopback":   {answers("127.0.0.1"), "probe.resolver.bogus", "net/intercepted", "127.0.0.1"},
		"no address": {answers(), "probe.resolver.empty", "net/dns", ""},
		"NXDOMAIN":   {refusing(dnsmessage.RCodeNameError), "probe.resolver.unknown", "net/dns", ""},
		"SERVFAIL":   {refusing(dnsmessage.RCodeServerFailure), "probe.resolver.failed", "net/dns", ""},
		"REFUSED":    {refusing(dnsmessage.RCodeRefused), "probe.resolver.refuses", "net/dns", ""},
		"silent":     {func(dnsmessage.Question) *dnsmessage.Message { return nil }, "probe.resolver.silent", "net/dns", ""},
		"hosts file": {refusing(dnsmessage.RCodeNameError), "probe.resolver.unknown", "", "127.0.0.1"},
		"by hand":    {answers("127.0.0.1"), "probe.resolver.bogus", "", "127.0.0.2"},
	} {
		at, _ := nameserver(t, c.answer)
		o := resolving(c.system)
		o.Resolvers = []string{at}
		results, _ := look(t, "mirror.example.org:1", o)
		if r := result(results, observe.Asked); r.Key != c.key || r.Code != c.code {
			t.Errorf("%s: %+v", name, r)
		}
	}
	o := resolving("127.0.0.1")
	o.Resolvers = []string{"127.0.0.1:1", "169.254.169.254:53"}
	results, _ := look(t, "mirror.example.org:1", o)
	if results[1].Key != "probe.resolver.dead" || results[2].Key != "probe.forbidden" {
		t.Errorf("%+v", results)
	}
	// One that answers is enough, and a name without dots belongs to search lists.
	at, _ := nameserver(t, answers("203.0.113.7"))
	o.Resolvers = []string{"127.0.0.1:1", at}
	results, _ = look(t, "mirror.example.org:1", o)
	if results[1].Code != "" || results[2].State != observe.Yes {
		t.Errorf("%+v", results)
	}
	if results, _ = look(t, "mirror:1", o); result(results, observe.Asked).Key != "" {
		t.Errorf("%+v", results)
	}
}

// resolving answers every name with one address, within a short time.
func resolving(addr string) observe.Options {
	o := short()
	o.Each = time.Second
	o.Resolve = func(context.Context, string) ([]netip.Addr, error) {
		if addr == "" {
			return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
		}
		return []netip.Addr{netip.MustParseAddr(addr)}, nil
	}
	return o
}

// TestSecondResolver: strangers learn public names only.
func TestSecondResolver(t *testing.T) {
	t.Parallel()
	first, _ := nameserver(t, refusing(dnsmessage.RCodeNameError))
	second, asked := nameserver(t, answers("203.0.113.7"))
	o := resolving("")
	o.Resolvers, o.Second, o.Private = []string{first}, []string{second}, []string{"git.corp.example.org/team", "*.secret.example.org"}
	for _, host := range []string{"git.corp.example.org", "x.secret.example.org", "nas.local", "db.internal"} {
		_, _ = look(t, host+":1", o)
	}
	if n := asked(); n > 0 {
		t.Errorf("a stranger was asked %d times for private names", n)
	}
	results, code := look(t, "mirror.example.org:1", o)
	if r := result(results, observe.Asked); code != "net/dns" || !strings.Contains(r.Said, "203.0.113.7") || results[2].Key != "probe.resolver.second" {
		t.Errorf("found %q: %+v", code, results)
	}
	for host, public := range map[string]bool{"example.org": true, "192.0.2.1": false, "nas": false, "a.b.local": false, "Git.Corp.Example.org.": false} {
		if observe.Public(host, o.Private) != public {
			t.Errorf("%s: public is not %v", host, public)
		}
	}
}
