// Command gen compiles internal/fingerprint/library/*.yaml into library_gen.go.
// It is run by `go generate ./internal/fingerprint`; a test of that package
// fails while the tables are older than the library.
package main

import (
	"fmt"
	"os"

	"github.com/keepwell/keepwell/internal/fingerprint"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run() error {
	sources, err := fingerprint.ReadSources(os.DirFS("library"))
	if err != nil {
		return err
	}
	code, err := fingerprint.Generate(sources)
	if err != nil {
		return err
	}
	return os.WriteFile("library_gen.go", code, 0o644)
}
