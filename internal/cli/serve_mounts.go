package cli

import (
	"context"
	"net/http"

	"github.com/keepwell/keepwell/internal/api"
	"github.com/keepwell/keepwell/internal/daemon"
	"github.com/keepwell/keepwell/internal/web"
)

// serveMounts are the handlers of others that `serve` has, by the prefix of their paths.
func (a *app) serveMounts() map[string]func(context.Context, daemon.Parts) (http.Handler, error) {
	return map[string]func(context.Context, daemon.Parts) (http.Handler, error){
		"/api/": func(_ context.Context, p daemon.Parts) (http.Handler, error) {
			return api.New(api.Options{ //nolint:contextcheck // requests have contexts of their own
				State: p.State, Engine: p.Engine, Door: p.Door, Classifier: p.Classifier, Compile: p.Compile, Conditions: p.Conditions, Library: p.Library,
				Hold: p.Config.Playbooks.Hold, Trust: p.Trust, Version: version(), Stopping: p.Stopping, Log: p.Log,
			})
		},
		modPrefix + "/": a.serveModules,
		"/": func(_ context.Context, p daemon.Parts) (http.Handler, error) {
			return web.New(web.Options{ //nolint:contextcheck // requests have contexts of their own
				State: p.State, Engine: p.Engine, Door: p.Door, Library: p.Library, Classifier: p.Classifier, Compile: p.Compile, Trust: p.Trust, Log: p.Log,
			})
		},
	}
}
