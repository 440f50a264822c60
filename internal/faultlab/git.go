//go:build unix

package faultlab

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// gitScenarios are faults of a repository, its host, or the credentials for it.
func gitScenarios() []Scenario {
	return []Scenario{
		{Name: "go-git-401", Code: "auth/git-prompt", Also: codes("module/missing-or-private", "module/repo-gone"), Tool: "go", Since: "1.17", Before: codes("version/unknown-revision"), Needs: []string{"git"}, Example: true, Run: goGitAnswers(git401)},
		{Name: "go-git-403", Code: "auth/forbidden", Tool: "go", Since: "1.17", Before: codes("version/unknown-revision"), Needs: []string{"git"}, Example: true, Run: goGitAnswers(status(403, ""))},
		{Name: "go-git-404", Code: "module/repo-gone", Also: codes("module/missing-or-private"), Tool: "go", Since: "1.17", Before: codes("version/unknown-revision"), Needs: []string{"git"}, Example: true, Run: goGitAnswers(status(404, "Repository not found.\n"))},
		{Name: "go-git-500", Code: "vcs/server-error", Tool: "go", Since: "1.17", Before: codes("version/unknown-revision"), Needs: []string{"git"}, Example: true, Run: goGitAnswers(errorPage(500))},
		{Name: "git-503", Code: "vcs/server-error", Tool: "git", Run: gitAnswers(errorPage(503))},
		{Name: "git-html", Code: "net/intercepted", Also: codes("vcs/other", "vcs/server-error", "module/repo-gone"), Tool: "git", Run: gitAnswers(page)},
		{Name: "go-git-unknown-tag", Code: "version/unknown-revision", Tool: "go", Needs: []string{"git"}, Example: true, Run: goGitUnknownTag},
		{Name: "go-git-unknown-commit", Code: "version/unknown-revision", Tool: "go", Needs: []string{"git"}, Run: goGitUnknownCommit},
		{Name: "go-git-major-suffix", Code: "version/major-suffix", Tool: "go", Needs: []string{"git"}, Run: goGitMajor},
		{Name: "go-git-unzippable", Code: "module/unzippable", Tool: "go", Needs: []string{"git"}, Run: goGitUnzippable},
		{Name: "git-expired-token", Code: "auth/expired-token", Also: codes("auth/git-prompt", "auth/forbidden"), Tool: "git", Example: true, Run: gitExpiredToken},
		{Name: "git-cut-pack", Code: "vcs/transfer", Also: codes("net/reset"), Tool: "git", Example: true, Run: gitCutPack},
		{Name: "git-reset", Code: "net/reset", Also: codes("vcs/transfer"), Tool: "git", Run: gitReset},
		{Name: "go-git-missing", Code: "vcs/tool-missing", Tool: "go", Example: true, Run: goGitMissing},
		{Name: "go-hg-missing", Code: "vcs/tool-missing", Tool: "go", Run: goHgMissing},
		{Name: "go-govcs", Code: "vcs/disallowed", Tool: "go", Since: "1.16", Example: true, Run: goGovcs},
		{Name: "git-no-https-helper", Code: "vcs/other", Also: codes("vcs/tool-missing"), Tool: "git", Example: true, Run: gitNoHelper},
		{Name: "git-ownership", Code: "vcs/ownership", Tool: "git", Needs: []string{"root"}, Example: true, Run: gitOwnership},
		{Name: "go-git-instead-of", Code: "vcs/git-config", Also: codes("module/repo-gone", "net/dns", "vcs/other"), Tool: "go", Since: "1.17", Before: codes("version/unknown-revision"), Needs: []string{"git"}, Example: true, Run: goGitInsteadOf},
		{Name: "go-git-stale-clone", Code: "vcs/stale-clone", Also: codes("local/cache-corrupt", "vcs/transfer", "vcs/other"), Tool: "go", Needs: []string{"git"}, Example: true, Run: goGitStaleClone},
		{Name: "git-plaintext-login", Code: "auth/exposed-login", Tool: "git", Example: true, Run: gitPlaintextLogin},
		{Name: "git-ssh-key", Code: "auth/ssh-key", Tool: "git", Needs: []string{"ssh"}, Run: gitSSH(knownHost)},
		{Name: "go-ssh-key", Code: "auth/ssh-key", Tool: "go", Since: "1.17", Before: codes("version/unknown-revision"), Needs: []string{"git", "ssh"}, Example: true, Run: goSSH(knownHost)},
		{Name: "go-ssh-host-key-unknown", Code: "auth/host-key", Tool: "go", Since: "1.17", Before: codes("version/unknown-revision"), Needs: []string{"git", "ssh"}, Example: true, Run: goSSH(unknownHost)},
		{Name: "git-ssh-host-key-changed", Code: "auth/host-key", Tool: "git", Needs: []string{"ssh"}, Run: gitSSH(changedHost)},
		{Name: "git-ssh-refused", Code: "net/refused", Tool: "git", Needs: []string{"ssh"}, Run: gitSSHRefused},
	}
}

// git401 asks for credentials that nobody has.
func git401(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("WWW-Authenticate", `Basic realm="GitHub"`)
	w.WriteHeader(http.StatusUnauthorized)
}

const widgetRepo = "https://github.com/acme/widget"

// goGitAnswers fetches straight from a host that answers every request alike.
func goGitAnswers(h http.HandlerFunc) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.HTTPS("github.com", h)
		return goDirect(ctx, l, "github.com/acme/widget@v1.0.0")
	}
}

func goDirect(ctx context.Context, l *Lab, query string) string {
	l.Set("GOPROXY", "direct")
	return l.Run(ctx, "go", "mod", "download", query)
}

func gitAnswers(h http.HandlerFunc) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.HTTPS("github.com", h)
		return l.Run(ctx, "git", "ls-remote", widgetRepo)
	}
}

// gitHost puts a real git server at github.com, with the repository acme/widget.
func (l *Lab) gitHost(ctx context.Context) {
	l.HTTPS("github.com", l.gitServer(ctx))
}

func (l *Lab) gitServer(ctx context.Context) http.Handler {
	backend := filepath.Join(trimLine(l.Setup(ctx, l.Dir, "git", "--exec-path")), "git-http-backend")
	if _, err := os.Stat(backend); errors.Is(err, os.ErrNotExist) {
		l.T.Skip("git http-backend is not installed")
	}
	l.gitRepo(ctx)
	root := filepath.Join(l.Dir, "repos")
	return &cgi.Handler{Path: backend, Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "HOME=" + l.Home}, Stderr: io.Discard}
}

func (l *Lab) repo() string { return filepath.Join(l.Dir, "repos/acme/widget") }

// gitRepo makes the repository with the tags v1.0.0, v1.0.1, a v2.0.0 whose
// go.mod says v1, and a v1.1.0 that is no module: two of its file names differ
// in case only.
func (l *Lab) gitRepo(ctx context.Context) {
	dir := l.repo()
	l.check(os.MkdirAll(dir, 0o755))
	l.Setup(ctx, dir, "git", "init", "-q", "-b", "main")
	l.commit(ctx, "first", "go.mod", "module github.com/acme/widget\n\ngo 1.20\n", "widget.go", "package widget\n", "data.txt", noise(256<<10))
	l.Setup(ctx, dir, "git", "tag", "v1.0.0")
	l.Setup(ctx, dir, "git", "tag", "v2.0.0")
	l.commit(ctx, "second", "widget.go", "package widget\n\nconst Answer = 42\n")
	l.Setup(ctx, dir, "git", "tag", "v1.0.1")
	l.commit(ctx, "third", "Notes.txt", "one\n", "notes.txt", "two\n")
	l.Setup(ctx, dir, "git", "tag", "v1.1.0")
}

func (l *Lab) commit(ctx context.Context, message string, pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		l.write(filepath.Join(l.repo(), pairs[i]), pairs[i+1])
	}
	l.Setup(ctx, l.repo(), "git", "add", ".")
	l.Setup(ctx, l.repo(), "git", "commit", "-q", "-m", message)
}

func (l *Lab) gitHead(ctx context.Context) string {
	return trimLine(l.Setup(ctx, l.repo(), "git", "rev-parse", "HEAD"))
}

func trimLine(s string) string { return strings.TrimSpace(s) }

func goGitUnknownTag(ctx context.Context, l *Lab) string {
	l.gitHost(ctx)
	return goDirect(ctx, l, "github.com/acme/widget@v1.9.0")
}

func goGitUnknownCommit(ctx context.Context, l *Lab) string {
	l.gitHost(ctx)
	return goDirect(ctx, l, "github.com/acme/widget@v0.0.0-20260101000000-0123456789ab")
}

// goGitMajor asks for a v2 whose go.mod still names the path without /v2.
func goGitMajor(ctx context.Context, l *Lab) string {
	l.gitHost(ctx)
	return goDirect(ctx, l, "github.com/acme/widget/v2@v2.0.0")
}

func goGitUnzippable(ctx context.Context, l *Lab) string {
	l.gitHost(ctx)
	return goDirect(ctx, l, "github.com/acme/widget@v1.1.0")
}

// gitExpiredToken sends a token that the host no longer takes; the words are
// those a forge sends with its 401.
func gitExpiredToken(ctx context.Context, l *Lab) string {
	l.HTTPS("github.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="Git"`)
		status(401, "HTTP Basic: Access denied. The provided password or token is incorrect or your account has 2FA enabled and you must use a personal access token instead of a password.\n")(w, r)
	}))
	l.write(filepath.Join(l.Home, ".gitconfig"), "[credential]\n\thelper = \"!echo username=user; echo password=expired-token;:\"\n")
	return l.Run(ctx, "git", "clone", widgetRepo)
}

// gitCutPack hands out the refs and breaks off within the pack.
func gitCutPack(ctx context.Context, l *Lab) string {
	server := l.gitServer(ctx)
	l.HTTPS("github.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/git-upload-pack") {
			w = &cutter{ResponseWriter: w, left: 60 << 10}
		}
		server.ServeHTTP(w, r)
	}))
	// Protocol 0 sends the pack in the first answer to git-upload-pack.
	return l.Run(ctx, "git", "-c", "protocol.version=0", "clone", widgetRepo)
}

// cutter lets some bytes through and then drops the connection.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(p)
}

func gitReset(ctx context.Context, l *Lab) string {
	l.Raw("github.com", (*buffered).reset)
	return l.Run(ctx, "git", "ls-remote", widgetRepo)
}

func goGitMissing(ctx context.Context, l *Lab) string {
	l.onlyPath("go")
	return goDirect(ctx, l, "github.com/acme/widget@v1.0.0")
}

// goHgMissing is sent to a Mercurial repository by go-import tags.
func goHgMissing(ctx context.Context, l *Lab) string {
	l.importTag("hg")
	l.onlyPath("go")
	return goDirect(ctx, l, "go.example.com/widget@v1.0.0")
}

func goGovcs(ctx context.Context, l *Lab) string {
	l.importTag("bzr")
	return goDirect(ctx, l, "go.example.com/widget@v1.0.0")
}

func (l *Lab) importTag(vcs string) {
	tag := `<html><head><meta name="go-import" content="go.example.com/widget ` + vcs + ` https://code.example.com/widget"></head></html>`
	l.HTTPS("go.example.com", bytesOf("text/html", []byte(tag)))
}

// gitNoHelper is a git that was packed without its part for https, as in some
// small images.
func gitNoHelper(ctx context.Context, l *Lab) string {
	core := trimLine(l.Setup(ctx, l.Dir, "git", "--exec-path"))
	l.linkAll(core, filepath.Join(l.Dir, "git-core"), "git-remote-https")
	l.Set("GIT_EXEC_PATH", filepath.Join(l.Dir, "git-core"))
	return l.Run(ctx, "git", "ls-remote", widgetRepo)
}

func gitOwnership(ctx context.Context, l *Lab) string {
	l.Setup(ctx, l.Work, "git", "init", "-q")
	for _, name := range []string{l.Work, filepath.Join(l.Work, ".git")} {
		l.check(os.Chown(name, 65534, 65534))
	}
	return l.Run(ctx, "git", "status")
}

// gitPlaintextLogin is a machine whose git refuses addresses that hold a password.
func gitPlaintextLogin(ctx context.Context, l *Lab) string {
	return l.Run(ctx, "git", "-c", "transfer.credentialsInUrl=die", "ls-remote", "https://bob:secret@github.com/acme/widget")
}

// goGitInsteadOf has a forgotten rewrite to a host that is gone.
func goGitInsteadOf(ctx context.Context, l *Lab) string {
	l.HTTPS("git.corp.example", status(404, ""))
	l.HTTPS("github.com", status(404, "")) // before Go 1.25, go looks there itself
	l.write(filepath.Join(l.Home, ".gitconfig"), "[url \"https://git.corp.example/mirror/\"]\n\tinsteadOf = https://github.com/\n")
	return goDirect(ctx, l, "github.com/acme/widget@v1.0.0")
}

// goGitStaleClone finds the lock that a killed fetch left in the cached clone.
func goGitStaleClone(ctx context.Context, l *Lab) string {
	l.gitHost(ctx)
	l.Set("GOPROXY", "direct")
	l.Setup(ctx, l.Work, "go", "mod", "download", "github.com/acme/widget@v1.0.0")
	shallow, err := filepath.Glob(filepath.Join(l.Home, "go/pkg/mod/cache/vcs/*/shallow"))
	l.check(err)
	for _, name := range shallow {
		l.write(name+".lock", "")
	}
	return l.Run(ctx, "go", "mod", "download", "github.com/acme/widget@v1.0.1")
}

// sshHost writes known_hosts for a server with the given key.
type sshHost func(server, other ssh.PublicKey) string

func knownHost(server, _ ssh.PublicKey) string  { return hostLine(server) }
func changedHost(_, other ssh.PublicKey) string { return hostLine(other) }
func unknownHost(_, _ ssh.PublicKey) string     { return "" }

func hostLine(key ssh.PublicKey) string {
	return "github.com " + string(ssh.MarshalAuthorizedKey(key))
}

// sshKey makes an ed25519 key, always the same for a seed, since ssh prints
// fingerprints.
func sshKey(l *Lab, seed string) (ssh.Signer, []byte) {
	key := ed25519.NewKeyFromSeed([]byte(strings.Repeat(seed, ed25519.SeedSize)))
	signer, err := ssh.NewSignerFromKey(key)
	l.check(err)
	block, err := ssh.MarshalPrivateKey(key, "")
	l.check(err)
	return signer, pem.EncodeToMemory(block)
}

// sshServer starts an ssh server that lets nobody in, and makes git use it for
// github.com.
func (l *Lab) sshServer(known sshHost) {
	server, _ := sshKey(l, "s")
	other, _ := sshKey(l, "o")
	_, client := sshKey(l, "c")
	cfg := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
		return nil, errors.New("not allowed")
	}}
	cfg.AddHostKey(server)
	addr := l.Accept("github.com", "22", func(c net.Conn) {
		_, _, _, _ = ssh.NewServerConn(c, cfg) // always refused
	})
	l.write(filepath.Join(l.Home, ".ssh/known_hosts"), known(server.PublicKey(), other.PublicKey()))
	l.write(filepath.Join(l.Home, ".ssh/id_ed25519"), string(client))
	l.check(os.Chmod(filepath.Join(l.Home, ".ssh/id_ed25519"), 0o600))
	l.sshTo(addr)
}

// sshTo turns github.com's ssh to addr. ssh takes its home from the password
// file, not from HOME, so every file is named.
func (l *Lab) sshTo(addr string) {
	host, port, err := net.SplitHostPort(addr)
	l.check(err)
	dir := filepath.Join(l.Home, ".ssh")
	l.Set("GIT_SSH_COMMAND", "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=none -o IdentitiesOnly=yes -o HostKeyAlias=github.com"+
		" -o UserKnownHostsFile="+dir+"/known_hosts -o IdentityFile="+dir+"/id_ed25519 -o HostName="+host+" -o Port="+port)
	l.write(filepath.Join(l.Home, ".gitconfig"), "[url \"ssh://git@github.com/\"]\n\tinsteadOf = https://github.com/\n")
}

func goSSH(known sshHost) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.sshServer(known)
		l.HTTPS("github.com", status(404, "")) // before Go 1.25, go looks there itself
		return goDirect(ctx, l, "github.com/acme/widget@v1.0.0")
	}
}

func gitSSH(known sshHost) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.sshServer(known)
		return l.Run(ctx, "git", "clone", "git@github.com:acme/widget.git")
	}
}

func gitSSHRefused(ctx context.Context, l *Lab) string {
	l.sshTo(l.Closed("github.com", "22"))
	return l.Run(ctx, "git", "clone", "git@github.com:acme/widget.git")
}
