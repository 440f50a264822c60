package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

// follower of the tests: a client of the stream.
type listener struct {
	*testing.T
	resp  *http.Response
	lines *bufio.Scanner
	ctx   context.Context
	stop  context.CancelFunc
}

func (r *rig) listen(who, last string) *listener {
	r.Helper()
	ctx, stop := context.WithTimeout(r.Context(), time.Minute)
	req := r.request(who, http.MethodGet, prefix+"/events", nil).WithContext(ctx)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultClient.Do(req) //nolint:bodyclose // close does, at the end
	if err != nil {
		r.Fatal(err)
	}
	l := &listener{r.T, resp, bufio.NewScanner(resp.Body), ctx, stop}
	l.lines.Buffer(nil, 1<<20)
	r.Cleanup(l.close)
	return l
}

func (l *listener) close() {
	l.stop()
	l.resp.Body.Close()
}

// next reads the next event: its id and entry.
func (l *listener) next() (id string, e journal.Record) {
	l.Helper()
	for l.lines.Scan() {
		line := l.lines.Text()
		if word, ok := strings.CutPrefix(line, "id: "); ok {
			id = word
		}
		if text, ok := strings.CutPrefix(line, "data: "); ok {
			if err := json.Unmarshal([]byte(text), &e); err != nil {
				l.Fatal(err)
			}
			return id, e
		}
	}
	l.Fatal("the stream ended:", l.lines.Err())
	return "", e
}

// note writes entries.
func (r *rig) note(kind journal.Kind, whys ...string) {
	r.Helper()
	for _, why := range whys {
		if err := r.st.Tx(r.Context(), func(tx *state.Tx) error {
			return journal.Append(tx, journal.Entry{Kind: kind, Actor: "test", Why: why})
		}); err != nil {
			r.Fatal(err)
		}
	}
}

// TestEvents: whoever follows gets every entry once, in order, also after a break and
// from another node; entries about people only as an admin.
func TestEvents(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, so state.Options) {
		r := newRig(t, so)
		r.api.tempo.look = time.Hour // what this process writes wakes
		l := r.listen("viewer", "")
		if got := l.resp.Header.Get("Content-Type"); got != "text/event-stream" || l.resp.StatusCode != http.StatusOK {
			t.Fatal(l.resp.StatusCode, got)
		}
		// It follows from now, and says where that is: a browser that is cut off before it
		// heard of anything goes on from there.
		end, err := r.st.JournalEnd(t.Context())
		if !l.lines.Scan() || err != nil || l.lines.Text() != fmt.Sprintf("id: %d", end.Seq) {
			t.Fatal(l.lines.Text(), end.Seq, err)
		}
		r.note(journal.Decided, "one\ndata: forged\n\nid: 1", "two")
		r.note(journal.UserChanged, "secret")
		r.note(journal.Decided, "three")
		id, e := l.next()
		if e.Why != "one\ndata: forged\n\nid: 1" || id != strconv.FormatInt(e.Seq, 10) {
			t.Errorf("%s: %+v", id, e)
		}
		l.close()
		// It goes on after the one that was seen last, at another node of the same database.
		l = r.listen("viewer", id)
		for _, want := range []string{"two", "three"} {
			if _, e := l.next(); e.Why != want {
				t.Errorf("want %q: %+v", want, e)
			}
		}
		l = r.listen("admin", id)
		for _, want := range []string{"two", "secret", "three"} {
			if _, e := l.next(); e.Why != want {
				t.Errorf("admin: want %q: %+v", want, e)
			}
		}
		for _, bad := range []string{"-1", "x", strings.Repeat("9", 30)} {
			if l := r.listen("viewer", bad); l.resp.StatusCode != http.StatusBadRequest {
				t.Errorf("Last-Event-ID %s: %d", bad, l.resp.StatusCode)
			}
		}
	})
}

// TestEventsOfOtherNodes: what another process writes is found by looking.
func TestEventsOfOtherNodes(t *testing.T) {
	t.Parallel()
	so := state.Options{Dir: t.TempDir(), Database: statetest.PostgreSQL(t)}
	r := newRig(t, so)
	r.api.tempo.look = time.Millisecond
	l := r.listen("viewer", "")
	other := statetest.Open(t, so)
	if !l.lines.Scan() {
		t.Fatal(l.lines.Err())
	}
	if err := other.Tx(t.Context(), func(tx *state.Tx) error {
		return journal.Append(tx, journal.Entry{Kind: journal.Decided, Actor: "test", Why: "elsewhere"})
	}); err != nil {
		t.Fatal(err)
	}
	if _, e := l.next(); e.Why != "elsewhere" {
		t.Errorf("%+v", e)
	}
}

// TestEventsEnd: with the session, with the server.
func TestEventsEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, state.Options{Dir: t.TempDir()})
	r.api.tempo.beat = time.Millisecond
	l := r.listen("viewer", "")
	disabled := true
	if _, err := r.door.ChangeUser(t.Context(), "cli", "viewer", access.Change{Disabled: &disabled}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, l.resp.Body); err != nil {
		t.Errorf("whose session ended: %v", err)
	}
	l = r.listen("admin", "")
	close(r.stop)
	if _, err := io.Copy(io.Discard, l.resp.Body); err != nil {
		t.Errorf("when the server stops: %v", err)
	}
}

// TestEventsBounds: one user has ten streams at most, and who does not read is cut off.
func TestEventsBounds(t *testing.T) {
	t.Parallel()
	r := newRig(t, state.Options{Dir: t.TempDir()})
	r.api.tempo.slow = 50 * time.Millisecond
	var all []*listener
	for range mostEach {
		l := r.listen("viewer", "")
		if l.resp.StatusCode != http.StatusOK {
			t.Fatal(l.resp.StatusCode)
		}
		all = append(all, l)
	}
	if l := r.listen("viewer", ""); l.resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("one too many: %d", l.resp.StatusCode)
	}
	if l := r.listen("operator", ""); l.resp.StatusCode != http.StatusOK {
		t.Errorf("another user: %d", l.resp.StatusCode)
	}
	// Nobody reads: the buffers fill up, and the connections are closed by the server.
	large := fmt.Sprintf("%08000d", 0)
	err := r.st.Tx(t.Context(), func(tx *state.Tx) error {
		for range 2000 {
			if err := journal.Append(tx, journal.Entry{Kind: journal.Decided, Actor: "test", Why: large}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for range mostEach {
		select {
		case <-r.closed:
		case <-all[0].ctx.Done():
			t.Fatal("nobody was cut off")
		}
	}
}
