// Command keepwell finds out why a dependency download or a service fails, says
// it in one sentence with proof, and says how to mend it.
package main

import (
	"os"

	"github.com/keepwell/keepwell/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
