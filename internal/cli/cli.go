package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/diagnose"
	"github.com/keepwell/keepwell/internal/explain"
	"github.com/keepwell/keepwell/internal/fingerprint"
)

func Main(args []string, in io.Reader, out, errs io.Writer) int {
	lib := fingerprint.Default()
	d := diagnose.New(lib, nil)
	_, err := explain.Read(context.Background(), in, lib.Filter(), explain.Options{}, d.Add)
	if err != nil {
		fmt.Fprintln(errs, err)
		return 1
	}
	fs, err := d.Findings()
	if err != nil {
		fmt.Fprintln(errs, err)
		return 1
	}
	for i := range fs {
		if err := faults.Describe(&fs[i], "en"); err != nil {
			fmt.Fprintln(errs, err)
			return 1
		}
	}
	e := json.NewEncoder(out)
	e.SetIndent("", " ")
	e.Encode(keepwell.Document{Findings: fs})
	return 0
}
