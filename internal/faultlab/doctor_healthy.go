//go:build unix

package faultlab

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// healthySituations are odd, but nothing in them is wrong: the tool succeeds and
// doctor has no more to say than a hint.
func healthySituations() []situation {
	list := []situation{
		{name: "healthy-http-proxy", run: healthyApp(nil)},
		{name: "healthy-offline-warm-cache", needs: []string{"unshare"}, run: healthyOffline},
		{name: "healthy-proxy-off-warm-cache", run: healthyWarm(func(l *Lab) { l.Set("GOPROXY", "off") })},
		{name: "healthy-vendor", run: healthyVendor},
		{name: "healthy-private-git", needs: []string{"git"}, run: healthyPrivateGit},
		{name: "healthy-private-git-netrc", needs: []string{"git"}, run: goGitNetrc(labPassword)},
		{name: "healthy-private-git-ssh", needs: []string{"git", "ssh"}, run: healthySSH},
		{name: "healthy-private-proxy-netrc", run: goProxyCredentials(labPassword)},
		{name: "healthy-workspace", run: healthyWorkspace},
		{name: "healthy-workspace-off", run: healthyWorkspaceOff},
		{name: "healthy-sumdb", run: goSumDBFault()},
		{name: "healthy-sumdb-off-by-choice", run: healthyUserFile("GOSUMDB=off\n")},
		{name: "healthy-sumdb-for-public-only", run: healthyNoSumDB},
		{name: "healthy-flags-mod-mod", run: healthyApp(func(l *Lab) { l.Set("GOFLAGS", "-mod=mod") })},
		{name: "healthy-proxy-direct", needs: []string{"git"}, run: healthyDirect},
		{name: "healthy-proxy-file", run: healthyFileProxy},
		{name: "healthy-proxy-fallback", run: healthyFallback},
		{name: "healthy-proxy-redirects", run: healthyRedirects},
		{name: "healthy-replace-local", run: healthyReplace},
		{name: "healthy-read-only-cache", needs: []string{"root", "setpriv"}, run: healthyReadOnly},
		{name: "healthy-toolchain-line", run: healthyToolchain},
		{name: "healthy-no-dependencies", run: healthyBare},
		{name: "healthy-toolchain-auto", run: healthyApp(func(l *Lab) { l.Set("GOTOOLCHAIN", "auto") })},
		{name: "healthy-proxy-list-ends-off", run: healthyApp(func(l *Lab) { l.Set("GOPROXY", "https://goproxy.example.org,off") })},
		{name: "healthy-netrc-default", run: healthyApp(func(l *Lab) {
			l.netrc("machine git.corp.example login user password hunter2-of-elsewhere\ndefault login anonymous password user@example.org\n")
		})},
		{name: "healthy-exclude-and-retract", run: healthyApp(func(l *Lab) {
			l.Files("go.mod", "module example.org/app\n\ngo 1.20\n\nrequire example.com/widget v1.0.0\n\nexclude example.com/widget v1.1.0\n\nretract v0.1.0 // by mistake\n")
		})},
		{name: "healthy-sumdb-down-but-known", run: healthyApp(func(l *Lab) {
			_, verifier := newKeys(l, "k")
			l.Set("GOSUMDB", verifier+" https://"+l.Closed(sumHost, "443"))
		})},
		{name: "healthy-second-proxy-down", run: healthyApp(func(l *Lab) {
			l.Set("GOPROXY", "https://goproxy.example.org,https://"+l.Closed("goproxy.example.net", "443"))
		})},
		{name: "healthy-paths-with-blanks", run: healthyApp(func(l *Lab) { l.Set("GOPATH", filepath.Join(l.Home, "go path ü")) })},
		{name: "healthy-linked-project", run: healthyLinked},
		{name: "healthy-windows-line-ends", run: healthyApp(func(l *Lab) {
			l.Files("go.mod", "module example.org/app\r\n\r\ngo 1.20\r\n\r\nrequire example.com/widget v1.0.0\r\n")
		})},
		{name: "healthy-script-without-module", run: healthyScript},
		{name: "healthy-netrc-for-another-host", run: healthyApp(func(l *Lab) { l.netrc("machine git.corp.example login user password hunter2-of-elsewhere\n") })},
		{name: "healthy-own-root", run: healthyOwnRoot},
		{name: "healthy-noproxy-none", run: healthyApp(func(l *Lab) { l.Set("GOPRIVATE", "example.com", "GONOPROXY", "none") })},
		{name: "healthy-subdirectory-module", run: healthySubdirectory},
		{name: "slow-but-steady", run: slowButSteady},
		{name: "healthy-npm-lock", tool: "npm", run: healthyNPM},
		{name: "healthy-pip-requirements", tool: "pip", run: healthyPip},
	}
	for i := range list {
		if list[i].tool == "" {
			list[i].tool = "go"
		}
	}
	return list
}

func build(ctx context.Context, l *Lab) string { return l.Run(ctx, "go", "build", "./...") }

// healthyApp builds the usual app with its sums known.
func healthyApp(change func(*Lab)) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.app()
		l.trust(widget())
		l.proxyWith()
		if change != nil {
			change(l)
		}
		return build(ctx, l)
	}
}

// healthyWarm builds with all in the cache, after a change.
func healthyWarm(change func(*Lab)) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.warm(ctx)
		change(l)
		return build(ctx, l)
	}
}

func healthyOffline(ctx context.Context, l *Lab) string {
	l.warm(ctx)
	return l.withoutNetwork(ctx, "go", "build", "./...")
}

func healthyVendor(ctx context.Context, l *Lab) string {
	l.warm(ctx)
	l.Setup(ctx, l.Work, "go", "mod", "vendor")
	l.Set("GOPROXY", "https://"+l.Closed("goproxy.example.org", "443"))
	l.dropCache()
	return build(ctx, l)
}

func (l *Lab) dropCache() {
	l.unlock()
	l.check(os.RemoveAll(l.modCache("")))
}

func healthyPrivateGit(ctx context.Context, l *Lab) string {
	l.proxyWith()
	l.gitHost(ctx)
	l.Set("GOPRIVATE", "github.com/acme/*", "GOPROXY", "https://goproxy.example.org,direct")
	return l.Run(ctx, "go", "mod", "download", "github.com/acme/widget@v1.0.0")
}

// healthySSH fetches a private module over ssh with a key that is let in.
func healthySSH(ctx context.Context, l *Lab) string {
	l.gitRepo(ctx)
	server, _ := sshKey(l, "s")
	_, client := sshKey(l, "c")
	cfg := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return &ssh.Permissions{}, nil }}
	cfg.AddHostKey(server)
	root := filepath.Join(l.Dir, "repos")
	addr := l.Accept("github.com", "22", func(c net.Conn) { serveGitSSH(c, cfg, root) })
	l.write(filepath.Join(l.Home, ".ssh/known_hosts"), hostLine(server.PublicKey()))
	l.write(filepath.Join(l.Home, ".ssh/id_ed25519"), string(client))
	l.check(os.Chmod(filepath.Join(l.Home, ".ssh/id_ed25519"), 0o600))
	l.sshTo(addr)
	l.HTTPS("github.com", status(404, ""))
	l.Set("GOPRIVATE", "github.com/acme/*")
	return l.Run(ctx, "go", "mod", "download", "github.com/acme/widget@v1.0.0")
}

// serveGitSSH is a git host over ssh: it runs git upload-pack on what is below root.
func serveGitSSH(c net.Conn, cfg *ssh.ServerConfig, root string) {
	conn, channels, requests, err := ssh.NewServerConn(c, cfg)
	if err != nil {
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(requests)
	for next := range channels {
		ch, reqs, err := next.Accept()
		if err != nil {
			return
		}
		for req := range reqs {
			command, path, _ := strings.Cut(string(req.Payload[min(4, len(req.Payload)):]), " ")
			if req.Type != "exec" || command != "git-upload-pack" {
				_ = req.Reply(req.Type == "env", nil)
				continue
			}
			_ = req.Reply(true, nil)
			name := strings.TrimSuffix(strings.Trim(path, "'/"), ".git")
			code := uploadPack(ch, filepath.Join(root, filepath.Clean("/"+name)))
			_, _ = ch.SendRequest("exit-status", false, []byte{0, 0, 0, code})
			_ = ch.Close()
		}
	}
}

func uploadPack(ch ssh.Channel, dir string) byte {
	cmd := exec.Command("git", "-c", "safe.directory=*", "upload-pack", dir)
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	in, err := cmd.StdinPipe()
	if err != nil || cmd.Start() != nil {
		return 1
	}
	go func() { _, _ = io.Copy(in, ch); _ = in.Close() }()
	if cmd.Wait() != nil {
		return 1
	}
	return 0
}

func healthyWorkspace(ctx context.Context, l *Lab) string {
	l.proxyWith()
	l.app()
	l.trust(widget())
	l.Files("go.work", "go 1.20\n\nuse (\n\t.\n\t./tools\n)\n", "tools/go.mod", "module example.org/tools\n\ngo 1.20\n", "tools/tools.go", "package tools\n")
	return build(ctx, l)
}

// healthyWorkspaceOff ignores a go.work of which half is gone.
func healthyWorkspaceOff(ctx context.Context, l *Lab) string {
	l.proxyWith()
	l.app()
	l.trust(widget())
	l.Files("go.work", "go 1.20\n\nuse ./gone\n")
	l.Set("GOWORK", "off")
	return build(ctx, l)
}

// healthyUserFile keeps settings where go env -w writes them.
func healthyUserFile(text string) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		file := filepath.Join(l.Home, ".config/go/env")
		l.write(file, text)
		l.Set("GOENV", file, "GOSUMDB", "")
		return healthyApp(nil)(ctx, l)
	}
}

// healthyNoSumDB keeps a private name from a checksum database that works.
func healthyNoSumDB(ctx context.Context, l *Lab) string {
	private := newMod("git.corp.example/team/secret", "v1.0.0", "secret.go", "package secret\n")
	l.proxyOf(append(widgets(), private)...)
	l.sumDB(widgets())
	l.Set("GONOSUMDB", "git.corp.example")
	l.Setup(ctx, l.Work, "go", "mod", "download", "example.com/widget@v1.0.0")
	return l.Run(ctx, "go", "mod", "download", "git.corp.example/team/secret@v1.0.0")
}

func healthyDirect(ctx context.Context, l *Lab) string {
	l.gitHost(ctx)
	return goDirect(ctx, l, "github.com/acme/widget@v1.0.0")
}

// healthyFileProxy takes a copy of a module cache for a proxy.
func healthyFileProxy(ctx context.Context, l *Lab) string {
	l.warm(ctx)
	dir := filepath.Join(l.Dir, "mirror")
	l.check(os.CopyFS(dir, os.DirFS(l.modCache("cache/download"))))
	l.dropCache()
	l.Set("GOPROXY", "file://"+dir)
	return build(ctx, l)
}

// healthyFallback has a first proxy that knows nothing.
func healthyFallback(ctx context.Context, l *Lab) string {
	l.app()
	l.trust(widget())
	l.proxyWith()
	l.HTTPS("modules.corp.example", status(404, "not found\n"))
	l.Set("GOPROXY", "https://modules.corp.example,https://goproxy.example.org")
	return build(ctx, l)
}

// healthyRedirects keeps zips at another host, as public proxies do.
func healthyRedirects(ctx context.Context, l *Lab) string {
	l.app()
	l.trust(widget())
	l.proxyWith(fault{".zip", redirect("https://storage.example.org/widget.zip")})
	l.HTTPS("storage.example.org", bytesOf("application/zip", widget().zip(l.T)))
	return build(ctx, l)
}

// slowButSteady is a large module on a slow link: nothing to mend, only to wait.
func slowButSteady(ctx context.Context, l *Lab) string {
	m := newMod("example.com/widget", "v1.0.0", "widget.go", "package widget\n", "data.txt", noise(24<<20))
	data := m.zip(l.T)
	l.HTTPS("goproxy.example.org", breaking(goproxy(l.T, m), fault{".zip", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for part := range slices.Chunk(data, 20<<10) {
			if _, err := w.Write(part); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			<-tick.C
		}
	}}))
	return download(ctx, l)
}

func healthyReplace(ctx context.Context, l *Lab) string {
	l.Files(
		"go.mod", "module example.org/app\n\ngo 1.20\n\nrequire example.com/widget v1.0.0\n\nreplace example.com/widget => ./local/widget\n",
		"app.go", "package app\n\nimport _ \"example.com/widget\"\n",
		"local/widget/go.mod", "module example.com/widget\n\ngo 1.20\n", "local/widget/widget.go", "package widget\n",
	)
	return build(ctx, l)
}

// healthyReadOnly is a cache that an image brought along, used by another user.
func healthyReadOnly(ctx context.Context, l *Lab) string {
	l.warm(ctx)
	l.check(os.Chmod(filepath.Dir(l.Dir), 0o755)) // testing keeps it to its own user
	own := filepath.Join(l.Dir, "tmp", "nobody")
	l.check(os.MkdirAll(own, 0o777))
	l.check(os.Chmod(own, 0o777))
	l.Set("GOCACHE", own, "TMPDIR", own, "GOFLAGS", "-buildvcs=false", "GOPROXY", "off")
	prefix := []string{"--reuid=65534", "--regid=65534", "--clear-groups", executable("go")}
	if _, code := l.exec(ctx, l.Work, "setpriv", append(prefix, "version")...); code != 0 {
		l.T.Skip("another user cannot run this go command")
	}
	return l.Run(ctx, "setpriv", append(prefix, "build", "./...")...)
}

func healthyToolchain(ctx context.Context, l *Lab) string {
	running := trimLine(l.Setup(ctx, l.Work, "go", "env", "GOVERSION"))
	l.app()
	l.trust(widget())
	l.proxyWith()
	l.Files("go.mod", "module example.org/app\n\ngo 1.21\n\ntoolchain "+running+"\n\nrequire example.com/widget v1.0.0\n")
	return build(ctx, l)
}

func healthyBare(ctx context.Context, l *Lab) string {
	l.bareApp()
	l.HTTPS("goproxy.example.org", http.NotFoundHandler())
	return build(ctx, l)
}

// healthyLinked is a project that is reached through a symbolic link.
func healthyLinked(ctx context.Context, l *Lab) string {
	l.app()
	l.trust(widget())
	l.proxyWith()
	to := filepath.Join(l.Dir, "linked")
	l.check(os.Symlink(l.Work, to))
	l.Work = to
	return build(ctx, l)
}

// healthyScript is one file, as people try things out.
func healthyScript(ctx context.Context, l *Lab) string {
	l.outsideModules()
	l.Set("GO111MODULE", "")
	l.Files("try.go", "package main\n\nfunc main() { println(\"hello\") }\n")
	return l.Run(ctx, "go", "list", "try.go")
}

// healthyOwnRoot trusts a company's root beside the others.
func healthyOwnRoot(ctx context.Context, l *Lab) string {
	corp := newAuthority(l.T, "Corp Root CA")
	l.app()
	l.trust(widget())
	const host = "goproxy.example.org"
	l.TLS(host, certs(corp.leaf(leaf{names: []string{host}})), goproxy(l.T, widgets()...))
	l.Set("SSL_CERT_FILE", l.bundle("roots.pem", l.ca, corp))
	return build(ctx, l)
}

// healthySubdirectory is called from below the module's root.
func healthySubdirectory(ctx context.Context, l *Lab) string {
	l.app()
	l.trust(widget())
	l.proxyWith()
	l.Files("cmd/tool/tool.go", "package tool\n")
	l.Work = filepath.Join(l.Work, "cmd/tool")
	return build(ctx, l)
}

func healthyNPM(ctx context.Context, l *Lab) string {
	l.npmApp(`{"widget":"1.0.0"}`)
	l.npmWith(npmWidget())
	l.lock(`"node_modules/widget":{"version":"1.0.0","resolved":"https://npm.example.org/widget/-/widget-1.0.0.tgz","integrity":"` + integrity(npmWidget().tarball(l)) + `"}`)
	return l.Run(ctx, "npm", "ci")
}

func healthyPip(ctx context.Context, l *Lab) string {
	l.pypi(pyWidget())
	l.Files("requirements.txt", fmt.Sprintf("widget==1.0.0 --hash=sha256:%x\n", sha256.Sum256(pyWidget().data(l))))
	return l.pipDownload(ctx, "-r", "requirements.txt")
}
