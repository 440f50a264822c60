//go:build unix

package faultlab

import (
	"archive/zip"
	"bytes"
	"context"
	"io"
	"net/http"
)

// moduleScenarios are modules that are not where, or not what, they were asked as.
func moduleScenarios() []Scenario {
	return []Scenario{
		{Name: "go-module-unknown", Code: "module/missing-or-private", Also: codes("proxy/not-found", "module/repo-gone"), Tool: "go", Example: true, Run: goModuleUnknown},
		{Name: "go-no-package", Code: "module/no-package", Tool: "go", Since: "1.13", Before: codes("proxy/not-found"), Example: true, Run: goNoPackage},
		{Name: "go-not-required", Code: "module/not-required", Tool: "go", Since: "1.16", Example: true, Run: goNotRequired},
		{Name: "go-bad-path", Code: "module/bad-path", Tool: "go", Example: true, Run: goBadPath},
		{Name: "go-bad-path-dot", Code: "module/bad-path", Tool: "go", Run: goBadPathDot},
		{Name: "go-moved", Code: "module/moved", Tool: "go", Example: true, Run: goMoved},
		{Name: "go-case", Code: "module/case", Also: codes("module/moved"), Tool: "go", Example: true, Run: goCase},
		{Name: "go-not-in-std", Code: "module/not-in-std", Tool: "go", Since: "1.14", Before: codes("module/not-in-std", "module/bad-path"), Example: true, Run: goNotInStd},
		{Name: "go-vanity-no-tags", Code: "module/vanity", Tool: "go", Example: true, Run: goVanity(http.HandlerFunc(page))},
		{Name: "go-vanity-404", Code: "module/vanity", Also: codes("module/missing-or-private", "module/repo-gone"), Tool: "go", Run: goVanity(errorPage(404))},
		{Name: "go-unzippable-case", Code: "module/unzippable", Tool: "go", Example: true, Run: goUnzippable("Widget.go")},
		{Name: "go-unzippable-name", Code: "module/unzippable", Tool: "go", Run: goUnzippable("aux.txt")},
		{Name: "go-deprecated", Code: "module/deprecated", Tool: "go", Since: "1.17", Warns: true, Example: true, Run: goDeprecated},
	}
}

// versionScenarios are versions that do not exist or do not go together.
func versionScenarios() []Scenario {
	return []Scenario{
		{Name: "go-no-matching-versions", Code: "version/no-match", Tool: "go", Example: true, Run: goGet("example.com/widget@>v5.0.0")},
		{Name: "go-version-syntax", Code: "version/invalid", Tool: "go", Run: goVersionSyntax},
		{Name: "go-pseudo-version", Code: "version/invalid", Tool: "go", Since: "1.13", Needs: []string{"git"}, Example: true, Run: goPseudoVersion},
		{Name: "go-major-suffix", Code: "version/major-suffix", Tool: "go", Since: "1.16", Before: codes("proxy/not-found"), Example: true, Run: goRequire("example.com/widget v2.0.0")},
		{Name: "go-retracted", Code: "version/retracted", Tool: "go", Since: "1.16", Warns: true, Example: true, Run: goGet("example.com/widget@v1.2.0")},
		{Name: "go-too-old", Code: "version/go-too-old", Tool: "go", Since: "1.19", Run: goTooOld},
		{Name: "go-too-old-dependency", Code: "version/go-too-old", Tool: "go", Since: "1.19", Example: true, Run: goTooOldDependency},
		{Name: "go-toolchain-unavailable", Code: "version/toolchain", Tool: "go", Since: "1.21", Example: true, Run: goToolchain("go1.99.0")},
		{Name: "go-toolchain-setting", Code: "version/toolchain", Tool: "go", Since: "1.21", Run: goToolchain("latest")},
		{Name: "go-ambiguous-import", Code: "version/ambiguous-import", Tool: "go", Example: true, Run: goAmbiguous},
		{Name: "go-incompatible", Code: "version/incompatible", Also: codes("none/other"), Tool: "go", Example: true, Run: goIncompatible},
	}
}

// trust writes the go.sum that mods need, so that their sums are no fault.
func (l *Lab) trust(mods ...mod) {
	sums := ""
	for _, m := range mods {
		sums += m.sums(l.T)
	}
	l.Files("go.sum", sums)
}

func goGet(query string) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.app()
		l.proxyWith()
		return l.Run(ctx, "go", "get", query)
	}
}

func goRequire(line string) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.proxyWith()
		l.Files("go.mod", "module example.org/app\n\ngo 1.20\n\nrequire "+line+"\n", "app.go", "package app\n\nimport _ \"example.com/widget\"\n")
		return l.Run(ctx, "go", "build", "./...")
	}
}

func goModuleUnknown(ctx context.Context, l *Lab) string {
	l.bareApp()
	l.HTTPS("goproxy.example.org", errorPage(404))
	return l.Run(ctx, "go", "get", "example.com/acme/widgte")
}

func goNoPackage(ctx context.Context, l *Lab) string {
	l.bareApp()
	l.proxyWith()
	return l.Run(ctx, "go", "get", "example.com/widget/render")
}

func goNotRequired(ctx context.Context, l *Lab) string {
	l.Files("go.mod", "module example.org/app\n\ngo 1.20\n", "app.go", "package app\n\nimport _ \"example.com/widget\"\n")
	return l.Run(ctx, "go", "build", "./...")
}

func goBadPath(ctx context.Context, l *Lab) string {
	l.bareApp()
	return l.Run(ctx, "go", "get", "https://example.com/widget")
}

func goBadPathDot(ctx context.Context, l *Lab) string {
	l.Files("go.mod", "module example.org/app\n\ngo 1.20\n\nrequire widget v1.0.0\n", "app.go", "package app\n\nimport _ \"widget/render\"\n")
	return l.Run(ctx, "go", "mod", "tidy")
}

func goMoved(ctx context.Context, l *Lab) string {
	l.bareApp()
	l.proxyOf(newMod("example.com/oldname/gadget", "v1.0.0", "go.mod", "module example.com/newname/gadget\n", "gadget.go", "package gadget\n"))
	return l.Run(ctx, "go", "get", "example.com/oldname/gadget@v1.0.0")
}

func goCase(ctx context.Context, l *Lab) string {
	l.bareApp()
	l.proxyOf(newMod("github.com/Acme/Gadget", "v1.0.0", "go.mod", "module github.com/acme/gadget\n", "gadget.go", "package gadget\n"))
	return l.Run(ctx, "go", "get", "github.com/Acme/Gadget@v1.0.0")
}

func goNotInStd(ctx context.Context, l *Lab) string {
	l.Files("go.mod", "module example.org/app\n\ngo 1.20\n", "app.go", "package app\n\nimport _ \"widget/render\"\n")
	return l.Run(ctx, "go", "build", "./...")
}

func goVanity(h http.Handler) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.Set("GOPROXY", "direct")
		l.HTTPS("go.example.com", h)
		return l.Run(ctx, "go", "mod", "download", "go.example.com/widget@v1.0.0")
	}
}

// goUnzippable serves a zip with one more file, which no module may hold.
func goUnzippable(name string) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.proxyWith(fault{".zip", bytesOf("application/zip", rawZip(l, "example.com/widget@v1.0.0/", "go.mod", "widget.go", name))})
		return download(ctx, l)
	}
}

// rawZip packs files without the checks of x/mod/zip.
func rawZip(l *Lab, prefix string, names ...string) []byte {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, name := range names {
		w, err := z.Create(prefix + name)
		l.check(err)
		_, err = io.WriteString(w, widget().files[name])
		l.check(err)
	}
	l.check(z.Close())
	return buf.Bytes()
}

func goDeprecated(ctx context.Context, l *Lab) string {
	l.bareApp()
	l.proxyOf(newMod("example.com/gadget", "v1.0.0", "go.mod", "// Deprecated: use example.com/widget instead.\nmodule example.com/gadget\n", "gadget.go", "package gadget\n"), widget())
	return l.Run(ctx, "go", "get", "example.com/gadget@v1.0.0")
}

// goVersionSyntax has the bad version in a dependency: in the main module go
// would take it for a branch and ask.
func goVersionSyntax(ctx context.Context, l *Lab) string {
	l.app()
	m := newMod("example.com/widget", "v1.0.0", "go.mod", "module example.com/widget\n\ngo 1.20\n\nrequire example.com/gadget v1.0.0.1\n", "widget.go", "package widget\n")
	l.proxyOf(m)
	l.trust(m)
	return l.Run(ctx, "go", "build", "./...")
}

func goPseudoVersion(ctx context.Context, l *Lab) string {
	l.gitHost(ctx)
	l.Set("GOPROXY", "direct")
	return l.Run(ctx, "go", "mod", "download", "github.com/acme/widget@v0.0.0-20200101000000-"+l.gitHead(ctx)[:12])
}

func goTooOld(ctx context.Context, l *Lab) string {
	l.Files("go.mod", "module example.org/app\n\ngo 1.99\n", "app.go", "package app\n")
	return l.Run(ctx, "go", "build", "./...")
}

func goTooOldDependency(ctx context.Context, l *Lab) string {
	l.app()
	m := newMod("example.com/widget", "v1.0.0", "go.mod", "module example.com/widget\n\ngo 1.99.0\n", "widget.go", "package widget\n")
	l.proxyOf(m)
	l.trust(m)
	return l.Run(ctx, "go", "build", "./...")
}

func goToolchain(value string) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.app()
		l.proxyWith()
		l.Set("GOTOOLCHAIN", value)
		return l.Run(ctx, "go", "build", "./...")
	}
}

func goAmbiguous(ctx context.Context, l *Lab) string {
	parent := newMod("example.com/gadget", "v1.0.0", "sub/sub.go", "package sub\n")
	child := newMod("example.com/gadget/sub", "v0.1.0", "sub.go", "package sub\n")
	l.proxyOf(parent, child)
	l.trust(parent, child)
	l.Files(
		"go.mod", "module example.org/app\n\ngo 1.20\n\nrequire (\n\texample.com/gadget v1.0.0\n\texample.com/gadget/sub v0.1.0\n)\n",
		"app.go", "package app\n\nimport _ \"example.com/gadget/sub\"\n",
	)
	return l.Run(ctx, "go", "build", "./...")
}

// goIncompatible lets minimal version selection pair a dependency with a newer
// widget than it was written for.
func goIncompatible(ctx context.Context, l *Lab) string {
	next := newMod("example.com/widget", "v1.9.0", "widget.go", "package widget\n\nfunc Make() {}\n")
	gadget := newMod("example.com/gadget", "v1.0.0",
		"go.mod", "module example.com/gadget\n\ngo 1.20\n\nrequire example.com/widget v1.0.0\n",
		"gadget.go", "package gadget\n\nimport \"example.com/widget\"\n\nvar W = widget.New()\n\ntype T struct{ widget.Options }\n")
	l.proxyOf(next, gadget, widget())
	l.trust(next, gadget, widget())
	l.Files(
		"go.mod", "module example.org/app\n\ngo 1.20\n\nrequire (\n\texample.com/gadget v1.0.0\n\texample.com/widget v1.9.0\n)\n",
		"app.go", "package app\n\nimport _ \"example.com/gadget\"\n",
	)
	return l.Run(ctx, "go", "build", "./...")
}
