package observe

import (
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// FuzzAnswers: what resolvers, git, registries and known_hosts files say is foreign.
func FuzzAnswers(f *testing.F) {
	name := dnsmessage.MustNewName("example.org.")
	q := dnsmessage.Question{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, Response: true}, Questions: []dnsmessage.Question{q}, Answers: []dnsmessage.Resource{
		{Header: dnsmessage.ResourceHeader{Name: name, Type: q.Type, Class: q.Class}, Body: &dnsmessage.AResource{A: [4]byte{203, 0, 113, 7}}},
	}}
	packed, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add([]byte("remote: Repository not found.\nfatal: repository 'https://example.org/' not found\n"))
	f.Add([]byte(`{"name":"widget","versions":{"1.0.0":{}}}`))
	f.Add([]byte("@revoked example.org ssh-ed25519 AAAA\n|1|a=|b= ssh-rsa x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, addrs, err := parse(b, 7, q); err != nil && len(addrs) > len(b) {
			t.Error("more addresses than bytes")
		}
		if said := gitSaid(string(b), errSeen); said == "" || len([]rune(said)) > 201 {
			t.Errorf("git said %q", said)
		}
		if err := gitFault(string(b), true).Validate(); err != nil {
			t.Error(err)
		}
		document(b)
		if len(readable(b)) > len(b) {
			t.Error("known_hosts has grown")
		}
		family(string(b))
		helperName(string(b))
	})
}
