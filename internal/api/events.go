package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/state"
)

// Bounds of the stream of events.
const (
	mostStreams = 200 // in all
	mostEach    = 10  // of one user
	streamBatch = 100 // entries read at once
)

// tempo is how a stream keeps time.
type tempo struct {
	look time.Duration // between looks for what other nodes wrote
	beat time.Duration // between signs of life
	slow time.Duration // how long a client may take for what is sent at once
}

func usualTempo() tempo {
	return tempo{look: time.Second, beat: 15 * time.Second, slow: 10 * time.Second}
}

// health says how the server is.
type health struct {
	Version  string           `json:"version"`
	Database state.Kind       `json:"database"`
	Now      time.Time        `json:"now"`
	Journal  int64            `json:"journal" jsonschema:"the last entry"`
	Nodes    []state.Node     `json:"nodes"`
	Jobs     []state.JobCount `json:"jobs"`
}

func (a *api) server() []route {
	return []route{
		{method: http.MethodGet, path: prefix + "/health", id: "getHealth", what: "How the server is: nodes and what they have to do", role: access.Viewer, reply: health{}, do: a.health},
		{
			method: http.MethodGet, path: prefix + "/events", id: "streamEvents", what: "Entries of the journal as they are written, as server-sent events; Last-Event-ID goes on after one", role: access.Viewer,
			query: []param{{name: "after", what: "where there is no Last-Event-ID: from the entry after this one; nothing: from now", number: true}}, text: "text/event-stream", do: a.stream,
		},
		{method: http.MethodGet, path: prefix + "/openapi.json", id: "getDocument", what: "This document", public: true, text: "application/json", do: func(c *call) (any, error) {
			c.w.Header().Set("Content-Type", "application/json")
			_, err := c.w.Write(a.document)
			return nil, err
		}},
	}
}

func (a *api) health(c *call) (any, error) {
	h := health{Version: a.Version, Database: a.State.Kind(), Now: a.State.Now().UTC(), Nodes: []state.Node{}, Jobs: []state.JobCount{}}
	end, err := a.State.JournalEnd(c.Context())
	if err != nil {
		return nil, err
	}
	nodes, err := a.State.Nodes(c.Context(), false)
	if err != nil {
		return nil, err
	}
	jobs, err := a.State.JobCounts(c.Context())
	h.Journal, h.Nodes, h.Jobs = end.Seq, append(h.Nodes, nodes...), append(h.Jobs, jobs...)
	return h, err
}

// streams counts who follows.
type streams struct {
	mu  sync.Mutex
	all int
	of  map[int64]int
}

// enter counts one more of a user; leave one less.
func (s *streams) enter(user int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= mostStreams || s.of[user] >= mostEach {
		return false
	}
	if s.of == nil {
		s.of = map[int64]int{}
	}
	s.all++
	s.of[user]++
	return true
}

func (s *streams) leave(user int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.of[user]--; s.of[user] == 0 {
		delete(s.of, user)
	}
}

// stream sends entries of the journal until the client goes, is too slow, or may not see
// them any more. Their numbers are the ids of the events, so that whoever comes back, to
// whichever node, goes on where they were.
func (a *api) stream(c *call) (any, error) {
	after, err := a.begin(c)
	if err != nil {
		return nil, err
	}
	if !a.streams.enter(c.person.ID) {
		return nil, refuse(http.StatusTooManyRequests, "api.streams")
	}
	defer a.streams.leave(c.person.ID)
	h := c.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	f := &follower{api: a, call: c, control: http.NewResponseController(c.w), after: after}
	// An id alone is no event: it is where a browser goes on that has heard of none yet.
	if err := f.send("id: " + strconv.FormatInt(after, 10) + "\n\n"); err != nil {
		return nil, nil // the client is gone
	}
	if err := f.follow(c.Context()); err != nil && c.Context().Err() == nil {
		a.Log.DebugContext(c.Context(), "a stream of events ended", "error", err)
	}
	return nil, nil
}

// begin reads from where to follow; never from beyond the end, where nothing would come
// for long.
func (a *api) begin(c *call) (int64, error) {
	end, err := a.State.JournalEnd(c.Context())
	if err != nil {
		return 0, err
	}
	word := c.Header.Get("Last-Event-ID")
	if word == "" {
		word = c.get("after")
	}
	if word == "" {
		return end.Seq, nil
	}
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil || n < 0 {
		return 0, bad("Last-Event-ID")
	}
	return min(n, end.Seq), nil
}

// follower is one client of the stream.
type follower struct {
	*api
	call    *call
	control *http.ResponseController
	after   int64
}

var (
	errOut     = errors.New("may not see it any more")
	errStopped = errors.New("the server stops")
)

func (f *follower) follow(ctx context.Context) error {
	look, beat := time.NewTicker(f.tempo.look), time.NewTicker(f.tempo.beat)
	defer look.Stop()
	defer beat.Stop()
	for {
		wake := f.State.Appended() // before the look: nothing in between is missed
		if err := f.news(ctx); err != nil {
			return err
		}
		select {
		case <-wake:
		case <-look.C:
		case <-beat.C:
			p, ok, err := f.Door.Still(f.call.Request)
			if err == nil && (!ok || !p.May(access.ScopeAPI, access.Viewer)) {
				return errOut
			}
			f.call.person = p // a role may have sunk
			if err := errors.Join(err, f.send(":\n\n")); err != nil {
				return err
			}
		case <-f.Stopping:
			return errStopped
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// news sends what is new.
func (f *follower) news(ctx context.Context) error {
	for {
		all, err := journal.After(ctx, f.State.Reader, f.after, streamBatch)
		if err != nil {
			return err
		}
		var text []byte
		for _, r := range all {
			f.after = r.Seq
			if !may(f.call.person, r) {
				continue
			}
			data, err := json.Marshal(r.In(f.call.lang))
			if err != nil {
				return err
			}
			text = fmt.Appendf(text, "id: %d\nevent: journal\ndata: %s\n\n", r.Seq, data)
		}
		if len(text) > 0 {
			if err := f.send(string(text)); err != nil {
				return err
			}
		}
		if len(all) < streamBatch {
			return nil
		}
	}
}

// send writes within the client's patience.
func (f *follower) send(text string) error {
	if err := f.control.SetWriteDeadline(time.Now().Add(f.tempo.slow)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := f.call.w.Write([]byte(text)); err != nil {
		return err
	}
	return f.control.Flush()
}
