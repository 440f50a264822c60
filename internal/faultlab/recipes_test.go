//go:build unix

package faultlab

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRecipes runs the recipes of docs/ci-credentials.md, in both languages, with the
// real go and git against a host that wants a login: they work, and leave no secret in
// any file.
func TestRecipes(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"go", "git", "base64"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s", tool)
		}
	}
	if otherGo() != "" {
		t.Skip("GOAUTH came with go 1.24")
	}
	goCache := t.TempDir()
	for _, page := range []string{"ci-credentials.md", "ci-credentials.zh-CN.md"} {
		data, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			t.Run("environment", func(t *testing.T) { recipe(t, goCache, block(t, text, "export GOPRIVATE="), "", "widget.git") })
			t.Run("goauth", func(t *testing.T) {
				recipe(t, goCache, block(t, text, "export GOPRIVATE="), block(t, text, "#!/bin/sh"), "widget")
			})
		})
	}
}

// block is the first code block that begins with start.
func block(t *testing.T, text, start string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "```sh\n"+start)
	code, _, end := strings.Cut(rest, "```")
	if !ok || !end {
		t.Fatalf("no block of code begins with %s", start)
	}
	return start + code
}

// recipe fetches a module by a recipe for git, and one for go itself where it is given.
func recipe(t *testing.T, goCache, forGit, forGo, name string) {
	t.Helper()
	ctx := t.Context()
	l := Open(t, goCache)
	h := &privateHost{accept: func(user, password string) int {
		if password == secret && (user == "x-access-token" || user == "gitlab-ci-token") {
			return http.StatusOK
		}
		return http.StatusUnauthorized
	}}
	h.git = l.gitServer(ctx)
	l.HTTPS("git.example.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("go-get") == "" {
			h.ServeHTTP(w, r)
			return
		}
		repo := "git.example.com/acme" // what a host says that does not know who asks
		if r.Header.Get("Authorization") == "Basic "+base64.StdEncoding.EncodeToString([]byte("gitlab-ci-token:"+secret)) {
			repo = "git.example.com/acme/widget"
		}
		fmt.Fprintf(w, `<meta name="go-import" content="%s git https://%s">`, repo, repo)
	}))
	l.Set("MODULES_TOKEN", secret, "CI_JOB_TOKEN", secret, "CI_SERVER_HOST", "git.example.com")
	forGit = strings.ReplaceAll(forGit, "github.com", "git.example.com")
	forGit = strings.Replace(forGit, "go mod download", "go mod download git.example.com/acme/"+name+"@v1.0.0", 1)
	if forGo != "" {
		if l.Run(ctx, "sh", "-c", forGit); !l.Failed() {
			t.Error("the host shows the repository without GOAUTH, too")
		}
		script := filepath.Join(l.Dir, "goauth")
		if err := os.WriteFile(script, []byte(forGo), 0o755); err != nil {
			t.Fatal(err)
		}
		l.Set("GOAUTH", script)
	}
	out := l.Run(ctx, "sh", "-c", forGit)
	if l.Failed() {
		t.Errorf("the recipe fails:\n%s", out)
	}
	if strings.Contains(out, secret) {
		t.Errorf("the recipe prints the secret:\n%s", out)
	}
	err := filepath.WalkDir(l.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("%s holds the secret", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
