//go:build unix

package faultlab

import (
	"context"
	"strings"
)

// cgoPrograms are C inside Go; the errors are the C compiler's and the linker's,
// as the go command passes them on.
var cgoPrograms = []snippet{
	{"header", "// #include <widget/widget.h>\nimport \"C\""},
	{"ownheader", "// #include \"go_mod.h\"\nimport \"C\""},
	{"syntax", "// int f( {\nimport \"C\"\n\nvar v = C.f()"},
	{"undeclared", "// int f(void) { return GOPROXY; }\nimport \"C\"\n\nvar v = C.f()"},
	{"cerror", "// #error \"410 Gone\"\nimport \"C\"\n\nvar v = C.int(1)"},
	{"unknownname", "// int f(void);\nimport \"C\"\n\nvar v = C.checksum_mismatch()"},
	{"twice", "// int f(void) { return 1; }\n// int f(void) { return 2; }\nimport \"C\"\n\nvar v = C.f()"},
	{"gotype", "// int f(int n) { return n; }\nimport \"C\"\n\nvar v = C.f(\"404\")"},
	{"implicit", "// #cgo CFLAGS: -Werror\n// int f(void) { return fetch(); }\nimport \"C\"\n\nvar v = C.f()"},
	{"warning", "// static int f(void) { return \"410 Gone\"; }\nimport \"C\"\n\nvar V = C.f()"},
}

// cgoMains are refused by the linker only.
var cgoMains = []snippet{
	{"reference", "package main\n\n// int f(void);\nimport \"C\"\n\nfunc main() { C.f() }"},
	{"library", "package main\n\n// #cgo LDFLAGS: -lwidget_that_is_nowhere\n// int f(void);\nimport \"C\"\n\nfunc main() { C.f() }"},
}

func cgoNegatives(ctx context.Context, l *Lab) []negative {
	l.goShop()
	l.Set("CGO_ENABLED", "1")
	l.packages("p.go", cgoPrograms)
	out := cutPackages(l.Run(ctx, "go", "build", "./..."), cgoPrograms)
	in := l.inside("linked")
	in.goShop()
	in.packages("p.go", cgoMains)
	out = append(out, cutPackages(in.Run(ctx, "go", "build", "-o", "bin/", "./..."), cgoMains)...)
	in = l.inside("refused")
	in.goShop()
	in.Files("p.go", "package p\n\n// #cgo LDFLAGS: -Wl,-plugin=x\nimport \"C\"\n")
	return append(out, negative{"flag", in.Run(ctx, "go", "build", ".")})
}

// gccPrograms are C of its own; gcc compiles and links each.
var gccPrograms = []snippet{
	{"header", "#include <curl/widget.h>\nint main(void) { return 0; }"},
	{"undeclared", "int main(void) { return proxy; }"},
	{"reference", "int fetch(void);\nint main(void) { return fetch(); }"},
	{"implicit", "int main(void) { return checksum_mismatch(); }"},
	{"nomain", "int fetch(void) { return 404; }"},
	{"syntax", "int main(void) { return 410 Gone; }"},
	{"brace", "int main(void) {"},
	{"types", "struct module { int v; };\nint main(void) { struct module m = \"v1.2.0\"; return m; }"},
	{"field", "struct module { int v; };\nint main(void) { struct module m; return m.version; }"},
	{"arguments", "int get(int a);\nint main(void) { return get(1, 2); }"},
	{"redefined", "int get(void) { return 1; }\nint get(void) { return 2; }"},
	{"conflicting", "int get(void);\nchar *get(void);\nint main(void) { return 0; }"},
	{"error", "#error x509: certificate signed by unknown authority\n"},
	{"warning", "#warning connection refused\nint main(void) { return \"no such host\"; }"},
	{"assert", "_Static_assert(404 == 410, \"404 Not Found\");\nint main(void) { return 0; }"},
	{"macro", "#define GET(url) fetch(url)\nint main(void) { return GET(); }"},
	{"unterminated", "#if PROXY\nint main(void) { return 0; }"},
	{"format", "#include <stdio.h>\nint main(void) { printf(\"%s\", 404); return x; }"},
}

func gccNegatives(ctx context.Context, l *Lab) []negative {
	out := l.scripts(ctx, ".c", gccPrograms, "gcc", "-Wall", "-o", "program")
	l.Files("ok.c", "int main(void) { return 0; }\n", "a.c", "int version;\nint get(void) { return 1; }\n", "b.c", "int version = 2;\nint get(void) { return 2; }\n",
		"crash.c", "#include <stdlib.h>\nint main(void) { abort(); }\n", "module.o", "<html>404 Not Found</html>\n")
	return append(out, l.each(ctx, []shellLine{
		{"library", "gcc ok.c -lwidget_that_is_nowhere"},
		{"multiple", "gcc ok.c a.c b.c"},
		{"nofile", "gcc missing.c"},
		{"noobject", "gcc ok.c build/missing.o"},
		{"badobject", "gcc ok.c module.o"},
		{"badoption", "gcc -fno-such-option ok.c"},
		{"outputdir", "gcc -o missing/dir/program ok.c"},
		{"crash", "gcc -o crash crash.c && sh -c './crash; echo exit status $?'"},
		{"version", "gcc --version"},
	})...)
}

// nodeHead gives the scripts a port that nobody listens on.
const nodeHead = `const net = require("net");
const closed = (then) => { const s = net.createServer().listen(0, "127.0.0.1", () => { const { port } = s.address(); s.close(() => then(port)); }); };
`

// nodePrograms fail by themselves when node runs them.
var nodePrograms = []snippet{
	{"reference", `console.log(registry);`},
	{"typeerror", `const manifest = undefined; manifest.versions;`},
	{"notfunction", `const fetchModule = {}; fetchModule();`},
	{"throw", `throw new Error("404 Not Found");`},
	{"throwstring", `throw "E404";`},
	{"throwmany", `throw new AggregateError([new Error("ECONNREFUSED"), new Error("ETIMEDOUT")], "all mirrors failed");`},
	{"syntax", `const version = ;`},
	{"syntaxbrace", `function f() {`},
	{"syntaxhtml", `<html><head><title>502 Bad Gateway</title></head></html>`},
	{"json", `JSON.parse("<html>404</html>");`},
	{"jsonend", `JSON.parse("{");`},
	{"nofile", `require("fs").readFileSync("config.json");`},
	{"ownmodule", `require("./lib/registry");`},
	{"range", `new Array(-1);`},
	{"recursion", `(function f() { f(); })();`},
	{"assert", `require("assert").strictEqual("200 OK", "410 Gone");`},
	{"assertdeep", `require("assert").deepStrictEqual({ code: "E404", hosts: [] }, { code: "ECONNREFUSED", hosts: ["a"] });`},
	{"refused", nodeHead + `closed((port) => net.connect(port, "127.0.0.1"));`},
	{"refusedfetch", nodeHead + `closed((port) => fetch("http://127.0.0.1:" + port + "/v1/orders"));`},
	{"refusedhttp", nodeHead + `closed((port) => require("http").get("http://127.0.0.1:" + port + "/v1/orders"));`},
	{"refusedlogged", nodeHead + `closed((port) => net.connect(port, "127.0.0.1").on("error", (e) => { console.error("orders: upstream:", e.message); process.exit(1); }));`},
	{"notfounddns", `const e = new Error("getaddrinfo ENOTFOUND api.example.org"); e.code = "ENOTFOUND"; e.hostname = "api.example.org"; throw e;`},
	{"again", `console.error("Error: getaddrinfo EAI_AGAIN db.internal"); process.exit(1);`},
	{"timedout", `console.error("MongoServerSelectionError: connect ETIMEDOUT 192.0.2.10:27017"); process.exit(1);`},
	{"selfsigned", `const e = new Error("self-signed certificate in certificate chain"); e.code = "SELF_SIGNED_CERT_IN_CHAIN"; throw e;`},
	{"expired", `console.error("Error: certificate has expired\n    at TLSSocket.onConnectSecure (node:_tls_wrap:1674:34)"); process.exit(1);`},
	{"hangup", `const e = new Error("socket hang up"); e.code = "ECONNRESET"; throw e;`},
	{"rejection", `Promise.reject(new Error("request failed with status code 403"));`},
	{"reject", `Promise.reject("401 Unauthorized");`},
	{"spawn", `require("child_process").execSync("exit 128", { stdio: "inherit" });`},
	{"spawnmissing", `require("child_process").spawn("convert-that-is-nowhere");`},
	{"addrinuse", `net = require("net"); s = net.createServer().listen(0, "127.0.0.1", () => net.createServer().listen(s.address().port, "127.0.0.1"));`},
	{"permission", `const e = new Error("EACCES: permission denied, open '/etc/shop/config.json'"); e.code = "EACCES"; throw e;`},
	{"exists", `require("fs").mkdirSync(".");`},
	{"warning", `process.emitWarning("the registry option is deprecated");`},
	{"buffer", `new Buffer(4);`},
	{"test", `require("node:test")("checksum mismatch is found", () => { throw new Error("EINTEGRITY"); });`},
	{"success", `console.log("server listening on 8080\nproxy ready\n0 vulnerabilities");`},
}

func nodeNegatives(ctx context.Context, l *Lab) []negative {
	l.direct()
	out := l.scripts(ctx, ".js", nodePrograms, "node")
	l.Files("esm.mjs", "import { Missing } from \"node:fs\";\n", "own.mjs", "import \"./lib/proxy.mjs\";\n")
	return append(out, l.each(ctx, []shellLine{
		{"check", "node --check syntaxbrace.js"},
		{"checkhtml", "node --check syntaxhtml.js"},
		{"export", "node esm.mjs"},
		{"ownesm", "node own.mjs"},
		{"option", "node --no-such-option"},
		{"version", "node --version"},
	})...)
}

// npmScripts are what a project's package.json runs; npm reports the failures of
// each, though none is its own.
var npmScripts = []snippet{
	{"test", "echo 'Error: no test specified' && exit 1"},
	{"build", "node -e 'throw new Error(1)'"},
	{"lint", "echo 'src/registry.js: line 4, col 2, Error - no-undef'; exit 2"},
	{"start", "node server.js"},
	{"missingtool", "webpack-that-is-nowhere --mode production"},
	{"signal", "kill -9 $$"},
	{"exit128", "exit 128"},
	{"unit", "node --test unit.test.js"},
	{"tsc", "echo \"src/app.ts(4,10): error TS2339: Property 'version' does not exist on type 'Module'.\"; exit 2"},
	{"jest", "printf 'FAIL src/proxy.test.js\\n  ● proxy › 404\\n\\n    expect(received).toBe(expected)\\n\\n    Expected: \"410 Gone\"\\n    Received: \"404 Not Found\"\\n'; exit 1"},
}

func npmNegatives(ctx context.Context, l *Lab) []negative {
	var scripts []string
	for _, p := range npmScripts {
		text := strings.ReplaceAll(strings.ReplaceAll(p.text, `\`, `\\`), `"`, `\"`)
		scripts = append(scripts, "    \""+p.name+"\": \""+text+"\"")
	}
	l.Files("package.json", "{\n  \"name\": \"shop\",\n  \"version\": \"1.2.0\",\n  \"scripts\": {\n"+strings.Join(scripts, ",\n")+"\n  }\n}\n",
		"server.js", "throw Object.assign(new Error('connect ECONNREFUSED 192.0.2.10:5432'), { code: 'ECONNREFUSED', syscall: 'connect', address: '192.0.2.10', port: 5432 });\n",
		"unit.test.js", "require('node:test')('410 Gone', () => { require('assert').equal(404, 410); });\n",
		"local/package.json", "{ \"name\": \"local\", \"version\": \"1.0.0\" }\n")
	var list []shellLine
	for _, p := range npmScripts {
		list = append(list, shellLine{p.name, "npm run " + p.name})
	}
	return l.each(ctx, append(list,
		shellLine{"noscript", "npm run deploy"},
		shellLine{"nocommand", "npm biuld"},
		shellLine{"installlocal", "npm install --offline ./local"},
		shellLine{"list", "npm ls"},
		shellLine{"version", "npm --version"},
	))
}

// pythonHead gives the scripts a port that nobody listens on.
const pythonHead = `import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]; s.close()
`

// pythonPrograms fail by themselves when python runs them.
var pythonPrograms = []snippet{
	{"name", "print(registry)"},
	{"zero", "1 / 0"},
	{"attribute", "None.version"},
	{"key", "{}['404']"},
	{"index", "[][410]"},
	{"type", "'v' + 1"},
	{"value", "int('v1.2.0')"},
	{"raise", "raise RuntimeError('checksum mismatch')"},
	{"chained", "try:\n    {}['proxy']\nexcept KeyError as e:\n    raise RuntimeError('404 Not Found') from e"},
	{"custom", "class DownloadError(Exception): pass\nraise DownloadError('widget==1.2.0: 403 Forbidden')"},
	{"syntax", "def f(:"},
	{"indent", "def f():\nreturn 404"},
	{"paren", "print('410 Gone'"},
	{"html", "<html>404 Not Found</html>"},
	{"ownmodule", "import shop_registry_that_is_nowhere"},
	{"importname", "from os import checksum"},
	{"relative", "from . import proxy"},
	{"nofile", "open('config.toml')"},
	{"directory", "open('/')"},
	{"permission", "raise PermissionError(13, 'Permission denied', '/etc/shop/config.toml')"},
	{"refused", pythonHead + "import urllib.request\nurllib.request.urlopen(f'http://127.0.0.1:{port}/v1/orders')"},
	{"refusedsocket", pythonHead + "socket.create_connection(('127.0.0.1', port))"},
	{"refusedlogged", pythonHead + "import logging\ntry:\n    socket.create_connection(('127.0.0.1', port))\nexcept OSError:\n    logging.exception('orders: upstream failed')"},
	{"dns", "import socket\nraise socket.gaierror(-2, 'Name or service not known')"},
	{"dnsurl", "import socket, urllib.error\nraise urllib.error.URLError(socket.gaierror(-3, 'Temporary failure in name resolution'))"},
	{"http404", "import urllib.error\nraise urllib.error.HTTPError('https://api.example.org/v1/orders', 404, 'Not Found', {}, None)"},
	{"http403", "import urllib.error\nraise urllib.error.HTTPError('https://api.example.org/v1/orders', 403, 'Forbidden', {}, None)"},
	{"ssl", "import ssl\nraise ssl.SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1006)')"},
	{"timeout", "raise TimeoutError('timed out')"},
	{"reset", "raise ConnectionResetError(104, 'Connection reset by peer')"},
	{"json", "import json\njson.loads('<html>')"},
	{"recursion", "def f(): f()\nf()"},
	{"exit", "import sys\nsys.exit('fatal: widget not found')"},
	{"argparse", "import argparse\np = argparse.ArgumentParser('shop')\np.add_argument('--index-url')\np.parse_args(['--proxy'])"},
	{"subprocess", "import subprocess\nsubprocess.run(['sh', '-c', 'exit 128'], check=True)"},
	{"killed", "import subprocess\nsubprocess.run(['sh', '-c', 'kill -9 $$'], check=True)"},
	{"missingtool", "import subprocess\nsubprocess.run(['convert-that-is-nowhere'])"},
	{"group", "raise ExceptionGroup('mirrors', [ConnectionRefusedError(111, 'Connection refused'), TimeoutError('timed out')])"},
	{"warning", "import warnings\nwarnings.warn('the index is deprecated', DeprecationWarning, stacklevel=1)"},
	{"assert", "assert 404 == 410, 'expected 410 Gone'"},
	{"unicode", "b'\\xff'.decode()"},
	{"zip", "import zipfile, io\nzipfile.ZipFile(io.BytesIO(b'<html>'))"},
	{"gzip", "import gzip\ngzip.decompress(b'<html>')"},
	{"unittest", "import unittest\nclass Proxy(unittest.TestCase):\n    def test_404(self): self.assertEqual('404 Not Found', '410 Gone')\n    def test_sum(self): raise OSError('checksum mismatch')\nunittest.main()"},
	{"unittestgolden", "import unittest\nclass Golden(unittest.TestCase):\n    def test(self): self.assertMultiLineEqual('ERROR: No matching distribution found for widget\\n', 'ok\\n')\nunittest.main()"},
	{"unittestok", "import unittest\nclass Ok(unittest.TestCase):\n    def test_connection_refused(self): pass\nunittest.main(verbosity=2)"},
	{"doctest", "def f():\n    '''\n    >>> f()\n    404\n    '''\n    return 410\nimport doctest\ndoctest.testmod()"},
	{"success", "print('verified 12 checksums; proxy ok')"},
}

func pythonNegatives(ctx context.Context, l *Lab) []negative {
	l.direct()
	// The python on the path may be a script that finds the real one: slow.
	python := strings.TrimSpace(l.Setup(ctx, l.Work, "python3", "-c", "import sys; print(sys.executable)"))
	out := l.scripts(ctx, ".py", pythonPrograms, python)
	return append(out, l.each(ctx, []shellLine{
		{"compile", python + " -m py_compile html.py"},
		{"nomodule", python + " -m shop_that_is_nowhere"},
		{"noscript", python + " missing.py"},
		{"option", python + " --nosuchoption"},
		{"version", python + " --version"},
		{"pip", python + " -m pip --version"},
		{"piphelp", python + " -m pip help"},
		{"pipcommand", python + " -m pip biuld"},
	})...)
}

// shellCommands are a shell's and make's own failures; the makefile is below.
var shellCommands = []shellLine{
	{"notfound", "shop-that-is-nowhere --serve"},
	{"notfoundgolint", "golangci-lint-that-is-nowhere run ./..."},
	{"nofile", "cat config/missing.yaml"},
	{"directory", "cat ."},
	{"notexecutable", "touch deploy.sh; ./deploy.sh"},
	{"cd", "cd missing/dir"},
	{"syntax", "if true; then"},
	{"unset", "sh -uc 'echo $GOPROXY_TOKEN_OF_SHOP'"},
	{"exit128", "echo 'hook declined'; exit 128"},
	{"killed", "sh -c 'kill -9 $$'; echo \"exit status $?\""},
	{"grep", "grep --no-such-option x"},
	{"grepfinds", "echo 'if status == 404 || text == \"410 Gone\" { // checksum mismatch' > a.go; grep -rn '410 Gone' ."},
	{"diffgolden", "printf 'ok\\n' > got; printf 'go: module lookup disabled by GOPROXY=off\\n' > want; diff -u want got"},
	{"diffnpm", "printf 'npm error code E404\\nnpm error 404 Not Found\\n' > want2; diff -u want2 got"},
	{"rm", "rm missing"},
	{"mkdir", "mkdir a/b/c/d"},
	{"tar", "tar -xf a.go"},
	{"maketarget", "make deploy"},
	{"makefail", "make test"},
	{"makenested", "make nested"},
	{"makeexit", "make exit128"},
	{"makesyntax", "make -f broken.mk"},
	{"makerule", "make needs"},
	{"makenofile", "make -f missing.mk"},
	{"makekilled", "make killed"},
	{"makeok", "make ok"},
	{"trace", "sh -xc 'test 404 = 410'"},
	{"logged", "echo '2026-01-02T03:04:05Z ERROR proxy: upstream 192.0.2.10:443: connection refused'; exit 1"},
	{"compose", "echo 'web-1  | 2026/01/02 03:04:05 dial tcp: lookup db on 10.0.0.2:53: no such host'; exit 1"},
}

const makefile = `.PHONY: test nested exit128 needs killed ok
test:
	@echo "--- checksum mismatch"
	@exit 1
nested:
	$(MAKE) test
exit128:
	sh -c 'exit 128'
needs: vendor/modules.stamp
killed:
	kill -9 $$$$
ok:
	@echo "proxy ok, 0 mismatches"
`

func shellNegatives(ctx context.Context, l *Lab) []negative {
	l.Files("Makefile", makefile, "broken.mk", "test:\n    echo 404 Not Found\n")
	return l.each(ctx, shellCommands)
}

// gitCommands are wrong uses of git on one's own repository: nothing is fetched.
var gitCommands = []shellLine{
	{"command", "git psuh"},
	{"option", "git log --no-such-option"},
	{"branch", "git checkout no-such-branch"},
	{"revision", "git show v9.9.9"},
	{"revlog", "git log main..v1.2.0"},
	{"pathspec", "git add missing.go"},
	{"nothing", "git commit -m 'again'"},
	{"tagtwice", "git tag v1.0.0; git tag v1.0.0"},
	{"branchname", "git branch 'a b'"},
	{"branchcurrent", "git branch -d main"},
	{"noupstream", "git rebase"},
	{"nopush", "git push"},
	{"pushname", "git push nowhere main"},
	{"cherry", "git cherry-pick deadbeef"},
	{"apply", "echo 'not a patch' | git apply"},
	{"applyfails", "printf -- '--- a/a.go\\n+++ b/a.go\\n@@ -1 +1 @@\\n-410 Gone\\n+404 Not Found\\n' | git apply"},
	{"conflict", "git checkout -q -b other; echo 404 > a.go; git commit -qam other; git checkout -q main; echo 410 > a.go; git commit -qam main; git merge other; git merge --abort"},
	{"overwritten", "echo dirty > a.go; git checkout other; git checkout -q -- a.go"},
	{"config", "git config no.such.key || git config nokey"},
	{"blame", "git blame missing.go"},
	{"stash", "git stash pop"},
	{"remote", "git remote get-url origin"},
	{"worktree", "git worktree add ../other/tree main"},
	{"bisect", "git bisect bad"},
	{"clonehere", "git clone . ."},
	{"clonelocal", "git clone . ../clone"},
	{"hook", "printf '#!/bin/sh\\necho \"lint: 3 errors\"; exit 1\\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit; echo x > a.go; git commit -am hook"},
	{"status", "git status"},
	{"diffgolden", "printf 'fatal: could not read Username for git.example.com\\n' > a.go; git diff"},
}

func gitNegatives(ctx context.Context, l *Lab) []negative {
	l.Setup(ctx, l.Work, "sh", "-c", "git init -q && git symbolic-ref HEAD refs/heads/main && echo 'package a' > a.go && git add a.go && git commit -qm first")
	out := l.each(ctx, gitCommands)
	in := l.inside("bare")
	in.Set("GIT_CEILING_DIRECTORIES", l.Dir)
	in.Files("a.go", "package a\n")
	return append(out, in.each(ctx, []shellLine{
		{"outside", "git status"},
		{"outsidediff", "git diff --stat HEAD~1"},
	})...)
}
