package diagnose_test

import (
	"strings"
	"testing"

	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/diagnose"
	"github.com/keepwell/keepwell/internal/fingerprint"
)

const shortPaste = `$ go mod download
go: downloading example.com/widget v1.2.0
go: example.com/shop imports
	example.com/widget: example.com/widget@v1.2.0: Get "https://goproxy.example.org/example.com/widget/@v/v1.2.0.zip": dial tcp 203.0.113.7:443: i/o timeout
make: *** [Makefile:12: deps] Error 1
`

// BenchmarkShortPaste is one explanation from nothing, as a process does it: the
// library is made anew, so that its expressions are compiled each time.
func BenchmarkShortPaste(b *testing.B) {
	for b.Loop() {
		lib := fingerprint.New(fingerprint.Shipped())
		findings, _, err := diagnose.Read(b.Context(), strings.NewReader(shortPaste), lib, nil, nil)
		if err != nil || len(findings) != 1 {
			b.Fatalf("%v, %v", findings, err)
		}
		if err := faults.Describe(&findings[0], "en"); err != nil {
			b.Fatal(err)
		}
	}
}
