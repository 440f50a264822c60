//go:build unix

package route_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/route"
)

// TestRealHosts holds what is known of repositories without asking to the go command:
// where it forbids every tool, it names the tool and the root that it would have used.
func TestRealHosts(t *testing.T) {
	t.Parallel()
	l := &lab{world: newWorld(t), root: t.TempDir()}
	l.find(t)
	for i, path := range []string{
		"github.com/acme/widget", "github.com/acme/widget/sub/v2", "github.com/acme", "github.com/acme/widget.git", "github.com/acme/wid+get",
		"bitbucket.org/acme/widget/v3", "bitbucket.org/acme/widget.hg/x", "hub.jazz.net/git/acme/widget/x", "hub.jazz.net/git/Acme/widget",
		"git.apache.org/thrift.git/lib", "git.apache.org/thrift", "git.openstack.org/openstack/swift.git/x", "git.openstack.org/openstack/swift",
		"chiselapp.com/user/bob/repository/widget", "chiselapp.com/user/bob/repository/widget/x",
		"git.example.com/team/widget.git", "git.example.com/team/widget.git/sub", "git.example.com/a.hg/b.git/c", "git.example.com/x.svn", "example.com/.git/x", "git.example.com/widget.gitx",
		"example.net/widget", "localhost.example.com/~bob/widget.fossil/x",
	} {
		c := &story{
			id: fmt.Sprintf("c%dx", i), module: path, version: "v1.0.0", command: route.ListModule,
			env: map[string]string{"GOPROXY": "direct", "GOSUMDB": "off", "GOVCS": "*:off"},
		}
		output, _ := l.run(t, c, filepath.Join(l.root, c.id))
		d := route.Plan(c.config(), c.query()).Hops[0].Direct
		named := ""
		if _, rest, ok := strings.Cut(output, "GOVCS disallows using "); ok {
			vcs, rest, _ := strings.Cut(rest, " for public ")
			root, _, _ := strings.Cut(rest, ";")
			named = vcs + " " + root
		}
		if got := strings.TrimSpace(d.VCS + " " + d.Root); got != named {
			t.Errorf("%s: %q, want %q\ngo said: %s", path, got, named, output)
		}
	}
}

// TestRealCredentials holds the login that a route names to the header that go sends
// with its first request.
func TestRealCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := &lab{world: w, root: t.TempDir()}
	l.find(t)
	const complete = "login bob password hunter2\n"
	for i, s := range []struct{ netrc, proxy, goauth string }{
		{"machine proxy.example.com " + complete, "https://proxy.example.com", ""},
		{"machine proxy.example.com " + complete, "https://proxy.example.com:8443", ""},
		{"machine proxy.example.com:8443 " + complete, "https://proxy.example.com:8443", ""},
		{"machine proxy.example.com login bob\n", "https://proxy.example.com", ""},
		{"machine other.example.com " + complete, "https://proxy.example.com", ""},
		{"machine example.com " + complete, "https://proxy.example.com", ""},
		{"default " + complete, "https://proxy.example.com", ""},
		{"machine proxy.example.com " + complete, "https://proxy.example.com", "off"},
		{"machine proxy.example.com " + complete, "http://proxy.example.com", ""},
		{"machine proxy.example.com/%s " + complete, "https://proxy.example.com", ""},
		{"machine proxy.example.com/elsewhere " + complete, "https://proxy.example.com", ""},
		{"", "https://eve:hunter2@proxy.example.com", ""},
		{"machine proxy.example.com " + complete, "https://eve:hunter2@proxy.example.com", ""},
	} {
		c := &story{
			id: fmt.Sprintf("c%dx", i), version: "v1.0.0", command: route.ListModule, faults: map[string]string{},
			env: map[string]string{"GOSUMDB": "off", "GOAUTH": s.goauth},
		}
		c.module, c.mod = "git.example.com/"+c.id, "module git.example.com/"+c.id+"\n"
		c.env["GOPROXY"] = s.proxy + "/" + c.id + "/s0"
		netrc := strings.ReplaceAll(s.netrc, "%s", c.id)
		c.env["NETRC"] = filepath.Join(l.root, c.id+".netrc")
		if err := os.WriteFile(c.env["NETRC"], []byte(netrc), 0o600); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var sent []string
		c.saw = func(r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			user, _, _ := r.BasicAuth()
			sent = append(sent, user)
		}
		w.add(c)
		if output, ok := l.run(t, c, filepath.Join(l.root, c.id)); !ok {
			t.Fatalf("%+v: go said %s", s, output)
		}
		cfg := c.config()
		cfg.Netrc = route.NetrcMachines([]byte(netrc))
		want := map[string]string{"netrc": "bob", "url": "eve"}[route.Plan(cfg, c.query()).Hops[0].Access.Credential[0].Source]
		if len(sent) == 0 || sent[0] != want {
			t.Errorf("%+v: go sent the login of %q, the route names %q", s, sent, want)
		}
	}
}

// TestRealEnvironment: what go env prints is what the simulation takes for granted.
func TestRealEnvironment(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go in PATH")
	}
	cmd := exec.CommandContext(context.Background(), tool, "env", "GONOPROXY", "GONOSUMDB")
	cmd.Env = append(os.Environ(), "GOENV=off", "GOPRIVATE=git.example.com", "GONOPROXY=", "GONOSUMDB=none")
	out, err := cmd.Output()
	if err != nil || string(out) != "git.example.com\nnone\n" {
		t.Errorf("go env prints %q (%v)", out, err)
	}
	if goenv.FromDefault != "default" {
		t.Errorf("origin %q", goenv.FromDefault)
	}
}
