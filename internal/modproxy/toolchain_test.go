package modproxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"

	"github.com/keepwell/keepwell/internal/modproxy"
)

// TestToolchain switches the real go to a toolchain that comes through the proxy: a
// small one that only says its name. go takes it only where the checksum database
// vouches for it.
func TestToolchain(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("go"); err != nil || runtime.GOOS == "windows" {
		t.Skip("no go, or no shell")
	}
	const name = "go1.99.1"
	path, v := "golang.org/toolchain", "v0.0.1-"+name+"."+runtime.GOOS+"-"+runtime.GOARCH
	script := "#!/bin/sh\necho \"go version " + name + " through keepwell\"\n"
	pack := func(script string) []byte {
		var b bytes.Buffer
		err := modzip.Create(&b, module.Version{Path: path, Version: v}, []modzip.File{
			memFile{"bin/go", script}, memFile{"pkg/tool/" + runtime.GOOS + "_" + runtime.GOARCH + "/none", ""}, memFile{"lib/none", ""}, memFile{"bin/gofmt", script}, memFile{"VERSION", name + "\n"}, memFile{"README", noise("t", 40000)},
		})
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	zip, gomod := pack(script), []byte("module golang.org/toolchain\n")
	file := filepath.Join(t.TempDir(), "t.zip")
	if err := writeFile(file, zip); err != nil {
		t.Fatal(err)
	}
	h1, err := dirhash.HashZip(file, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	hm, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(gomod)), nil })
	if err != nil {
		t.Fatal(err)
	}
	db, key := sumServer(t, map[string]string{path + " " + v: h1, path + " " + v + "/go.mod": hm})
	upstreamOf := func(zip []byte) *upstream {
		u := &upstream{}
		u.add(path, v, files{fmt.Appendf(nil, `{"Version":%q}`, v), gomod, zip})
		u.before = func(w http.ResponseWriter, r *http.Request) bool {
			rest, ok := strings.CutPrefix(r.URL.Path, "/sumdb/sum.example.org")
			if ok && rest != "/supported" {
				r.URL.Path = rest
				db.ServeHTTP(w, r)
			}
			return ok
		}
		return u
	}
	changed, good := upstreamOf(pack(script+"# changed\n")), upstreamOf(zip)
	url, p := start(t, serve(t, changed)+","+serve(t, good), func(o *modproxy.Options) { o.Database = key })
	dir := t.TempDir()
	run := func() string {
		cmd := exec.CommandContext(t.Context(), "go", "version")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+dir, "GOENV=off", "GOFLAGS=-modcacherw", "GOMODCACHE="+filepath.Join(dir, "mod"), "GOPATH="+filepath.Join(dir, "go"),
			"GOPROXY="+url, "GOSUMDB="+key, "GONOSUMDB=", "GOPRIVATE=", "GONOPROXY=", "GOTOOLCHAIN="+name)
		out, _ := cmd.CombinedOutput() // what it says is looked at
		return string(out)
	}
	if got := run(); got != "go version "+name+" through keepwell\n" && !strings.HasSuffix(got, "\ngo version "+name+" through keepwell\n") {
		t.Errorf("go says %s", got)
	}
	if s := p.Summary(); !strings.Contains(fmt.Sprint(s.Complaints), "where sumdb has") {
		t.Errorf("the changed toolchain was not refused: %+v", s)
	}
	if n := good.requests(".zip"); n != 1 {
		t.Errorf("the zip was fetched %d times", n)
	}
	// Nobody else has a say: a toolchain that the database does not know is refused by go
	// itself, and one that is not what it knows never leaves here.
	alone, _ := start(t, serve(t, changed), func(o *modproxy.Options) { o.Database = key })
	if code, got := get(t, alone+"/"+path+"/@v/"+v+".zip"); code != http.StatusBadGateway {
		t.Errorf("%d %.200q", code, got)
	}
}
