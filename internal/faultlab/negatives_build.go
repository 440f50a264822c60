//go:build unix

package faultlab

import "context"

// compilePrograms do not compile. Each is the one file of its package; where the
// package clause is missing it is added. Many hold the words of faults, as the
// compiler quotes constants and names.
var compilePrograms = []snippet{
	{"unusedvar", "func f() { proxy := \"forbidden\" }"},
	{"unusedimport", "import \"net/http\""},
	{"unusedimports", "import (\n\t\"crypto/x509\"\n\t\"net\"\n\t\"os\"\n)"},
	{"undefinedname", "var v = GOPROXY"},
	{"undefinedpkg", "func f() { checksum.Mismatch() }"},
	{"undefinedmethod", "type module struct{}\n\nfunc f(m module) { m.Download() }"},
	{"undefinedfield", "type module struct{ Path string }\n\nvar v = module{}.Version"},
	{"undefinedstd", "import \"os\"\n\nvar v = os.ReadAll"},
	{"unexported", "import \"errors\"\n\nvar v = errors.errorString{}"},
	{"redeclared", "func Get() {}\n\nfunc Get() {}"},
	{"redeclaredvar", "func f() {\n\tvar err error\n\tvar err error\n\t_ = err\n}"},
	{"noassign", "func f() {\n\terr := error(nil)\n\terr := error(nil)\n\t_ = err\n}"},
	{"assignstring", "var status int = \"404 Not Found\""},
	{"assigngone", "var status int = \"410 Gone\""},
	{"assignsum", "var sum int = \"checksum mismatch\""},
	{"assignsecurity", "var text []byte = \"SECURITY ERROR\""},
	{"assigndial", "var e error = \"dial tcp: lookup goproxy.example.org: no such host\""},
	{"assignx509", "var e error = \"x509: certificate signed by unknown authority\""},
	{"assignurl", "var u int = \"https://goproxy.example.org/example.com/widget/@v/v1.2.0.mod\""},
	{"assignmodule", "var m int = \"example.com/widget@v1.2.0: unknown revision v1.2.0\""},
	{"assigngit", "var e int = \"fatal: could not read Username for 'https://git.example.com'\""},
	{"assignnpm", "var e int = \"npm error code E404\""},
	{"assignpip", "var e int = \"ERROR: No matching distribution found for widget\""},
	{"assigndisk", "var e int = \"no space left on device\""},
	{"assigncount", "func two() (int, error)\n\nfunc f() { n := two() }"},
	{"argsfew", "func fetch(module, version string) {}\n\nfunc f() { fetch(\"example.com/widget\") }"},
	{"argsmany", "func fetch(module string) {}\n\nfunc f() { fetch(\"example.com/widget\", \"v1.2.0\") }"},
	{"argtype", "func fetch(n int) {}\n\nfunc f() { fetch(\"example.com/widget@v1.2.0\") }"},
	{"returnmissing", "func f() int {}"},
	{"returnmany", "func f() int { return 1, nil }"},
	{"returnfew", "func f() (int, error) { return 1 }"},
	{"notimplement", "import \"io\"\n\ntype proxy struct{}\n\nvar _ io.Reader = proxy{}"},
	{"pointermethod", "import \"io\"\n\ntype proxy struct{}\n\nfunc (*proxy) Close() error { return nil }\n\nvar _ io.Closer = proxy{}"},
	{"wrongmethod", "import \"fmt\"\n\ntype v struct{}\n\nfunc (v) String() int { return 0 }\n\nvar _ fmt.Stringer = v{}"},
	{"unknownfield", "type config struct{ Proxy string }\n\nvar c = config{GOPROXY: \"off\"}"},
	{"mixedcomposite", "type config struct{ A, B string }\n\nvar c = config{A: \"a\", \"b\"}"},
	{"duplicatecase", "func f(n int) {\n\tswitch n {\n\tcase 404:\n\tcase 404:\n\t}\n}"},
	{"duplicatekey", "var m = map[string]int{\"v1.2.0\": 1, \"v1.2.0\": 2}"},
	{"duplicatefield", "type t struct {\n\tsum string\n\tsum string\n}"},
	{"missingreturn", "func f(b bool) int {\n\tif b {\n\t\treturn 404\n\t}\n}"},
	{"syntaxbrace", "func f() {"},
	{"syntaxeof", "var v = map[string]int{"},
	{"syntaxparen", "func f( {}"},
	{"syntaxkeyword", "func go() {}"},
	{"syntaxelse", "func f() {\n\tif true {\n\t}\n\telse {\n\t}\n}"},
	{"syntaxstring", "var v = \"unterminated"},
	{"syntaxrune", "var v = 'go'"},
	{"syntaxchar", "var v = 1 # 2"},
	{"syntaxsemicolon", "func f() { a := 1 b := 2 }"},
	{"overflow", "var status uint8 = 404"},
	{"divide", "const n = 1 / 0"},
	{"shift", "var v int8 = 1 << 40"},
	{"mismatch", "var v = 1 + \"410 Gone\""},
	{"comparefunc", "func f() {}\n\nvar v = f == f"},
	{"nilderef", "var v = *nil"},
	{"invalidindex", "var a [2]int\n\nvar v = a[5]"},
	{"notcallable", "var version = \"v1.2.0\"\n\nvar v = version()"},
	{"rangeint", "func f(e error) {\n\tfor range e {\n\t}\n}"},
	{"breakout", "func f() { break }"},
	{"labelunused", "func f() {\nretry:\n}"},
	{"gotover", "func f() {\n\tgoto end\n\tv := 1\n\t_ = v\nend:\n}"},
	{"initcycle", "var a = b\n\nvar b = a"},
	{"typecycle", "type t struct{ t t }"},
	{"generic", "func max[T any](a, b T) bool { return a < b }"},
	{"constraint", "func sum[T int | float64](list ...T) T { return list[0] }\n\nvar v = sum(\"h1:\")"},
	{"infer", "func zero[T any]() (t T) { return }\n\nvar v = zero()"},
	{"embedded", "import \"embed\"\n\nvar files embed.FS\n\nvar v = files.Open()"},
	{"linkname", "//go:linkname now runtime.nanotime\nfunc now() int64"},
	{"receiver", "func (t Missing) Get() {}"},
	{"maintwice", "package main\n\nfunc main() {}\n\nfunc main() {}"},
	{"mainargs", "package main\n\nfunc main(args []string) int { return 0 }"},
	{"many", "var (\n\ta = A\n\tb = B\n\tc = C\n\td = D\n\te = E\n\tf = F\n\tg = G\n\th = H\n\ti = I\n\tj = J\n\tk = K\n\tl = L\n)"},
	{"third_party/widget", "var v = Missing"},
	{"third_party/github.com/acme/widget", "type T struct{}\n\nvar v = T{}.Get(\"v1.2.0\")"},
	{"modules/cache/download", "func f() { v := \"v1.2.0.zip\" }"},
	{"internal/proxy", "var v int = \"GOPROXY=off\""},
	{"internal/sumdb", "var v int = \"verifying module: checksum mismatch\""},
	{"internal/registry", "import \"encoding/json\"\n\nvar v = json.Decode"},
}

// linkPrograms compile, and the linker refuses them.
var linkPrograms = []snippet{
	{"nomain", "package main\n\nfunc f() {}"},
	{"nobody", "package main\n\nfunc fetch()\n\nfunc main() { fetch() }"},
	{"linkedname", "package main\n\nimport _ \"unsafe\"\n\n//go:linkname proxy example.org/shop/missing.proxy\nfunc proxy()\n\nfunc main() { proxy() }"},
}

func compileNegatives(ctx context.Context, l *Lab) []negative {
	l.goShop()
	l.packages("p.go", compilePrograms)
	out := cutPackages(l.Run(ctx, "go", "build", "-gcflags=-e", "./..."), compilePrograms)
	l = l.inside("linked")
	l.goShop()
	l.packages("p.go", linkPrograms)
	for _, p := range linkPrograms[1:] {
		l.Files(p.name+"/stub.s", "\n") // lets a function have no body
	}
	return append(out, cutPackages(l.Run(ctx, "go", "build", "-o", "bin/", "./..."), linkPrograms)...)
}

// inside is the same lab with a directory of its own to work in.
func (l *Lab) inside(name string) *Lab {
	in := *l
	in.Work = l.Dir + "/" + name
	return &in
}

// vetPrograms compile and vet finds fault with them; fmt, log and time are
// what most need.
var vetPrograms = []snippet{
	{"printftype", "import \"fmt\"\n\nfunc F() { fmt.Printf(\"status %d\\n\", \"404 Not Found\") }"},
	{"printfmissing", "import \"fmt\"\n\nfunc F() { fmt.Printf(\"%s: %s\\n\", \"checksum mismatch\") }"},
	{"printfextra", "import \"fmt\"\n\nfunc F() { fmt.Printf(\"verifying\\n\", \"example.com/widget@v1.2.0\") }"},
	{"printfverb", "import \"log\"\n\nfunc F() { log.Printf(\"%z\", 410) }"},
	{"printfwrap", "import \"fmt\"\n\nfunc F(err error) error { return fmt.Errorf(\"x509: %w: %w\", err, \"unknown authority\") }"},
	{"printlndirective", "import \"fmt\"\n\nfunc F() { fmt.Println(\"dial tcp %s: i/o timeout\", \"10.0.0.1:443\") }"},
	{"printlnnewline", "import \"fmt\"\n\nfunc F() { fmt.Println(\"no such host\\n\") }"},
	{"nonconstant", "import \"fmt\"\n\nfunc F(text string) { fmt.Printf(text) }"},
	{"copylock", "import \"sync\"\n\ntype T struct{ mu sync.Mutex }\n\nfunc F(t T) {}"},
	{"copylockrange", "import \"sync\"\n\nfunc F(list []sync.Mutex) {\n\tfor _, m := range list {\n\t\t_ = m\n\t}\n}"},
	{"selfassign", "func F(proxy string) { proxy = proxy }"},
	{"unreachable", "func F() {\n\treturn\n\tprintln(\"403 Forbidden\")\n}"},
	{"lostcancel", "import \"context\"\n\nfunc F() context.Context {\n\tctx, _ := context.WithCancel(context.Background())\n\treturn ctx\n}"},
	{"structtag", "type T struct {\n\tVersion string \"json:version\"\n}"},
	{"structtagtwice", "type T struct {\n\tA string \"json:\\\"sum\\\"\"\n\tB string \"json:\\\"sum\\\"\"\n}"},
	{"unmarshal", "import \"encoding/json\"\n\nfunc F(b []byte) error {\n\tvar v struct{}\n\treturn json.Unmarshal(b, v)\n}"},
	{"boolean", "func F(n int) bool { return n == 404 || n == 404 }"},
	{"nilfunc", "func F() bool { return F == nil }"},
	{"shiftfar", "func F(n int32) int32 { return n << 40 }"},
	{"unusedresult", "import \"fmt\"\n\nfunc F() { fmt.Sprintf(\"%s: unrecognized import path\", \"example.com/widget\") }"},
	{"stringint", "func F(n int) string { return string(n) }"},
	{"appendone", "func F(list []string) []string { return append(list) }"},
	{"loopcopy", "import \"sync\"\n\nfunc F() {\n\tvar wg sync.WaitGroup\n\tgo func() {\n\t\twg.Add(1)\n\t}()\n\twg.Wait()\n}"},
	{"sigchan", "import (\n\t\"os\"\n\t\"os/signal\"\n)\n\nfunc F() {\n\tc := make(chan os.Signal)\n\tsignal.Notify(c, os.Interrupt)\n}"},
	{"errorsas", "import \"errors\"\n\nfunc F(err error) bool {\n\tvar v error\n\treturn errors.As(err, v)\n}"},
	{"httpbody", "import \"net/http\"\n\nfunc F(url string) {\n\tresp, err := http.Get(url)\n\tdefer resp.Body.Close()\n\tif err != nil {\n\t\treturn\n\t}\n}"},
	{"timeformat", "import \"time\"\n\nfunc F(t time.Time) string { return t.Format(\"2006-02-01\") }"},
	{"deferred", "import \"time\"\n\nfunc F(log func(time.Duration)) {\n\tstart := time.Now()\n\tdefer log(time.Since(start))\n}"},
	{"buildtag", "package buildtag\n\nfunc F() {}\n\n//go:build linux"},
	{"hostport", "import (\n\t\"fmt\"\n\t\"net\"\n)\n\nfunc F(host string) (net.Conn, error) { return net.Dial(\"tcp\", fmt.Sprintf(\"%s:%d\", host, 443)) }"},
	{"directive", "package directive\n\nfunc F() {}\n\n//go:debug panicnil=1"},
	{"vettypes", "var V int = \"410 Gone\""},
}

func vetNegatives(ctx context.Context, l *Lab) []negative {
	l.goShop()
	l.packages("p.go", vetPrograms)
	return cutPackages(l.Run(ctx, "go", "vet", "./..."), vetPrograms)
}
