//go:build unix

package faultlab

import (
	"context"
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// canaries are secrets of one user, each with the hosts that may see it, over TLS.
func canaries() map[string][]string {
	return map[string][]string{
		"canary-proxyurl-5f1d":  {"goproxy.example.org"},
		"canary-netrc-a71c":     {"git.corp.example"},
		"canary-extra-09be":     {"github.com"},
		"canary-instead-c3d2":   {"gitlab.example.com"},
		"canary-helper-7e44":    {"helped.example.com"},
		"canary-goauth-b8f0":    {"auth.example.com"},
		"canary-npm-2a9d":       {"npm.example.org"},
		"canary-pip-6c3b":       {"pypi.example.org"},
		"canary-httpproxy-d05e": {viaProxy},
		"canary-ghtoken-81aa":   {"github.com", "api.github.com"},
		"canary-netrc-npm-44c1": {"elsewhere.example.net"},
	}
}

// viaProxy stands for the HTTP proxy as the receiver of a request.
const viaProxy = "the HTTP proxy"

// overheard is what servers were sent.
type overheard struct {
	mu    sync.Mutex
	leaks []string
	// seen are the canaries that came home: a lab where none does proves nothing.
	seen []string
}

// listen holds one request against the canaries.
func (o *overheard) listen(host string, secure bool, r *http.Request) {
	text := r.Method + " " + r.URL.String() + " " + r.Host
	for name, values := range r.Header {
		text += "\n" + name + ": " + strings.Join(values, " ")
		for _, v := range values {
			if _, login, ok := strings.Cut(v, " "); ok {
				if plain, err := base64.StdEncoding.DecodeString(login); err == nil {
					text += " " + string(plain)
				}
			}
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for canary, owners := range canaries() {
		switch {
		case !strings.Contains(text, canary):
		case secure && slices.Contains(owners, host):
			o.seen = append(o.seen, canary)
		default:
			o.leaks = append(o.leaks, canary+" at "+host+": "+text)
		}
	}
}

// canaryMode is how all servers of a canary lab answer.
type canaryMode struct {
	name   string
	answer func(next http.Handler) http.Handler
}

func canaryModes() []canaryMode {
	always := func(h http.HandlerFunc) func(http.Handler) http.Handler {
		return func(http.Handler) http.Handler { return h }
	}
	ask := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="canary"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
	away := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, to+r.URL.RequestURI(), http.StatusTemporaryRedirect)
		}
	}
	return []canaryMode{
		{"as-they-should", func(next http.Handler) http.Handler { return next }},
		{"ask-for-a-login", always(ask)},
		{"forbid", always(status(403, "token canary is not allowed\n"))},
		{"lead-to-another-host", always(away("https://evil.example.net"))},
		{"lead-to-plain-http", always(away("http://plain.example.net"))},
		{"break", always(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })},
	}
}

// canaryLab gives a user all the canaries, and servers that listen for them.
func (l *Lab) canaryLab(ctx context.Context, mode canaryMode) *overheard {
	o := &overheard{}
	l.world.heard = func(r *http.Request) {
		if r.Method == http.MethodConnect {
			o.listen(viaProxy, true, r) // it is the user's own, spoken to in plain
			return
		}
		if v := r.Header.Get("Proxy-Authorization"); v != "" {
			r = r.Clone(r.Context())
			r.Header.Del("Proxy-Authorization")
		}
		o.listen(r.URL.Host+" over plain HTTP", false, r)
	}
	put := func(host string, h http.Handler) {
		answers := mode.answer(h)
		l.HTTPS(host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			o.listen(host, true, r)
			answers.ServeHTTP(w, r)
		}))
	}
	put("goproxy.example.org", goproxy(l.T, widgets()...))
	put("npm.example.org", npmRegistry(l, npmWidget()))
	put("pypi.example.org", simpleIndex(l, pyWidget()))
	repository := l.gitServer(ctx)
	for _, host := range []string{"git.corp.example", "github.com", "gitlab.example.com", "helped.example.com", "auth.example.com", "api.github.com"} {
		put(host, repository)
	}
	put("evil.example.net", http.HandlerFunc(page))
	put("sum.example.org", http.NotFoundHandler())
	l.canarySettings()
	return o
}

// canarySettings puts each canary where such a secret usually lies.
func (l *Lab) canarySettings() {
	l.Set(
		"GOPROXY", "https://user:canary-proxyurl-5f1d@goproxy.example.org,direct", "GOPRIVATE", "git.corp.example,gitlab.example.com,helped.example.com,auth.example.com,github.com/acme",
		"PIP_INDEX_URL", "https://user:canary-pip-6c3b@pypi.example.org/simple", "GITHUB_TOKEN", "canary-ghtoken-81aa", "GH_TOKEN", "canary-ghtoken-81aa",
	)
	// go tries ssh for paths that end in .git, and ssh would ask a resolver outside.
	l.Set("GIT_SSH_COMMAND", "false")
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		l.Set(name, "http://user:canary-httpproxy-d05e@"+l.world.addr())
	}
	l.netrc("machine git.corp.example login user password canary-netrc-a71c\nmachine elsewhere.example.net login user password canary-netrc-npm-44c1\n")
	extra := base64.StdEncoding.EncodeToString([]byte("user:canary-extra-09be"))
	l.write(filepath.Join(l.Home, ".gitconfig"), `[http "https://github.com/"]
	extraHeader = Authorization: Basic `+extra+`
[url "https://user:canary-instead-c3d2@gitlab.example.com/"]
	insteadOf = https://gitlab.example.com/
[credential "https://helped.example.com"]
	helper = "!f() { test \"$1\" = get && echo username=user && echo password=canary-helper-7e44; }; f"
`)
	goauth := filepath.Join(l.Home, "goauth")
	l.write(goauth, "#!/bin/sh\nprintf 'https://auth.example.com/\\n\\nAuthorization: Bearer canary-goauth-b8f0\\n\\n'\n")
	l.check(os.Chmod(goauth, 0o700))
	l.Set("GOAUTH", "netrc; "+goauth)
	npmrc := filepath.Join(l.Home, ".npmrc")
	l.write(npmrc, "//npm.example.org/:_authToken=canary-npm-2a9d\n@acme:registry=https://npm.example.org/\n")
	l.check(os.Chmod(npmrc, 0o600))
	l.Files(
		"go.mod", "module example.org/app\n\ngo 1.20\n\nrequire (\n\texample.com/widget v1.0.0\n\tgit.corp.example/acme/widget v1.0.0\n\tgithub.com/acme/widget v1.0.0\n)\n",
		"app.go", "package app\n\nimport _ \"example.com/widget\"\n",
		"package.json", `{"name":"app","version":"1.0.0","dependencies":{"widget":"^1.0.0"}}`+"\n",
		"requirements.txt", "widget==1.0.0\n",
	)
}

// canaryQuestions are what doctor is asked in each mode.
func canaryQuestions() [][]string {
	return [][]string{
		nil,
		{"example.com/widget@v1.0.0"},
		{"git.corp.example/acme/widget.git@v1.0.0"},
		{"github.com/acme/widget@v1.0.0"},
		{"gitlab.example.com/acme/widget.git@v1.0.0"},
		{"helped.example.com/acme/widget.git@v1.0.0"},
		{"auth.example.com/acme/widget.git@v1.0.0"},
		{"npm:widget"},
		{"npm:@acme/secret"},
		{"pypi:widget"},
	}
}
