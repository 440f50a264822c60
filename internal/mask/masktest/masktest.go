// Package masktest makes texts as go, git, npm and pip print them, with secrets
// planted in them, for the tests that hold the mask and everything that prints to
// their promise. It is used by tests only. To try another kind of secret, add a
// maker to kinds.
package masktest

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Planted is a text with secrets in it.
type Planted struct {
	Kind string
	Text string
	// Secrets are words no output may hold, in any case of letters.
	Secrets []string
	// Keep are words that masking must leave as they are: they are the diagnosis.
	Keep []string
}

// Plant makes a text with one kind of secret.
func Plant(r *rand.Rand) Planted {
	p := planter{r: r}
	kind := kinds[r.IntN(len(kinds))]
	p.Kind = kind.name
	p.Text = kind.make(&p)
	return p.Planted
}

type planter struct {
	Planted
	r *rand.Rand
}

var kinds = []struct {
	name string
	make func(*planter) string
}{
	{"URL", (*planter).url},
	{"URL with a bare token", (*planter).tokenURL},
	{"token", (*planter).token},
	{"header", (*planter).header},
	{"setting", (*planter).setting},
	{"home", (*planter).home},
	{"prompt", (*planter).prompt},
	{"e-mail", (*planter).email},
}

const (
	letters = "abcdefghijklmnopqrstuvwxyz"
	alnum   = letters + "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
)

func (p *planter) word(n int, of string) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = of[p.r.IntN(len(of))]
	}
	return string(b)
}

func (p *planter) pick(list ...string) string { return list[p.r.IntN(len(list))] }

// secret returns a random word that is searched for in the output.
func (p *planter) secret(n int, of string) string {
	w := "zq" + p.word(max(n-2, 6), of)
	p.Secrets = append(p.Secrets, w)
	return w
}

func (p *planter) keep(words ...string) { p.Keep = append(p.Keep, words...) }

// password is a word with the odd characters that people use and the escapes
// that URLs need.
func (p *planter) password() string {
	odd := []string{"!", "$", "&", "*", "(", ")", "+", ",", ";", "=", ":", "%40", "%2F", "#", "?", "[", "]", "{", "}", "|", "^", "~", ".", "-", "_", "@", "'"}
	s := p.secret(8, alnum)
	for range p.r.IntN(4) {
		s += odd[p.r.IntN(len(odd))] + p.secret(8, alnum)
	}
	if !strings.Contains(s, "@") && p.r.IntN(4) == 0 { // a slash that should have been escaped
		s += "/" + p.secret(8, alnum)
	}
	return s
}

// failures are errors whose URL has room for credentials; each keeps its hosts,
// modules and versions.
func (p *planter) failure(credentials string) string {
	version := fmt.Sprintf("v%d.%d.%d", p.r.IntN(3), p.r.IntN(30), p.r.IntN(30))
	module := p.pick("example.com/widget", "git.example.com/team/widget/v2", "example.com/home/users/widget", "example.com/Acme/token")
	switch p.r.IntN(7) {
	case 0:
		p.keep(module+"@"+version, "goproxy.example.org/"+module+"/@v/"+version+".info", "203.0.113.7:443")
		return fmt.Sprintf("go: %s@%s: Get \"https://%sgoproxy.example.org/%[1]s/@v/%[2]s.info\": dial tcp 203.0.113.7:443: i/o timeout\n", module, version, credentials)
	case 1:
		p.keep(module+"@"+version, "goproxy.cn/"+module+"/@v/"+version+".zip")
		return fmt.Sprintf("go: example.com/shop@v1.0.0 requires\n\t%s@%s: reading https://%sgoproxy.cn/%[1]s/@v/%[2]s.zip: 403 Forbidden\n\tserver response: no access for you\n", module, version, credentials)
	case 2:
		p.keep("git.example.com/team/widget.git/", "Could not resolve host: git.example.com")
		return fmt.Sprintf("Cloning into 'widget'...\nfatal: unable to access 'https://%sgit.example.com/team/widget.git/': Could not resolve host: git.example.com\n", credentials)
	case 3:
		p.keep("@scope/widget@1.0.0", "npm.example.org/@scope%2fwidget")
		return fmt.Sprintf("npm error code ECONNREFUSED\nnpm error request to https://%snpm.example.org/@scope%%2fwidget failed, reason: connect ECONNREFUSED 203.0.113.7:443\nnpm error while installing @scope/widget@1.0.0\n", credentials)
	case 4:
		p.keep("pypi.example.org/simple/left-widget/", "left-widget==1.0.0")
		return fmt.Sprintf("Looking in indexes: https://%spypi.example.org/simple\nERROR: Could not install packages due to an OSError: HTTPSConnectionPool(host='pypi.example.org', port=443): Max retries exceeded with url: https://%[1]spypi.example.org/simple/left-widget/ (Caused by NewConnectionError('Connection refused'))\nERROR: No matching distribution found for left-widget==1.0.0\n", credentials)
	case 5:
		p.keep(module+"@"+version, "git@github.com: Permission denied (publickey)", "git.example.com/team/widget")
		return fmt.Sprintf("go: %s@%s: invalid version: git ls-remote -q --end-of-options https://%sgit.example.com/team/widget in /go/pkg/mod/cache/vcs/0123456789ab: exit status 128:\n\tgit@github.com: Permission denied (publickey).\n\tfatal: Could not read from remote repository.\n", module, version, credentials)
	}
	p.keep(module+"@"+version, "proxyconnect tcp")
	return fmt.Sprintf("go: %s@%s: Get \"https://goproxy.cn/%[1]s/@v/list\": proxyconnect tcp: dial tcp: lookup http://%[3]sproxy.example.org: no such host\n", module, version, credentials)
}

func (p *planter) url() string {
	user := p.pick("bob", "oauth2", "x-access-token", "deploy%2Bbot", "")
	return p.failure(user + ":" + p.password() + "@")
}

func (p *planter) tokenURL() string { return p.failure(p.anyToken() + "@") }

func (p *planter) anyToken() string {
	w := func(prefix string, n int, of string) string {
		s := p.word(n, of)
		p.Secrets = append(p.Secrets, s)
		return prefix + s
	}
	const upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	switch p.r.IntN(10) {
	case 0:
		return w(p.pick("ghp_", "gho_", "ghs_", "ghu_", "ghr_"), 36, alnum)
	case 1:
		return w("github_pat_", 60, alnum+"_")
	case 2:
		return w(p.pick("glpat-", "glrt-", "gldt-", "glcbt-"), 20, alnum+"-_")
	case 3:
		return w("npm_", 36, alnum)
	case 4:
		return w("pypi-AgEIcHlwaS5vcmc", 60, alnum+"-_")
	case 5:
		return w(p.pick("AKIA", "ASIA"), 16, upper)
	case 6:
		return w(p.pick("xoxb-", "xoxp-", "xoxa-"), 30, alnum+"-")
	case 7:
		return w("eyJhbGciOiJIUzI1NiJ9.eyJ", 24, alnum+"-_") + w(".", 43, alnum+"-_")
	case 8:
		return w("AIza", 35, alnum+"-_")
	}
	return w("hvs.", 24, alnum+"-_")
}

func (p *planter) token() string {
	token := p.anyToken()
	switch p.r.IntN(4) {
	case 0:
		return "remote: " + token + " is no valid token\nfatal: Authentication failed for 'https://git.example.com/team/widget.git/'\n"
	case 1:
		return "npm error code E401\nnpm error 401 Unauthorized - GET https://npm.example.org/widget - token (" + token + ") was revoked\n"
	case 2:
		return token + "\n" + p.failure("")
	}
	return "go: example.com/widget@v1.2.0: reading https://goproxy.example.org/example.com/widget/@v/v1.2.0.mod: 401 Unauthorized\n\tserver response: token '" + token + "' has expired\n"
}

func (p *planter) header() string {
	value := p.secret(24, alnum+"+/._-") + p.pick("", "=", "==")
	line := p.pick(
		"> Authorization: Basic "+value, "Authorization: Bearer "+value, "authorization: token "+value, "Proxy-Authorization: Basic "+value,
		"=> Send header: authorization: basic "+value, "PRIVATE-TOKEN: "+value, "Job-Token: "+value, "X-JFrog-Art-Api: "+value,
		`curl -H "Authorization: Bearer `+value+`" https://goproxy.example.org/example.com/widget/@v/list`,
		`{"authorization":"Bearer `+value+`","host":"goproxy.example.org"}`, "AUTHORIZATION: basic "+value, "Cookie: a=1; session="+value,
		`Authorization: Digest username="bob", realm="x", response="`+value+`"`,
		"git -c http.extraheader='AUTHORIZATION: basic "+value+"' fetch origin",
	)
	if p.r.IntN(2) == 0 {
		return line + "\n" + p.failure("")
	}
	return "go: example.com/widget@v1.2.0: reading https://goproxy.example.org/example.com/widget/@v/v1.2.0.mod: 401 Unauthorized\n\tserver response: " + line + "\n"
}

func (p *planter) setting() string {
	value := p.secret(12, alnum)
	line := p.pick(
		"//npm.example.org/:_authToken="+value, "//npm.example.org/:_password="+value, "_auth="+value, "_authToken = "+value,
		"password="+value, "PASSWORD='"+value+" "+p.secret(8, alnum)+"'", `password="`+value+`,x"`, "password="+value+","+p.secret(8, alnum), "GITHUB_TOKEN="+value,
		"--build-arg NPM_TOKEN="+value, "api_key="+value, "AWS_SECRET_ACCESS_KEY="+value, "client_secret="+value+"&x=1", `"password": "`+value+`"`,
		`{"auth":"`+value+`"}`, "password: "+value, "--password "+value, "?X-Amz-Signature="+value, "access_token="+value,
	)
	if p.r.IntN(2) == 0 {
		return "$ env " + line + " go mod download\n" + p.failure("")
	}
	return "npm error code E401\nnpm error Incorrect or missing password: " + line + "\nnpm error 401 Unauthorized - GET https://npm.example.org/widget\n"
}

// name is an account's or a person's name; every word of it is a secret.
func (p *planter) name(blanks bool) string {
	switch n := p.r.IntN(5); {
	case n == 0:
		s := string([]rune("龘靐齉爩鱻麤龗灪籲")[p.r.IntN(9)]) + string([]rune("燚犇骉羴猋淼焱垚")[p.r.IntN(8)])
		p.Secrets = append(p.Secrets, s)
		return s
	case n == 1 && blanks:
		return p.secret(8, letters) + " " + p.secret(8, letters)
	case n == 2 && blanks:
		return p.secret(8, letters) + " " + p.secret(8, letters) + " " + p.secret(8, letters)
	case n == 3:
		return p.secret(8, letters) + "." + p.secret(8, letters)
	}
	return p.secret(8, letters+"0123456789_")
}

func (p *planter) home() string {
	home := func() string {
		switch p.r.IntN(12) {
		case 0, 1:
			return "/home/" + p.name(true) + "/go"
		case 2, 3:
			return "/Users/" + p.name(true) + "/go"
		case 4:
			return `C:\Users\` + p.name(true) + `\go`
		case 5:
			return `C:\\Users\\` + p.name(true) + `\\go`
		case 6:
			return "C:/Users/" + p.name(true) + "/go"
		case 7:
			return "/mnt/c/Users/" + p.name(true) + "/go"
		case 8:
			return "file:///home/" + p.name(false) + "/go"
		case 9:
			return "/var/home/" + p.name(false) + "/go"
		case 10:
			return `\\wsl$\Ubuntu\home\` + p.name(false) + `\go`
		}
		return "/c/Users/" + p.name(false) + "/go"
	}
	p.keep("example.com/widget")
	switch p.r.IntN(6) {
	case 0:
		p.keep("example.com/widget@v1.2.0: open ")
		return "go: example.com/widget@v1.2.0: open " + home() + "/pkg/mod/cache/download/example.com/widget/@v/v1.2.0.lock: permission denied\n"
	case 1:
		return "npm error code EACCES\nnpm error syscall mkdir\nnpm error path " + home() + "/.npm/_cacache/example.com/widget\nnpm error errno -13\nnpm error Error: EACCES: permission denied, mkdir '" + home() + "/.npm'\n"
	case 2:
		return "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '" + home() + "/lib/python3/site-packages/x'\nConsider using the `--user` option or check the permissions of example.com/widget.\n"
	case 3:
		return "GOMODCACHE='" + home() + "/pkg/mod' HOME=" + home() + "\ngo: example.com/widget@v1.2.0: write " + home() + "/pkg/mod/x: no space left on device\n"
	case 4:
		return "gcc -I" + home() + "/include -L/home/" + p.name(false) + "/lib example.com/widget\ngo: errors parsing " + home() + "/go.mod:\n" + home() + "/go.mod:3: unknown directive: requier\n"
	}
	return "main.go:4:2: no required module provides package example.com/widget; to add it:\n\tgo get example.com/widget （目录" + home() + "/src）\n"
}

func (p *planter) prompt() string {
	who := p.name(false)
	host := p.secret(8, letters)
	line := p.pick(
		who+"@"+host+":~/src/app$ go mod download", "["+who+"@"+host+" app]$ go mod download", who+"@"+host+" app % go mod download",
		"(venv) "+who+"@"+host+":/srv/app# pip install left-widget", who+"@"+host+" ~/src> npm install", who+"@"+host+" MINGW64 ~/app (main)\n$ go mod download",
		who+"@"+host+":~/src ❯ go mod download",
	)
	return line + "\n" + p.failure("")
}

func (p *planter) email() string {
	who := p.secret(8, letters) + p.pick("", ".x", "+git", "_1")
	at := who + "@" + p.pick("example.com", "163.com", "mail.corp.example", "qq.com")
	switch p.r.IntN(3) {
	case 0:
		return "go: example.com/widget@v1.2.0: reading https://goproxy.example.org/example.com/widget/@v/v1.2.0.mod: 403 Forbidden\n\tserver response: ask " + at + " for access\n"
	case 1:
		return "remote: The account <" + at + "> has no access.\nfatal: unable to access 'https://git.example.com/team/widget/': The requested URL returned error: 403\n"
	}
	return "Committer: " + at + "，请联系" + at + "\n" + p.failure("")
}
