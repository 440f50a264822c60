package actions

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/plainfile"
)

// Cluster is a Kubernetes cluster and what may be done there.
type Cluster struct {
	// Kubeconfig is a file; "": this server runs in the cluster, with an account of its own.
	Kubeconfig string
	// Context of the kubeconfig; "": its current one.
	Context string
	// Account is the directory of the account in the cluster; "": where Kubernetes puts it.
	Account string
	// Namespaces are where workloads may be changed or looked at.
	Namespaces []string
	// Nodes says that nodes may be cordoned and uncordoned.
	Nodes bool
	// MaxReplicas bounds every scale; 0: 100.
	MaxReplicas int64
}

// access is how a cluster is talked to.
type access struct {
	client *http.Client
	base   string
	header http.Header
}

const accountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// access reads the logins each time: those of pods are renewed within the hour.
func (c Cluster) access() (access, error) {
	var l login
	var err error
	if c.Kubeconfig == "" {
		l, err = c.inside()
	} else {
		l, err = c.fromFile()
	}
	if err != nil {
		return access{}, msg.Wrong("do.cluster.login", err)
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: l.serverName}
	if len(l.ca) > 0 {
		secure.RootCAs = x509.NewCertPool()
		if !secure.RootCAs.AppendCertsFromPEM(l.ca) {
			return access{}, msg.Wrong("do.cluster.ca")
		}
	}
	if len(l.cert) > 0 {
		pair, err := tls.X509KeyPair(l.cert, l.key)
		if err != nil {
			return access{}, msg.Wrong("do.cluster.pair") // the cause may hold parts of them
		}
		secure.Certificates = []tls.Certificate{pair}
	}
	a := access{client: newTLSClient(func(string) bool { return true }, secure), base: strings.TrimSuffix(l.server, "/"), header: http.Header{"Accept": {"application/json"}}}
	if l.token != "" {
		a.header.Set("Authorization", "Bearer "+l.token)
	}
	return a, nil
}

type login struct {
	server, serverName, token string
	ca, cert, key             []byte
}

func (c Cluster) inside() (l login, err error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return l, msg.Wrong("do.cluster.none")
	}
	dir := c.Account
	if dir == "" {
		dir = accountDir
	}
	token, err := plainfile.Read(filepath.Join(dir, "token"))
	if err != nil {
		return l, err
	}
	l.ca, err = plainfile.Read(filepath.Join(dir, "ca.crt"))
	l.token, l.server = strings.TrimSpace(string(token)), "https://"+net.JoinHostPort(host, port)
	return l, err
}

// kubeconfig is what is read of one. Programs that make logins are not run.
type kubeconfig struct {
	Current  string `yaml:"current-context"`
	Contexts []struct {
		Name    string
		Context struct{ Cluster, User string }
	}
	Clusters []struct {
		Name    string
		Cluster struct {
			Server     string
			CA         string `yaml:"certificate-authority"`
			CAData     string `yaml:"certificate-authority-data"`
			ServerName string `yaml:"tls-server-name"`
			Insecure   bool   `yaml:"insecure-skip-tls-verify"`
			Proxy      string `yaml:"proxy-url"`
		}
	}
	Users []struct {
		Name string
		User struct {
			Token     string
			TokenPath string `yaml:"tokenFile"`
			Cert      string `yaml:"client-certificate"`
			CertData  string `yaml:"client-certificate-data"`
			Key       string `yaml:"client-key"`
			KeyData   string `yaml:"client-key-data"`
			Exec      any    `yaml:"exec"`
			Provider  any    `yaml:"auth-provider"`
		}
	}
}

func (c Cluster) fromFile() (l login, err error) {
	text, err := plainfile.Read(c.Kubeconfig)
	if err != nil {
		return l, err
	}
	var k kubeconfig
	if yaml.Unmarshal(text, &k) != nil {
		return l, msg.Wrong("do.cluster.kubeconfig", c.Kubeconfig) // the cause may hold a login
	}
	context := c.Context
	if context == "" {
		context = k.Current
	}
	cluster, user := "", ""
	for _, e := range k.Contexts {
		if e.Name == context {
			cluster, user = e.Context.Cluster, e.Context.User
		}
	}
	beside := &beside{kubeconfig: c.Kubeconfig}
	for _, e := range k.Clusters {
		if e.Name != cluster {
			continue
		}
		if e.Cluster.Insecure || e.Cluster.Proxy != "" {
			return l, msg.Wrong("do.cluster.insecure", c.Kubeconfig)
		}
		l.server, l.serverName, l.ca = e.Cluster.Server, e.Cluster.ServerName, beside.read(e.Cluster.CAData, e.Cluster.CA)
	}
	if !strings.HasPrefix(l.server, "https://") {
		return l, msg.Wrong("do.cluster.context", c.Kubeconfig, context)
	}
	for _, e := range k.Users {
		if e.Name != user {
			continue
		}
		if u := e.User; u.Exec != nil || u.Provider != nil {
			return l, msg.Wrong("do.cluster.program", c.Kubeconfig, user)
		}
		if l.token = e.User.Token; l.token == "" {
			l.token = strings.TrimSpace(string(beside.read("", e.User.TokenPath)))
		}
		l.cert, l.key = beside.read(e.User.CertData, e.User.Cert), beside.read(e.User.KeyData, e.User.Key)
	}
	return l, beside.err
}

// beside reads what a kubeconfig holds itself, or names a file for; the first error stays.
type beside struct {
	kubeconfig string
	err        error
}

func (b *beside) read(data, name string) (out []byte) {
	switch {
	case b.err != nil || data == "" && name == "":
		return nil
	case data != "":
		if out, b.err = base64.StdEncoding.DecodeString(data); b.err != nil {
			b.err = msg.Wrong("do.cluster.base64", b.kubeconfig)
		}
		return out
	case !filepath.IsAbs(name):
		name = filepath.Join(filepath.Dir(b.kubeconfig), name)
	}
	out, b.err = plainfile.Read(name)
	return out
}
