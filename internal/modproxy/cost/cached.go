//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

const (
	at     = "/example.com/widget/@v/v1.0.0"
	rounds = 5
)

type file struct{ name, content string }

func (f file) Path() string                 { return f.name }
func (f file) Lstat() (os.FileInfo, error)  { return f, nil }
func (f file) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(f.content)), nil }
func (f file) Name() string                 { return f.name }
func (f file) Size() int64                  { return int64(len(f.content)) }
func (f file) Mode() os.FileMode            { return 0o644 }
func (f file) ModTime() time.Time           { return time.Time{} }
func (f file) IsDir() bool                  { return false }
func (f file) Sys() any                     { return nil }

// files are an .info of 78 bytes, a .mod of 1.8 KB and a zip of 244 KB, as they are in
// the wild for a middling module.
func files(www string) error {
	gomod := "module example.com/widget\n\ngo 1.20\n" + strings.Repeat("// a line of the module's go.mod file\n", 46)
	var noise strings.Builder
	noise.WriteString("package widget\n")
	for i := uint64(1); noise.Len() < 521000; i++ {
		fmt.Fprintf(&noise, "// %x\n", i*0x9e3779b97f4a7c15)
	}
	var b bytes.Buffer
	err := modzip.Create(&b, module.Version{Path: "example.com/widget", Version: "v1.0.0"}, []modzip.File{file{"go.mod", gomod}, file{"w.go", noise.String()}})
	name := filepath.Join(www, filepath.FromSlash(at))
	if err == nil {
		err = os.MkdirAll(filepath.Dir(name), 0o700)
	}
	for ext, data := range map[string][]byte{".info": []byte(`{"Version":"v1.0.0","Time":"2026-01-01T00:00:00Z","Origin":{"VCS":"git"}}`), ".mod": []byte(gomod), ".zip": b.Bytes()} {
		if err == nil {
			err = os.WriteFile(name+ext, data, 0o600)
		}
	}
	return err
}

// peer is a server with what was measured of it.
type peer struct {
	name string
	*server
	cpu map[string][]time.Duration
	rps map[string][]float64
}

// cached measures requests for what is kept, beside a bare net/http handler, nginx and
// goproxy, which all serve the same bytes.
func cached(ctx context.Context, b *bench) error {
	www := filepath.Join(b.dir, "www")
	if err := files(www); err != nil {
		return err
	}
	up := httptest.NewServer(http.FileServer(http.Dir(www)))
	defer up.Close()
	var peers []*peer
	add := func(name string, s *server, err error) error {
		if err == nil {
			peers = append(peers, &peer{name, s, map[string][]time.Duration{}, map[string][]float64{}})
		}
		return err
	}
	defer func() {
		for _, p := range peers {
			p.stop()
		}
	}()
	kw, err := b.startKeepwell(ctx, []string{"GOSUMDB=off"}, filepath.Join(b.dir, "cached"), "--upstream", up.URL)
	if err := add("keepwell", kw, err); err != nil {
		return err
	}
	self, err := start(ctx, nil, nil, os.Args[0], "bare", www)
	if err := add("bare", self, err); err != nil {
		return err
	}
	gp, err := start(ctx, nil, nil, b.goproxy, www)
	if err := add("goproxy", gp, err); err != nil {
		return err
	}
	if _, err := exec.LookPath("nginx"); err == nil {
		ng, err := startNginx(ctx, b.dir)
		if err := add("nginx", ng, err); err != nil {
			return err
		}
	}
	kinds := []struct {
		ext string
		n   int
	}{{".info", 20000}, {".mod", 20000}, {".zip", 4000}}
	for round := -1; round < rounds; round++ { // the first warms up
		for _, k := range kinds {
			for i := range peers {
				p := peers[(i+round+1)%len(peers)]
				cpu, rps, err := p.load(at+k.ext, k.n)
				if err != nil {
					return err
				}
				if round >= 0 {
					p.cpu[k.ext], p.rps[k.ext] = append(p.cpu[k.ext], cpu), append(p.rps[k.ext], rps)
				}
			}
		}
	}
	for _, k := range kinds {
		for _, p := range peers {
			b.table.note("%-6s %-9s %7.1f us CPU a request, %7.0f requests a second", k.ext, p.name, float64(median(p.cpu[k.ext]))/1e3, median(p.rps[k.ext]))
		}
	}
	b.compare(peers)
	return nil
}

func (b *bench) compare(peers []*peer) {
	ours := peers[0]
	for _, p := range peers[1:] {
		for _, ext := range []string{".info", ".mod"} {
			if p.name == "bare" {
				const goal = 1.6
				a, z := median(ours.cpu[ext]), median(p.cpu[ext])
				b.table.row("CPU a cached "+ext+", beside a bare handler", micros(a), micros(z), ratio(a, z), goal, false)
			}
		}
		const zip = ".zip"
		if p.name == "nginx" {
			const goal = 1.4
			a, z := median(ours.cpu[zip]), median(p.cpu[zip])
			b.table.row("CPU a cached 244 KB zip, beside nginx", micros(a), micros(z), ratio(a, z), goal, false)
		}
		if goal := map[string]float64{"nginx": 0.75, "goproxy": 1}[p.name]; goal > 0 {
			a, z := median(ours.rps[zip]), median(p.rps[zip])
			b.table.row("zips a second, beside "+p.name, fmt.Sprintf("%.0f", a), fmt.Sprintf("%.0f", z), ratio(a, z), goal, true)
		}
	}
	const most = 64
	b.table.bound("memory at most while serving", fmt.Sprintf("%.1f MiB", ours.peak()), ours.peak(), most, "MiB")
}
