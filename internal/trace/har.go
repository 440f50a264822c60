package trace

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// ErrNotRegular says that a HAR file would replace something that is no plain file.
var ErrNotRegular = errors.New("it is no regular file")

// The HAR 1.2 format (w3c.github.io/web-performance/specs/HAR). What is not known is -1
// or empty, as the format says; bodies and cookies are left out.
type (
	harFile struct {
		Log harLog `json:"log"`
	}
	harLog struct {
		Version string     `json:"version"`
		Creator harName    `json:"creator"`
		Pages   []harPage  `json:"pages"`
		Entries []harEntry `json:"entries"`
		Comment string     `json:"comment,omitempty"`
	}
	harName struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
	harPage struct {
		Started string         `json:"startedDateTime"`
		ID      string         `json:"id"`
		Title   string         `json:"title"`
		Timings map[string]any `json:"pageTimings"`
	}
	harEntry struct {
		Page     string      `json:"pageref"`
		Started  string      `json:"startedDateTime"`
		Time     float64     `json:"time"`
		Request  harRequest  `json:"request"`
		Response harResponse `json:"response"`
		Cache    struct{}    `json:"cache"`
		Timings  harTimings  `json:"timings"`
		Server   string      `json:"serverIPAddress,omitempty"`
		Comment  string      `json:"comment,omitempty"`
	}
	harPair struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	harRequest struct {
		Method      string    `json:"method"`
		URL         string    `json:"url"`
		HTTPVersion string    `json:"httpVersion"`
		Cookies     []harPair `json:"cookies"`
		Headers     []harPair `json:"headers"`
		Query       []harPair `json:"queryString"`
		HeadersSize int       `json:"headersSize"`
		BodySize    int64     `json:"bodySize"`
	}
	harResponse struct {
		Status      int        `json:"status"`
		StatusText  string     `json:"statusText"`
		HTTPVersion string     `json:"httpVersion"`
		Cookies     []harPair  `json:"cookies"`
		Headers     []harPair  `json:"headers"`
		Content     harContent `json:"content"`
		RedirectURL string     `json:"redirectURL"`
		HeadersSize int        `json:"headersSize"`
		BodySize    int64      `json:"bodySize"`
		Error       string     `json:"_error,omitempty"`
	}
	harContent struct {
		Size int64  `json:"size"`
		Type string `json:"mimeType"`
	}
	harTimings struct {
		Blocked float64 `json:"blocked"`
		DNS     float64 `json:"dns"`
		Connect float64 `json:"connect"`
		SSL     float64 `json:"ssl"`
		Send    float64 `json:"send"`
		Wait    float64 `json:"wait"`
		Receive float64 `json:"receive"`
	}
)

// HAR is the report as an HTTP archive. title names what was fetched, began is when.
func (rep *Report) HAR(version, title string, began time.Time) ([]byte, error) {
	log := harLog{
		Version: "1.2", Creator: harName{"keepwell", version}, Entries: []harEntry{},
		Pages:   []harPage{{Started: stamp(began), ID: "trace", Title: title, Timings: map[string]any{"onLoad": ms(rep.Took)}}},
		Comment: "Bodies, cookies, credentials and the values of queries are left out.",
	}
	for i := range rep.Requests {
		if q := &rep.Requests[i]; q.Protocol != "" || q.Err != "" && q.Server != "file://" {
			log.Entries = append(log.Entries, q.har(began))
		}
	}
	data, err := json.MarshalIndent(harFile{log}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing HAR: %w", err)
	}
	return append(data, '\n'), nil
}

func stamp(t time.Time) string { return t.Format("2006-01-02T15:04:05.000Z07:00") }

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (q *Request) har(began time.Time) harEntry {
	protocol := q.Protocol
	if protocol == "" {
		protocol = "unknown"
	}
	e := harEntry{
		Page: "trace", Started: stamp(began.Add(q.At)), Server: hostOf(q.Address),
		Request: harRequest{
			Method: "GET", URL: q.URL, HTTPVersion: protocol, Cookies: []harPair{}, Headers: []harPair{}, Query: []harPair{},
			HeadersSize: -1,
		},
		Response: harResponse{
			Status: q.Status, HTTPVersion: protocol, Cookies: []harPair{}, Headers: []harPair{}, RedirectURL: q.Location,
			HeadersSize: -1, BodySize: q.Bytes, Content: harContent{Size: q.Bytes, Type: "x-unknown"}, Error: q.Err,
		},
		Comment: string(q.Kind),
	}
	if u, err := url.Parse(q.URL); err == nil {
		for name, values := range u.Query() {
			for _, v := range values {
				e.Request.Query = append(e.Request.Query, harPair{name, v})
			}
		}
	}
	for _, h := range q.Headers {
		e.Response.Headers = append(e.Response.Headers, harPair{h[0], h[1]})
		if h[0] == "Content-Type" {
			e.Response.Content.Type = h[1]
		}
	}
	e.Timings, e.Time = q.timings()
	return e
}

// timings follow the format: ssl is part of connect, what did not happen is -1, and
// time is the sum of the rest.
func (q *Request) timings() (harTimings, float64) {
	t := harTimings{Blocked: -1, DNS: -1, Connect: -1, SSL: -1}
	known := time.Duration(0)
	for _, s := range q.Spans {
		known += s.Took
		switch s.Phase {
		case DNS:
			t.DNS = ms(s.Took)
		case TCP:
			t.Connect = max(t.Connect, 0) + ms(s.Took)
		case TLS:
			t.SSL, t.Connect = ms(s.Took), max(t.Connect, 0)+ms(s.Took)
		case Wait:
			t.Wait = ms(s.Took)
		case Body:
			t.Receive = ms(s.Took)
		}
	}
	if idle := q.Took - known; idle > 0 {
		t.Blocked = ms(idle)
	}
	return t, max(t.Blocked, 0) + max(t.DNS, 0) + max(t.Connect, 0) + t.Send + t.Wait + t.Receive
}

func hostOf(address string) string {
	u, err := url.Parse("tcp://" + address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// WriteFile puts data at name, whole or not at all, for its owner only; what is there
// is replaced only where it is a plain file.
func WriteFile(name string, data []byte) error {
	switch info, err := os.Lstat(name); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return ErrNotRegular
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".keepwell-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
