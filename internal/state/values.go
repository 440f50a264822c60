package state

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// micros is how times are stored; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func when(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// whens fills several times.
func whens(into []*time.Time, us []int64) {
	for i, t := range into {
		*t = when(us[i])
	}
}

// document writes a value as JSON for a TEXT column.
func document(v any) (string, error) {
	data, err := json.Marshal(v)
	return string(data), err
}

// raw is JSON of the caller's own, "" as null.
func raw(data json.RawMessage) (string, error) {
	if len(data) == 0 {
		return "null", nil
	}
	if !json.Valid(data) {
		return "", fmt.Errorf("not JSON: %.40q", data)
	}
	return string(data), nil
}

// Page asks for a part of a list, newest first.
type Page struct {
	// Before is the id after which the last page ended; 0: the newest.
	Before int64
	// Limit is how many; 0 means 50, the most is 1,000.
	Limit int
}

func (p Page) limit() int {
	const usual, most = 50, 1000
	if p.Limit <= 0 {
		return usual
	}
	return min(p.Limit, most)
}

// where gathers conditions with their arguments. A value that is zero is no condition.
type where struct {
	conditions []string
	args       []any
}

func (w *where) add(condition string, value any) {
	w.args = append(w.args, value)
	w.conditions = append(w.conditions, strings.ReplaceAll(condition, "?", "?"+strconv.Itoa(len(w.args))))
}

func (w *where) text(column, value string) {
	if value != "" {
		w.add(column+" = ?", value)
	}
}

func (w *where) number(column string, value int64) {
	if value != 0 {
		w.add(column+" = ?", value)
	}
}

// page ends a query that lists newest first.
func (w *where) page(id string, p Page) string {
	if p.Before > 0 {
		w.add(id+" < ?", p.Before)
	}
	return w.String() + " ORDER BY " + id + " DESC LIMIT " + strconv.Itoa(p.limit())
}

func (w *where) String() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}
