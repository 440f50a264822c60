//go:build unix

package faultlab

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
)

const sumHost = "sum.example.org"

// sumScenarios are contradictions between a module, go.sum and the checksum
// database, and faults of the database itself.
func sumScenarios() []Scenario {
	return []Scenario{
		{Name: "go-sum-mismatch", Code: "sum/go-sum-mismatch", Tool: "go", Example: true, Run: goSumMismatch(wrongZipSum)},
		{Name: "go-sum-mismatch-mod", Code: "sum/go-sum-mismatch", Tool: "go", Run: goSumMismatch(wrongModSum)},
		{Name: "go-sum-missing-entry", Code: "sum/missing-entry", Tool: "go", Since: "1.16", Example: true, Run: goSumMissing},
		{Name: "go-sum-missing-mod-entry", Code: "sum/missing-entry", Tool: "go", Since: "1.16", Run: goSumMissingMod},
		{Name: "go-sum-malformed", Code: "sum/malformed", Tool: "go", Since: "1.22", Before: codes("sum/malformed", "sum/missing-entry", "none/other"), Example: true, Run: goSumMalformed},
		{Name: "go-sum-conflict-markers", Code: "sum/malformed", Tool: "go", Since: "1.22", Before: codes("sum/malformed", "sum/missing-entry", "none/other"), Run: goSumConflict},
		{Name: "go-sumdb-mismatch", Code: "sum/sumdb-mismatch", Tool: "go", Since: "1.13", Example: true, Run: goSumDBMismatch},
		{Name: "go-sumdb-wrong-signer", Code: "sum/sumdb-mismatch", Also: codes("sum/sumdb-unreachable", "net/intercepted"), Tool: "go", Since: "1.13", Run: goSumDBWrongSigner},
		{Name: "go-sumdb-404", Code: "sum/sumdb-not-found", Tool: "go", Since: "1.13", Example: true, Run: goSumDBFault(fault{"/lookup/", status(404, "not found: example.com/widget@v1.0.0: no such repository\n")})},
		{Name: "go-sumdb-404-private", Code: "auth/goprivate-unset", Also: codes("sum/sumdb-not-found"), Tool: "go", Since: "1.13", Example: true, Run: goSumDBPrivate},
		{
			Name: "go-sumdb-fresh-tag", Code: "sum/not-yet-known", Also: codes("sum/sumdb-not-found"), Tool: "go", Since: "1.13", Example: true,
			Run: goSumDBFault(fault{"/lookup/", status(404, "not found: example.com/widget@v1.0.0: invalid version: unknown revision v1.0.0\n")}),
		},
		{Name: "go-sumdb-500", Code: "sum/sumdb-unreachable", Tool: "go", Since: "1.13", Run: goSumDBFault(fault{"", errorPage(500)})},
		{Name: "go-sumdb-html", Code: "sum/sumdb-unreachable", Also: codes("net/intercepted", "proxy/bad-response"), Tool: "go", Since: "1.13", Run: goSumDBFault(fault{"", page})},
		{Name: "go-sumdb-refused", Code: "sum/sumdb-unreachable", Also: codes("net/refused"), Tool: "go", Since: "1.13", Example: true, Run: goSumDBRefused},
		{Name: "go-sumdb-eof", Code: "sum/sumdb-unreachable", Also: codes("net/reset"), Tool: "go", Since: "1.13", Run: goSumDBEOF},
		{Name: "go-sumdb-supported-403", Code: "sum/sumdb-unreachable", Also: codes("proxy/forbidden"), Tool: "go", Since: "1.13", Run: goSumDBSupported403},
		{Name: "go-sumdb-bad-value", Code: "sum/misconfigured", Tool: "go", Since: "1.13", Example: true, Run: goSumDBValue("sum.example.org")},
		{Name: "go-sumdb-bad-key", Code: "sum/misconfigured", Tool: "go", Since: "1.13", Run: goSumDBValue("sum.example.org+033de0ae+AAAA")},
		{Name: "go-sumdb-cache-corrupt", Code: "sum/cache-corrupt", Tool: "go", Since: "1.13", Example: true, Run: goSumDBCacheCorrupt},
	}
}

// newKeys makes the keys of a checksum database. The same seed gives the same
// keys, so that what go prints of them is stable.
func newKeys(l *Lab, seed string) (signer, verifier string) {
	signer, verifier, err := note.GenerateKey(strings.NewReader(strings.Repeat(seed, 32)), sumHost)
	l.check(err)
	return signer, verifier
}

// sumDB starts a checksum database that vouches for mods, with faults, and
// makes go trust it.
func (l *Lab) sumDB(mods []mod, faults ...fault) {
	signer, verifier := newKeys(l, "k")
	l.Set("GOSUMDB", verifier)
	l.HTTPS(sumHost, breaking(sumServer(l, signer, mods), faults...))
}

func sumServer(l *Lab, signer string, mods []mod) http.Handler {
	known := map[string]string{}
	for _, m := range mods {
		known[m.path+"@"+m.version] = m.sums(l.T)
	}
	db := sumdb.NewTestServer(signer, func(path, version string) ([]byte, error) {
		if lines, ok := known[path+"@"+version]; ok {
			return []byte(lines), nil
		}
		return nil, fmt.Errorf("not found: %s@%s", path, version)
	})
	return sumdb.NewServer(db)
}

func goSumMismatch(lines func(*Lab) string) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.app()
		l.proxyWith()
		l.Files("go.sum", lines(l))
		return l.Run(ctx, "go", "mod", "download")
	}
}

func otherWidget() mod {
	return newMod("example.com/widget", "v1.0.0", "widget.go", "package widget // as it was before the tag was moved\n")
}

func wrongZipSum(l *Lab) string { return otherWidget().sums(l.T) }

func wrongModSum(l *Lab) string {
	return newMod("example.com/widget", "v1.0.0", "go.mod", "module example.com/widget\n").sums(l.T)
}

func goSumMissing(ctx context.Context, l *Lab) string {
	l.app()
	l.proxyWith()
	_, modLine, _ := strings.Cut(widget().sums(l.T), "\n")
	l.Files("go.sum", modLine)
	return l.Run(ctx, "go", "build", "./...")
}

func goSumMissingMod(ctx context.Context, l *Lab) string {
	l.app()
	l.proxyWith()
	return l.Run(ctx, "go", "list", "-m", "all")
}

func goSumMalformed(ctx context.Context, l *Lab) string {
	l.app()
	l.proxyWith()
	l.Files("go.sum", "example.com/widget v1.0.0\n")
	return l.Run(ctx, "go", "build", "./...")
}

func goSumConflict(ctx context.Context, l *Lab) string {
	l.app()
	l.proxyWith()
	l.Files("go.sum", "<<<<<<< HEAD\n"+widget().sums(l.T)+"=======\n>>>>>>> feature\n")
	return l.Run(ctx, "go", "build", "./...")
}

func goSumDBMismatch(ctx context.Context, l *Lab) string {
	l.proxyWith()
	l.sumDB([]mod{otherWidget()})
	return download(ctx, l)
}

// goSumDBWrongSigner lets a database sign with a key that go was not told.
func goSumDBWrongSigner(ctx context.Context, l *Lab) string {
	l.proxyWith()
	_, verifier := newKeys(l, "k")
	foreign, _ := newKeys(l, "x")
	l.Set("GOSUMDB", verifier)
	l.HTTPS(sumHost, sumServer(l, foreign, []mod{widget()}))
	return download(ctx, l)
}

func goSumDBFault(faults ...fault) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.proxyWith()
		l.sumDB([]mod{widget()}, faults...)
		return download(ctx, l)
	}
}

// goSumDBPrivate fetches a private module from its own server, while the
// checksum database is asked about it all the same.
func goSumDBPrivate(ctx context.Context, l *Lab) string {
	m := newMod("git.example.com/team/secret", "v1.0.0", "secret.go", "package secret\n")
	l.proxyOf(m)
	text := "not found: git.example.com/team/secret@v1.0.0: invalid version: git ls-remote -q --end-of-options origin in /tmp/gopath/pkg/mod/cache/vcs/5d1b6bd3a5a8f5a1c0c9a1b8a6f8b1f0c1b2a3d4e5f60718293a4b5c6d7e8f90: exit status 128:\n\tfatal: could not read Username for 'https://git.example.com': terminal prompts disabled\n"
	l.sumDB(nil, fault{"/lookup/", status(404, text)})
	return l.Run(ctx, "go", "mod", "download", "git.example.com/team/secret@v1.0.0")
}

func goSumDBRefused(ctx context.Context, l *Lab) string {
	l.proxyWith()
	_, verifier := newKeys(l, "k")
	l.Set("GOSUMDB", verifier+" https://"+l.Closed(sumHost, "443"))
	return download(ctx, l)
}

func goSumDBEOF(ctx context.Context, l *Lab) string {
	l.proxyWith()
	_, verifier := newKeys(l, "k")
	l.Set("GOSUMDB", verifier)
	l.Raw(sumHost, hangUp)
	return download(ctx, l)
}

func goSumDBSupported403(ctx context.Context, l *Lab) string {
	l.sumDB([]mod{widget()})
	l.proxyWith(fault{"/supported", status(403, "blocked by policy\n")})
	return download(ctx, l)
}

func goSumDBValue(value string) func(context.Context, *Lab) string {
	return func(ctx context.Context, l *Lab) string {
		l.proxyWith()
		l.Set("GOSUMDB", value)
		return download(ctx, l)
	}
}

// goSumDBCacheCorrupt leaves zeros where go keeps the database's newest head,
// as a power cut does.
func goSumDBCacheCorrupt(ctx context.Context, l *Lab) string {
	l.proxyWith()
	l.sumDB([]mod{widget()})
	l.write(filepath.Join(l.Home, "go/pkg/sumdb", sumHost, "latest"), strings.Repeat("\x00", 64))
	return download(ctx, l)
}
