package jobs

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
)

// prompt is River's SQLite driver, which looks for news every 50 ms, told at once of the
// jobs that this process inserts: on SQLite it is the only one that works on them.
type prompt struct {
	*riversqlite.Driver
	news *news
}

// GetListener is River's, and ours.
func (p prompt) GetListener(o *riverdriver.GetListenenerParams) riverdriver.Listener {
	return &listener{Listener: p.Driver.GetListener(o), news: p.news}
}

// news are the kinds of which jobs came.
type news struct {
	mu    sync.Mutex
	kinds map[string]bool
	some  chan struct{} // holds one while kinds has any
}

func newNews() *news { return &news{kinds: map[string]bool{}, some: make(chan struct{}, 1)} }

func (n *news) add(kind string) {
	n.mu.Lock()
	n.kinds[kind] = true
	n.mu.Unlock()
	n.ring()
}

func (n *news) ring() {
	select {
	case n.some <- struct{}{}:
	default:
	}
}

// take returns one of the kinds; "" where there is none.
func (n *news) take() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	for kind := range n.kinds {
		delete(n.kinds, kind)
		return kind
	}
	return ""
}

type listener struct {
	riverdriver.Listener
	news *news
}

// WaitForNotification returns with whichever comes first.
func (l *listener) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	for {
		if kind := l.news.take(); kind != "" {
			payload, err := json.Marshal(map[string]string{"queue": kind})
			return &riverdriver.Notification{Topic: "river_insert", Payload: string(payload)}, err
		}
		n, woken, err := l.wait(ctx)
		if err == nil || !woken {
			return n, err
		}
	}
}

// wait waits for River's news, until ours come.
func (l *listener) wait(ctx context.Context) (n *riverdriver.Notification, woken bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-l.news.some:
			woken = true
			cancel()
		case <-ctx.Done():
		}
	})
	n, err = l.Listener.WaitForNotification(ctx)
	cancel()
	watching.Wait()
	return n, woken, err
}
