//go:build !linux

package statetest

func startServer() (address string, stop func(), skip string) {
	_ = ready
	return "", nil, "it is started on Linux only"
}
