//go:build !unix

package act

import "os"

// keepOwner has nothing to do: a file in a directory inherits who may do what.
func keepOwner(*os.File, string) error { return nil }

// invalidSync: directories cannot be synced here.
func invalidSync(error) bool { return true }
