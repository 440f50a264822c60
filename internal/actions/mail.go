package actions

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/keepwell/keepwell/internal/msg"
)

// mail sends one message to all who are to read it. Unless its receiver says otherwise it
// leaves only over TLS, and a password never without.
func (a notify) mail(ctx context.Context, name string, to Receiver, address, password string, r Request) (res Result, err error) {
	m, err := a.letter(to, r)
	if err != nil {
		return res, msg.Wrong("do.mail.receiver", name, err)
	}
	if password != "" { // as it travels, which a server may repeat in what it says
		vaultOf(ctx).learn(base64.StdEncoding.EncodeToString([]byte("\x00" + to.User + "\x00" + password)))
		vaultOf(ctx).learn(base64.StdEncoding.EncodeToString([]byte(password)))
	}
	c, err := postOffice(ctx, to, address, password)
	if err != nil {
		return res, msg.Wrong("do.mail.receiver", name, err)
	}
	if err := c.DialWithContext(ctx); err != nil {
		const lasting = 500
		var refused *textproto.Error
		if errors.As(err, &refused) && refused.Code >= lasting {
			return res, msg.Wrong("do.mail.login", name, err)
		}
		return res, msg.Wrong("do.mail.kind", name, err, ErrAgain)
	}
	err = c.Send(m)
	_ = c.Close() // what is delivered is delivered
	if err != nil && !m.IsDelivered() {
		return res, posted(name, err)
	}
	return Result{Summary: fmt.Sprintf("told %s: %d people by mail", name, len(to.To))}, nil
}

// posted tells how a message failed: refused, refused for now, or nobody knows.
func posted(name string, err error) error {
	var failed *mail.SendError
	text := msg.Wrong("do.mail", name, err)
	switch {
	case !errors.As(err, &failed):
		return msg.Wrong("do.pair", text, ErrUnsure)
	case failed.IsTemp():
		return msg.Wrong("do.pair", text, ErrAgain)
	case failed.ErrorCode() == 0 && (failed.Reason == mail.ErrSMTPDataClose || failed.Reason == mail.ErrWriteContent):
		return msg.Wrong("do.pair", text, ErrUnsure) // it was cut off while the message travelled
	case failed.ErrorCode() == 0:
		return msg.Wrong("do.pair", text, ErrAgain)
	}
	return text
}

// letter is the message. Its number comes from the step, so that one which arrives twice
// can be told by what reads it.
func (a notify) letter(to Receiver, r Request) (*mail.Msg, error) {
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := m.From(to.From); err != nil {
		return nil, msg.Wrong("do.mail.from")
	}
	if len(to.To) == 0 || m.To(to.To...) != nil {
		return nil, msg.Wrong("do.mail.to")
	}
	text := a.text(to, r)
	subject, _, _ := strings.Cut(text, "\n")
	const line = 200
	m.Subject(short(strings.Map(plain, subject), line))
	_, host, _ := strings.Cut(m.GetAddrHeader(mail.HeaderFrom)[0].Address, "@")
	m.SetMessageIDWithValue(strings.NewReplacer("/", ".", " ", ".").Replace("keepwell."+a.s.o.Instance+"."+r.Key) + "@" + host)
	m.SetDateWithValue(a.s.o.Now())
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetBodyString(mail.TypeTextPlain, text)
	return m, nil
}

// plain takes controls out of a line.
func plain(c rune) rune {
	if c < ' ' || c == 0x7f {
		return ' '
	}
	return c
}

func postOffice(ctx context.Context, to Receiver, address, password string) (*mail.Client, error) {
	bad := msg.Wrong("do.mail.url")
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil {
		return nil, bad
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
	if secure.RootCAs, err = authorities(to.CA); err != nil {
		return nil, err
	}
	limit := 30 * time.Second
	if end, ok := ctx.Deadline(); ok {
		limit = max(min(limit, time.Until(end)/2), time.Second) // it counts for connecting and for sending
	}
	options := []mail.Option{mail.WithTLSConfig(secure), mail.WithTimeout(limit), mail.WithHELO("keepwell.invalid")}
	var usual string
	switch u.Scheme {
	case "smtp":
		usual, options = "587", append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	case "smtps":
		usual, options = "465", append(options, mail.WithSSL())
	case "smtp+plain":
		usual, options = "25", append(options, mail.WithTLSPolicy(mail.NoTLS))
		if to.User != "" {
			return nil, msg.Wrong("do.mail.plain")
		}
	default:
		return nil, bad
	}
	if to.User != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(to.User), mail.WithPassword(password))
	}
	port := u.Port()
	if port == "" {
		port = usual
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, msg.Wrong("do.mail.port", port)
	}
	return mail.NewClient(u.Hostname(), append(options, mail.WithPort(n))...)
}
