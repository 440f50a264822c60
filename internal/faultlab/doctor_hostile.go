//go:build unix

package faultlab

import (
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// hostile is a place or a question that was made to do harm: doctor must end by
// itself, in bounded memory, with words that do no harm.
type hostile struct {
	name string
	// args are doctor's words.
	args []string
	tool string
	// silent allows doctor to find nothing.
	silent bool
	setUp  func(*Lab)
}

// hostileCases lists them. To add one, write its function and its line here.
func hostileCases() []hostile {
	list := []hostile{
		{name: "go-mod-binary", setUp: goModOf(string(binary(4096)))},
		{name: "go-mod-one-long-line", silent: true, setUp: goModOf("module example.org/app\n\nrequire example.com/" + strings.Repeat("a", 10<<20) + " v1.0.0\n")},
		{name: "go-mod-5000-requirements", setUp: hugeList},
		{name: "go-mod-escapes", setUp: goModOf("module example.org/app\n\ngo 1.20\n\nrequire example.com/widget v1.0.0\n\nreplace example.com/widget => ../../../../../../../../etc\n")},
		{name: "go-mod-terminal-codes", setUp: goModOf("module example.org/app\n\n\x1b]0;owned\x07\x1b[2Jrequires x y\n::error::owned\n")},
		{name: "go-mod-is-a-pipe", setUp: pipeAt("go.mod")},
		{name: "go-sum-is-a-pipe", setUp: func(l *Lab) { l.app(); l.proxyWith(); pipeAt("go.sum")(l) }},
		{name: "go-mod-links-to-itself", setUp: func(l *Lab) { l.check(os.Symlink("go.mod", filepath.Join(l.Work, "go.mod"))) }},
		{name: "go-work-binary", setUp: func(l *Lab) { l.app(); l.proxyWith(); l.Files("go.work", string(binary(4096))) }},
		{name: "modules-txt-binary", setUp: func(l *Lab) { l.app(); l.proxyWith(); l.Files("vendor/modules.txt", string(binary(4096))) }},
		{name: "package-json-deep", tool: "npm", silent: true, setUp: func(l *Lab) {
			l.npmWith(npmWidget())
			l.Files("package.json", strings.Repeat(`{"a":`, 1<<20))
		}},
		{name: "requirements-binary", tool: "pip", silent: true, setUp: func(l *Lab) { l.pypi(pyWidget()); l.Files("requirements.txt", string(binary(4096))) }},
		{name: "netrc-huge", silent: true, setUp: func(l *Lab) {
			healthyFiles(l)
			l.netrc("machine goproxy.example.org login " + strings.Repeat("x", 20<<20) + "\n")
		}},
		{name: "git-config-includes-itself", silent: true, setUp: func(l *Lab) {
			healthyFiles(l)
			l.write(filepath.Join(l.Home, ".gitconfig"), "[include]\n\tpath = .gitconfig\n")
		}},
		{name: "proxy-file-of-the-system", setUp: func(l *Lab) { healthyFiles(l); l.Set("GOPROXY", "file:///etc") }},
		{name: "proxy-file-with-a-pipe", setUp: filePipe},
		{name: "proxy-endless-info", setUp: endlessAt("")},
		{name: "proxy-endless-mod", setUp: endlessAt(".mod")},
		{name: "proxy-endless-zip", silent: true, setUp: endlessAt(".zip")},
		{name: "proxy-endless-header", setUp: rawAnswer(func(c net.Conn, l *Lab) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for i := 0; writeSome(c, l, "X-"+strconv.Itoa(i)+": "+strings.Repeat("a", 1000)+"\r\n"); i++ {
				continue
			}
		})},
		{name: "proxy-redirect-loop", setUp: redirectAll("https://goproxy.example.org/again")},
		{name: "proxy-redirects-to-metadata", setUp: redirectAll("http://169.254.169.254/latest/meta-data/")},
		{name: "proxy-redirects-to-file", setUp: redirectAll("file:///etc/passwd")},
		{name: "proxy-gzip-bomb", setUp: bombed("goproxy.example.org", healthyFiles)},
		{name: "proxy-says-terminal-codes", setUp: func(l *Lab) {
			l.app()
			l.trust(widget())
			l.HTTPS("goproxy.example.org", status(403, "\x1b]0;owned\x07\x1b[2J::error::owned\n<script>alert(1)</script>\n"))
		}},
		{name: "vanity-endless", args: []string{"go.example.com/widget@v1.0.0"}, setUp: func(l *Lab) {
			l.Set("GOPROXY", "direct")
			l.HTTPS("go.example.com", l.endless())
		}},
		{name: "vanity-gzip-bomb", args: []string{"go.example.com/widget@v1.0.0"}, setUp: bombed("go.example.com", func(l *Lab) { l.Set("GOPROXY", "direct") })},
		{name: "sumdb-endless", args: []string{"example.com/widget@v1.0.0"}, setUp: func(l *Lab) {
			l.proxyWith()
			l.sumDB([]mod{widget()}, fault{"", l.endless()})
		}},
		{name: "npm-endless", tool: "npm", silent: true, args: []string{"npm:widget"}, setUp: func(l *Lab) { l.HTTPS("npm.example.org", l.endless()) }},
		{name: "npm-gzip-bomb", tool: "npm", args: []string{"npm:widget"}, setUp: bombed("npm.example.org", func(*Lab) {})},
		{name: "pip-endless", tool: "pip", silent: true, args: []string{"pypi:widget"}, setUp: func(l *Lab) { l.HTTPS("pypi.example.org", l.endless()) }},
		{name: "pip-gzip-bomb", tool: "pip", args: []string{"pypi:widget"}, setUp: bombed("pypi.example.org", func(*Lab) {})},
	}
	for _, name := range hostileNames() {
		list = append(list, hostile{name: "name-" + strconv.Quote(shorten(name, 30)), args: []string{name}, silent: name == "--" || name == "example.com/widget@", setUp: func(l *Lab) { l.proxyWith() }})
	}
	return list
}

// hostileNames are questions that nobody asks in good faith.
func hostileNames() []string {
	return []string{
		"../../../../etc/passwd", "/etc/passwd", "-x", "--", "", " ", "@", "@v1.0.0", "example.com/widget@", "example.com/widget@../../v1.0.0",
		"example.com/$(touch owned)", "example.com/`touch owned`@v1.0.0", "example.com/widget@v1.0.0;touch owned", "example.com/a\nb",
		"example.com/\x1b]0;owned\x07", "example.com/..%2f..%2fwidget", "169.254.169.254/latest/meta-data@v1.0.0", "metadata.google.internal/x@v1.0.0",
		"http://169.254.169.254/latest/", "localhost:22/x@v1.0.0", "[::1]/x@v1.0.0", "file:///etc/passwd", "npm:../../../etc", "npm:--registry=https://evil.example",
		"npm:git+ssh://evil.example/x", "pypi:-r/etc/passwd", "pypi:--index-url=https://evil.example", "npm:", "pypi:", "example.com/" + strings.Repeat("a/", 50_000),
	}
}

func healthyFiles(l *Lab) { l.app(); l.trust(widget()) }

func goModOf(content string) func(*Lab) {
	return func(l *Lab) {
		l.proxyWith()
		l.Files("go.mod", content, "app.go", "package app\n\nimport _ \"example.com/widget\"\n")
	}
}

// binary is noise with every byte in it, always the same.
func binary(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(i*167 + i/251)
	}
	return out
}

// hugeList requires 5000 modules that no proxy has.
func hugeList(l *Lab) {
	l.proxyWith()
	var b strings.Builder
	b.WriteString("module example.org/app\n\ngo 1.20\n\nrequire (\n")
	for i := range 5000 {
		b.WriteString("\texample.com/part" + strconv.Itoa(i) + " v1.0.0\n")
	}
	l.Files("go.mod", b.String()+")\n", "app.go", "package app\n\nimport _ \"example.com/part7\"\n")
}

// pipeAt puts a pipe that nobody writes to in the place of a file.
func pipeAt(name string) func(*Lab) {
	return func(l *Lab) { l.check(syscall.Mkfifo(filepath.Join(l.Work, name), 0o644)) }
}

func filePipe(l *Lab) {
	healthyFiles(l)
	dir := filepath.Join(l.Dir, "mirror/example.com/widget/@v")
	l.check(os.MkdirAll(dir, 0o755))
	for _, name := range []string{"v1.0.0.info", "v1.0.0.mod", "v1.0.0.zip", "list"} {
		l.check(syscall.Mkfifo(filepath.Join(dir, name), 0o644))
	}
	l.Set("GOPROXY", "file://"+filepath.Join(l.Dir, "mirror"))
}

// endlessRate bounds what an endless server sends in a second, so that a client
// without limits does not take the tester's machine with it.
const endlessRate = 40 << 20

// endless answers with a body that does not end; Lab.sent counts its bytes.
func (l *Lab) endless() http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(25 * time.Millisecond)
		defer tick.Stop()
		for r.Context().Err() == nil {
			n, err := io.WriteString(w, strings.Repeat("x", endlessRate/40))
			l.sent.Add(int64(n))
			if err != nil {
				return
			}
			<-tick.C
		}
	}
}

func endlessAt(part string) func(*Lab) {
	return func(l *Lab) {
		healthyFiles(l)
		l.proxyWith(fault{part, l.endless()})
	}
}

// rawAnswer speaks HTTP by hand.
func rawAnswer(answer func(net.Conn, *Lab)) func(*Lab) {
	return func(l *Lab) {
		healthyFiles(l)
		addr := l.Accept("goproxy.example.org", "80", func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			answer(c, l)
		})
		l.Set("GOPROXY", "http://"+addr)
	}
}

func writeSome(c net.Conn, l *Lab, s string) bool {
	n, err := io.WriteString(c, s)
	l.sent.Add(int64(n))
	return err == nil
}

func redirectAll(to string) func(*Lab) {
	return func(l *Lab) {
		healthyFiles(l)
		l.HTTPS("goproxy.example.org", redirect(to))
	}
}

// bombed puts a server at host that answers all with 1 GiB in 1 MiB.
func bombed(host string, setUp func(*Lab)) func(*Lab) {
	return func(l *Lab) {
		setUp(l)
		data := bomb(l)
		l.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			n, _ := w.Write(data)
			l.sent.Add(int64(n))
		}))
	}
}

func bomb(l *Lab) []byte {
	var buf bytes.Buffer
	gz, err := gzip.NewWriterLevel(&buf, gzip.BestSpeed)
	l.check(err)
	block := make([]byte, 1<<20)
	for range 512 {
		_, err := gz.Write(block)
		l.check(err)
	}
	l.check(gz.Close())
	return buf.Bytes()
}
