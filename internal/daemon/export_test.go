package daemon

import (
	"net/http"

	"github.com/keepwell/keepwell/internal/autopilot"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/state"
)

// What tests look at from outside.
func (d *Daemon) Handler() http.Handler     { return d.handler }
func (d *Daemon) State() *state.State       { return d.st }
func (d *Daemon) Engine() *autopilot.Engine { return d.eng }
func (d *Daemon) Key() journal.Key          { return d.key }
