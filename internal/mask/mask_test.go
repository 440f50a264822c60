package mask_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/mask/masktest"
)

func TestTextMasks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ story, in, want string }{
		{"user and password", "https://bob:hunter2@git.example.com/x", "https://***@git.example.com/x"},
		{"a token as user", "https://abcdef@git.example.com/x", "https://***@git.example.com/x"},
		{"a password with an @", "https://bob:p@ss@git.example.com/x", "https://***@git.example.com/x"},
		{"a password with a slash", "https://bob:p/ss@git.example.com/x", "https://***@git.example.com/x"},
		{"a password with a quote", "'https://bob:it's@git.example.com/x'", "'https://***@git.example.com/x'"},
		{"two URLs of one GOPROXY", "https://a:b@one.example.org,https://c:d@two.example.org,direct", "https://***@one.example.org,https://***@two.example.org,direct"},
		{"a socks proxy", "socks5://bob:pw@proxy.example.org:1080", "socks5://***@proxy.example.org:1080"},
		{"a token that is the whole text", "AKIAABCDEFGHIJKLMNOP", "***"},
		{"a header", "Authorization: Basic Ym9iOmh1bnRlcjI=", "Authorization: ***"},
		{"a header of curl", `-H "Authorization: Bearer abcdef0123456789"`, `-H "Authorization: ***"`},
		{"a header with parts", `Authorization: Digest username="bob", response="abcdef"`, `Authorization: ***"bob", response="abcdef"`},
		{"a cookie", "Cookie: a=1; session=abcdef", "Cookie: ***"},
		{"npm's token", "//npm.example.org/:_authToken=abcdef", "//npm.example.org/:_authToken=***"},
		{"a quoted password with blanks", `password="two words" next`, `password=*** next`},
		{"a short password", "password=x", "password=***"},
		{"a password as an option", "tool --password hunter2 x", "tool --password *** x"},
		{"JSON", `{"password": "a\"b", "x": 1}`, `{"password": "***", "x": 1}`},
		{"JSON that was cut", `{"password": "abc`, `{"password": "***`},
		{"home", "open /home/bob/go/pkg: denied", "open ~/go/pkg: denied"},
		{"home of two words", "open /Users/John Smith/go/pkg: denied", "open ~/go/pkg: denied"},
		{"home of two words, escaped", `open /Users/John\ Smith/go/pkg: denied`, "open ~/go/pkg: denied"},
		{"home in Chinese", "打开 /home/张 三/go 失败", "打开 ~/go 失败"},
		{"home behind Chinese", "目录/home/bob不存在", "目录~"},
		{"home of a compiler flag", "gcc -I/home/bob/include", "gcc -I~/include"},
		{"home in a list", "PATH=/home/bob/bin:/home/eve/bin:/usr/bin", "PATH=~/bin:~/bin:/usr/bin"},
		{"home in a file URL", "file:///home/bob/x file:///C:/Users/bob/x", "file:///~/x file:///~/x"},
		{"home on Windows", `C:\Users\John Smith\go and c:\\Users\\bob\\go`, `~\go and ~\\go`},
		{"home before a module", "/home/bob example.com/widget@v1.2.0", "~ example.com/widget@v1.2.0"},
		{"home on WSL", `\\wsl$\Ubuntu\home\bob\go`, `\\wsl$\Ubuntu\~\go`},
		{"a prompt", "bob@laptop:~/src$ go get", "user@machine:~/src$ go get"},
		{"a prompt at an address", "root@10.0.0.5:~# go get", "user@machine:~# go get"},
		{"a prompt on the second line", "x\n[bob@laptop src]$ go get", "x\n[user@machine src]$ go get"},
		{"a prompt of zsh", "bob@mac src % go get", "user@machine src % go get"},
		{"a prompt of git bash", "bob@PC-1 MINGW64 ~/src (main)", "user@machine MINGW64 ~/src (main)"},
		{"a prompt in Chinese", "张三@电脑:~$ go get", "user@machine:~$ go get"},
		{"an e-mail address", "ask bob@example.com.", "ask <email>."},
		{"an e-mail address of digits", "10086@163.com", "<email>"},
		{"an account at a host", "bob@git.example.com:team/widget.git", "***@git.example.com:team/widget.git"},
	} {
		t.Run(c.story, func(t *testing.T) {
			t.Parallel()
			if c.story == "a header with parts" {
				// Which rule takes what is of no matter, only that nothing is left.
				if got := mask.Text(c.in); strings.Contains(got, "abcdef") {
					t.Errorf("Text(%q) = %q", c.in, got)
				}
				return
			}
			if diff := cmp.Diff(c.want, mask.Text(c.in)); diff != "" {
				t.Errorf("Text(%q) (-want +got):\n%s", c.in, diff)
			}
		})
	}
}

// TestTextLeavesTheDiagnosis: what tells the fault must come through unharmed.
func TestTextLeavesTheDiagnosis(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"go: example.com/widget@v1.2.0 requires go >= 1.25.0 (running go 1.24.1)",
		"example.com/home/widget@v1.2.0", "https://goproxy.example.org/home/x/@v/list", "/go/pkg/mod/example.com/home/widget@v1.0.0/x.go:3:2: no such file",
		"/go/pkg/mod/cache/download/example.com/users/x/@v/v1.0.0.zip",
		"git@github.com: Permission denied (publickey).", "ssh://git@git.example.com/team/widget", "git@github.com:acme/widget.git -> FETCH_HEAD",
		"Get \"https://goproxy.example.org:8443/example.com/widget/@v/v1.2.0.info\": dial tcp 203.0.113.7:8443: i/o timeout",
		"https://goproxy.example.org:8443/example.com/widget/@latest", "https://goproxy.example.org/@scope/pkg@1.0.0",
		"@scope/pkg@1.0.0", "npm error 404 '@scope/pkg@^1.0.0' is not in this registry", "left-pad@1.0.0-beta.rc requires x", "widget@v1.2.0-rc.beta",
		`error widget@1.0.0: The engine "node" is incompatible with this module. Expected version ">= 14". Got "12.0.0"`,
		"widget@1.0.0 requires node >14", "widget@1.0.0 postinstall > node x.js", "peer react@\"^18.0.0\" from widget@1.0.0", "widget@npm:other@1.0.0",
		"gopkg.in/yaml.v3@v3.0.1", "rsc.io@v1.0.0-pre.beta", "example.com/widget@v0.0.0-20240102030405-abcdef012345",
		"x509: certificate is valid for *.example.com, not goproxy.cn", "GOPROXY=https://goproxy.cn,direct", "GOSUMDB=off",
		"h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "unexpected token < in JSON at position 0", "invalid character '<' looking for beginning of value",
		"lookup goproxy.example.org on 10.0.0.2:53: no such host", "user@machine:~$ go get", "~/go/pkg/mod", "exit status 128", "",
	} {
		if diff := cmp.Diff(s, mask.Text(s)); diff != "" {
			t.Errorf("Text changed what is no secret (-want +got):\n%s", diff)
		}
	}
}

// TestNoPlantedSecretStays is the promise itself, on random texts.
func TestNoPlantedSecretStays(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 26))
	for range 3000 {
		p := masktest.Plant(r)
		// As a whole and line by line: explain masks pieces of either size.
		for _, masked := range []string{mask.Text(p.Text), byLine(p.Text)} {
			for _, s := range p.Secrets {
				if strings.Contains(masked, s) {
					t.Fatalf("%s: %q is left in\n%s\nof\n%s", p.Kind, s, masked, p.Text)
				}
			}
			for _, k := range p.Keep {
				if !strings.Contains(masked, k) {
					t.Fatalf("%s: %q was damaged in\n%s\nof\n%s", p.Kind, k, masked, p.Text)
				}
			}
			if again := mask.Text(masked); again != masked {
				t.Fatalf("%s: masked twice, the text changes (-once +twice):\n%s", p.Kind, cmp.Diff(masked, again))
			}
		}
	}
}

func byLine(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = mask.Text(l)
	}
	return strings.Join(lines, "\n")
}

func TestFactsAreMaskedInPlace(t *testing.T) {
	t.Parallel()
	got := mask.Facts(map[string]string{"url": "https://bob:pw@git.example.com", "module": "example.com/widget"})
	want := map[string]string{"url": "https://***@git.example.com", "module": "example.com/widget"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// FuzzText: no text makes it panic, break characters apart, or go on masking for
// ever: a second pass may find what the first has brought together, a third none.
func FuzzText(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 60 {
		f.Add(masktest.Plant(r).Text)
	}
	for _, s := range []string{"a\x01b", "\x00", "x\x01@\x01y@b.cc", "https://\x00git@h", "://@", "-----BEGIN PRIVATE KEY-----", "K@\u212a.com", "\xff@b.cc", "İ password=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := mask.Text(s)
		if utf8.ValidString(s) && !utf8.ValidString(once) {
			t.Errorf("Text(%q) = %q is not valid UTF-8", s, once)
		}
		if len(once) > 4*len(s)+64 {
			t.Errorf("Text(%q) grew to %d bytes", s, len(once))
		}
		twice := mask.Text(once)
		for range 3 {
			twice = mask.Text(twice)
		}
		if again := mask.Text(twice); again != twice {
			t.Errorf("Text(%q) never settles: %q, then %q", s, twice, again)
		}
	})
}

// TestAnswer: what a server says to its client keeps whom to ask, and no secret.
func TestAnswer(t *testing.T) {
	t.Parallel()
	for _, x := range [][2]string{
		{"blocked by policy; ask sec@acme.example, ticket SEC-1", "blocked by policy; ask sec@acme.example, ticket SEC-1"},
		{"ask sec@acme.example with password=hunter22", "ask sec@acme.example with password=***"},
		{"see https://bob:hunter22@git.example.com/x", "see https://***@git.example.com/x"},
	} {
		if got := mask.Answer(x[0]); got != x[1] {
			t.Errorf("%q became %q", x[0], got)
		}
	}
	if got := mask.Text("ask sec@acme.example"); got != "ask <email>" {
		t.Errorf("a report has %q", got)
	}
}
