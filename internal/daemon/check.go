package daemon

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/keepwell/keepwell/internal/daemon/wire"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/playbook"
)

// Check is Load for a look before the start: it reports, too, what would show only when
// somebody is to be told or an alert comes in.
func Check(s Source) (*Config, error) {
	c, r, err := load(s)
	if err != nil {
		return nil, err
	}
	secrets := secretsOf(c, s.Environ)
	r.judgeListen(c.Listen)
	r.judgeSecrets(reflect.ValueOf(c).Elem(), "", secrets)
	for name, to := range c.Notify {
		r.judgeAddress("notify."+name+".url", to.URL, to.Type == "email", secrets)
	}
	for name, t := range c.Tickets {
		r.judgeAddress("tickets."+name+".url", t.URL, false, secrets)
	}
	for name, to := range c.Clusters {
		if _, err := os.Stat(to.Kubeconfig); to.Kubeconfig != "" && err != nil {
			r.at("clusters."+name+".kubeconfig", "serve.file", to.Kubeconfig)
		}
	}
	if len(r.problems) == 0 {
		r.judgePlaybooks(c, s.Environ)
	}
	if len(r.problems) > 0 {
		slices.SortStableFunc(r.problems, func(a, b Problem) int { return a.Line - b.Line })
		return nil, r.problems
	}
	return c, nil
}

// judgePlaybooks reads the playbooks of the directory, and looks whether what they do can
// be done with this configuration.
func (r *reader) judgePlaybooks(c *Config, environ []string) {
	if c.Playbooks.Dir == "" {
		return
	}
	files, err := bookFiles(c.Playbooks.Dir)
	if err != nil {
		return // told of
	}
	programs := wire.Programs{Actions: Actions(c, environ, msg.EN)}
	for _, file := range files {
		text, err := plainfile.Read(file)
		if err != nil {
			r.wrong(place{where: file}, "play.read", err)
			continue
		}
		p, problems := playbook.Read(text, playbook.Options{Conditions: wire.Conditions(), Name: bookName(file)})
		for _, pr := range problems {
			if !pr.Warning {
				r.wrong(place{file, pr.Line, pr.Column}, pr.Key, pr.Args...)
			}
		}
		if p == nil {
			continue
		}
		for _, f := range programs.Faults(p) {
			r.wrong(place{where: file}, "serve.step", f.Step, f.Why)
		}
	}
}

var hostForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$`) })

func (r *reader) judgeListen(listen string) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return // told of
	}
	_, noIP := netip.ParseAddr(host)
	digits := strings.Trim(host, "0123456789.") == "" // is meant as an IP
	if host != "" && noIP != nil && (digits || !hostForm().MatchString(host)) {
		r.at("listen", "serve.listen.host", host)
	}
	if _, err := net.LookupPort("tcp", port); err != nil { //nolint:noctx // a number, or a name of the system's file
		r.at("listen", "serve.listen.port", port)
	}
}

// judgeSecrets looks up each secret that a word refers to.
func (r *reader) judgeSecrets(v reflect.Value, path string, secrets func(string) (string, error)) {
	switch v.Kind() { //nolint:exhaustive // the others hold no words
	case reflect.String:
		t, err := playbook.ParseText(v.String())
		if err != nil || !reference().MatchString(v.String()) {
			return
		}
		for _, name := range t.Secrets() {
			if _, err := secrets(name); err != nil {
				r.at(path, "serve.secret", path, name)
			}
		}
	case reflect.Struct:
		for name, f := range names(v.Type()) {
			if path != "hooks" || name != "generic" { // expressions
				r.judgeSecrets(v.FieldByIndex(f.Index), join(path, name), secrets)
			}
		}
	case reflect.Map:
		for key, e := range v.Seq2() {
			r.judgeSecrets(e, join(path, key.String()), secrets)
		}
	case reflect.Slice:
		for _, e := range v.Seq2() {
			r.judgeSecrets(e, path, secrets)
		}
	}
}

func (r *reader) judgeAddress(path, word string, mail bool, secrets func(string) (string, error)) {
	address, err := resolve(word, secrets)
	if word == "" || err != nil {
		return // told of
	}
	u, err := url.Parse(address)
	if isWeb(address) || mail && err == nil && u.Host != "" && strings.HasPrefix(u.Scheme, "smtp") {
		return
	}
	if mail {
		r.at(path, "serve.mail", path)
		return
	}
	r.at(path, "serve.web", path)
}
