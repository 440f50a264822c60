package observe_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/observe"
)

// gitWorld is a home of its own for git, and a directory of repositories.
func gitWorld(t *testing.T) (o observe.Options, repos string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git here")
	}
	home := t.TempDir()
	repos = filepath.Join(home, "repos")
	put(t, filepath.Join(home, ".gitconfig"), "")
	o.Env = []string{
		"HOME=" + home, "XDG_CONFIG_HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + filepath.Join(home, ".gitconfig"),
		"GIT_SSH=", "GIT_SSH_COMMAND=", "SSH_AUTH_SOCK=", "http_proxy=", "https_proxy=", "all_proxy=", "ALL_PROXY=", "HTTPS_PROXY=",
	}
	for _, args := range [][]string{
		{"init", "-q", "--bare", "-b", "main", repos + "/team/widget.git"},
		{"init", "-q", "-b", "main", home + "/work"},
		{"-C", home + "/work", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "--allow-empty", "-m", "one"},
		{"-C", home + "/work", "push", "-q", repos + "/team/widget.git", "main"},
	} {
		cmd := exec.Command("git", args...)
		cmd.Env = append(os.Environ(), o.Env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return o, repos
}

func put(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// backend is git's own HTTP server.
func backend(t *testing.T, repos string) http.Handler {
	t.Helper()
	out, err := exec.Command("git", "--exec-path").Output()
	program := filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	if _, there := os.Stat(program); err != nil || there != nil {
		t.Skip("no git-http-backend here")
	}
	return &cgi.Handler{Path: program, Dir: repos, Env: []string{"GIT_PROJECT_ROOT=" + repos, "GIT_HTTP_EXPORT_ALL=1"}, Stderr: io.Discard, Logger: nil}
}

func result(results []observe.Result, l observe.Layer) observe.Result {
	if i := slices.IndexFunc(results, func(r observe.Result) bool { return r.Layer == l }); i >= 0 {
		return results[i]
	}
	return observe.Result{}
}

func TestRepositoryOverHTTP(t *testing.T) {
	t.Parallel()
	o, repos := gitWorld(t)
	at := serve(t, nil, backend(t, repos))
	results, code := look(t, "http://"+at+"/team/widget.git", o)
	if last := result(results, observe.VCS); code != "" || last.Key != "probe.vcs.head" || len(last.Args[0]) != 12 {
		t.Errorf("found %q: %+v", code, results)
	}
	want(t, "http://"+at+"/team/gone.git", o, "module/repo-gone")
	want(t, "git+http://"+closed(t)+"/team/gone", o, "net/refused")
	for status, code := range map[int]keepwell.Code{
		401: "auth/git-prompt", 403: "auth/forbidden", 404: "module/repo-gone", 429: "proxy/rate-limited", 503: "proxy/server-error",
	} {
		h := func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(status)
		}
		want(t, "http://"+serve(t, nil, http.HandlerFunc(h))+"/team/widget.git", o, code)
	}

	// A repository that moved is followed by the probe, not by git.
	move := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+at+strings.Replace(r.URL.RequestURI(), "/old/", "/team/", 1), http.StatusMovedPermanently)
	}
	results, code = look(t, "http://"+serve(t, nil, http.HandlerFunc(move))+"/old/widget.git", o)
	if code != "" || result(results, observe.VCS).State != observe.Yes || result(results, observe.HTTP).Key != "probe.http.redirected" {
		t.Errorf("moved: found %q: %+v", code, results)
	}
}

// TestGitDaemon: git's own protocol, from a real server.
func TestGitDaemon(t *testing.T) {
	t.Parallel()
	o, repos := gitWorld(t)
	ln := listen(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			f, err := c.(*net.TCPConn).File()
			_ = c.Close()
			if err != nil {
				continue
			}
			cmd := exec.Command("git", "daemon", "--inetd", "--export-all", "--base-path="+repos, repos)
			cmd.Stdin, cmd.Stdout, cmd.Env = f, f, append(os.Environ(), o.Env...)
			_ = cmd.Run()
			_ = f.Close()
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	results, code := look(t, "git://"+ln.Addr().String()+"/team/widget.git", o)
	if v := result(results, observe.VCS); code != "" || v.Key != "probe.vcs.head" {
		t.Errorf("found %q: %+v", code, results)
	}
	want(t, "git://"+ln.Addr().String()+"/team/gone.git", o, "module/repo-gone")
}

// TestGitSettings: what git's settings do to an address is seen before anything is asked.
func TestGitSettings(t *testing.T) {
	t.Parallel()
	o, repos := gitWorld(t)
	at := serve(t, nil, backend(t, repos))
	home := strings.TrimPrefix(o.Env[0], "HOME=")
	put(t, filepath.Join(home, ".gitconfig"), "[url \"http://"+at+"/\"]\n\tinsteadOf = https://forge.example.org/\n")
	results, code := look(t, "https://forge.example.org/team/widget.git", o)
	if c := result(results, observe.Client); code != "" || c.Key != "probe.client.elsewhere" || result(results, observe.VCS).State != observe.Yes {
		t.Errorf("found %q: %+v", code, results)
	}
	put(t, filepath.Join(home, ".gitconfig"), "[url \"ext::sh -c id \"]\n\tinsteadOf = https://forge.example.org/\n")
	want(t, "https://forge.example.org/team/widget.git", o, "vcs/git-config")
	put(t, filepath.Join(home, ".gitconfig"), "[credential]\n\thelper = nobody-has-this\n")
	results, _ = look(t, "http://"+at+"/team/widget.git", o)
	if c := result(results, observe.Client); c.Key != "probe.client.same.nohelper" {
		t.Errorf("a helper that is not there: %+v", c)
	}
	put(t, filepath.Join(home, ".gitconfig"), "[broken\n")
	want(t, "https://forge.example.org/team/widget.git", o, "vcs/git-config")
}

// TestGitCanary: nothing secret that git could send is sent, neither over plain HTTP
// nor, without leave, over TLS.
func TestGitCanary(t *testing.T) {
	t.Parallel()
	o, _ := gitWorld(t)
	home := strings.TrimPrefix(o.Env[0], "HOME=")
	var mu sync.Mutex
	var got []string
	wants := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_, password, _ := r.BasicAuth()
		got = append(got, password+r.Header.Get("Authorization")+r.Header.Get("Cookie")+r.Header.Get("X-Canary"))
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	ca := newAuthority(t, "Test Authority")
	plain := serve(t, nil, wants)
	secure := serve(t, &tls.Config{Certificates: []tls.Certificate{ca.leaf(t, "127.0.0.1", 30)}}, wants)
	put(t, filepath.Join(home, "ca.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})))
	put(t, filepath.Join(home, ".netrc"), "machine 127.0.0.1 login bob password canary-netrc\n")
	put(t, filepath.Join(home, "cookies"), "127.0.0.1\tFALSE\t/\tFALSE\t0\tid\tcanary-cookie\n")
	put(t, filepath.Join(home, ".gitconfig"), "[credential]\n\thelper = \"!f() { echo $1 >>"+home+"/asked; echo username=bob; echo password=canary-helper; }; f\"\n"+
		"[http]\n\tsslCAInfo = "+home+"/ca.pem\n\tcookieFile = "+home+"/cookies\n\textraHeader = X-Canary: canary-header\n"+
		"[http \"https://"+secure+"\"]\n\textraHeader = X-Canary: canary-header-here\n")
	o.Env = append(o.Env, "GIT_SSL_CAINFO="+home+"/ca.pem") // the probe trusts what git is told to
	for _, login := range []bool{false, true} {
		o.GitLogin = login
		addresses := []string{"http://bob:canary-url@" + plain + "/team/widget.git"}
		if !login {
			addresses = append(addresses, "https://bob:canary-url@"+secure+"/team/widget.git")
		}
		for _, address := range addresses {
			got = nil
			results, code := look(t, address, o)
			if v := result(results, observe.VCS); code != "" || v.Key != "probe.vcs.private" {
				t.Errorf("%s: found %q: %+v", address, code, results)
			}
			if len(got) < 2 || strings.Contains(strings.Join(got, ""), "canary") {
				t.Errorf("%s was sent %q", address, got)
			}
		}
	}
	// A token in the address that git's settings put in the place of another.
	config, err := os.ReadFile(filepath.Join(home, ".gitconfig"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(home, ".gitconfig"), string(config)+"[url \"http://bob:canary-instead@"+plain+"/\"]\n\tinsteadOf = http://"+plain+"/\n\tinsteadOf = https://forge.example.org/\n")
	for _, address := range []string{"http://" + plain + "/team/widget.git", "https://forge.example.org/team/widget.git"} {
		got = nil
		results, code := look(t, address, o)
		if v := result(results, observe.VCS); code != "" || v.Key != "probe.vcs.private" || len(got) < 2 || strings.Contains(strings.Join(got, ""), "canary") {
			t.Errorf("%s: found %q, sent %q: %+v", address, code, got, results)
		}
		if strings.Contains(strings.Join(results[0].Args, " "), "canary") {
			t.Errorf("shown: %+v", results[0])
		}
	}
	// With leave, over TLS, git uses its own; what is refused then is the login.
	got = nil
	results, code := look(t, "https://"+secure+"/team/widget.git", o)
	if code != "auth/expired-token" || !strings.Contains(strings.Join(got, ""), "canary") {
		t.Errorf("found %q, sent %q: %+v", code, got, results)
	}
	if asked, err := os.ReadFile(filepath.Join(home, "asked")); err != nil || strings.Trim(string(asked), "get\n") != "" {
		t.Errorf("the helper was told %q, %v", asked, err)
	}
	for _, r := range results {
		if s := strings.Join(append(r.Args, r.Said), " "); strings.Contains(s, "canary") {
			t.Errorf("shown: %s", s)
		}
	}
}

// sshd is an ssh server that lets nobody in.
func sshd(t *testing.T, seed string) (at string, key ssh.PublicKey) {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed([]byte(strings.Repeat(seed, ed25519.SeedSize))))
	if err != nil {
		t.Fatal(err)
	}
	cfg := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, errors.New("no") }}
	cfg.AddHostKey(signer)
	ln := listen(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_, _, _, _ = ssh.NewServerConn(c, cfg) // always refused
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return ln.Addr().String(), signer.PublicKey()
}

// rsaKey is a line for known_hosts.
func rsaKey(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(ssh.MarshalAuthorizedKey(public))
}

func TestRepositoryOverSSH(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("no ssh here")
	}
	o, _ := gitWorld(t)
	home := strings.TrimPrefix(o.Env[0], "HOME=")
	at, key := sshd(t, "s")
	_, other := sshd(t, "o")
	host, port, _ := net.SplitHostPort(at)
	known := filepath.Join(home, "known_hosts")
	with := func(extra string) observe.Options {
		with := o
		with.Env = append(slices.Clip(o.Env), "GIT_SSH_COMMAND=ssh -F none -o IdentitiesOnly=yes -o GlobalKnownHostsFile=none -o UserKnownHostsFile="+known+
			" -o IdentityFile="+home+"/id_ed25519"+extra)
		return with
	}
	address := "ssh://git@" + at + "/team/widget.git"
	line := func(k ssh.PublicKey) string {
		return "[" + host + "]:" + port + " " + string(ssh.MarshalAuthorizedKey(k))
	}
	for _, c := range []struct {
		name, file, extra string
		code              keepwell.Code
		key               string
	}{
		{"not on file", "", "", "auth/host-key", "probe.ssh.missing"},
		{"another key", "\n" + line(other), "", "auth/host-key", "probe.ssh.differs"},
		{"revoked", "@revoked " + line(key), "", "auth/host-key", "probe.ssh.revoked"},
		{"on file", line(key), "", "auth/ssh-key", "probe.ssh.known"},
		{"on file among rubbish", "x y z\n\x00\n" + line(key), "", "auth/ssh-key", "probe.ssh.known"},
		{"on file without port", strings.Replace(line(key), "["+host+"]:"+port, host, 1), "", "auth/ssh-key", "probe.ssh.known"},
		{"another kind", "[" + host + "]:" + port + " " + rsaKey(t), "", "auth/host-key", "probe.ssh.kind"},
		{"taken unseen", "", " -o StrictHostKeyChecking=no", "auth/ssh-key", "probe.ssh.accepted"},
		{"under an alias", strings.Replace(line(key), "["+host+"]:"+port, "forge", 1), " -o HostKeyAlias=forge", "auth/ssh-key", "probe.ssh.known"},
	} {
		put(t, known, c.file)
		results, code := look(t, address, with(c.extra))
		if r := result(results, observe.SSH); code != c.code || r.Key != c.key {
			t.Errorf("%s: found %q: %+v", c.name, code, results)
		}
		if b, err := os.ReadFile(known); err != nil || string(b) != c.file {
			t.Errorf("%s: known_hosts was changed: %q, %v", c.name, b, err)
		}
		if r := result(results, observe.SSH); c.name == "on file among rubbish" && r.Args[2] != known+":3" {
			t.Errorf("which line matches: %+v", r)
		}
		if c.name == "another key" {
			if r := result(results, observe.SSH); r.Args[2] != known+":2" || r.Rival != "net/intercepted" {
				t.Errorf("which line differs: %+v", r)
			}
		}
	}
	put(t, known, line(key))
	results, _ := look(t, address, with(""))
	if r := results[1]; r.Key != "probe.client.keyless" {
		t.Errorf("no key: %+v", r)
	}
	// ssh's settings lead to another host; a program in between is ssh's business.
	_, code := look(t, "git@nowhere.invalid:team/widget.git", with(" -o HostName="+host+" -o Port="+port+" -o HostKeyAlias=["+host+"]:"+port))
	if code != "auth/ssh-key" && code != "auth/host-key" {
		t.Errorf("HostName: found %q", code)
	}
	results, code = look(t, "git@nowhere.invalid:team/widget.git", with(" -o ProxyCommand=false"))
	if r := result(results, observe.SSH); r.Key != "" || code == "" || result(results, observe.VCS).State != observe.No {
		t.Errorf("ProxyCommand: found %q: %+v", code, results)
	}
	results, code = look(t, "git@forge.example.org:team/widget.git", with(" -o HostName=169.254.169.254"))
	if r := results[0]; code != "" || r.Key != "probe.forbidden" || result(results, observe.VCS).State != observe.NotChecked {
		t.Errorf("metadata by way of ssh's settings: found %q: %+v", code, results)
	}
	want(t, "ssh://git@"+closed(t)+"/team/widget.git", with(""), "net/refused")
	want(t, "ssh://git@"+serve(t, nil, text("text/plain", "ok"))+"/team/widget.git", with(""), "net/reset")
	hush := with("")
	hush.Each = short().Each
	want(t, "ssh://git@"+silent(t)+"/team/widget.git", hush, "net/timeout")
}

func TestRepositoryAddresses(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"git@forge.example.org:team/widget.git":       "ssh://git@forge.example.org/team/widget.git",
		"ssh://git:secret@forge.example.org:2222/w":   "ssh://git@forge.example.org:2222/w",
		"git+ssh://git@forge.example.org/team/widget": "ssh://git@forge.example.org/team/widget",
		"https://bob:secret@forge.example.org/w.git":  "https://forge.example.org/w.git",
	} {
		if got, err := observe.Parse(raw, observe.Options{}); err != nil || got.Repo != want {
			t.Errorf("%s is read as %s, %v", raw, got.Repo, err)
		}
	}
	for _, raw := range []string{
		"ext::sh -c id", "file:///etc", "ssh://-oProxyCommand=id/x", "ssh://-oProxyCommand=id@h/x", "ssh://h%20/x", "/etc/passwd", "", "--upload-pack=id",
		"ssh://git@h:0/x", "ssh://a;b@h/x",
	} {
		if got, err := observe.Repository(raw, observe.Options{}); err == nil {
			t.Errorf("%q is taken as %+v", raw, got)
		}
	}
	if _, err := observe.Repository("git@169.254.169.254:x", observe.Options{}); !errors.Is(err, observe.ErrForbidden) {
		t.Errorf("metadata: %v", err)
	}
}
