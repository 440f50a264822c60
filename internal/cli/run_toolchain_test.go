//go:build unix

package cli_test

import (
	"archive/zip"
	"bytes"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/dirhash"
)

// TestRunSwitchesToolchains: a project that needs a newer Go gets it through the proxy,
// from the second server where the first fails, vouched for by the checksum database.
func TestRunSwitchesToolchains(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	version := "v0.0.1-go1.99.0." + runtime.GOOS + "-" + runtime.GOARCH
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range [][2]string{{"bin/go", "#!/bin/sh\necho switched, $*, $GOPROXY\n"}, {"bin/gofmt", "#!/bin/sh\n"}, {"lib/readme", "another\n"}, {"pkg/tool/readme", "a directory that go looks for\n"}, {"go.mod", "module golang.org/toolchain\n"}} {
		w, err := z.Create("golang.org/toolchain@" + version + "/" + f[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(l.work, "toolchain.zip")
	l.write(name, b.String())
	sum, err := dirhash.HashZip(name, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	at := "/golang.org/toolchain/@v/" + version
	l.good[at+".zip"], l.good[at+".mod"] = b.Bytes(), []byte("module golang.org/toolchain\n")
	l.good[at+".info"] = []byte(`{"Version":"` + version + `","Time":"2026-01-01T00:00:00Z"}`)
	l.sums = "golang.org/toolchain " + version + " " + sum + "\n"
	l.database()
	l.write(filepath.Join(l.work, "go.mod"), "module example.org/app\n\ngo 1.99.0\n")
	l.env = append(l.env, "GOTOOLCHAIN=auto")
	bad := l.serve(always(500, "bug"))
	code, out, errs := l.run("run", "--dir", filepath.Join(l.work, "store"), "--upstream", bad+","+l.serve(nil), "--", "go", "build", "./...")
	if code != 0 || !strings.HasPrefix(out, "switched, build ./..., http://127.0.0.1:") || !strings.Contains(errs, "saved from failing servers") {
		t.Errorf("exit %d, %s%s", code, out, errs)
	}
}
