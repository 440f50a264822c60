//go:build unix

package cli_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

// certificate writes a pair for 127.0.0.1 and names, which is its own authority.
func (l *runLab) certificate(names ...string) (cert, key string) {
	l.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		l.t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &k.PublicKey, k)
	if err != nil {
		l.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		l.t.Fatal(err)
	}
	cert, key = filepath.Join(l.work, "cert.pem"), filepath.Join(l.work, "key.pem")
	l.write(cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	l.write(key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
	return cert, key
}

// running is a proxy that serves.
type running struct {
	cmd  *exec.Cmd
	base string
	errs *bufio.Reader
	out  *bytes.Buffer
}

// proxy starts `keepwell proxy`; it ends with the test at the latest.
func (l *runLab) proxy(args ...string) *running {
	l.t.Helper()
	r := &running{cmd: l.command(append([]string{"proxy", "--listen", "127.0.0.1:0", "--dir", filepath.Join(l.work, "store")}, args...)...), out: &bytes.Buffer{}}
	errs, err := r.cmd.StderrPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	r.cmd.Stdout, r.errs = r.out, bufio.NewReader(errs)
	if err := r.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(r.until(l.t, "GOPROXY="), "GOPROXY=")
	r.base = strings.TrimRight(strings.TrimSpace(rest), ")）")
	return r
}

// until reads what the proxy says up to a line with words.
func (r *running) until(t *testing.T, words string) string {
	t.Helper()
	for {
		line, err := r.errs.ReadString('\n')
		if strings.Contains(line, words) {
			return line
		}
		if err != nil {
			t.Fatalf("it never said %q: %v %s", words, err, line)
		}
	}
}

// end asks the proxy to end, and waits.
func (r *running) end(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, r.errs)
	if _ = r.cmd.Wait(); r.cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("exit %d", r.cmd.ProcessState.ExitCode())
	}
}

// download runs the real go with a fresh module cache.
func (l *runLab) download(env ...string) (string, error) {
	l.t.Helper()
	cmd := exec.CommandContext(l.t.Context(), "go", "mod", "download", "-x", "example.com/widget")
	cmd.Dir = l.work
	cmd.Env = append(append(append([]string{}, l.env...), "GOMODCACHE="+l.t.TempDir()), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestRealGoLogsIn holds the documented ways of giving a token to the real go command.
func TestRealGoLogsIn(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	code, out, _ := l.run("proxy", "--new-token", "ci")
	words := strings.Split(out, "\n")
	if code != 0 || len(words) < 4 {
		t.Fatalf("%d %s", code, out)
	}
	secret, line := strings.TrimSpace(words[1]), strings.TrimSpace(words[3])
	tokens := filepath.Join(l.work, "tokens")
	l.write(tokens, line+"\n")
	cert, key := l.certificate()
	r := l.proxy("--upstream", l.serve(nil), "--token-file", tokens, "--tls-cert", cert, "--tls-key", key)
	host := strings.TrimPrefix(r.base, "https://")
	netrc := filepath.Join(l.work, "netrc")
	l.write(netrc, "machine "+host+" login go password "+secret+"\n")
	script := filepath.Join(l.work, "goauth.sh")
	l.write(script, "#!/bin/sh\nprintf 'https://"+host+"\\n\\nAuthorization: Bearer "+secret+"\\n\\n'\n")
	if err := os.Chmod(script, 0o700); err != nil {
		t.Fatal(err)
	}
	trust := "SSL_CERT_FILE=" + cert
	for name, x := range map[string]struct {
		env []string
		ok  bool
	}{
		"nothing":    {[]string{"GOPROXY=" + r.base}, false},
		"netrc":      {[]string{"GOPROXY=" + r.base, "NETRC=" + netrc}, true},
		"GOAUTH":     {[]string{"GOPROXY=" + r.base, "GOAUTH=" + script}, true},
		"URL":        {[]string{"GOPROXY=https://" + secret + "@" + host}, true},
		"URL, named": {[]string{"GOPROXY=https://go:" + secret + "@" + host}, true},
		"wrong":      {[]string{"GOPROXY=https://go:wrong@" + host}, false},
	} {
		out, err := l.download(append(x.env, trust)...)
		if (err == nil) != x.ok || !x.ok && !strings.Contains(out, "401 Unauthorized") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}

	// Another token, at once.
	fresh := strings.Repeat("n", 20)
	l.write(tokens, "ci "+fresh+"\n")
	if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	r.until(t, `"what":"tokens"`)
	r.until(t, "the certificate expires soon") // the lab's has hours left
	if out, err := l.download("GOPROXY=https://go:"+fresh+"@"+host, trust); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := l.download("GOPROXY=https://go:"+secret+"@"+host, trust); err == nil {
		t.Errorf("the old token is still good\n%s", out)
	}
	r.end(t)
	if log := r.out.String(); strings.Contains(log, secret) || strings.Contains(log, fresh) || !strings.Contains(log, `"client":"ci"`) {
		t.Errorf("%s", log)
	}
}

// TestRealGoOverPlainHTTP: go sends no login over http but to a loopback proxy without one.
func TestRealGoOverPlainHTTP(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	r := l.proxy("--upstream", l.serve(nil), "--log", "text")
	if out, err := l.download("GOPROXY=" + r.base); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	r.end(t)
	if log := r.out.String(); !strings.Contains(log, "msg=request") || !strings.Contains(log, "cache=miss") {
		t.Errorf("%s", log)
	}
}

// TestRealGoFindsTheProxyByHost: a module's own host points here, and go comes without
// GOPROXY. The name is brought to loopback by an HTTP proxy.
func TestRealGoFindsTheProxyByHost(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	const path, at = "go.example.org/team/lib", "/go.example.org/team/lib/@v/v1.0.0"
	gomod := "module " + path + "\n\ngo 1.20\n"
	var zip bytes.Buffer
	if err := modzip.Create(&zip, module.Version{Path: path, Version: "v1.0.0"}, []modzip.File{packed{"go.mod", gomod}, packed{"lib.go", "package lib\n"}}); err != nil {
		t.Fatal(err)
	}
	l.good[at+".info"], l.good[at+".mod"], l.good[at+".zip"] = []byte(`{"Version":"v1.0.0","Time":"2026-01-01T00:00:00Z"}`), []byte(gomod), zip.Bytes()
	l.good["/go.example.org/team/lib/@v/list"] = []byte("v1.0.0\n")
	cert, key := l.certificate("go.example.org")
	r := l.proxy("--upstream", "go.example.org/team="+l.serve(nil), "--upstream", l.serve(nil), "--tls-cert", cert, "--tls-key", key)
	defer r.end(t)
	to := strings.TrimPrefix(r.base, "https://")
	var work sync.WaitGroup
	tunnel := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodConnect || req.Host != "go.example.org:443" {
			http.Error(w, "no way to "+req.Host, http.StatusForbidden)
			return
		}
		far, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		w.WriteHeader(http.StatusOK)
		near, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		work.Go(func() { _, _ = io.Copy(far, near); _ = far.Close() })
		work.Go(func() { _, _ = io.Copy(near, far); _ = near.Close() })
	}))
	defer work.Wait()
	defer tunnel.Close()
	app := t.TempDir()
	l.write(filepath.Join(app, "go.mod"), "module example.org/other\n\ngo 1.20\n")
	cmd := exec.CommandContext(t.Context(), "go", "get", "-x", path)
	cmd.Dir = app
	cmd.Env = append(append([]string{}, l.env...), "GOMODCACHE="+t.TempDir(), "GOPROXY=direct", "SSL_CERT_FILE="+cert, "NO_PROXY=", "HTTPS_PROXY="+tunnel.URL)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "go: added go.example.org/team/lib v1.0.0") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestProxySendsTraces to a receiver on loopback.
func TestProxySendsTraces(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	bodies := make(chan []byte, 16)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		bodies <- data
	}))
	defer receiver.Close()
	l.env = append(l.env, "OTEL_EXPORTER_OTLP_ENDPOINT="+receiver.URL, "OTEL_RESOURCE_ATTRIBUTES=team=a")
	r := l.proxy("--upstream", l.serve(nil))
	if out, err := l.download("GOPROXY=" + r.base); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	r.end(t) // what is pending is sent before it ends
	close(bodies)
	names := map[string]int{}
	for data := range bodies {
		var d struct {
			ResourceSpans []struct {
				ScopeSpans []struct {
					Spans []struct{ Name, TraceID string }
				}
			}
		}
		if err := json.Unmarshal(data, &d); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), `{"key":"team","value":{"stringValue":"a"}}`) {
			t.Errorf("%s", data)
		}
		for _, rs := range d.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					names[s.Name]++
				}
			}
		}
	}
	if names["GET zip"] != 1 || names["GET mod"] != 1 || names["ask upstream"] < 3 || names["store write"] < 3 {
		t.Errorf("%v", names)
	}
}

// TestSecondSignalEndsAtOnce though a download goes on.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	asked, hold := make(chan struct{}, 8), make(chan struct{})
	defer close(hold)
	up := l.serve(func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		asked <- struct{}{}
		select {
		case <-hold:
		case <-r.Context().Done():
		}
		return true
	})
	r := l.proxy("--upstream", up, "--grace", "1h")
	got := make(chan error, 1)
	go func() {
		resp, err := http.Get(r.base + labAt + ".zip")
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		got <- err
	}()
	<-asked
	for range 2 {
		if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		for { // the signal has come when no connection is taken any more
			c, err := net.Dial("tcp", strings.TrimPrefix(r.base, "http://"))
			if err != nil {
				break
			}
			_ = c.Close()
		}
	}
	_, _ = io.Copy(io.Discard, r.errs)
	_ = r.cmd.Wait()
	if code := r.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit %d", code)
	}
	<-got
}

func TestProxyFlagsThatDoNotFit(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	for name, x := range map[string]struct {
		args []string
		code int
		en   string
		zh   string
	}{
		"half a pair": {[]string{"--tls-cert", "x"}, 2, "go together", "必须同时使用"},
		"no pair":     {[]string{"--tls-cert", "x", "--tls-key", "y"}, 1, "reading the certificate", "读取证书"},
		"log":         {[]string{"--log", "xml"}, 2, "takes text or json", "可取 text 或 json"},
		"url":         {[]string{"--url", "go.example.org"}, 2, "--url takes http", "--url 的格式"},
		"token name":  {[]string{"--new-token", "a b"}, 2, "takes a name without spaces", "不能含空格"},
		"otlp":        {[]string{"--otlp", "here", "--upstream", "http://127.0.0.1:1", "--dir", filepath.Join(l.work, "store")}, 1, "starting traces: the receiver's address is no http or https URL", "启动链路追踪：接收端地址不是 http 或 https 的 URL"},
	} {
		for lang, words := range map[string]string{"en": x.en, "zh": x.zh} {
			if code, _, errs := l.run(append([]string{"--lang", lang, "proxy"}, x.args...)...); code != x.code || !strings.Contains(errs, words) {
				t.Errorf("%s %s: %d %s", name, lang, code, errs)
			}
		}
	}
}

// TestProxyOnASocketOfSystemd: the socket that is handed over is served on, not --listen;
// one that is meant for another process is left alone.
func TestProxyOnASocketOfSystemd(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	upstream := l.serve(nil)
	for name, x := range map[string]struct {
		pid  string // of the shell, which becomes keepwell
		fds  string
		own  bool
		code int
	}{
		"ours":      {"$$", "1", true, 0},
		"another's": {"1", "1", false, 0},
		"two":       {"$$", "2", false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			address := ln.Addr().String()
			f, err := ln.(*net.TCPListener).File()
			if err != nil {
				t.Fatal(err)
			}
			_ = ln.Close() // f goes on
			cmd := exec.CommandContext(t.Context(), "sh", "-c", "LISTEN_PID="+x.pid+` exec keepwell "$@"`, "sh", "proxy", "--listen", "127.0.0.1:0", "--dir", filepath.Join(l.work, name), "--upstream", upstream)
			cmd.Dir, cmd.Env, cmd.ExtraFiles = l.work, slices.Concat(l.env, []string{"LISTEN_FDS=" + x.fds}), []*os.File{f} // the first is 3
			errs, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
			r := &running{cmd: cmd, errs: bufio.NewReader(errs)}
			if x.code != 0 {
				r.until(t, `systemd hands over "2" sockets`)
				if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != x.code {
					t.Errorf("exit %d", cmd.ProcessState.ExitCode())
				}
				return
			}
			_, rest, _ := strings.Cut(r.until(t, "GOPROXY="), "GOPROXY=")
			base := strings.TrimRight(strings.TrimSpace(rest), ")")
			if own := base == "http://"+address; own != x.own {
				t.Errorf("it serves on %s, where it was given %s", base, address)
			}
			if out, err := l.download("GOPROXY=" + base); err != nil {
				t.Errorf("%v %s", err, out)
			}
			r.end(t)
		})
	}
}
