package daemon

import (
	"context"
	"net/http"

	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/actions"
	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
)

// What tests look at from outside.
func (d *Daemon) Handler() http.Handler     { return d.handler }
func (d *Daemon) State() *state.State       { return d.st }
func (d *Daemon) Engine() *autopilot.Engine { return d.eng }
func (d *Daemon) Key() journal.Key          { return d.key }

// Routes are whom the server's own routes let in, by their patterns.
func (d *Daemon) Routes() map[string]string {
	out := map[string]string{}
	for _, r := range d.routes() {
		out[r.pattern] = string(r.lets)
	}
	return out
}

func Instance(ctx context.Context, st *state.State) (string, error) { return instance(ctx, st) }

// Options are those of the actions, with all that a server brings.
func (c *Config) Options() actions.Options {
	return c.actions(around{
		func(string) (string, error) { return "", nil },
		[]string{"launcher"},
		actions.NewKeepers([]string{"launcher"}),
		msg.EN, "instance",
		func(context.Context, string) (actions.Examination, error) { return actions.Examination{}, nil },
	})
}

// DoorOptions are those of the door.
func (c *Config) DoorOptions(environ []string) access.Options { return c.door(secretsOf(c, environ)) }
