package cli_test

import (
	"archive/zip"
	"os"

	"github.com/rogpeppe/go-internal/testscript"
)

// unpack unpacks an archive that only its owner can read.
func unpack(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: unpack FILE DIR")
	}
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if info.Mode().Perm() != 0o600 {
		ts.Fatalf("%s has the permissions %v", args[0], info.Mode().Perm())
	}
	r, err := zip.OpenReader(ts.MkAbs(args[0]))
	ts.Check(err)
	defer r.Close()
	ts.Check(os.Mkdir(ts.MkAbs(args[1]), 0o700))
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), r))
}
