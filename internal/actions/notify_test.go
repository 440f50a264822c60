package actions_test

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell/internal/actions"
)

// postbox is a mail server that keeps what it was given.
type postbox struct {
	mu      sync.Mutex
	letters []letter
	// answer is what the end of a message is met with; nil: accepted.
	answer error
	// cut has the connection end in place of an answer.
	cut bool
}

type letter struct {
	from   string
	to     []string
	user   string
	secure bool
	text   string
}

type post struct {
	box    *postbox
	conn   *smtp.Conn
	letter letter
}

func (p *post) Reset()        { p.letter.from, p.letter.to = "", nil }
func (p *post) Logout() error { return nil }
func (p *post) Mail(from string, _ *smtp.MailOptions) error {
	p.letter.from = from
	return nil
}

func (p *post) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	p.letter.to = append(p.letter.to, to)
	return nil
}

func (p *post) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	p.box.mu.Lock()
	defer p.box.mu.Unlock()
	p.letter.text = string(text)
	_, p.letter.secure = p.conn.TLSConnectionState()
	if p.box.cut {
		_ = p.conn.Conn().Close()
		return errors.New("cut off")
	}
	if p.box.answer != nil {
		return p.box.answer
	}
	p.box.letters = append(p.box.letters, p.letter)
	return nil
}
func (p *post) AuthMechanisms() []string { return []string{sasl.Plain} }
func (p *post) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "keepwell" || password != "correct-horse-battery" {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "no: " + password}
		}
		p.letter.user = user
		return nil
	}), nil
}

// startMail runs a mail server with STARTTLS, and one with TLS from the beginning.
func startMail(t *testing.T) (box *postbox, address, secureAddress, ca string) {
	t.Helper()
	lent := httptest.NewTLSServer(http.NotFoundHandler())
	certificate := lent.TLS.Certificates[0]
	lent.Close()
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	box = &postbox{}
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &post{box: box, conn: c}, nil }))
	s.Domain, s.TLSConfig = "mail.example.org", &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	s.ErrorLog = quietLog{}
	plain, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure, err := tls.Listen("tcp", "127.0.0.1:0", s.TLSConfig)
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(plain) })
	served.Go(func() { _ = s.Serve(secure) })
	t.Cleanup(func() {
		_ = s.Close()
		_ = plain.Close()
		_ = secure.Close()
		served.Wait()
	})
	return box, plain.Addr().String(), secure.Addr().String(), ca
}

type quietLog struct{}

func (quietLog) Printf(string, ...any) {}
func (quietLog) Println(...any)        {}

func TestMail(t *testing.T) {
	t.Parallel()
	box, address, secure, ca := startMail(t)
	to := func(change func(*actions.Receiver)) actions.Receiver {
		r := actions.Receiver{Type: "email", URL: "smtp://" + address, User: "keepwell", Key: "${secret:TOKEN}", CA: ca, From: "Keepwell <keepwell@example.org>", To: []string{"ops@example.org", "小王 <wang@example.org>"}, Lang: "both"}
		change(&r)
		return r
	}
	set := actions.New(actions.Options{Secrets: secrets, Receivers: map[string]actions.Receiver{
		"email":   to(func(*actions.Receiver) {}),
		"tls":     to(func(r *actions.Receiver) { r.URL = "smtps://" + secure }),
		"plain":   to(func(r *actions.Receiver) { r.URL, r.User, r.Key = "smtp+plain://"+address, "", "" }),
		"leak":    to(func(r *actions.Receiver) { r.URL = "smtp+plain://" + address }),
		"unknown": to(func(r *actions.Receiver) { r.CA = "" }),
		"wrong":   to(func(r *actions.Receiver) { r.User = "another" }),
		"nobody":  to(func(r *actions.Receiver) { r.To = []string{"nobody@example.org"} }),
		"nowhere": to(func(r *actions.Receiver) { r.URL = "smtp://127.0.0.1:1" }),
		"bad":     to(func(r *actions.Receiver) { r.URL = "gopher://" + address }),
	}})
	for _, action := range []string{"notify_email", "notify: tls", "notify: plain"} {
		if res, err := set.Do(t.Context(), request(t, action, scope())); err != nil || !strings.HasSuffix(res.Summary, "2 people by mail") {
			t.Fatalf("%s: %+v %v", action, res, err)
		}
	}
	for i, l := range box.letters {
		if l.from != "keepwell@example.org" || !slices.Equal(l.to, []string{"ops@example.org", "wang@example.org"}) || l.secure != (i < 2) || (l.user != "") != (i < 2) {
			t.Errorf("letter %d: %+v", i, l)
		}
	}
	m, err := mail.ReadMessage(strings.NewReader(box.letters[0].text))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != "P0 RedisMemoryHigh on redis-1 (playbook book)" || m.Header.Get("Auto-Submitted") != "auto-generated" || m.Header.Get("Message-Id") != "<keepwell..7.0.1@example.org>" {
		t.Errorf("headers %v: %v", m.Header, err)
	}
	if body, err := io.ReadAll(m.Body); err != nil || !strings.Contains(string(body), "=E5=AF=B9=E8=B1=A1") {
		t.Errorf("body %s: %v", body, err)
	}
	// What an alert says cannot become a header.
	s := scope()
	s.Alert.Labels["evil"] = "a\r\nBcc: all@example.org\r\n\r\nhello\r\n.\r\nQUIT"
	if _, err := set.Do(t.Context(), request(t, `notify_email: {text: "{{ .labels.evil }}"}`, s)); err != nil {
		t.Fatal(err)
	}
	last := box.letters[len(box.letters)-1]
	if m, err = mail.ReadMessage(strings.NewReader(last.text)); err != nil || m.Header.Get("Bcc") != "" || len(last.to) != 2 || m.Header.Get("Subject") != "a" {
		t.Errorf("%q: %v", last.text, err)
	}
	sent := len(box.letters)
	for action, want := range map[string]string{
		"leak": "not sent without TLS", "unknown": "certificate", "wrong": "does not take the login", "nobody": "no such user", "nowhere": "refused", "bad": "its url is none of",
	} {
		_, err := set.Do(t.Context(), request(t, "notify: "+action, scope()))
		if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, actions.ErrUnsure) || errors.Is(err, actions.ErrAgain) != (action == "unknown" || action == "nowhere") || strings.Contains(err.Error(), "horse") {
			t.Errorf("%s: %v", action, err)
		}
	}
	for name, row := range map[string]struct {
		set           func()
		again, unsure bool
	}{
		"refused":   {func() { box.answer = &smtp.SMTPError{Code: 554, Message: "spam"} }, false, false},
		"too busy":  {func() { box.answer = &smtp.SMTPError{Code: 451, Message: "later"} }, true, false},
		"cut short": {func() { box.cut = true }, false, true},
	} {
		box.mu.Lock()
		box.answer, box.cut = nil, false
		row.set()
		box.mu.Unlock()
		if _, err := set.Do(t.Context(), request(t, "notify_email", scope())); err == nil || errors.Is(err, actions.ErrAgain) != row.again || errors.Is(err, actions.ErrUnsure) != row.unsure {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(box.letters) != sent {
		t.Errorf("%d letters more", len(box.letters)-sent)
	}
}

func TestTeams(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	set := actions.New(actions.Options{Secrets: secrets, Receivers: map[string]actions.Receiver{"teams": {Type: "teams", URL: s.URL + "/workflows/1?sig=${secret:TOKEN}", Lang: "zh"}}})
	if _, err := set.Do(t.Context(), request(t, "notify_teams", scope())); err != nil {
		t.Fatal(err)
	}
	want := `{"attachments":[{"content":{"$schema":"http://adaptivecards.io/schemas/adaptive-card.json","body":[{"inlines":[{"text":"P0 RedisMemoryHigh，对象：redis-1（剧本：book）","type":"TextRun"}],"type":"RichTextBlock"}],"type":"AdaptiveCard","version":"1.2"},"contentType":"application/vnd.microsoft.card.adaptive"}],"type":"message"}`
	if diff := cmp.Diff(want, s.bodies[0]); diff != "" || s.requests[0] != "POST /workflows/1?sig=correct-horse-battery" {
		t.Errorf("%s (-want +got):\n%s", s.requests[0], diff)
	}
}

// TestOtherServices goes through shoutrrr to servers that answer as the services do.
func TestOtherServices(t *testing.T) {
	t.Parallel()
	status := http.StatusOK
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"id":"1","code":%d01,"http":%[1]d,"error":"as ntfy says it"}`, status)
	})
	host := s.host(t)
	set := actions.New(actions.Options{Secrets: secrets, Receivers: map[string]actions.Receiver{
		"mattermost": {Type: "other", URL: "mattermost://bot@" + host + "/${secret:TOKEN}?disabletls=yes"},
		"ntfy":       {Type: "other", URL: "ntfy://user:${secret:TOKEN}@" + host + "/topic-of-ours?scheme=http"},
		"pager":      {Type: "other", URL: "pushover://shoutrrr:${secret:TOKEN}@key-of-a-user"},
		"generic":    {Type: "other", URL: "generic://" + host},
		"broken":     {Type: "other", URL: "telegram://${secret:TOKEN}@telegram"},
	}})
	s1 := scope()
	s1.Alert.Labels["evil"] = "<!channel> @everyone " + strings.Repeat("多", 5000)
	for i, row := range []struct {
		name string
		most int
	}{{"mattermost", 17_000}, {"ntfy", 4100}} {
		if _, err := set.Do(t.Context(), request(t, "notify: {to: "+row.name+`, text: "{{ .labels.evil }}"}`, s1)); err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		if body := s.bodies[i]; !strings.Contains(body, "多多") || len(body) > row.most || strings.Contains(body, "@everyone") || strings.Contains(body, "<!channel>") {
			t.Errorf("%s got %d bytes: %.100s", row.name, len(body), body)
		}
	}
	if !strings.Contains(s.requests[0], "correct-horse-battery") {
		t.Errorf("asked %s", s.requests[0])
	}
	for _, row := range []struct {
		status int
		unsure bool
	}{{http.StatusNotFound, false}, {http.StatusInternalServerError, true}} {
		status = row.status
		for _, name := range []string{"mattermost", "ntfy"} {
			if _, err := set.Do(t.Context(), request(t, "notify: "+name, scope())); err == nil || errors.Is(err, actions.ErrUnsure) != row.unsure || errors.Is(err, actions.ErrAgain) {
				t.Errorf("%s, %d: %v", name, row.status, err)
			}
		}
	}
	s.Close()
	for _, name := range []string{"mattermost", "ntfy", "generic", "broken"} {
		_, err := set.Do(t.Context(), request(t, "notify: "+name, scope()))
		if err == nil || strings.Contains(err.Error(), "horse") || strings.Contains(err.Error(), host) || strings.Contains(err.Error(), "topic-of-ours") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && errors.Is(err, actions.ErrAgain) != (name == "mattermost" || name == "ntfy") {
			t.Errorf("%s is not there: %v", name, err)
		}
	}
	lines, err := planned(set, request(t, `notify: {to: pager, text: "{{ .labels.evil }}"}`, s1))
	if text, _ := json.Marshal(lines); err != nil || len(lines[1]) > 1010 {
		t.Errorf("planned %s %v", text, err)
	}
}

// TestLengths: WeCom refuses more than 2048 bytes; whole characters are kept.
func TestLengths(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"errcode":0}`) })
	set := actions.New(actions.Options{Receivers: map[string]actions.Receiver{"wecom": {Type: "wecom", URL: s.URL}}})
	s1 := scope()
	s1.Alert.Labels["evil"] = "a" + strings.Repeat("多", 3000)
	if _, err := set.Do(t.Context(), request(t, `notify_wecom: {text: "{{ .labels.evil }}"}`, s1)); err != nil {
		t.Fatal(err)
	}
	var body struct{ Text struct{ Content string } }
	if err := json.Unmarshal([]byte(s.bodies[0]), &body); err != nil {
		t.Fatal(err)
	}
	if c := body.Text.Content; len(c) > 2000 || len(c) < 1990 || strings.ContainsRune(c, '\ufffd') || !strings.HasSuffix(c, "多…") {
		t.Errorf("%d bytes end with %q", len(c), c[len(c)-9:])
	}
}
