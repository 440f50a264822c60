//go:build unix

package faultlab

import (
	"context"
	"os"
	"path/filepath"
)

// mendable is a fault that doctor mends by itself or after a consent: afterwards the
// same call of the tool succeeds, and after undo the machine is as before.
type mendable struct {
	name string
	// consent says that --yes does not do: it touches trust, ownership or packages.
	consent bool
	needs   []string
	run     func(ctx context.Context, l *Lab) string
}

// mendables lists them. To add one, write the fault as for a situation, in files and
// not in the environment: what a shell has set, only the shell can mend.
func mendables() []mendable {
	return []mendable{
		{name: "cache-poisoned-mod", run: goCachePoisoned},
		{name: "cache-zip-cut", run: goCacheZipCut},
		{name: "cache-emptied", run: goCacheEmptied},
		{name: "cache-modified", run: goCacheModified},
		{name: "cache-not-writable", needs: []string{"root", "setpriv"}, run: mendCacheMode},
		{name: "sumdb-cache-corrupt", run: goSumDBCacheCorrupt},
		{name: "git-ownership", consent: true, needs: []string{"git"}, run: goVCSStamping},
		{name: "setting-goproxy-scheme", run: mendSetting("GOPROXY=htps://goproxy.example.org\n")},
		{name: "setting-goproxy-full-width-comma", run: mendSetting("GOPROXY=https://goproxy.example.org，direct\n")},
		{name: "setting-goprivate-blank", needs: []string{"git"}, run: mendPrivate("GOPRIVATE=git.corp.example, github.com/acme\n")},
		{name: "setting-goprivate-unset", needs: []string{"git"}, run: mendPrivate("")},
		{name: "go-mod-version-without-v", consent: true, run: goRequire("example.com/widget 1.0.0")},
		{name: "go-mod-major-suffix", consent: true, run: mendMajor},
		{name: "go-mod-toolchain-line", run: mendGoMod("toolchain 1.21.0\n")},
		{name: "go-mod-replace-nowhere", consent: true, run: goReplaceNowhereServed},
		{name: "go-mod-readonly", run: goReadonly},
		{name: "go-sum-missing-entry", run: goSumMissing},
		{name: "go-sum-malformed", run: goSumMalformed},
		{name: "go-sum-conflict-markers", run: goSumConflict},
		{name: "go-not-required", consent: true, run: mendNotRequired},
		{name: "vendor-drift", run: mendVendor(goVendorDrift)},
		{name: "vendor-missing", run: mendVendor(goVendorMissing)},
		{name: "workspace-missing", run: mendWork(goWorkspaceMissing)},
		{name: "workspace-outside", run: mendWork(goWorkspaceOutside)},
	}
}

// userFile puts settings where go env -w writes them, and nothing of them in the
// environment.
func (l *Lab) userFile(text string) {
	file := filepath.Join(l.Home, ".config/go/env")
	l.write(file, text)
	l.Set("GOENV", file, "GOPROXY", "", "GOFLAGS", "")
}

func mendSetting(text string) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.proxyWith()
		l.userFile(text)
		return download(ctx, l)
	}
}

// mendPrivate asks a public proxy for a private module: go's own default would be asked
// next, and go must not come so far.
func mendPrivate(text string) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.proxyWith(fault{"github.com", status(404, "not found: github.com/acme/widget@v1.0.0: invalid version: git ls-remote -q --end-of-options origin: exit status 128:\n\tfatal: could not read Username for 'https://github.com': terminal prompts disabled\n")})
		l.HTTPS("github.com", guarded(l.gitServer(ctx), "GitHub"))
		l.netrc("machine github.com login user password " + labPassword + "\n")
		l.userFile("GOPROXY=https://goproxy.example.org\n" + text)
		return l.Run(ctx, "go", "mod", "download", "github.com/acme/widget@v1.0.0")
	}
}

// mendCacheMode closes a directory of a cache that belongs to the user, who is not root.
func mendCacheMode(ctx context.Context, l *Lab) string {
	l.proxyWith()
	cache := l.modCache("cache")
	l.check(os.MkdirAll(cache, 0o755))
	l.check(os.Chmod(filepath.Dir(l.Dir), 0o755)) // testing keeps it to its own user
	own := filepath.Join(l.Dir, "tmp", "nobody")
	l.check(os.MkdirAll(own, 0o777))
	l.check(os.MkdirAll(l.stateDir(), 0o777))
	for _, dir := range []string{own, l.stateDir(), filepath.Join(l.Home, "go"), filepath.Join(l.Home, "go/pkg"), l.modCache(""), cache} {
		l.check(os.Chown(dir, 65534, 65534))
	}
	l.check(os.Chmod(l.modCache(""), 0o555))
	l.check(os.Chmod(cache, 0o555))
	l.Set("GOCACHE", own, "TMPDIR", own)
	prefix := []string{"--reuid=65534", "--regid=65534", "--clear-groups", executable("go")}
	if _, code := l.exec(ctx, l.Work, "setpriv", append(prefix, "version")...); code != 0 {
		l.T.Skip("another user cannot run this go command")
	}
	return l.Run(ctx, "setpriv", append(prefix, "mod", "download", "example.com/widget@v1.0.0")...)
}

// mendMajor requires v2 under the path of v1, while the program imports /v2.
func mendMajor(ctx context.Context, l *Lab) string {
	l.proxyWith()
	l.Files("go.mod", "module example.org/app\n\ngo 1.20\n\nrequire example.com/widget v2.0.0\n", "app.go", "package app\n\nimport _ \"example.com/widget/v2\"\n")
	for _, m := range widgets() {
		if m.path == "example.com/widget/v2" {
			l.trust(m)
		}
	}
	return build(ctx, l)
}

func mendGoMod(line string) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.proxyWith()
		l.app()
		l.trust(widget())
		l.Files("go.mod", "module example.org/app\n\ngo 1.21\n\n"+line+"\nrequire example.com/widget v1.0.0\n")
		return build(ctx, l)
	}
}

func goReplaceNowhereServed(ctx context.Context, l *Lab) string {
	l.proxyWith()
	l.trust(widget())
	return goReplaceNowhere(ctx, l)
}

func mendNotRequired(ctx context.Context, l *Lab) string {
	l.proxyWith()
	return goNotRequired(ctx, l)
}

func mendVendor(run func(context.Context, *Lab) string) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.proxyWith()
		l.trust(widget())
		return run(ctx, l)
	}
}

func mendWork(run func(context.Context, *Lab) string) func(context.Context, *Lab) string {
	return mendVendor(run)
}
