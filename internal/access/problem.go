package access

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/keepwell/keepwell/internal/msg"
)

// Lang is the language that a request prefers: the first of Accept-Language that
// keepwell speaks, in the order of their weights.
func Lang(r *http.Request) msg.Lang {
	best, weight := msg.EN, -1.0
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, rest, _ := strings.Cut(strings.TrimSpace(part), ";")
		lang, ok := spoken(tag)
		if w := quality(rest); ok && w > weight {
			best, weight = lang, w
		}
	}
	return best
}

func spoken(tag string) (msg.Lang, bool) {
	primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
	switch primary {
	case "zh":
		return msg.ZH, true
	case "en":
		return msg.EN, true
	}
	return "", false
}

// quality reads q=0.8; 1 where there is none, and nothing below what is refused.
func quality(params string) float64 {
	_, q, ok := strings.Cut(strings.ReplaceAll(params, " ", ""), "q=")
	if !ok {
		return 1
	}
	var f float64
	if json.Unmarshal([]byte(q), &f) != nil || f <= 0 || f > 1 {
		return -1
	}
	return f
}

// Refusal is a problem document (RFC 9457) with a code that does not change, and a hint.
type Refusal struct {
	Type   string `json:"type"` // about:blank: the status tells
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
	// Reason is what stands behind it, in English.
	Reason string `json:"reason,omitempty"`
}

// Problem answers with a problem document in the reader's language: the words of key, the
// hint of "hint."+key, the code key.
func Problem(w http.ResponseWriter, r *http.Request, status int, key string, args ...any) {
	lang := Lang(r)
	p := Refusal{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: key, Detail: msg.Text(lang, key, args...)}
	if hint := msg.Text(lang, "hint."+key); hint != "hint."+key {
		p.Hint = hint
	}
	WriteProblem(w, lang, p)
}

// WriteProblem answers with p as it is.
func WriteProblem(w http.ResponseWriter, lang msg.Lang, p Refusal) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Language", string(lang))
	h.Add("Vary", "Accept-Language")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	body, err := json.Marshal(p)
	if err == nil {
		_, err = w.Write(append(body, '\n'))
	}
	_ = err // who asked is gone
}
