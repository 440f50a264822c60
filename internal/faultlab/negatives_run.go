//go:build unix

package faultlab

import (
	"context"
	"strings"
)

// testHead is what the tests below may use. They hold what a project that talks
// to registries has in its tests: names, constants and golden texts that read
// like faults.
const testHead = `package checks

import (
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
)

var _ = []any{errors.New, fmt.Print, log.Print, os.Exit, exec.Command, reflect.DeepEqual, strings.Cut}

// diff shows two texts as test helpers do.
func diff(t *testing.T, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	var b strings.Builder
	for line := range strings.Lines(want) {
		b.WriteString("-" + line)
	}
	for line := range strings.Lines(got) {
		b.WriteString("+" + line)
	}
	t.Errorf("mismatch (-want +got):\n%s", b.String())
}
`

// testPrograms are the bodies of failing tests.
var testPrograms = []snippet{
	{"WantGone", `t.Errorf("got %q, want %q", "200 OK", "410 Gone")`},
	{"WantNotFound", `t.Errorf("status = %v, want %v", 200, "404 Not Found")`},
	{"WantProxy404", `t.Errorf("got:\n%s\nwant:\n%s", "", "go: example.com/widget@v1.2.0: reading https://goproxy.example.org/example.com/widget/@v/v1.2.0.info: 404 Not Found")`},
	{"ChecksumMismatch", `t.Error("checksum mismatch")`},
	{"WantSecurityError", `diff(t, "ok\n", "verifying example.com/widget@v1.2.0: checksum mismatch\n\tdownloaded: h1:AAAA=\n\tgo.sum:     h1:BBBB=\n\nSECURITY ERROR\nThis download does NOT match an earlier download recorded in go.sum.\n")`},
	{"GoldenNoHost", `diff(t, "", "go: example.com/widget@v1.2.0: Get \"https://goproxy.example.org/example.com/widget/@v/v1.2.0.mod\": dial tcp: lookup goproxy.example.org on 10.0.0.2:53: no such host\n")`},
	{"GoldenGitPrompt", `diff(t, "", "fatal: could not read Username for 'https://git.example.com': terminal prompts disabled\nConfirm the import path was entered correctly.\n")`},
	{"GoldenNpm", `diff(t, "", "npm error code E404\nnpm error 404 Not Found - GET https://npm.example.org/widget - Not found\n")`},
	{"GoldenNpmPlain", `t.Fatalf("got:\n%s", "npm error code ECONNREFUSED\nnpm error syscall connect\nnpm error errno ECONNREFUSED")`},
	{"GoldenPip", `t.Fatalf("got:\n%s", "ERROR: Could not find a version that satisfies the requirement widget==9 (from versions: none)\nERROR: No matching distribution found for widget==9")`},
	{"GoldenPipRetry", `t.Fatalf("got:\n%s", "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError': /simple/widget/")`},
	{"GoldenPnpm", `t.Fatalf("got:\n%s", " ERR_PNPM_FETCH_404  GET https://npm.example.org/widget: Not Found - 404")`},
	{"GoldenVendor", `diff(t, "", "go: inconsistent vendoring in /src/shop:\n\texample.com/widget@v1.2.0: is explicitly required in go.mod, but not marked as explicit in vendor/modules.txt\n\n\tTo ignore the vendor directory, use -mod=readonly or -mod=mod.\n")`},
	{"GoldenToolchain", `diff(t, "", "go: go.mod requires go >= 1.99 (running go 1.24.2; GOTOOLCHAIN=local)\n")`},
	{"GoldenMissingSum", `diff(t, "", "main.go:4:2: missing go.sum entry for module providing package example.com/widget; to add:\n\tgo get example.com/shop\n")`},
	{"GoldenReplace", `diff(t, "", "go: example.com/widget@v1.0.0 (replaced by ../widget): reading ../widget/go.mod: open /src/widget/go.mod: no such file or directory\n")`},
	{"GoldenHostKey", `diff(t, "", "Host key verification failed.\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.\n")`},
	{"GoldenX509", `t.Errorf("Get() = %v, want %v", errors.New("x509: certificate signed by unknown authority"), nil)`},
	{"GoldenDisk", `t.Errorf("Write() = %v", errors.New("write /var/lib/shop/db: no space left on device"))`},
	{"GoldenProxyOff", `t.Errorf("got %q, want %q", "", "module lookup disabled by GOPROXY=off")`},
	{"GoldenNotInStd", `t.Errorf("got %q, want %q", "", "package widget is not in std (/usr/local/go/src/widget)")`},
	{"GoldenAmbiguous", `t.Errorf("got %q, want %q", "", "ambiguous import: found package example.com/widget in multiple modules:")`},
	{"GoldenRevision", `t.Errorf("got %q, want %q", "", "example.com/widget@v9.9.9: invalid version: unknown revision v9.9.9")`},
	{"GoldenMajor", `t.Errorf("got %q, want %q", "", "module contains a go.mod file, so module path must match major version (\"example.com/widget/v2\")")`},
	{"GoldenRateLimit", `t.Errorf("got %q, want %q", "", "unexpected status 429 Too Many Requests")`},
	{"GoldenBlocks", `t.Errorf("got:\n\n%s\n\nwant:\n\n%s\n", "fatal: unable to access 'https://git.example.com/team/widget/': Could not resolve host: git.example.com", "ok")`},
	{"GoldenGitPublickey", `t.Errorf("got:\n\n%s\n", "git@git.example.com: Permission denied (publickey).\nfatal: Could not read from remote repository.")`},
	{"StdoutFault", `fmt.Println("proxy says: 404 Not Found"); t.Fail()`},
	{"StdoutGoLine", `fmt.Println("go: module lookup disabled by GOPROXY=off"); t.Fail()`},
	{"StdoutDial", `fmt.Println("dial tcp 192.0.2.10:443: connect: connection refused"); t.Fail()`},
	{"LogDial", `log.SetFlags(0); log.Println("worker@v1.2.0: publishing: dial tcp 192.0.2.10:443: i/o timeout"); t.Fail()`},
	{"LogJSON", `fmt.Println("{\"level\":\"error\",\"msg\":\"GET https://api.example.org/v1: unexpected status 503 Service Unavailable\"}"); t.Fail()`},
	{"ErrorChain", `t.Fatalf("loading catalogue: %v", fmt.Errorf("reading https://api.example.org/v1/items: %w", errors.New("404 Not Found")))`},
	{"DialChain", `t.Fatalf("unexpected error: %v", errors.New("Get \"https://api.example.org/v1/items\": dial tcp: lookup api.example.org on 10.0.0.2:53: no such host"))`},
	{"PermissionDenied", `t.Fatal(errors.New("open /home/user/.cache/shop/index: permission denied"))`},
	{"NoSuchFile", `_, err := os.ReadFile("testdata/go.mod"); t.Fatal(err)`},
	{"UnexpectedEOF", `t.Fatal(errors.New("decoding widget@v1.2.0: unexpected EOF"))`},
	{"InvalidCharacter", `t.Fatal(errors.New("invalid character '<' looking for beginning of value"))`},
	{"ChildKilled", `t.Fatal(exec.Command("sh", "-c", "kill -9 $$").Run())`},
	{"Child128", `t.Fatal(exec.Command("sh", "-c", "exit 128").Run())`},
	{"ChildMissing", `t.Fatal(exec.Command("shop-helper-that-is-nowhere").Run())`},
	{"Subtests", `for _, name := range []string{"410 Gone", "checksum mismatch", "x509: unknown authority"} { t.Run(name, func(t *testing.T) { t.Error("not detected") }) }`},
	{"TableNames", `for _, name := range []string{"go: downloading", "no such host", "connection refused", "proxy/not-found"} { t.Run(name, func(t *testing.T) { t.Errorf("code = %q", name) }) }`},
	{"PanicNil", `var m map[string]int; m["404"] = 1`},
	{"PanicText", `panic("checksum mismatch")`},
	{"PanicError", `panic(errors.New("dial tcp: lookup goproxy.example.org: no such host"))`},
	{"PanicIndex", `list := []string{}; n := len(list); _ = list[n]`},
	{"Exit", `fmt.Fprintln(os.Stderr, "fatal: widget@v1.2.0: not found"); os.Exit(1)`},
	{"Skipped", `t.Skip("no network: dial tcp: lookup goproxy.example.org: no such host")`},
	{"DeepEqual", `t.Errorf("got %#v, want %#v", map[string]int{"404": 1}, map[string]int{"410": 1})`},
	{"HTMLAnswer", `t.Errorf("body = %s", "<html><head><title>502 Bad Gateway</title></head></html>")`},
	{"Deadlock", `<-make(chan int)`},
}

func testNegatives(ctx context.Context, l *Lab) []negative {
	l.goShop()
	var b strings.Builder
	b.WriteString(testHead)
	for _, p := range testPrograms {
		b.WriteString("\nfunc Test" + p.name + "(t *testing.T) {\n\t" + p.text + "\n}\n")
	}
	l.Files("checks/checks_test.go", b.String())
	l.Setup(ctx, l.Work, "go", "test", "-vet=off", "-c", "-o", "checks.test", "./checks")
	out := make([]negative, 0, 2*len(testPrograms))
	for _, p := range testPrograms {
		pattern := "^Test" + p.name + "$"
		args := []string{"-test.timeout=20ms", "-test.paniconexit0", "-test.run=" + pattern}
		if p.name != "Deadlock" { // of which the time-out is the point
			args[0] = "-test.timeout=1m"
		}
		// One is silent without -v; the other is then the go command's own words.
		if p.name != "Skipped" && p.name != "StdoutGoLine" {
			out = append(out, negative{p.name, l.Run(ctx, "./checks.test", args...)})
		}
		out = append(out, negative{p.name + "-v", l.Run(ctx, "./checks.test", append(args, "-test.v")...)})
	}
	skip := "-skip=Panic|Exit|Deadlock|StdoutGoLine"
	return append(out,
		negative{"whole", l.Run(ctx, "go", "test", "-vet=off", skip, "./checks")},
		negative{"json", l.Run(ctx, "go", "test", "-vet=off", "-json", skip, "./checks")})
}

// packageTests are whole test files of packages that end in an unusual way, with
// the flags of go test.
var packageTests = []struct{ name, flags, text string }{
	{"mainexit", "", "import (\n\t\"fmt\"\n\t\"os\"\n\t\"testing\"\n)\n\nfunc TestMain(*testing.M) {\n\tfmt.Println(\"checksum mismatch\")\n\tos.Exit(3)\n}"},
	{"initpanic", "", "func init() { panic(\"x509: certificate signed by unknown authority\") }"},
	{"buildfailed", "", "var v int = \"410 Gone\""},
	{"vetfailed", "", "import \"testing\"\n\nfunc Test(t *testing.T) { t.Errorf(\"%d\", \"404 Not Found\") }"},
	{"badsignature", "", "func TestProxy() {}"},
	{"example", "", "import \"fmt\"\n\nfunc Example() {\n\tfmt.Println(\"reading https://goproxy.example.org/@v/list: 404 Not Found\")\n\t// Output: 200 OK\n}"},
	{"timeout", "-timeout=20ms", "import \"testing\"\n\nfunc TestDownload(t *testing.T) { <-make(chan int) }"},
	{"notests", "-run=Nothing", "import \"testing\"\n\nfunc TestDownload(*testing.T) {}"},
	{"passes", "-v", "import \"testing\"\n\nfunc TestChecksumMismatch(t *testing.T) { t.Log(\"410 Gone\") }"},
	{"cover", "-cover", "import \"testing\"\n\nfunc TestProxy404(*testing.T) {}"},
	{"bench", "-bench=. -benchtime=10x -benchmem", "import \"testing\"\n\nfunc BenchmarkConnectionRefused(b *testing.B) {\n\tfor b.Loop() {\n\t}\n}"},
	{"seed", "", "import \"testing\"\n\nfunc FuzzSum(f *testing.F) {\n\tf.Add(\"h1:AAAA=\")\n\tf.Fuzz(func(t *testing.T, s string) { t.Errorf(\"checksum mismatch: %s\", s) })\n}"},
	{"fuzz", "-fuzz=Fuzz -fuzztime=100x", "import \"testing\"\n\nfunc FuzzVersion(f *testing.F) {\n\tf.Fuzz(func(t *testing.T, s string) { t.Fatalf(\"invalid version: unknown revision %q\", s) })\n}"},
	{"shuffle", "-shuffle=7 -v", "import \"testing\"\n\nfunc TestA(t *testing.T) {}\n\nfunc TestB(t *testing.T) { t.Error(\"unexpected status 403 Forbidden\") }"},
	{"badflag", "-nosuchflag", "import \"testing\"\n\nfunc Test(*testing.T) {}"},
}

func packageNegatives(ctx context.Context, l *Lab) []negative {
	l.goShop()
	var out []negative
	for _, p := range packageTests {
		l.Files(p.name+"/x.go", "package "+p.name+"\n", p.name+"/x_test.go", "package "+p.name+"\n\n"+p.text+"\n")
		args := append([]string{"test"}, strings.Fields(p.flags)...)
		out = append(out, negative{p.name, l.Run(ctx, "go", append(args, "./"+p.name)...)})
	}
	return append(out, negative{"all", l.Run(ctx, "go", "test", "-skip=TestDownload", "./...")})
}

// raceNegatives are the detector's reports; it is built from C.
func raceNegatives(ctx context.Context, l *Lab) []negative {
	l.goShop()
	l.Set("CGO_ENABLED", "1")
	l.Files("main.go", `package main

func main() {
	n, done := 0, make(chan bool)
	go func() { n++; close(done) }()
	n++
	<-done
	println(n)
}
`)
	return []negative{{"race", l.Run(ctx, "go", "run", "-race", ".")}}
}

// goCommands fail before, or apart from, compiling; files are pairs of name and
// content in a directory of the negative's name.
var goCommands = []struct {
	name, line string
	files      []string
}{
	{"buildv", "go build -v .", []string{"p.go", "package p\n"}},
	{"buildx", "go build -n .", []string{"p.go", "package p\n"}},
	{"version", "go version", nil},
	{"env", "go env", nil},
	{"envjson", "go env -json", nil},
	{"help", "go help mod", nil},
	{"helpproxy", "go help goproxy", nil},
	{"helpauth", "go help module-auth", nil},
	{"helpprivate", "go help private", nil},
	{"unknowncommand", "go biuld", nil},
	{"unknownflag", "go build -nosuchflag", nil},
	{"nogofiles", "go build .", []string{"readme.txt", ""}},
	{"constraints", "go build .", []string{"p.go", "//go:build nothing\n\npackage p\n"}},
	{"twopackages", "go build .", []string{"a.go", "package a\n", "b.go", "package b\n"}},
	{"importlate", "go build .", []string{"p.go", "package p\n\nimport fmt\n"}},
	{"notgo", "go build .", []string{"p.go", "<html>404 Not Found</html>\n"}},
	{"empty", "go build .", []string{"p.go", "\n"}},
	{"internal", "go build ./use", []string{"lib/internal/secret/p.go", "package secret\n", "use/p.go", "package use\n\nimport _ \"" + shop + "/internal/lib/internal/secret\"\n"}},
	{"embed", "go build .", []string{"p.go", "package p\n\nimport _ \"embed\"\n\n//go:embed missing.txt\nvar s string\n"}},
	{"runtest", "go run p_test.go", []string{"p_test.go", "package p\n"}},
	{"runexit", "go run .", []string{"p.go", "package main\n\nimport \"os\"\n\nfunc main() { println(\"not found: widget@v1.2.0\"); os.Exit(128) }\n"}},
	{"nopackage", "go vet ./nowhere", nil},
	{"nomatch", "go test ./nowhere/...", nil},
	{"generate", "go generate .", []string{"p.go", "package p\n\n//go:generate sh -c \"echo 404 Not Found; exit 2\"\n"}},
	{"generatemissing", "go generate .", []string{"p.go", "package p\n\n//go:generate mockgen-that-is-nowhere -source p.go\n"}},
	{"gofmt", "gofmt -l p.go", []string{"p.go", "package p\n\nfunc f( {\n"}},
	{"gofmtdiff", "gofmt -d p.go", []string{"p.go", "package p\nvar  status=\"410 Gone\"\n"}},
	{"doc", "go doc encoding/nothing", nil},
	{"docsymbol", "go doc net/http NotFoundd", nil},
	{"tool", "go tool nosuchtool", nil},
	{"asm", "go tool asm p.s", []string{"p.s", "TEXT f(SB),$0\n\tNOPE AX\n"}},
	{"objdump", "go tool objdump p.go", []string{"p.go", "package p\n"}},
	{"pprof", "go tool pprof -top p.go", []string{"p.go", "package p\n"}},
	{"buildoutput", "go build -o p.go/x .", []string{"p.go", "package main\n\nfunc main() {}\n"}},
	{"modinit", "go mod init example.org/fresh && cat go.mod", []string{"p.go", "package p\n"}},
	{"modgraph", "go mod graph; go list -m", nil},
	{"list", "go list std | head -40", nil},
	{"workinit", "go work init && go work edit -print", []string{"p.go", "package p\n"}},
	{"clean", "go clean -n", []string{"p.go", "package p\n"}},
	{"fixdiff", "go vet -json .", []string{"p.go", "package p\n\nimport \"fmt\"\n\nfunc F() { fmt.Printf(\"%d\", \"410 Gone\") }\n"}},
}

func goToolNegatives(ctx context.Context, l *Lab) []negative {
	l.goShop()
	out := make([]negative, len(goCommands))
	for i, c := range goCommands {
		in := l.inside("work/" + c.name)
		in.Files("keep.txt", "")
		in.Files(c.files...)
		out[i] = negative{c.name, in.Run(ctx, "sh", "-c", c.line)}
	}
	return out
}
