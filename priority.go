package keepwell

import (
	"fmt"
	"slices"
)

// Priority says how soon an operational fault has to be dealt with: P0 is the most
// severe, P4 the least. It is not [Severity], which tells what a finding did to a
// command. Where people write "if_severity > P1" they mean [Priority.Above].
type Priority string

// The priorities, most severe first. As texts they sort in this order.
const (
	P0 Priority = "P0" // users are cut off or data is being lost: at once
	P1 Priority = "P1" // users notice it: at once, by whoever is on call
	P2 Priority = "P2" // users will notice it if nothing is done: today
	P3 Priority = "P3" // a reserve is used up: this week
	P4 Priority = "P4" // hygiene, predictions: when there is time
)

// Priorities lists every priority, most severe first.
func Priorities() []Priority { return []Priority{P0, P1, P2, P3, P4} }

// Rank is 0 for the most severe; unknown values rank last.
func (p Priority) Rank() int {
	if i := slices.Index(Priorities(), p); i >= 0 {
		return i
	}
	return len(Priorities())
}

// Above reports whether p is strictly more severe than other: P0 is above P1, and
// nothing is above itself. An unknown value is above nothing.
func (p Priority) Above(other Priority) bool { return p.Rank() < other.Rank() }

// Validate reports whether p is one of P0 to P4.
func (p Priority) Validate() error {
	if slices.Contains(Priorities(), p) {
		return nil
	}
	return fmt.Errorf("priority %q is none of %v", string(p), Priorities())
}
