// Package alerts reads what monitoring systems send: the webhooks of Alertmanager (all
// versions' fields) and of Grafana, and any JSON by a [Mapping] of expressions. Each
// alert counts by itself, whatever group it came in: texts that are too long are cut with
// a mark (fit.go); one that cannot be used at all is refused with the path of what is
// wrong, and the others are kept.
//
// Bodies are read as a stream: ten thousand alerts take the memory of one, and of what
// the caller keeps. Unknown fields are passed over, wrong types are not. The package
// stores nothing and decides nothing. A new format is a file beside grafana.go; a new
// place to look for what an alert is about, a line in asset.go.
package alerts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/keepwell/keepwell"
)

// Limits bound one body.
type Limits struct {
	Bytes  int64 // of the body
	Alerts int   // in it
}

// DefaultLimits hold 100,000 alerts, as Alertmanager would send them in a storm.
func DefaultLimits() Limits { return Limits{Bytes: 256 << 20, Alerts: 100_000} }

// ErrTooLarge is returned for a body beyond its limits. What came before was handed on.
var ErrTooLarge = errors.New("the body holds more than is taken")

// Group is what a body says beside its alerts.
type Group struct {
	Version  string // "4" of Alertmanager, "1" of Grafana; "" where none is said
	GroupKey string
	Receiver string
	// ExternalURL is the sender's own address.
	ExternalURL string
	// Truncated counts the alerts that the sender left out.
	Truncated int64
	// Reason is why it was sent, where the sender says so ("new alerts", "repeat", …).
	Reason                                               string
	GroupLabels, CommonLabels, CommonAnnotations, Routed map[string]string
	// Alerts counts what was handed on, RefusedAlerts what was not; Cut those handed on
	// with less than came.
	Alerts, RefusedAlerts, Cut int
	// Refused says why, for the first of them.
	Refused []error
}

// maxRefused is how many reasons are kept.
const maxRefused = 100

func (g *Group) refuse(err error) {
	g.RefusedAlerts++
	if len(g.Refused) < maxRefused {
		g.Refused = append(g.Refused, err)
	}
}

// fit makes a storable where that is possible.
func (g *Group) fit(a *keepwell.Alert) error {
	cut, err := fit(a)
	if err = errors.Join(err, a.Validate()); err == nil && cut {
		g.Cut++
	}
	return err
}

// Each takes one alert; an error of its ends the reading and is returned as it is.
type Each func(keepwell.Alert) error

// Alertmanager reads the body of Alertmanager's webhook.
func Alertmanager(r io.Reader, l Limits, each Each) (Group, error) {
	return read(r, l, each, alertmanagerAlert)
}

// wire is one alert as Alertmanager and Grafana send it.
type wire struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

func (w *wire) alert(source string) keepwell.Alert {
	a := keepwell.Alert{
		Fingerprint: w.Fingerprint, Status: keepwell.AlertStatus(w.Status), Labels: w.Labels, Annotations: w.Annotations,
		StartsAt: w.StartsAt, GeneratorURL: w.GeneratorURL, Source: source,
	}
	if a.Status == keepwell.AlertResolved {
		a.EndsAt = w.EndsAt // of a firing one it is only when the sender would forget it
	}
	if a.Fingerprint == "" { // before Alertmanager 0.18
		a.Fingerprint = keepwell.FingerprintOf(a.Labels)
	}
	return a
}

func alertmanagerAlert(dec *json.Decoder) (keepwell.Alert, error) {
	var w wire
	err := dec.Decode(&w)
	return w.alert("alertmanager"), err
}

// read walks a body of the shape that Alertmanager gave and Grafana took over.
func read(r io.Reader, l Limits, each Each, one func(*json.Decoder) (keepwell.Alert, error)) (Group, error) {
	var g Group
	in := &limited{r: r, left: l.Bytes}
	dec := json.NewDecoder(in)
	if err := g.body(dec, l, each, one); err != nil {
		return g, in.explain(err)
	}
	return g, in.explain(nothingMore(dec))
}

// nothingMore holds a body to one document.
func nothingMore(dec *json.Decoder) error {
	switch _, err := dec.Token(); {
	case err == nil:
		return errors.New("the body goes on after its document")
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

func (g *Group) body(dec *json.Decoder, l Limits, each Each, one func(*json.Decoder) (keepwell.Alert, error)) error {
	if err := open(dec, '{', "the body"); err != nil {
		return err
	}
	fields := g.fields()
	found := false
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		switch target, known := fields[name]; {
		case name == "alerts" && found:
			return errors.New("alerts: stands twice")
		case name == "alerts":
			found = true
			err = g.alerts(dec, l, each, one)
		case known:
			err = at(name, dec.Decode(target))
		default:
			err = skip(dec)
		}
		if err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return err
	}
	if !found {
		return errors.New("alerts: is missing")
	}
	return nil
}

func (g *Group) fields() map[string]any {
	return map[string]any{
		"version": &g.Version, "groupKey": &g.GroupKey, "receiver": &g.Receiver, "externalURL": &g.ExternalURL,
		"truncatedAlerts": &g.Truncated, "notification_reason": &g.Reason, "notificationReason": &g.Reason,
		"groupLabels": &g.GroupLabels, "commonLabels": &g.CommonLabels, "commonAnnotations": &g.CommonAnnotations, "routeLabels": &g.Routed,
	}
}

func (g *Group) alerts(dec *json.Decoder, l Limits, each Each, one func(*json.Decoder) (keepwell.Alert, error)) error {
	if err := open(dec, '[', "alerts"); err != nil {
		return err
	}
	for i := 0; dec.More(); i++ {
		if i >= l.Alerts {
			return fmt.Errorf("alerts: %w: %d alerts", ErrTooLarge, l.Alerts)
		}
		a, err := one(dec)
		var wrong *json.UnmarshalTypeError
		switch {
		case errors.As(err, &wrong), isTime(err):
			g.refuse(at(fmt.Sprintf("alerts[%d]", i), err))
			continue
		case err != nil:
			return at(fmt.Sprintf("alerts[%d]", i), err)
		}
		if err := g.fit(&a); err != nil {
			g.refuse(at(fmt.Sprintf("alerts[%d]", i), err))
			continue
		}
		if err := each(a); err != nil {
			return err
		}
		g.Alerts++
	}
	_, err := dec.Token()
	return err
}

// isTime reports a time that is none. The alert was read to its end.
func isTime(err error) bool {
	var parse *time.ParseError
	return errors.As(err, &parse) || err != nil && err.Error() == "Time.UnmarshalJSON: input is not a JSON string"
}

// at adds the path of what is wrong. Nothing of the body's own text is repeated but
// names of fields and types.
func at(path string, err error) error {
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong) && wrong.Field != "":
		return fmt.Errorf("%s.%s: is a %s, not a %s", path, wrong.Field, wrong.Value, wrong.Type)
	case errors.As(err, &wrong):
		return fmt.Errorf("%s: is a %s, not a %s", path, wrong.Value, kind(wrong))
	}
	return fmt.Errorf("%s: %w", path, err)
}

func kind(wrong *json.UnmarshalTypeError) string {
	switch name := wrong.Type.Kind().String(); name {
	case "struct", "map":
		return "object"
	default:
		return name
	}
}

func open(dec *json.Decoder, want json.Delim, path string) error {
	switch t, err := dec.Token(); {
	case err != nil:
		return at(path, err)
	case t != want:
		return fmt.Errorf("%s: is no %s", path, map[json.Delim]string{'{': "object", '[': "list"}[want])
	}
	return nil
}

// skip passes over a value, without keeping it.
func skip(dec *json.Decoder) error {
	const deepest = 1_000
	for depth := 0; ; {
		t, err := dec.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
		if depth > deepest {
			return errors.New("the body is nested too deeply")
		}
	}
}

// limited ends a body that is too long, and remembers that it did.
type limited struct {
	r       io.Reader
	left    int64
	over    bool
	checked bool
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		if n, err := l.r.Read(make([]byte, 1)); n == 0 {
			return 0, err
		}
		l.over = true
		return 0, ErrTooLarge
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	if !l.checked && n >= 3 { // Windows' senders put a mark in front
		l.checked = true
		if bytes.HasPrefix(p[:n], []byte("\xef\xbb\xbf")) {
			copy(p, "   ")
		}
	}
	l.left -= int64(n)
	return n, err
}

func (l *limited) explain(err error) error {
	switch {
	case l.over && !errors.Is(err, ErrTooLarge):
		return fmt.Errorf("reading alerts: %w", ErrTooLarge)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("reading alerts: %w", io.ErrUnexpectedEOF)
	case err != nil:
		return fmt.Errorf("reading alerts: %w", err)
	}
	return nil
}
