package observe_test

import (
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/observe"
)

// TestNothingStaysBehind: when Look returns, what it started has ended. It does not
// run beside others, since it counts goroutines.
func TestNothingStaysBehind(t *testing.T) { //nolint:paralleltest // counts what runs
	quiet := silent(t)
	dripping := serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	o := short()
	o.Resolvers = []string{quiet}
	before := runtime.NumGoroutine()
	for _, arg := range []string{"https://" + quiet, "http://" + dripping, "http://" + dripping + "/example.com/widget/@v/v1.0.0.zip", "ssh://git@" + quiet + "/x", "https://localhost:1"} {
		_, _ = look(t, arg, o)
	}
	npm, err := observe.NpmRegistry("http://"+dripping, "widget", o)
	if err != nil {
		t.Fatal(err)
	}
	_ = observe.Look(t.Context(), npm, o)
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(end) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}
