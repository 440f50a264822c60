package keepwell

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// AlertStatus says whether an alert's condition holds.
type AlertStatus string

// The statuses of an alert.
const (
	AlertFiring   AlertStatus = "firing"
	AlertResolved AlertStatus = "resolved"
)

// Validate reports whether s is a known status.
func (s AlertStatus) Validate() error {
	switch s {
	case AlertFiring, AlertResolved:
		return nil
	}
	return fmt.Errorf("alert status %q is none of firing, resolved", string(s))
}

// Bounds of one alert. Validate refuses what is larger; readers of foreign bodies cut it
// before, visibly.
const (
	MaxAlertPairs = 256      // labels, and annotations
	MaxAlertBytes = 64 << 10 // all labels and annotations together
	maxAlertName  = 256      // fingerprint and names of labels
	maxAlertURL   = 4 << 10
)

// Alert is one alert of a monitoring system, by itself, whatever group it came in.
// Its texts are foreign: they are never trusted, and masked before they are shown.
type Alert struct {
	// Fingerprint names the thing that alerts: the sender's own, or [FingerprintOf]
	// its labels.
	Fingerprint string            `json:"fingerprint"`
	Status      AlertStatus       `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// StartsAt is when the condition began. With Fingerprint and Status it tells a new
	// alert from a repeated one, to the microsecond.
	StartsAt time.Time `json:"startsAt"`
	// Undated: the sender does not say when it began, and StartsAt is when it came. Where
	// the same source has told that the same fingerprint fires, and not yet that it is
	// over, it is that alert once more.
	Undated bool `json:"-"`
	// EndsAt is when a resolved alert ended; zero where the sender does not say.
	EndsAt       time.Time `json:"endsAt,omitzero"`
	GeneratorURL string    `json:"generatorURL,omitempty"`
	// Source is who sent it: "alertmanager", "grafana", or the name of a mapping.
	Source string `json:"source"`
}

// AlertKey is what repeats of the same alert share.
type AlertKey struct {
	Fingerprint string
	StartsAt    int64 // microseconds since 1970
	Status      AlertStatus
}

// Key returns what a repeat of a would have too.
func (a Alert) Key() AlertKey {
	return AlertKey{a.Fingerprint, a.StartsAt.UnixMicro(), a.Status}
}

// Name is the label "alertname", which Prometheus requires of its rules; "" elsewhere.
func (a Alert) Name() string { return a.Labels["alertname"] }

// Validate reports everything that is wrong with a at once. What passes can be
// stored anywhere: valid UTF-8 without NUL, within the bounds.
func (a Alert) Validate() error {
	errs := []error{a.Status.Validate()}
	say := func(format string, args ...any) { errs = append(errs, fmt.Errorf("alert: "+format, args...)) }
	if a.Fingerprint == "" {
		say("no fingerprint")
	}
	for name, text := range map[string]string{"fingerprint": a.Fingerprint, "source": a.Source} {
		errs = append(errs, textError(name, text, maxAlertName))
	}
	errs = append(errs, textError("generatorURL", a.GeneratorURL, maxAlertURL))
	if y := a.StartsAt.Year(); y < 1970 || y > 9999 {
		say("startsAt %s is no time of an alert", a.StartsAt.Format(time.RFC3339))
	}
	size := 0
	for kind, pairs := range map[string]map[string]string{"labels": a.Labels, "annotations": a.Annotations} {
		if len(pairs) > MaxAlertPairs {
			say("%d %s are more than %d", len(pairs), kind, MaxAlertPairs)
		}
		for k, v := range pairs {
			size += len(k) + len(v)
			switch {
			case k == "":
				say("of the %s, one has an empty name", kind)
			case len(k) > maxAlertName:
				say("of the %s, the name %.40q is too long: %d bytes, more than %d", kind, k, len(k), maxAlertName)
			case !storable(k):
				say("of the %s, the name %.40q is no text", kind, k)
			case !storable(v):
				say("of the %s, %.40q is no text", kind, k)
			}
		}
	}
	if size > MaxAlertBytes {
		say("labels and annotations take %d bytes, more than %d", size, MaxAlertBytes)
	}
	return errors.Join(errs...)
}

// textError tells which it is: too long, or no text.
func textError(name, text string, longest int) error {
	switch {
	case len(text) > longest:
		return fmt.Errorf("alert: %s is longer than %d bytes: %d", name, longest, len(text))
	case !storable(text):
		return fmt.Errorf("alert: %s is no text", name)
	}
	return nil
}

func storable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// FingerprintOf names a set of labels: the same for the same labels, whatever their order.
func FingerprintOf(labels map[string]string) string {
	h := sha256.New()
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		// Lengths keep {"a":"b=c"} and {"a=b":"c"} apart.
		fmt.Fprintf(h, "%d:%s%d:%s", len(k), k, len(labels[k]), labels[k])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
