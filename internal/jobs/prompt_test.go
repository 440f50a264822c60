package jobs

import (
	"context"
	"errors"
	"testing"

	"github.com/riverqueue/river/riverdriver"
)

// silent never has news of its own, unless some are put in.
type silent struct {
	riverdriver.Listener
	own chan *riverdriver.Notification
}

func (s *silent) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	select {
	case n := <-s.own:
		return n, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestPrompt: our news come without River's, each kind once, and River's come too.
func TestPrompt(t *testing.T) {
	t.Parallel()
	inner := &silent{own: make(chan *riverdriver.Notification, 1)}
	l := &listener{Listener: inner, news: newNews()}
	got := make(chan string)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		for {
			n, err := l.WaitForNotification(ctx)
			if err != nil {
				ended <- err
				return
			}
			got <- n.Topic + n.Payload
		}
	}()
	for range 100 {
		l.news.add("step")
		if s := <-got; s != `river_insert{"queue":"step"}` {
			t.Fatal(s)
		}
	}
	l.news.add("step")
	l.news.add("notify")
	if a, b := <-got, <-got; a == b {
		t.Errorf("%s twice", a)
	}
	inner.own <- &riverdriver.Notification{Topic: "river_control"}
	if s := <-got; s != "river_control" {
		t.Error(s)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
