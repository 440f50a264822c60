package web_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
	"github.com/keepwell/keepwell/internal/web"
)

// TestSilentProvider: that the OpenID provider does not answer is no fault inside.
func TestSilentProvider(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	st := statetest.Open(t, state.Options{Dir: t.TempDir()})
	door, err := access.Open(st, access.Options{OIDC: &access.OIDC{Issuer: gone.URL, ClientID: "keepwell", Redirect: "https://keepwell.example.org/login/return", Others: access.Viewer}})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := autopilot.Open(t.Context(), st, autopilot.Options{Classifier: byLabels{}, Compile: compile})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	pages, err := web.New(web.Options{State: st, Engine: engine, Door: door, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for lang, want := range map[string]string{"en": "The OpenID provider does not answer", "zh-CN": "OpenID 提供方没有应答"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/login/openid", nil)
		r.Header.Set("Accept-Language", lang)
		w := httptest.NewRecorder()
		door.Handler(pages).ServeHTTP(w, r)
		if w.Code != http.StatusBadGateway || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", lang, w.Code, w.Body)
		}
	}
	if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "does not answer") || strings.Contains(text, "level=ERROR") {
		t.Errorf("the log: %s", text)
	}
}
