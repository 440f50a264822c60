//go:build unix

package faultlab

import "testing"

// TestNormaliseAlias shows a loopback address in each of the tools' wordings.
func TestNormaliseAlias(t *testing.T) {
	a := alias{addr: "127.0.0.1:40001", name: "goproxy.example.org", port: "443"}
	for in, want := range map[string]string{
		`Get "http://127.0.0.1:40001/m/@v/list": dial tcp 127.0.0.1:40001: connect: connection refused`: `Get "https://goproxy.example.org/m/@v/list": dial tcp 192.0.2.10:443: connect: connection refused`,
		`read tcp 10.0.0.5:41234->127.0.0.1:40001: read: connection reset by peer`:                      `read tcp 10.0.0.5:41234->192.0.2.10:443: read: connection reset by peer`,
		`Failed to connect to 127.0.0.1 port 40001 after 0 ms`:                                          `Failed to connect to goproxy.example.org port 443 after 0 ms`,
		`HTTPSConnectionPool(host='127.0.0.1', port=40001)`:                                             `HTTPSConnectionPool(host='goproxy.example.org', port=443)`,
		`connect ECONNREFUSED 127.0.0.1:40001`:                                                          `connect ECONNREFUSED 192.0.2.10:443`,
		`https://user@127.0.0.1:40001/simple`:                                                           `https://user@goproxy.example.org/simple`,
	} {
		if got := a.replace(in); got != want {
			t.Errorf("replace(%q)\n got %q\nwant %q", in, got, want)
		}
	}
}
