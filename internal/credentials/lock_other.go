//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package credentials

// Locked cannot be told here: then nobody is blamed.
func Locked(string) bool { return true }
