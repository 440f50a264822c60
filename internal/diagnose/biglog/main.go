// Command biglog writes a long CI log for measuring: what builds, tests and
// package managers print when all is well, with a failure now and then. It is
// used by .ci/biglog; the same seed gives the same log.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
)

func main() {
	size := flag.Int64("bytes", 1<<30, "length of the log")
	every := flag.Int("every", 20000, "a failure after so many lines, about")
	flag.Parse()
	if err := write(os.Stdout, *size, *every); err != nil {
		fmt.Fprintln(os.Stderr, "biglog:", err)
		os.Exit(1)
	}
}

func write(w io.Writer, size int64, every int) error {
	out := bufio.NewWriterSize(w, 1<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for n := int64(0); n < size; {
		line := ordinary(r)
		if r.IntN(every) == 0 {
			line = failures[r.IntN(len(failures))]
		}
		k, err := fmt.Fprintf(out, "2026-03-01T10:%02d:%02d.%07dZ %s\n", r.IntN(60), r.IntN(60), r.IntN(1e7), line)
		if err != nil {
			return err
		}
		n += int64(k)
	}
	return out.Flush()
}

var words = []string{"widget", "gadget", "store", "cart", "order", "client", "server", "handler", "cache", "index", "render", "schema", "token", "queue"}

func ordinary(r *rand.Rand) string {
	w, v := words[r.IntN(len(words))], words[r.IntN(len(words))]
	switch r.IntN(10) {
	case 0:
		return fmt.Sprintf("go: downloading example.com/%s/%s v1.%d.%d", w, v, r.IntN(30), r.IntN(9))
	case 1:
		return fmt.Sprintf("=== RUN   TestThe%sOfEach%s/case_%d", w, v, r.IntN(500))
	case 2:
		return fmt.Sprintf("    --- PASS: TestThe%sOfEach%s/case_%d (0.%02ds)", w, v, r.IntN(500), r.IntN(99))
	case 3:
		return fmt.Sprintf("ok  \texample.com/shop/internal/%s/%s\t%d.%03ds\tcoverage: %d.%d%% of statements", w, v, r.IntN(20), r.IntN(1000), r.IntN(100), r.IntN(10))
	case 4:
		return fmt.Sprintf("#12 %d.%d npm http fetch GET 200 https://registry.example.org/%s-%s %dms (cache miss)", r.IntN(300), r.IntN(10), w, v, r.IntN(900))
	case 5:
		return fmt.Sprintf("  Downloading %s_%s-%d.%d-py3-none-any.whl (%d kB)", w, v, r.IntN(9), r.IntN(20), r.IntN(900))
	case 6:
		return fmt.Sprintf("level=info ts=%d msg=\"handled request\" path=/api/%s/%s status=200 duration=%dms", r.IntN(1e9), w, v, r.IntN(300))
	case 7:
		return fmt.Sprintf("\t/go/pkg/mod/example.com/%s@v1.%d.0/%s.go:%d +0x%x", w, r.IntN(20), v, r.IntN(900), r.IntN(1<<16))
	case 8:
		return fmt.Sprintf("[%d/%d] Compiling src/%s/%s.ts -> dist/%s.js", r.IntN(400), 400, w, v, v)
	}
	return fmt.Sprintf("gcc -O2 -Wall -I/usr/include/%s -c src/%s_%s.c -o build/%s_%d.o", v, w, v, w, r.IntN(1000))
}

var failures = []string{
	`go: example.com/widget@v1.2.0: Get "https://goproxy.example.org/example.com/widget/@v/v1.2.0.mod": dial tcp 203.0.113.7:443: i/o timeout`,
	`fatal: unable to access 'https://git.example.com/team/widget/': Could not resolve host: git.example.com`,
	`npm error code E404`,
	`go: module example.com/gadget: reading https://goproxy.example.org/example.com/gadget/@v/list: 404 Not Found`,
	`verifying example.com/widget@v1.2.0: checksum mismatch`,
}
