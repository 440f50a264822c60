package actions

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
)

// Receiver is a place where people read.
type Receiver struct {
	// Type is slack, dingtalk, lark, wecom, teams, email, or other: a service that is
	// reached through shoutrrr.
	Type string
	// URL is the incoming webhook; ${secret:NAME} is resolved when it is used. Of email:
	// smtp://HOST:587 (STARTTLS), smtps://HOST:465, or smtp+plain://HOST:25 where neither
	// is to be had. Of other: an address of shoutrrr, such as telegram://….
	URL string
	// Key signs, for DingTalk and Lark, or is the password of User: a reference. "": none.
	Key string
	// Lang is what is written in where a playbook leaves out the text: en, zh, or both;
	// "": the server's.
	Lang string
	// From, To, User and CA (a file) are of email.
	From string
	To   []string
	User string
	CA   string
}

type notify struct {
	c      *http.Client
	s      *Set
	kind   string // "": to names the receiver
	others *shout
}

// longest are the bytes of text that services take. Where a service counts characters,
// this is on the safe side.
func longest(kind string) int {
	most, ok := map[string]int{"slack": 39_000, "dingtalk": 18_000, "lark": 18_000, "wecom": 2000, "teams": 20_000, "email": 200_000}[kind]
	if !ok {
		return shoutMost(kind)
	}
	return most
}

// text is what is said, as its receiver can take it.
func (a notify) text(to Receiver, r Request) string {
	harmless := func(s string) string { return present.Marked(oneBreak(s)) }
	if to.Type == "other" {
		harmless = func(s string) string { return uncalling(present.Marked(oneBreak(s))) }
	}
	var text string
	if f := r.Params["text"].Text; len(f) > 0 {
		text = f.Shown(harmless)
	}
	if text == "" {
		switch lang := msg.Lang(to.Lang); to.Lang {
		case "":
			text = toldIn(a.s.o.Lang, r.About)
		case "both":
			text = toldIn(msg.EN, r.About) + "\n" + toldIn(msg.ZH, r.About)
		default:
			text = toldIn(lang, r.About)
		}
		text = harmless(text)
	}
	kind := to.Type
	if kind == "other" {
		kind, _, _ = strings.Cut(to.URL, ":")
	}
	return short(strings.ToValidUTF8(oneBreak(text), "?"), longest(kind))
}

func (a notify) receiver(r Request) (name string, to Receiver, err error) {
	if name = a.kind; name == "" {
		name = r.text("to", "")
	}
	to, ok := a.s.o.Receivers[name]
	switch {
	case !ok:
		return name, to, msg.Wrong("do.receiver.none", name, name)
	case a.kind != "" && to.Type != a.kind:
		return name, to, msg.Wrong("do.receiver.type", name, to.Type)
	}
	return name, to, nil
}

func (a notify) plan(r Request) (lines []msg.Reason, err error) {
	name, to, err := a.receiver(r)
	return []msg.Reason{msg.Because("plan.line.tell", strings.TrimSpace(name+" "+r.text("channel", ""))), msg.Because("plan.line.text", a.text(to, r))}, err
}

func (a notify) do(ctx context.Context, r Request) (res Result, err error) {
	name, to, err := a.receiver(r)
	if err != nil {
		return res, err
	}
	address, err := vaultOf(ctx).opened(to.URL)
	if err != nil {
		return res, err
	}
	key, err := vaultOf(ctx).opened(to.Key)
	if err != nil {
		return res, err
	}
	switch to.Type {
	case "email":
		return a.mail(ctx, name, to, address, key, r)
	case "other":
		return a.others.send(ctx, name, address, a.text(to, r))
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return res, msg.Wrong("do.receiver.address", name)
	}
	body, err := json.Marshal(a.payload(to, r, u, key))
	if err != nil {
		return res, err
	}
	got, err := send(ctx, a.c, http.MethodPost, u.String(), http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {r.Key}}, body)
	if err != nil {
		return res, err
	}
	res = Result{Code: got.status, Summary: fmt.Sprintf("told %s", name)}
	if !success(got.status) {
		return res, judge(http.MethodPost, u.Host, got)
	}
	return res, refused(to.Type, got.body)
}

// payload is the message as its receiver has it; u gets what signs it.
func (a notify) payload(to Receiver, r Request, u *url.URL, key string) map[string]any {
	text := a.text(to, r)
	now := a.s.o.Now()
	switch to.Type {
	case "teams":
		// A text run knows no markdown: links could hide where they lead.
		card := map[string]any{
			"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.2",
			"body": []any{map[string]any{"type": "RichTextBlock", "inlines": []any{map[string]any{"type": "TextRun", "text": text}}}},
		}
		return map[string]any{"type": "message", "attachments": []any{map[string]any{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}}}
	case "dingtalk":
		if key != "" {
			stamp := strconv.FormatInt(now.UnixMilli(), 10)
			q := u.Query()
			q.Set("timestamp", stamp)
			q.Set("sign", sign(key, stamp+"\n"+key))
			u.RawQuery = q.Encode()
		}
		return map[string]any{"msgtype": "text", "text": map[string]any{"content": text}}
	case "wecom":
		return map[string]any{"msgtype": "text", "text": map[string]any{"content": text}}
	case "lark":
		// <at user_id="all"> would call everybody: what alerts say may not.
		out := map[string]any{"msg_type": "text", "content": map[string]any{"text": strings.ReplaceAll(text, "<", "＜")}}
		if key != "" {
			stamp := strconv.FormatInt(now.Unix(), 10)
			out["timestamp"], out["sign"] = stamp, sign(stamp+"\n"+key, "")
		}
		return out
	}
	// Slack: <!channel> would call everybody, and links would hide where they lead.
	out := map[string]any{"text": strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)}
	if channel := r.text("channel", ""); channel != "" {
		out["channel"] = channel
	}
	return out
}

func sign(key, text string) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// refused reads the refusal that some receivers send with status 200.
func refused(kind string, body []byte) error {
	var doc struct {
		ErrCode int    `json:"errcode"`
		ErrMsg  string `json:"errmsg"`
		Code    int    `json:"code"`
		Msg     string `json:"msg"`
	}
	if kind == "slack" || kind == "teams" {
		return nil
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return msg.Wrong("do.receiver.answer", ErrUnsure)
	}
	if doc.ErrCode != 0 || doc.Code != 0 {
		return errors.New("the receiver refused it: " + strings.TrimSpace(fmt.Sprintf("%d %s%s", doc.ErrCode+doc.Code, doc.ErrMsg, doc.Msg)))
	}
	return nil
}
