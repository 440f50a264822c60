package modproxy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/keepwell/keepwell/internal/scratch"
)

// directs are the direct ways, one for each set of logins: what one may see, no other
// finds in its module cache.
type directs struct {
	mu  sync.Mutex
	all []*direct
	n   int
}

func (ds *directs) fetch(ctx context.Context, p *Proxy, logins *Logins, a ask, b *body) error {
	d := ds.take(p, logins)
	defer d.inUse.RUnlock()
	return d.fetch(ctx, a, b, p.most(a))
}

// take is the direct way with logins, held against its removal.
func (ds *directs) take(p *Proxy, logins *Logins) *direct {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for _, d := range ds.all {
		if sameLogins(d.logins, logins) {
			d.inUse.RLock()
			return d
		}
	}
	d := &direct{dir: p.Store.Scratch(), env: p.Env, logins: logins}
	if ds.n++; logins != nil {
		d.dir = filepath.Join(d.dir, fmt.Sprintf("direct%d", ds.n))
	}
	ds.all = append(ds.all, d)
	d.inUse.RLock()
	return d
}

// keep removes the ways, with their secrets, that lists do not have any more.
func (ds *directs) keep(p *Proxy, lists []List) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	var kept []*direct
	for _, d := range ds.all {
		if d.logins == nil || wanted(d.logins, lists) {
			kept = append(kept, d)
			continue
		}
		p.work.Go(func() {
			d.inUse.Lock() // nobody takes it any more
			scratch.Remove(d.dir)
			d.inUse.Unlock()
		})
	}
	ds.all = kept
}

func wanted(logins *Logins, lists []List) bool {
	for _, l := range lists {
		for _, u := range l.Upstreams {
			if u.isDirect() && sameLogins(u.Logins, logins) {
				return true
			}
		}
	}
	return false
}

// private makes a home for go and git in which there are the given logins and nothing
// else, and returns the variables that lead there. Secrets lie in files of mode 0600:
// no variable and no argument of a process has any.
func (d *direct) private() ([]string, error) {
	home := filepath.Join(d.dir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	h := &homeFiles{home: home}
	h.git.WriteString("[credential]\n\thelper =\n")
	for i := range d.logins.Credentials {
		if err := h.add(i, &d.logins.Credentials[i]); err != nil {
			return nil, err
		}
	}
	for name, text := range map[string]string{
		".gitconfig": h.git.String(), "netrc": h.netrc.String(), "ssh_config": h.ssh.String() + fmt.Sprintf(sshCommon, filepath.Join(home, "no-key")), "headers": h.headers.String(),
	} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return h.env(d.dir), nil
}

// sshCommon ends ssh's configuration: no question, and no other key than the named one.
// Where no key is named, ssh would try those of the account; so one is, that is not there.
const sshCommon = "Host *\n\tIdentitiesOnly yes\n\tIdentityAgent none\n\tIdentityFile \"%s\"\n\tBatchMode yes\n\tStrictHostKeyChecking yes\n"

// homeFiles are what such a home has in it.
type homeFiles struct {
	home                     string
	git, netrc, ssh, headers strings.Builder
	helpers                  bool
}

func (h *homeFiles) add(i int, c *Credential) error {
	words := ""
	if c.Password != "" {
		words = filepath.Join(h.home, fmt.Sprintf("login%d", i))
		if err := os.WriteFile(words, []byte("username="+c.User+"\npassword="+c.Password+"\n"), 0o600); err != nil {
			return err
		}
	}
	for _, host := range c.Hosts {
		switch {
		case c.Password != "":
			// git's own store would take a refused login out of its file.
			fmt.Fprintf(&h.git, "[credential \"https://%s\"]\n\thelper = %s\n", host, gitQuote(`!f() { test "$1" = get && cat `+shellQuote(words)+`; }; f`))
			fmt.Fprintf(&h.netrc, "machine %s login %s password %s\n", host, c.User, c.Password)
		case c.Bearer != "":
			// A redirect would not take the header along, and is not followed.
			fmt.Fprintf(&h.git, "[http \"https://%s/\"]\n\textraHeader = %s\n\tfollowRedirects = false\n", host, gitQuote("Authorization: Bearer "+c.Bearer))
			fmt.Fprintf(&h.headers, "https://%s\n\nAuthorization: Bearer %s\n\n", host, c.Bearer)
		case c.Helper != "":
			h.helpers = true
			fmt.Fprintf(&h.git, "[credential \"https://%s\"]\n\thelper = %s\n", host, gitQuote(c.Helper))
		case c.SSHKey != "":
			h.addKey(host, c)
		}
	}
	return nil
}

// addKey has git reach host by ssh, with one key.
func (h *homeFiles) addKey(host string, c *Credential) {
	user := c.User
	if user == "" {
		user = "git"
	}
	fmt.Fprintf(&h.git, "[url \"ssh://%s@%s/\"]\n\tinsteadOf = \"https://%s/\"\n", user, host, strings.SplitN(host, ":", 2)[0])
	name, port, _ := strings.Cut(host, ":")
	fmt.Fprintf(&h.ssh, "Host %s\n\tIdentityFile \"%s\"\n", name, c.SSHKey)
	if port != "" {
		fmt.Fprintf(&h.ssh, "\tPort %s\n", port)
	}
	if c.KnownHosts != "" {
		fmt.Fprintf(&h.ssh, "\tUserKnownHostsFile \"%s\"\n", c.KnownHosts)
	}
}

func (h *homeFiles) env(dir string) []string {
	var auth []string
	if h.netrc.Len() > 0 {
		auth = append(auth, "netrc")
	}
	if h.headers.Len() > 0 && runtime.GOOS != "windows" {
		auth = append(auth, "cat "+shellQuote(filepath.Join(h.home, "headers")))
	}
	if h.helpers && !strings.ContainsAny(h.home, " ;") {
		auth = append(auth, "git "+h.home)
	}
	if len(auth) == 0 {
		auth = []string{"off"}
	}
	return []string{
		"HOME=" + h.home, "USERPROFILE=" + h.home, "XDG_CONFIG_HOME=" + filepath.Join(h.home, ".config"), "APPDATA=" + h.home,
		"GOENV=off", "GOPATH=" + filepath.Join(dir, "gopath"), "GOCACHE=" + filepath.Join(dir, "cache"),
		"NETRC=" + filepath.Join(h.home, "netrc"), "GOAUTH=" + strings.Join(auth, "; "),
		"GIT_CONFIG_GLOBAL=" + filepath.Join(h.home, ".gitconfig"), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_PARAMETERS=",
		"GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=core.fsmonitor", "GIT_CONFIG_VALUE_0=false",
		"GIT_CONFIG_KEY_1=core.hooksPath", "GIT_CONFIG_VALUE_1=" + os.DevNull,
		"GIT_ASKPASS=", "SSH_ASKPASS=", "SSH_AUTH_SOCK=",
		"GIT_SSH_COMMAND=ssh -F " + shellQuote(filepath.Join(h.home, "ssh_config")) + " -o IdentitiesOnly=yes",
	}
}

// shellQuote is for git, which has a shell run helpers, and for go, which reads the
// quotes itself.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func gitQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
