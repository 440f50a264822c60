//go:build !unix

package cli

import "os"

// notifyResized: no signal tells of it here, and there is no terminal to resize.
func notifyResized(chan<- os.Signal) {}
