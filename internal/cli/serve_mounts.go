package cli

import (
	"context"
	"net/http"

	"github.com/keepwell/keepwell/internal/daemon"
)

// serveMounts are the handlers of others that `serve` has, by the prefix of their paths.
func serveMounts() map[string]func(context.Context, daemon.Parts) (http.Handler, error) {
	return nil
}
