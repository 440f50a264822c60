//go:build unix && !linux

package faultlab

import "testing"

// ownNetworks need network namespaces, which only Linux has.
func ownNetworks() []situation { return nil }

func isolate(t testing.TB) (resolvConf string) {
	t.Skip("this system has no network namespaces")
	return ""
}
