package server

import (
	"net/http"
	"sync"
	"time"
)

// A client of HTTP/2 that opens no window takes nothing, and yet its connection is well:
// it answers pings, and nothing waits in the system to be sent. So the answers themselves
// are looked at, in pieces: one that was not taken for some looks in a row ends its stream.

// piece is what a client of HTTP/2 has to take within strikes looks.
const piece = 4 << 10

// streams are the answers over HTTP/2 that are under way.
type streams struct {
	mu  sync.Mutex
	all map[*stream]struct{}
}

// stream is one of them.
type stream struct {
	http.ResponseWriter
	mu      sync.Mutex
	writing bool
	idle    int // looks in a row at which the same piece was waiting
}

// over follows what h answers over HTTP/2.
func (ss *streams) over(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const second = 2
		if r.ProtoMajor != second {
			h.ServeHTTP(w, r)
			return
		}
		s := &stream{ResponseWriter: w}
		ss.mu.Lock()
		if ss.all == nil {
			ss.all = map[*stream]struct{}{}
		}
		ss.all[s] = struct{}{}
		ss.mu.Unlock()
		defer func() { // nobody may look at it once it has ended
			ss.mu.Lock()
			defer ss.mu.Unlock()
			delete(ss.all, s)
		}()
		h.ServeHTTP(s, r)
	})
}

// look ends the streams of which nothing is taken.
func (ss *streams) look() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for s := range ss.all {
		if s.stuck() {
			_ = http.NewResponseController(s.ResponseWriter).SetWriteDeadline(time.Now()) // whoever writes is told
		}
	}
}

func (s *stream) stuck() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.writing {
		return false
	}
	s.idle++
	return s.idle >= strikes
}

func (s *stream) waits(writing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing, s.idle = writing, 0
}

// Write writes piece by piece.
func (s *stream) Write(data []byte) (int, error) {
	defer s.waits(false)
	done := 0
	for {
		s.waits(true)
		n, err := s.ResponseWriter.Write(data[done:min(done+piece, len(data))])
		if done += n; err != nil || done == len(data) {
			return done, err
		}
	}
}

// FlushError is for http.ResponseController: it may wait, too.
func (s *stream) FlushError() error {
	s.waits(true)
	defer s.waits(false)
	return http.NewResponseController(s.ResponseWriter).Flush()
}

// Flush is that of http.Flusher.
func (s *stream) Flush() { _ = s.FlushError() } // a write will tell

// Unwrap is for http.ResponseController.
func (s *stream) Unwrap() http.ResponseWriter { return s.ResponseWriter }
