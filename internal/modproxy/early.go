package modproxy

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/modstore"
	"github.com/keepwell/keepwell/internal/server"
)

// Early answers a request for a file that was served a moment ago, on the connection
// itself (see [server.Early]): with the same bytes as ServeHTTP would, by the same rules,
// tokens, records and figures. Whatever is not the plain case is left to ServeHTTP; so is
// every request once traces are made.
func (s *Service) Early(c net.Conn, r *server.Request) (done bool, err error) {
	if s.o.Tracer != nil || strings.HasPrefix(r.Path, statsPath) {
		return false, nil
	}
	began := time.Now()
	client, ok := s.o.Tokens.holder(r.Authorization)
	if !ok {
		return false, nil
	}
	a, e, ok := s.p.ready(r.Path)
	if !ok {
		return false, nil
	}
	s.metrics.inFlight.Add(1)
	defer s.metrics.inFlight.Add(-1)
	head, ok := s.heads.Get().(*[]byte)
	if !ok {
		head = new([]byte)
	}
	defer s.heads.Put(head)
	*head = appendHead((*head)[:0], a, e, began)
	var n int64
	if e.Data == nil {
		if n, done, err = s.p.earlyBlob(c, *head, e); !done {
			return false, nil
		}
	} else {
		before := len(*head)
		*head = append(*head, e.Data...)
		sent, failed := c.Write(*head)
		n, err = int64(max(sent-before, 0)), failed
	}
	rec := recorder{status: http.StatusOK, n: n, id: s.requestID(r.ID), outcome: outcome{cache: "hit"}}
	s.answered(s.p.ctx, &rec, about{
		method: http.MethodGet, path: r.Path, kind: kindOf(r.Path), from: r.From, client: client, began: began, whole: err == nil && n > 0,
	})
	return true, err
}

// appendHead writes what net/http would.
func appendHead(b []byte, a ask, e modstore.Entry, now time.Time) []byte {
	b = append(b, "HTTP/1.1 200 OK\r\n"...)
	size := int64(len(e.Data))
	if e.Data == nil {
		b = append(b, "Accept-Ranges: bytes\r\n"...)
		size = e.Size
	}
	b = append(append(b, "Cache-Control: "...), cacheControl(a)[0]...)
	b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), size, 10)
	b = append(append(b, "\r\nContent-Type: "...), contentType(a.kind)[0]...)
	if e.Sum != "" {
		b = append(append(append(b, "\r\nEtag: \""...), e.Sum...), '"')
	}
	b = now.UTC().AppendFormat(append(b, "\r\nDate: "...), http.TimeFormat)
	return append(b, "\r\n\r\n"...)
}
