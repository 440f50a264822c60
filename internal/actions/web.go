package actions

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/keepwell/keepwell/internal/msg"
)

// web is the http action.
type web struct {
	c *http.Client
	s *Set
}

// method is what was written, or what follows from there being a body.
func (web) method(r Request) string {
	_, body := r.Params["json"]
	if body {
		return r.text("method", http.MethodPost)
	}
	return r.text("method", http.MethodGet)
}

func (a web) plan(r Request) (lines []msg.Reason, err error) {
	address := r.text("url", "")
	lines = append(lines, msg.Said(a.method(r)+" "+address))
	for _, p := range r.Params["query"].Pairs {
		lines = append(lines, msg.Because("plan.line.query", p.Name+"="+url.QueryEscape(p.Text.String())))
	}
	for _, p := range r.Params["headers"].Pairs {
		lines = append(lines, msg.Because("plan.line.header", p.Name, strconv.Quote(p.Text.String())))
	}
	if body, ok := r.Params["json"]; ok {
		text, err := json.Marshal(body.JSON)
		if err != nil {
			return lines, err
		}
		lines = append(lines, msg.Because("plan.line.body", string(text)))
	}
	if strings.Contains(address, "${secret:") {
		return lines, nil // which host it is shows only when it is made
	}
	u, err := url.Parse(address)
	if err != nil {
		return lines, msg.Wrong("do.address.read")
	}
	return lines, a.s.o.HTTP.allows(u)
}

func (a web) do(ctx context.Context, r Request) (res Result, err error) {
	address, err := r.Params["url"].Text.Open(vaultOf(ctx).get)
	if err != nil {
		return res, err
	}
	u, err := url.Parse(address)
	if err != nil {
		return res, msg.Wrong("do.address.read")
	}
	if err := a.s.o.HTTP.allows(u); err != nil {
		return res, err
	}
	query := u.Query()
	for _, p := range r.Params["query"].Pairs {
		query.Set(p.Name, p.Text.String())
	}
	u.RawQuery = query.Encode()
	headers := http.Header{"Idempotency-Key": {r.Key}}
	for _, p := range r.Params["headers"].Pairs {
		v, err := p.Text.Open(vaultOf(ctx).get)
		if err != nil {
			return res, err
		}
		if strings.ContainsAny(v, "\r\n\x00") {
			return res, msg.Wrong("do.header", p.Name)
		}
		headers.Set(p.Name, v)
	}
	var body []byte
	if f, ok := r.Params["json"]; ok {
		headers.Set("Content-Type", "application/json")
		if body, err = json.Marshal(f.JSON); err != nil {
			return res, err
		}
	}
	method := a.method(r)
	got, err := send(ctx, a.c, method, u.String(), headers, body)
	if err != nil {
		return res, err
	}
	const kept = 16 << 10
	res = Result{Code: got.status, Output: string(got.body[:min(len(got.body), kept)]), Summary: fmt.Sprintf("%s %s: status %d", method, u.Host, got.status)}
	if expected(r.Params["expect"].Numbers, got.status, success) {
		return res, nil
	}
	return res, judge(method, u.Host, got)
}
