package doctor

import (
	"context"
	"time"

	"github.com/keepwell/keepwell/internal/observe"
)

// wantsComplete reports whether go asks for its files to be completed: what go then
// cannot fetch is the trouble, and not that no checksum is recorded for it.
func wantsComplete(c *Case, seen []Outcome) bool {
	o := find(seen, "modules")
	_, ok := c.modFiles()
	return ok && len(c.Settings.Gos) > 0 && o != nil && len(o.Findings) > 0 && o.Findings[0].Code == "sum/missing-entry"
}

// lookComplete lets go complete copies of go.mod and go.sum, as its advice would.
func lookComplete(ctx context.Context, c *Case, _ []Outcome) Outcome {
	limited, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	files, _ := c.modFiles()
	_, _, why, ok := c.tidied(limited, files, files.mod, files.sum)
	if ok {
		return Outcome{State: observe.Yes, Key: "doctor.complete.fine"}
	}
	why = c.unlessOff(why)
	if len(why) == 0 || why[0].Code == "sum/missing-entry" {
		return Outcome{State: observe.NotChecked, Key: "doctor.complete.unknown"}
	}
	return Outcome{State: observe.No, Key: "doctor.complete.bad", Settles: "sum/missing-entry", Findings: why}
}
