//go:build unix

package faultlab

import (
	"context"
	"os"
	"path/filepath"
)

// localScenarios are faults of the project, the settings or this machine.
func localScenarios() []Scenario {
	return []Scenario{
		{Name: "go-no-go-mod", Code: "local/no-go-mod", Tool: "go", Example: true, Run: goNoGoMod},
		{Name: "go-no-go-mod-get", Code: "local/no-go-mod", Tool: "go", Since: "1.18", Run: goNoGoModGet},
		{Name: "go-mod-parse", Code: "local/go-mod-parse", Tool: "go", Example: true, Run: goModParse("requires example.com/widget v1.0.0\n")},
		{Name: "go-mod-conflict-markers", Code: "local/go-mod-parse", Tool: "go", Run: goModParse("<<<<<<< HEAD\nrequire example.com/widget v1.0.0\n=======\n>>>>>>> feature\n")},
		{Name: "go-readonly", Code: "local/readonly", Tool: "go", Since: "1.16", Example: true, Run: goReadonly},
		{Name: "go-vendor-drift", Code: "local/vendor", Tool: "go", Since: "1.14", Example: true, Run: goVendorDrift},
		{Name: "go-vendor-missing", Code: "local/vendor", Tool: "go", Since: "1.14", Run: goVendorMissing},
		{Name: "go-workspace-missing", Code: "local/workspace", Tool: "go", Since: "1.18", Run: goWorkspaceMissing},
		{Name: "go-workspace-outside", Code: "local/workspace", Tool: "go", Since: "1.18", Example: true, Run: goWorkspaceOutside},
		{Name: "go-replace-nowhere", Code: "local/replace", Tool: "go", Example: true, Run: goReplaceNowhere},
		{Name: "go-cache-is-file", Code: "local/cache-permission", Tool: "go", Run: goCacheIsFile},
		{Name: "go-cache-denied", Code: "local/cache-permission", Tool: "go", Needs: []string{"root", "setpriv"}, Example: true, Run: goCacheDenied},
		{Name: "go-cache-poisoned-mod", Code: "local/cache-corrupt", Also: codes("proxy/bad-response"), Tool: "go", Run: goCachePoisoned},
		{Name: "go-cache-modified", Code: "local/cache-corrupt", Tool: "go", Example: true, Run: goCacheModified},
		{Name: "go-disk-full", Code: "local/disk-full", Tool: "go", Needs: []string{"unshare"}, Example: true, Run: goDiskFull},
		{Name: "go-gopath-go-mod", Code: "local/gopath", Tool: "go", Since: "1.22", Before: codes("local/gopath"), Warns: true, Run: goGopathGoMod},
		{Name: "go-gopath-relative", Code: "local/gopath", Tool: "go", Run: goGopathRelative},
		{Name: "go-gopath-mode", Code: "local/gopath", Also: codes("module/not-in-std"), Tool: "go", Example: true, Run: goGopathMode},
		{Name: "go-goroot", Code: "local/goroot", Tool: "go", Run: goGoroot},
		{Name: "go-goroot-mixed", Code: "local/goroot", Tool: "go", Example: true, Run: goGorootMixed},
		{Name: "go-compiler-killed", Code: "local/oom", Tool: "go", Example: true, Run: goKilled},
		{Name: "go-import-cycle", Code: "local/import-cycle", Tool: "go", Example: true, Run: goImportCycle},
		{Name: "go-vcs-stamping", Code: "vcs/ownership", Tool: "go", Since: "1.18", Before: codes("version/go-too-old"), Needs: []string{"git"}, Run: goVCSStamping},
	}
}

func goNoGoMod(ctx context.Context, l *Lab) string {
	l.outsideModules()
	l.Files("app.go", "package app\n")
	return l.Run(ctx, "go", "build")
}

// outsideModules skips where a directory above the lab holds a go.mod: go would
// find it, and there is no way to tell it not to look.
func (l *Lab) outsideModules() {
	l.T.Helper()
	for dir := filepath.Dir(l.Work); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			l.T.Skipf("there is a go.mod in %s, above the temporary directory", dir)
		}
		if dir == filepath.Dir(dir) {
			return
		}
	}
}

func goNoGoModGet(ctx context.Context, l *Lab) string {
	l.outsideModules()
	return l.Run(ctx, "go", "get", "example.com/widget")
}

func goModParse(line string) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.Files("go.mod", "module example.org/app\n\ngo 1.20\n\n"+line, "app.go", "package app\n")
		return l.Run(ctx, "go", "build", "./...")
	}
}

// goReadonly has a requirement that a dependency raises.
func goReadonly(ctx context.Context, l *Lab) string {
	gadget := newMod("example.com/gadget", "v1.0.0", "go.mod", "module example.com/gadget\n\ngo 1.20\n\nrequire example.com/widget v1.2.0\n", "gadget.go", "package gadget\n")
	l.proxyOf(append(widgets(), gadget)...)
	l.trust(append(widgets(), gadget)...)
	l.Files(
		"go.mod", "module example.org/app\n\ngo 1.20\n\nrequire (\n\texample.com/gadget v1.0.0\n\texample.com/widget v1.0.0\n)\n",
		"app.go", "package app\n\nimport _ \"example.com/gadget\"\n",
	)
	return l.Run(ctx, "go", "build", "./...")
}

func goVendorDrift(ctx context.Context, l *Lab) string {
	l.app()
	l.Files("vendor/modules.txt", "# example.com/widget v0.9.0\n## explicit; go 1.20\nexample.com/widget\n", "vendor/example.com/widget/widget.go", "package widget\n")
	l.Set("GOFLAGS", "-mod=vendor")
	return l.Run(ctx, "go", "build", "./...")
}

func goVendorMissing(ctx context.Context, l *Lab) string {
	l.app()
	l.Files("vendor/modules.txt", "# example.com/widget v1.0.0\n## explicit; go 1.20\n")
	return l.Run(ctx, "go", "build", "./...")
}

func goWorkspaceMissing(ctx context.Context, l *Lab) string {
	l.app()
	l.Files("go.work", "go 1.20\n\nuse (\n\t.\n\t./tools\n)\n")
	return l.Run(ctx, "go", "build", "./...")
}

func goWorkspaceOutside(ctx context.Context, l *Lab) string {
	l.app()
	l.Files("go.work", "go 1.20\n\nuse ./tools\n", "tools/go.mod", "module example.org/tools\n\ngo 1.20\n")
	return l.Run(ctx, "go", "build", "./...")
}

func goReplaceNowhere(ctx context.Context, l *Lab) string {
	l.app()
	l.Files("go.mod", "module example.org/app\n\ngo 1.20\n\nrequire example.com/widget v1.0.0\n\nreplace example.com/widget => ../widget\n")
	return l.Run(ctx, "go", "build", "./...")
}

// goCacheIsFile works as root too, who may write into every directory.
func goCacheIsFile(ctx context.Context, l *Lab) string {
	l.proxyWith()
	l.write(filepath.Join(l.Home, "go/pkg/mod"), "not a directory\n")
	return download(ctx, l)
}

// goCacheDenied runs as nobody on a module cache that belongs to root.
func goCacheDenied(ctx context.Context, l *Lab) string {
	l.proxyWith()
	l.check(os.MkdirAll(filepath.Join(l.Home, "go/pkg/mod"), 0o755))
	l.check(os.Chmod(filepath.Dir(l.Dir), 0o755)) // testing keeps it to its own user
	own := filepath.Join(l.Dir, "tmp", "nobody")
	l.check(os.MkdirAll(own, 0o777))
	l.check(os.Chmod(own, 0o777))
	l.Set("GOCACHE", own, "TMPDIR", own)
	if _, code := l.exec(ctx, l.Work, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", executable("go"), "version"); code != 0 {
		l.T.Skip("another user cannot run this go command")
	}
	return l.Run(ctx, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", executable("go"), "mod", "download", "example.com/widget@v1.0.0")
}

// goCachePoisoned finds the page that a broken proxy left in place of a go.mod.
func goCachePoisoned(ctx context.Context, l *Lab) string {
	l.app()
	l.proxyWith()
	at := filepath.Join(l.Home, "go/pkg/mod/cache/download/example.com/widget/@v/")
	l.write(filepath.Join(at, "v1.0.0.info"), widget().info())
	l.write(filepath.Join(at, "v1.0.0.mod"), loginPage)
	l.updating()
	return l.Run(ctx, "go", "list", "-m", "all")
}

// goCacheModified edits a dependency in the cache, as a debugging hand does.
func goCacheModified(ctx context.Context, l *Lab) string {
	l.Set("GOCACHE", filepath.Join(l.Dir, "tmp/gocache"))
	l.app()
	l.proxyWith()
	l.trust(widget())
	l.Setup(ctx, l.Work, "go", "mod", "download")
	l.unlock()
	name := filepath.Join(l.Home, "go/pkg/mod/example.com/widget@v1.0.0/widget.go")
	l.check(os.Chmod(name, 0o644))
	l.write(name, "package widget\n\nfunc init() { println(\"debug\") }\n")
	return l.Run(ctx, "go", "mod", "verify")
}

// goDiskFull gives the module cache a file system of 64 KiB, seen by this
// command alone.
func goDiskFull(ctx context.Context, l *Lab) string {
	big := newMod("example.com/widget", "v1.0.0", "widget.go", "package widget\n", "data.txt", noise(512<<10))
	l.proxyOf(big)
	cache := filepath.Join(l.Home, "go/pkg/mod")
	l.check(os.MkdirAll(cache, 0o755))
	unshare := []string{"--user", "--map-root-user", "--mount", "sh", "-c"}
	mount := "mount -t tmpfs -o size=64k,mode=755 tmpfs " + cache
	if _, code := l.exec(ctx, l.Work, "unshare", append(unshare, mount)...); code != 0 {
		l.T.Skip("this machine does not allow mounts in an own namespace")
	}
	return l.Run(ctx, "unshare", append(unshare, mount+" && exec go mod download example.com/widget@v1.0.0")...)
}

func goGopathGoMod(ctx context.Context, l *Lab) string {
	l.bareApp()
	l.Set("GOPATH", l.Work)
	return l.Run(ctx, "go", "build", "./...")
}

func goGopathRelative(ctx context.Context, l *Lab) string {
	l.app()
	l.Set("GOPATH", "go")
	return l.Run(ctx, "go", "build", "./...")
}

func goGopathMode(ctx context.Context, l *Lab) string {
	l.app()
	l.Set("GO111MODULE", "off")
	return l.Run(ctx, "go", "build", "./...")
}

func goGoroot(ctx context.Context, l *Lab) string {
	l.app()
	l.Set("GOROOT", "/usr/local/go1.18")
	return l.Run(ctx, "go", "build", "./...")
}

// withCompiler gives go a GOROOT whose compiler is replaced by a shell script;
// $COMPILE in it is the real one.
func (l *Lab) withCompiler(ctx context.Context, script string) {
	goroot := trimLine(l.Setup(ctx, l.Work, "go", "env", "GOROOT"))
	platform := trimLine(l.Setup(ctx, l.Work, "go", "env", "GOHOSTOS")) + "_" + trimLine(l.Setup(ctx, l.Work, "go", "env", "GOHOSTARCH"))
	root := filepath.Join(l.Dir, "goroot")
	l.linkAll(goroot, root, "pkg")
	l.linkAll(filepath.Join(goroot, "pkg"), filepath.Join(root, "pkg"), "tool")
	tools := filepath.Join("pkg/tool", platform)
	l.linkAll(filepath.Join(goroot, tools), filepath.Join(root, tools), "compile")
	compiler := filepath.Join(root, tools, "compile")
	l.write(compiler, "#!/bin/sh\nCOMPILE="+filepath.Join(goroot, tools, "compile")+"\n"+script)
	l.check(os.Chmod(compiler, 0o755))
	l.Set("GOROOT", root, "GOCACHE", filepath.Join(l.Dir, "tmp/gocache"))
}

// goGorootMixed pairs this release's compiler with the go command of another,
// as an unpacking over an old tree does: the compiler is told another version
// and says so in its own words.
func goGorootMixed(ctx context.Context, l *Lab) string {
	l.bareApp()
	l.withCompiler(ctx, `exec $COMPILE $(echo "$@" | sed 's/-goversion go[^ ]*/-goversion go1.25.1/')`+"\n")
	return l.Run(ctx, "go", "build", "./...")
}

// goKilled ends the compiler with the signal that the kernel sends when memory
// runs out.
func goKilled(ctx context.Context, l *Lab) string {
	l.bareApp()
	l.withCompiler(ctx, `case "$*" in *-V=full*) exec $COMPILE "$@" ;; esac`+"\nkill -9 $$\n")
	return l.Run(ctx, "go", "build", "./...")
}

// linkAll makes dir a copy of from in symbolic links, without the one entry
// that the caller makes by itself.
func (l *Lab) linkAll(from, dir, without string) {
	l.T.Helper()
	l.check(os.MkdirAll(dir, 0o755))
	entries, err := os.ReadDir(from)
	l.check(err)
	for _, e := range entries {
		if e.Name() != without {
			l.check(os.Symlink(filepath.Join(from, e.Name()), filepath.Join(dir, e.Name())))
		}
	}
}

func goImportCycle(ctx context.Context, l *Lab) string {
	l.Files(
		"go.mod", "module example.org/app\n\ngo 1.20\n",
		"a/a.go", "package a\n\nimport _ \"example.org/app/b\"\n",
		"b/b.go", "package b\n\nimport _ \"example.org/app/a\"\n",
	)
	return l.Run(ctx, "go", "build", "./...")
}

// goVCSStamping builds a command in a repository whose .git is none.
func goVCSStamping(ctx context.Context, l *Lab) string {
	l.Files("go.mod", "module example.org/app\n\ngo 1.20\n", "main.go", "package main\n\nfunc main() {}\n")
	l.Setup(ctx, l.Work, "git", "init", "-q")
	l.Set("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1") // git's own switch: needs no second user
	return l.Run(ctx, "go", "build", "-buildvcs=true", "./...")
}
