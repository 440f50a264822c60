//go:build unix

package cli_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
)

var runTable = flag.String("run-table", "", "the Markdown table that TestRunMakesUpstreamsGood writes")

// goPatience is how long plain go may take for a line of the table.
const goPatience = 45 * time.Second

const labPage = "<!DOCTYPE html>\n<html><body>Please sign in</body></html>\n"

// broken is one way in which the first server of two fails.
type broken struct {
	name, zh string
	// first starts that server and returns its address; it may change the lab's settings.
	first func(l *runLab) string
}

// answers is a server that answers so for paths that end in suffix.
func answers(suffix string, h func(w http.ResponseWriter, r *http.Request, good []byte)) func(*runLab) string {
	return func(l *runLab) string {
		return l.serve(func(w http.ResponseWriter, r *http.Request, good []byte) bool {
			hit := strings.HasSuffix(r.URL.Path, suffix)
			if hit {
				h(w, r, good)
			}
			return hit
		})
	}
}

func words(text string) func(http.ResponseWriter, *http.Request, []byte) {
	return func(w http.ResponseWriter, _ *http.Request, _ []byte) { fmt.Fprint(w, text) }
}

func code(status int, retryAfter string) func(http.ResponseWriter, *http.Request, []byte) {
	return func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		http.Error(w, "no luck", status)
	}
}

func closing(reset bool) func(http.ResponseWriter, *http.Request, []byte) {
	return func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		if tcp, ok := conn.(*net.TCPConn); ok && reset {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
}

// dripping sends a byte a second until its client has enough of it.
func dripping(w http.ResponseWriter, r *http.Request, _ []byte) {
	w.Header().Set("Content-Length", "100000")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if _, err := w.Write([]byte{'x'}); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

func wrongZip(w http.ResponseWriter, zip []byte) { _, _ = w.Write(zip) }

func brokenServers(t *testing.T) []broken {
	other := packOther(t)
	wrong := answers(".zip", func(w http.ResponseWriter, _ *http.Request, _ []byte) { wrongZip(w, other) })
	return []broken{
		{"HTML page, status 200", "HTML 网页，状态码 200", answers("", words(labPage))},
		{"HTML page as zip", "以 HTML 网页代替 zip", answers(".zip", words(labPage))},
		{"HTML page as .mod", "以 HTML 网页代替 .mod", answers(".mod", words(labPage))},
		{"empty .info", ".info 为空", answers(".info", words(""))},
		{"zip with a wrong CRC", "zip 的 CRC 不对", answers(".zip", func(w http.ResponseWriter, _ *http.Request, good []byte) {
			bad := bytes.Clone(good)
			bad[len(bad)/4] ^= 0x55
			_, _ = w.Write(bad)
		})},
		{"zip cut off, length of the whole", "zip 被截断，声明的是完整长度", answers(".zip", func(w http.ResponseWriter, _ *http.Request, good []byte) {
			w.Header().Set("Content-Length", strconv.Itoa(len(good)))
			_, _ = w.Write(good[:len(good)/2])
		})},
		{"zip cut off, length of the part", "zip 被截断，声明的是截断后的长度", answers(".zip", func(w http.ResponseWriter, _ *http.Request, good []byte) { _, _ = w.Write(good[:len(good)/2]) })},
		{"other content, go.sum knows", "内容被换，go.sum 有记录", wrong},
		{"other content, the checksum database knows", "内容被换，校验数据库有记录", func(l *runLab) string { l.database(); return wrong(l) }},
		{"silent server", "服务器不作应答", answers("", func(_ http.ResponseWriter, r *http.Request, _ []byte) { <-r.Context().Done() })},
		{"one byte a second", "每秒只发一个字节", answers("", dripping)},
		{"connection reset", "连接被重置", answers("", closing(true))},
		{"connection closed (EOF)", "连接被关闭（EOF）", answers("", closing(false))},
		{"connection refused", "连接被拒绝", func(*runLab) string { return "http://" + freePort(t) }},
		{"no such name (DNS)", "域名不存在（DNS）", func(*runLab) string { return "http://mirror.invalid" }},
		{"401", "401", answers("", code(401, ""))},
		{"403", "403", answers("", code(403, ""))},
		{"429", "429", answers("", code(429, ""))},
		{"429, Retry-After: 120", "429，Retry-After: 120", answers("", code(429, "120"))},
		{"429, Retry-After: a date to come", "429，Retry-After 为将来的时间", answers("", code(429, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)))},
		{"429, Retry-After: a date gone by", "429，Retry-After 为过去的时间", answers("", code(429, time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)))},
		{"500", "500", answers("", code(500, ""))},
		{"502", "502", answers("", code(502, ""))},
		{"redirect loop", "循环重定向", answers("", func(w http.ResponseWriter, r *http.Request, _ []byte) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		})},
		{"certificate expired", "证书已过期", func(l *runLab) string { return l.serveTLS(net.IPv4(127, 0, 0, 1), -time.Hour, true) }},
		{"certificate of an unknown authority", "证书的签发者不受信任", func(l *runLab) string { return l.serveTLS(net.IPv4(127, 0, 0, 1), time.Hour, false) }},
		{"certificate of another name", "证书上是别的域名", func(l *runLab) string { return l.serveTLS(net.IPv4(127, 0, 0, 2), time.Hour, true) }},
	}
}

// TestRunMakesUpstreamsGood puts each broken server before a healthy one: with shipped
// limits, the real go and the real keepwell, `keepwell run -- go mod download` succeeds
// with the right content. With -run-table it writes what plain go does beside it.
func TestRunMakesUpstreamsGood(t *testing.T) {
	t.Parallel()
	all := brokenServers(t)
	rows := make([][2]string, len(all)) // English, Chinese
	var slowest time.Duration
	var mu sync.Mutex
	t.Run("all", func(t *testing.T) {
		for i, b := range all {
			t.Run(b.name, func(t *testing.T) {
				t.Parallel()
				l := newRunLab(t)
				l.env = append(l.env, "SSL_CERT_FILE="+filepath.Join(l.work, "ca.pem"))
				first := b.first(l)
				second := l.serve(nil)
				began := time.Now()
				code, out, errs := l.run("run", "--dir", filepath.Join(l.work, "store"), "--upstream", first+","+second, "--", "go", "mod", "download")
				took := time.Since(began)
				_, name, _ := strings.Cut(first, "://")
				switch {
				case code != 0 || out != "":
					t.Fatalf("exit %d: %s%s", code, out, errs)
				case strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "("+name+": "):
					t.Errorf("said %q", errs)
				}
				if why := l.wrongCache(filepath.Join(l.work, "home", "mod")); why != "" {
					t.Error(why)
				}
				if left, _ := filepath.Glob(filepath.Join(l.work, "store", "tmp", "p*")); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
				if *runTable == "" {
					return
				}
				mu.Lock()
				slowest = max(slowest, took)
				mu.Unlock()
				_, said, _ := strings.Cut(errs, "("+name+": ")
				said, _, _ = strings.Cut(said, "), served by ")
				said, _, _ = strings.Cut(said, "; "+name+": ")
				comma, bar := l.plainGo(t, first, ",", second), l.plainGo(t, first, "|", second)
				l.env = append(l.env, "GOMODCACHE="+t.TempDir())
				_, _, errs = l.run("run", "--lang", "zh", "--dir", filepath.Join(l.work, "store2"), "--upstream", first+","+second, "--", "go", "mod", "download")
				_, zh, _ := strings.Cut(errs, "（"+name+"：")
				zh, _, _ = strings.Cut(zh, "），由 ")
				zh, _, _ = strings.Cut(zh, "；"+name+"：")
				if zh == "" {
					t.Errorf("said %q in Chinese", errs)
				}
				rows[i] = [2]string{
					fmt.Sprintf("| %s | %s | %s | %s | %s |", b.name, comma, bar, seconds(took), cell(said, first, second)),
					fmt.Sprintf("| %s | %s | %s | %s | %s |", b.zh, inChinese(comma), inChinese(bar), seconds(took), cell(zh, first, second)),
				}
			})
		}
	})
	if *runTable == "" || t.Failed() {
		return
	}
	version, err := exec.CommandContext(t.Context(), "go", "env", "GOVERSION").Output()
	if err != nil {
		t.Fatal(err)
	}
	name := *runTable
	if !filepath.IsAbs(name) {
		name = filepath.Join("..", "..", name)
	}
	for i, page := range []string{tablePage, tablePageChinese} {
		lines := make([]string, len(rows))
		for j, r := range rows {
			lines[j] = r[i]
		}
		text := fmt.Sprintf(page, goPatience.Seconds(), strings.TrimSpace(string(version)), runtime.NumCPU(), time.Now().UTC().Format(time.DateOnly), seconds(slowest), strings.Join(lines, "\n"))
		file := name
		if i == 1 {
			file = strings.TrimSuffix(name, ".md") + ".zh-CN.md"
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s\n%s", file, text)
	}
}

const tablePage = `# A broken server before a healthy one

[中文](run-upstreams.zh-CN.md)

Each line is one fault of server A; server B is healthy. "plain go" is ` + "`go mod download`" + ` with ` + "`GOPROXY=A,B`" + ` and ` + "`GOPROXY=A|B`" + `,
given %.0f s; "keepwell run" is the time of ` + "`keepwell run --upstream A,B -- go mod download`" + `, start to end, with an empty store and
the shipped limits. All on loopback, %s, %d cores that had other work, %s. The slowest took %s. Written by

    go test ./internal/cli -run TestRunMakesUpstreamsGood -run-table docs/run-upstreams.md

| fault of A | plain go, A,B | plain go, A\|B | keepwell run | what keepwell says of A |
|---|---|---|---|---|
%s
`

const tablePageChinese = `# 故障服务器排在正常服务器之前

[English](run-upstreams.md)

每一行是服务器 A 的一种故障，服务器 B 正常。“只用 go”是设置 ` + "`GOPROXY=A,B`" + ` 或 ` + "`GOPROXY=A|B`" + ` 后运行 ` + "`go mod download`" + `，
最长等 %.0f 秒；“keepwell run”是 ` + "`keepwell run --upstream A,B -- go mod download`" + ` 从启动到结束的时间，仓库为空，使用默认时限。
全部在本机回环地址上进行：%s，%d 个同时有其他负载的 CPU 核，%s。最慢的用了 %s。由以下命令生成：

    go test ./internal/cli -run TestRunMakesUpstreamsGood -run-table docs/run-upstreams.md

| A 的故障 | 只用 go，A,B | 只用 go，A\|B | keepwell run | keepwell 对 A 的说明 |
|---|---|---|---|---|
%s
`

// inChinese words what plainGo found; what go said stays.
func inChinese(found string) string {
	return strings.NewReplacer("**hangs**", "**卡住**", "**fails**: ", "**失败**：", "**wrong**: ", "**内容错误**：", "succeeds, ", "成功，").Replace(found)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// wrongCache says how what go has in its module cache is not what the healthy server has.
func (l *runLab) wrongCache(modcache string) string {
	at := filepath.Join(modcache, "cache", "download", "example.com", "widget", "@v", "v1.0.0")
	sum, err := os.ReadFile(at + ".ziphash")
	if err != nil || !strings.HasPrefix(l.sums, "example.com/widget v1.0.0 "+strings.TrimSpace(string(sum))+"\n") {
		return fmt.Sprintf("the sum is %q, %v", sum, err)
	}
	for _, ext := range []string{".mod", ".zip"} {
		if got, err := os.ReadFile(at + ext); err != nil || !bytes.Equal(got, l.good[labAt+ext]) {
			return "another " + ext
		}
	}
	return ""
}

// plainGo is what go does without keepwell.
func (l *runLab) plainGo(t *testing.T, first, sep, second string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), goPatience)
	defer cancel()
	cache := t.TempDir()
	cmd := exec.CommandContext(ctx, "go", "mod", "download")
	cmd.Dir, cmd.Env = l.work, slices.Concat(l.env, []string{"GOPROXY=" + first + sep + second, "GOMODCACHE=" + cache})
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(began)
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return fmt.Sprintf("**hangs** (> %.0f s)", goPatience.Seconds())
	case errors.As(err, &exit):
		return "**fails**: " + cell(decisive(string(out)), first, second)
	case err != nil:
		t.Fatal(err)
	}
	if why := l.wrongCache(cache); why != "" {
		return "**wrong**: " + why
	}
	return "succeeds, " + seconds(took)
}

// decisive is the line of go's words that says most.
func decisive(text string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, "checksum mismatch") {
			return "checksum mismatch"
		}
	}
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return strings.TrimPrefix(line, "go: example.com/widget@v1.0.0: ")
}

var labFile = regexp.MustCompile(`/example\.com/widget/@v/v1\.0\.0`)

// cell makes words fit for a table that others can repeat: without ports.
func cell(text, first, second string) string {
	for _, r := range [][2]string{{first, "A"}, {second, "B"}} {
		_, host, _ := strings.Cut(r[0], "://")
		text = strings.ReplaceAll(strings.ReplaceAll(text, r[0], r[1]), host, r[1])
	}
	text = regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(labFile.ReplaceAllString(text, "/…"), "127.0.0.1")
	text = regexp.MustCompile(` on [0-9.]+:53`).ReplaceAllString(text, "")
	text = regexp.MustCompile(`/\S+/(cache/download\S*)`).ReplaceAllString(text, "$1")
	const most = 110
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + "…"
	}
	return strings.ReplaceAll(strings.ReplaceAll(text, "|", `\|`), "\n", " ")
}

// database lets a checksum database vouch for the module in place of go.sum.
func (l *runLab) database() {
	l.t.Helper()
	if err := os.Remove(filepath.Join(l.work, "go.sum")); err != nil {
		l.t.Fatal(err)
	}
	signer, key, err := note.GenerateKey(rand.Reader, "sum.example.org")
	if err != nil {
		l.t.Fatal(err)
	}
	s := httptest.NewServer(sumdb.NewServer(sumdb.NewTestServer(signer, func(string, string) ([]byte, error) { return []byte(l.sums), nil })))
	l.t.Cleanup(s.Close)
	l.env = append(l.env, "GOSUMDB="+key+" "+s.URL)
}

// serveTLS is a healthy server with a bad certificate, signed by an authority that the
// lab trusts, or not.
func (l *runLab) serveTLS(ip net.IP, valid time.Duration, trusted bool) string {
	l.t.Helper()
	sign := func(tpl, parent *x509.Certificate, by *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			l.t.Fatal(err)
		}
		if by == nil {
			by = key
		}
		der, err := x509.CreateCertificate(rand.Reader, tpl, parent, &key.PublicKey, by)
		if err != nil {
			l.t.Fatal(err)
		}
		return der, key
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
	}
	caDER, caKey := sign(ca, ca, nil)
	leafDER, leafKey := sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), IPAddresses: []net.IP{ip}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(valid),
	}, ca, caKey)
	trust := caDER
	if !trusted {
		trust, _ = sign(ca, ca, nil)
	}
	l.write(filepath.Join(l.work, "ca.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: trust})))
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(l.good[r.URL.Path]) }))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leafDER}, PrivateKey: leafKey}}}
	s.StartTLS()
	l.t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
