//go:build !linux

package modproxy_test

// pathOfOpen: there is no telling which files are open.
const pathOfOpen = ""
