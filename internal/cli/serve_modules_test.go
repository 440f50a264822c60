//go:build unix

package cli_test

import (
	"bufio"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRealGoFetchesFromServe: the real go command has modules of /mod/ with a token of the
// scope mod, and is told how to get one without.
func TestRealGoFetchesFromServe(t *testing.T) {
	t.Parallel()
	l := newRunLab(t)
	cert, key := l.certificate()
	config := filepath.Join(l.work, "serve.yaml")
	l.write(config, "listen: 127.0.0.1:0\ndata: data\ntls: {cert: "+cert+", key: "+key+"}\nmodules: {upstream: ['"+l.serve(nil)+"']}\n")
	made := func(args ...string) string {
		code, out, errs := l.run(append([]string{"serve"}, args...)...)
		if code != 0 {
			t.Fatalf("%q: %d %s %s", args, code, out, errs)
		}
		return regexp.MustCompile(`kw_\S+`).FindString(out)
	}
	made("--config", config, "--new-admin", "ann")
	data := filepath.Join(l.work, "data")
	mod := made("token", "add", "mod", "--user", "ann", "--scope", "mod", "--data", data)
	api := made("token", "add", "api", "--user", "ann", "--scope", "api", "--data", data)

	r := &running{cmd: l.command("serve", "--config", config)}
	errs, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.errs = bufio.NewReader(errs)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	host := regexp.MustCompile(`https://([0-9.:]+)`).FindStringSubmatch(r.until(t, "serves at"))[1]
	netrc := filepath.Join(l.work, "netrc")
	l.write(netrc, "machine "+host+" login go password "+mod+"\n")
	proxy := "GOPROXY=https://" + host + "/mod/"
	for name, x := range map[string]struct {
		env  []string
		says string // "": it works
	}{
		"nothing":        {[]string{proxy}, "keepwell serve token add"},
		"netrc":          {[]string{proxy, "NETRC=" + netrc}, ""},
		"in the address": {[]string{"GOPROXY=https://go:" + mod + "@" + host + "/mod/"}, ""},
		"another scope":  {[]string{"GOPROXY=https://go:" + api + "@" + host + "/mod/"}, "403 Forbidden"},
		"wrong":          {[]string{"GOPROXY=https://go:" + mod + "x@" + host + "/mod/"}, "401 Unauthorized"},
	} {
		out, err := l.download(append(x.env, "SSL_CERT_FILE="+cert)...)
		if (err == nil) != (x.says == "") || !strings.Contains(out, x.says) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	r.end(t)
}
