//go:build unix

package daemon_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/keepwell/keepwell/internal/actions"
	"github.com/keepwell/keepwell/internal/api"
	"github.com/keepwell/keepwell/internal/daemon"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/web"
)

// world is all that actions reach, on loopback. It remembers what it was told; when it is
// unkind it refuses everything, and repeats in its refusal all that it was told.
type world struct {
	*testing.T
	web, cluster  *httptest.Server
	redis, sql    net.Listener
	mail          net.Listener
	dir, ca, kube string
	unkind        atomic.Bool
	// mu guards what is below.
	mu       sync.Mutex
	requests []request
	commands [][]string // of Redis
	queries  [][]string // a statement with its parameters
	letters  []string
	others   []string // of the cluster, and what the doctor was to look at
	all      strings.Builder
}

type request struct {
	*http.Request
	body string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir()}
	w.web = httptest.NewServer(http.HandlerFunc(w.answer))
	w.cluster = httptest.NewTLSServer(http.HandlerFunc(w.answerCluster))
	t.Cleanup(w.web.Close)
	t.Cleanup(w.cluster.Close)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.cluster.Certificate().Raw})
	w.ca, w.kube = filepath.Join(w.dir, "ca.pem"), filepath.Join(w.dir, "kubeconfig")
	w.write("ca.pem", string(certificate), 0o600)
	w.write("kubeconfig", fmt.Sprintf("current-context: m\ncontexts: [{name: m, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: '%s', certificate-authority-data: %s}}]\nusers: [{name: u, user: {token: %s}}]\n", w.cluster.URL, base64.StdEncoding.EncodeToString(certificate), hush("CLUSTER")), 0o600)
	w.write("scripts/dump.sh", "#!/bin/sh\nprintf '%s\\0' \"$@\" >\"$OUT/argv\"\nenv -0 >\"$OUT/env\"\nenv\ntest ! -e \"$OUT/unkind\"\n", 0o700)
	w.write("scripts/ansible", "#!/bin/sh\nprintf '%s\\n' \"$@\" >>\"$OUT/told\"\nfor a; do case $a in @*) cat \"${a#@}\" >\"$OUT/vars\";; esac; done\necho '{\"plays\":[],\"stats\":{}}'\ntest ! -e \"$OUT/unkind\"\n", 0o700)
	w.write("ansible/site.yml", "[]\n", 0o600)
	w.write("ansible/hosts", "web1\n", 0o600)
	w.redis, w.sql = w.listen(w.talkRedis), w.listen(w.talkSQL)
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &postman{w: w}, nil }))
	s.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	var err error
	if w.mail, err = tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: w.cluster.TLS.Certificates, MinVersion: tls.VersionTLS12}); err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(w.mail) })
	t.Cleanup(func() { _ = s.Close(); served.Wait() })
	return w
}

func (w *world) write(name, text string, mode os.FileMode) {
	w.Helper()
	name = filepath.Join(w.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), mode)); err != nil {
		w.Fatal(err)
	}
}

func (w *world) read(name string) string {
	w.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.Error(err)
	}
	return string(text)
}

// hush is the secret of a name.
func hush(name string) string { return "hush+" + strings.ToLower(name) + "-4711" }

// turn makes it unkind, or kind again.
func (w *world) turn(unkind bool) {
	w.Helper()
	w.unkind.Store(unkind)
	name := filepath.Join(w.dir, "unkind")
	if unkind {
		w.write("unkind", "", 0o600)
	} else if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		w.Fatal(err)
	}
}

// forget makes it hear anew.
func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests, w.commands, w.queries, w.letters = nil, nil, nil, nil
	w.all.Reset()
	for _, name := range []string{"argv", "env", "told", "vars"} {
		_ = os.Remove(filepath.Join(w.dir, name)) // not every run makes all
	}
}

// heard remembers a text, and tells whether to be unkind.
func (w *world) heard(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all.WriteString(text + "\n")
	return w.unkind.Load()
}

func (w *world) answer(to http.ResponseWriter, r *http.Request) {
	whole, err := httputil.DumpRequest(r, true)
	if err != nil {
		w.Error(err)
	}
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	w.requests = append(w.requests, request{r, string(body)})
	w.mu.Unlock()
	if _, basic, ok := r.BasicAuth(); ok {
		whole = append(whole, basic...)
	}
	if sent := r.URL.Query().Encode() + r.URL.Path; w.heard(string(whole) + sent) {
		to.WriteHeader(http.StatusUnprocessableEntity)
		text, _ := json.Marshal(map[string]any{"status": "error", "error": string(whole), "errcode": 1, "errmsg": string(whole), "message": string(whole)})
		_, _ = to.Write(text)
		return
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/api/v1/query"):
		_, _ = io.WriteString(to, `{"status":"success","data":{"resultType":"vector","result":[{"value":[0,"1"]}]}}`)
	case r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/search"):
		_, _ = io.WriteString(to, `{"issues":[]}`)
	case r.Method == http.MethodGet:
		_, _ = io.WriteString(to, "[]")
	default:
		_, _ = to.Write(fmt.Appendf(nil, `{"errcode":0,"url":%q,"echo":%q}`, "https://tracker.example.org/"+r.Header.Get("Authorization"), whole))
	}
}

func (w *world) answerCluster(to http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.others = append(w.others, r.URL.Path)
	w.mu.Unlock()
	if login := r.Header.Get("Authorization"); w.heard(login) {
		to.WriteHeader(http.StatusForbidden)
		text, _ := json.Marshal(map[string]any{"message": "you are " + login, "reason": "Forbidden"})
		_, _ = to.Write(text)
		return
	}
	_, _ = io.WriteString(to, `{"metadata":{"resourceVersion":"1","generation":1},"spec":{"replicas":1},"status":{"observedGeneration":1,"replicas":1,"updatedReplicas":1,"availableReplicas":1,"conditions":[]}}`)
}

// listen talks with everybody who calls.
func (w *world) listen(talk func(net.Conn)) net.Listener {
	w.Helper()
	ln, err := new(net.ListenConfig).Listen(w.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	var talks sync.WaitGroup
	talks.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			talks.Go(func() { defer func() { _ = c.Close() }(); talk(c) })
		}
	})
	w.Cleanup(func() { _ = ln.Close(); talks.Wait() })
	return ln
}

func (w *world) talkRedis(c net.Conn) {
	in := bufio.NewReader(c)
	line := func() (string, error) {
		s, err := in.ReadString('\n')
		return strings.TrimSuffix(s, "\r\n"), err
	}
	for {
		head, err := line()
		n, bad := strconv.Atoi(strings.TrimPrefix(head, "*"))
		if err != nil || bad != nil {
			return
		}
		var words []string
		for range n {
			size, _ := line()
			length, bad := strconv.Atoi(strings.TrimPrefix(size, "$"))
			if bad != nil {
				w.Errorf("a command is broken at %q", size)
				return
			}
			word := make([]byte, length+2)
			if _, err := io.ReadFull(in, word); err != nil {
				return
			}
			words = append(words, string(word[:length]))
		}
		w.mu.Lock()
		w.commands = append(w.commands, words)
		w.mu.Unlock()
		answer := "+OK\r\n"
		if w.heard(strings.Join(words, " ")) {
			answer = "-WRONGPASS you said " + strings.Join(words, " ") + "\r\n"
		}
		if strings.HasPrefix(answer, "+") && words[0] == "hello" { // as servers before 6 do
			answer = "-ERR unknown command\r\n"
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
}

func (w *world) talkSQL(c net.Conn) {
	b := pgproto3.NewBackend(c, c)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return
	}
	b.Send(&pgproto3.AuthenticationCleartextPassword{})
	if b.Flush() != nil || b.SetAuthType(pgproto3.AuthTypeCleartextPassword) != nil {
		return
	}
	m, err := b.Receive()
	login, ok := m.(*pgproto3.PasswordMessage)
	if err != nil || !ok {
		return
	}
	if w.heard(login.Password) {
		b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: "no: " + login.Password})
		_ = b.Flush()
		return
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	statement := ""
	for b.Flush() == nil {
		m, err := b.Receive()
		if err != nil {
			return
		}
		switch m := m.(type) {
		case *pgproto3.Query:
			b.Send(&pgproto3.CommandComplete{CommandTag: []byte(strings.ToUpper(m.String))})
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'T'})
		case *pgproto3.Parse:
			statement = m.Query
			b.Send(&pgproto3.ParseComplete{})
		case *pgproto3.Describe:
			if m.ObjectType == 'S' {
				b.Send(&pgproto3.ParameterDescription{ParameterOIDs: []uint32{25}})
			}
			b.Send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("said"), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1}}})
		case *pgproto3.Bind:
			row := []string{statement}
			for _, p := range m.Parameters {
				row = append(row, string(p))
			}
			w.mu.Lock()
			w.queries = append(w.queries, row)
			w.mu.Unlock()
			b.Send(&pgproto3.BindComplete{})
		case *pgproto3.Execute:
			b.Send(&pgproto3.DataRow{Values: [][]byte{[]byte("x")}})
			b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
		case *pgproto3.Sync:
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'T'})
		}
	}
}

// postman is one who brings a letter.
type postman struct{ w *world }

func (*postman) Reset()                               {}
func (*postman) Logout() error                        { return nil }
func (*postman) Mail(string, *smtp.MailOptions) error { return nil }
func (p *postman) Rcpt(to string, _ *smtp.RcptOptions) error {
	p.w.heard("to " + to)
	return nil
}
func (*postman) AuthMechanisms() []string { return []string{sasl.Plain} }
func (p *postman) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if p.w.heard(password) {
			return &smtp.SMTPError{Code: 535, Message: "no: " + user + " " + password}
		}
		return nil
	}), nil
}

func (p *postman) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.letters = append(p.w.letters, string(text))
	return err
}

// receivers and trackers, by their types.
func receivers() []string {
	return []string{"slack", "dingtalk", "lark", "wecom", "teams", "email", "other"}
}

func trackers() []string {
	return []string{"github", "gitlab", "gitea", "jira", "jira-server", "generic"}
}

// config has a secret in every place that takes one.
func (w *world) config() string {
	var b strings.Builder
	host := strings.TrimPrefix(w.web.URL, "http://")
	fmt.Fprintf(&b, "scripts: {dirs: ['%[1]s/scripts']}\nansible: {program: '%[1]s/scripts/ansible', dirs: ['%[1]s/ansible'], env: ['OUT=%[1]s']}\nplaybooks: {dir: '%[1]s/books', hold: 0s}\n", w.dir)
	fmt.Fprintf(&b, "http: {hosts: ['%[1]s'], private: ['%[1]s']}\nprometheus: '%[2]s/prom/${secret:PROMETHEUS}'\nhooks: {token: '${secret:HOOK}', hmac: '${secret:SIGN}'}\n", host, w.web.URL)
	fmt.Fprintf(&b, "clusters: {main: {kubeconfig: '%s', namespaces: [shop], nodes: true}}\n", w.kube)
	fmt.Fprintf(&b, "redis: {main: {address: '%s', user: kw, password: '${secret:REDIS}', write: true}}\n", w.redis.Addr())
	fmt.Fprintf(&b, "databases: {main: {url: 'postgres://kw:${secret:SQL}@%s/d?sslmode=disable'}}\nescalate: {after: 1h}\n", w.sql.Addr())
	b.WriteString("notify:\n")
	for _, kind := range receivers() {
		address, more := w.web.URL+"/"+kind+"/${secret:URL_"+strings.ToUpper(kind)+"}", ""
		switch kind {
		case "email":
			address, more = "smtps://"+w.mail.Addr().String(), fmt.Sprintf(", from: kw@example.org, to: [ann@example.org], user: kw, ca: '%s'", w.ca)
		case "other":
			address = "mattermost://bot@" + host + "/${secret:URL_OTHER}?disabletls=yes"
		}
		fmt.Fprintf(&b, "  %s: {type: %s, url: '%s', key: '${secret:KEY_%s}'%s}\n", kind, kind, address, strings.ToUpper(kind), more)
	}
	b.WriteString("tickets:\n")
	for _, kind := range trackers() {
		project, user := "own/name", ""
		switch kind {
		case "jira":
			project, user = "OPS", ", user: bot"
		case "jira-server":
			project = "OPS"
		}
		name := strings.ToUpper(strings.ReplaceAll(kind, "-", "_"))
		fmt.Fprintf(&b, "  %s: {type: %s, url: '%s/%s/${secret:BASE_%s}', project: %s, token: '${secret:TOKEN_%s}'%s}\n", kind, kind, w.web.URL, kind, name, project, name, user)
	}
	return b.String()
}

// serve starts a server whose configuration leads to this world, with all its doors.
func (w *world) serve(o state.Options, book string, log io.Writer) (*daemon.Daemon, string) {
	w.Helper()
	w.write("books/hostile.yaml", book, 0o600)
	config := w.config()
	var environ []string
	for _, name := range secretNames(config + book) {
		environ = append(environ, "KEEPWELL_SECRET_"+name+"="+hush(name))
	}
	d, err := daemon.New(w.Context(), daemon.Options{
		Log:    logger(log),
		Source: daemon.Source{File: configured(w.T, config), Environ: environ, Flags: map[string]string{"listen": "127.0.0.1:0", "data": o.Dir, "database": o.Database}},
		Doctor: func(_ context.Context, target string) (actions.Examination, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.others = append(w.others, "doctor "+target)
			return actions.Examination{}, nil
		},
		Mounts: doors(),
	})
	if err == nil {
		err = d.Start(w.Context())
	}
	if err != nil {
		w.Fatal(err)
	}
	return d, "http://" + d.Addr().String()
}

// doors are those of a server.
func doors() map[string]func(context.Context, daemon.Parts) (http.Handler, error) {
	return map[string]func(context.Context, daemon.Parts) (http.Handler, error){
		"/api/": func(_ context.Context, p daemon.Parts) (http.Handler, error) {
			return api.New(api.Options{State: p.State, Engine: p.Engine, Door: p.Door, Classifier: p.Classifier, Compile: p.Compile, Conditions: p.Conditions, Library: p.Library, Stopping: p.Stopping, Trust: p.Trust, Log: p.Log}) //nolint:contextcheck // requests have contexts of their own
		},
		"/": func(_ context.Context, p daemon.Parts) (http.Handler, error) {
			return web.New(web.Options{State: p.State, Engine: p.Engine, Door: p.Door, Library: p.Library, Classifier: p.Classifier, Compile: p.Compile, Trust: p.Trust, Log: p.Log}) //nolint:contextcheck // requests have contexts of their own
		},
	}
}

// alert sends one and waits until its run has ended; it returns the steps by their names.
func (w *world) alert(d *daemon.Daemon, base, name string, labels, annotations map[string]string) map[string]state.Step {
	w.Helper()
	body, err := json.Marshal(map[string]any{"version": "4", "receiver": "kw", "alerts": []any{map[string]any{"status": "firing", "labels": labels, "annotations": annotations, "startsAt": "2026-11-23T05:00:00Z", "fingerprint": name}}})
	if err != nil {
		w.Fatal(err)
	}
	before, err := d.State().CountRuns(w.Context(), state.RunFilter{})
	if err != nil {
		w.Fatal(err)
	}
	if status, text := post(w.T, base+"/hooks/alertmanager", string(body), "Authorization", "Bearer "+hush("HOOK")); status != http.StatusAccepted {
		w.Fatal(status, text)
	}
	until(w.T, "the end of a run", func() bool {
		all, err := d.State().CountRuns(w.Context(), state.RunFilter{})
		left, bad := d.State().CountRuns(w.Context(), state.RunFilter{Unfinished: true})
		return err == nil && bad == nil && all == before+1 && left == 0
	})
	runs, err := d.State().Runs(w.Context(), state.RunFilter{}, state.Page{Limit: 100})
	if err != nil {
		w.Fatal(err)
	}
	last := runs[0]
	for _, r := range runs {
		if r.ID > last.ID {
			last = r
		}
	}
	steps, err := d.State().Steps(w.Context(), last.ID)
	if err != nil {
		w.Fatal(err)
	}
	out := map[string]state.Step{}
	for _, s := range steps {
		out[s.Name] = s
	}
	return out
}

func logger(to io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(to, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
