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
)

// Receiver is a place where people read.
type Receiver struct {
	Type string // slack, dingtalk, lark, wecom
	// URL is the incoming webhook; ${secret:NAME} is resolved when it is used.
	URL string
	// Key signs, for DingTalk and Lark: a reference. "": unsigned.
	Key string
}

type notify struct {
	c    *http.Client
	s    *Set
	kind string // "": to names the receiver
}

func (a notify) receiver(r Request) (name string, to Receiver, err error) {
	if name = a.kind; name == "" {
		name = r.text("to", "")
	}
	to, ok := a.s.o.Receivers[name]
	switch {
	case !ok:
		return name, to, fmt.Errorf("there is no receiver %q (hint: notify.%s of the server's configuration)", name, name)
	case a.kind != "" && to.Type != a.kind:
		return name, to, fmt.Errorf("the receiver %q is of type %s", name, to.Type)
	}
	return name, to, nil
}

func (a notify) plan(r Request) ([]string, error) {
	name, _, err := a.receiver(r)
	return []string{strings.TrimSpace("tell " + name + " " + r.text("channel", "")), "text " + r.text("text", a.s.headline(r.About))}, err
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
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return res, fmt.Errorf("the address of the receiver %q cannot be used", name)
	}
	body, err := json.Marshal(a.payload(to.Type, r, u, key))
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
func (a notify) payload(kind string, r Request, u *url.URL, key string) map[string]any {
	text := r.text("text", a.s.headline(r.About))
	now := a.s.o.Now()
	switch kind {
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
	if kind == "slack" {
		return nil
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return fmt.Errorf("the receiver's answer cannot be read: %w", ErrUnsure)
	}
	if doc.ErrCode != 0 || doc.Code != 0 {
		return errors.New("the receiver refused it: " + strings.TrimSpace(fmt.Sprintf("%d %s%s", doc.ErrCode+doc.Code, doc.ErrMsg, doc.Msg)))
	}
	return nil
}
