package alerts

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/keepwell/keepwell"
)

// Cutting is where fit writes what it left out as a whole.
const Cutting = "keepwell.cut"

const (
	longestName = 256
	longestURL  = 4 << 10
	// room is left beside labels for annotations, and for the marks.
	room = 16 << 10
)

var errNoLabels = errors.New("labels: none can be used")

// fit makes of what came what can be stored: senders do not send again what was refused,
// so an alert is better kept with less of its words than lost. Control characters become
// U+FFFD; texts that are too long end in a mark that says how much is missing. It tells
// whether anything was changed; an error means that nothing of the labels is left.
func fit(a *keepwell.Alert) (changed bool, err error) {
	f := &fitting{}
	if len(a.Fingerprint) > longestName || f.clean(a.Fingerprint) != a.Fingerprint {
		a.Fingerprint, f.changed = keepwell.FingerprintOf(a.Labels), true // it names, so it is not cut
	}
	a.Labels = f.names(a.Labels)
	if len(a.Labels) == 0 {
		return f.changed, errNoLabels
	}
	a.Annotations = f.names(a.Annotations)
	f.count(a.Labels, keepwell.MaxAlertPairs, "labels")
	f.shrink(a.Labels, keepwell.MaxAlertBytes-room, "labels")
	if a.GeneratorURL = f.clean(a.GeneratorURL); len(a.GeneratorURL) > longestURL {
		f.leftOut("generatorURL", fmt.Sprintf("%d B", len(a.GeneratorURL)))
		a.GeneratorURL = "" // a part of an address leads nowhere
	}
	f.count(a.Annotations, keepwell.MaxAlertPairs-1, "annotations")
	f.shrink(a.Annotations, keepwell.MaxAlertBytes-size(a.Labels)-1<<10, "annotations")
	if len(f.out) > 0 {
		if a.Annotations == nil {
			a.Annotations = map[string]string{}
		}
		a.Annotations[Cutting] = strings.Join(f.out, ", ")
	}
	return f.changed, nil
}

// fitting remembers what one alert lost.
type fitting struct {
	changed bool
	out     []string
}

func (f *fitting) leftOut(what, much string) {
	f.changed = true
	f.out = append(f.out, what+" (-"+much+")")
}

// clean takes control characters out of a text, but for those that text is made of.
func (f *fitting) clean(s string) string {
	out := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' {
			return utf8.RuneError
		}
		return r // an invalid byte comes as U+FFFD
	}, s)
	f.changed = f.changed || out != s
	return out
}

// names cleans pairs, and cuts what is no name.
func (f *fitting) names(pairs map[string]string) map[string]string {
	for _, k := range slices.Sorted(maps.Keys(pairs)) {
		v := pairs[k]
		name := f.clean(k)
		if len(name) > longestName {
			name = f.cut(name, longestName-markSize)
		}
		if _, taken := pairs[name]; name != k {
			delete(pairs, k)
			if name == "" || taken {
				continue
			}
		}
		if name == "" {
			delete(pairs, k)
			f.changed = true
			continue
		}
		pairs[name] = f.clean(v)
	}
	return pairs
}

// count drops pairs beyond a number: the last by their names, and none by which people
// and fingerprints know an alert.
func (f *fitting) count(pairs map[string]string, most int, what string) {
	over := len(pairs) - most
	if over <= 0 {
		return
	}
	f.leftOut(what, fmt.Sprint(over))
	for _, k := range slices.Backward(slices.Sorted(maps.Keys(pairs))) {
		if over == 0 {
			return
		}
		if !known(k) {
			delete(pairs, k)
			over--
		}
	}
}

// known are the names that matter most.
func known(name string) bool {
	return slices.Contains([]string{"alertname", "severity", "cluster", "namespace", "pod", "node", "instance", "job", "host", "service", "summary", "description", "runbook_url"}, name)
}

// shrink cuts the longest values until all fit, and drops pairs where names alone do not.
func (f *fitting) shrink(pairs map[string]string, budget int, what string) {
	if size(pairs) <= budget {
		return
	}
	longest := 0
	for low, high := 1, budget; low <= high; {
		mid := (low + high) / 2
		sum := 0
		for k, v := range pairs {
			sum += len(k) + min(len(v), mid+markSize)
		}
		if sum <= budget {
			longest, low = mid, mid+1
		} else {
			high = mid - 1
		}
	}
	for k, v := range pairs {
		if len(v) > longest+markSize {
			pairs[k] = f.cut(v, longest)
		}
	}
	dropped := 0
	for _, k := range slices.Backward(slices.Sorted(maps.Keys(pairs))) {
		if size(pairs) <= budget {
			break
		}
		if !known(k) {
			delete(pairs, k)
			dropped++
		}
	}
	if dropped > 0 {
		f.leftOut(what, fmt.Sprint(dropped))
	}
}

// markSize is the most that a mark takes.
const markSize = 32

// cut ends a text between two of its characters, with a mark that needs no language.
func (f *fitting) cut(s string, n int) string {
	f.changed = true
	n = min(n, len(s))
	for n > 0 && n < len(s) && !utf8.RuneStart(s[n]) {
		n--
	}
	return fmt.Sprintf("%s… [keepwell: -%d B]", s[:n], len(s)-n)
}

func size(pairs map[string]string) (sum int) {
	for k, v := range pairs {
		sum += len(k) + len(v)
	}
	return sum
}
