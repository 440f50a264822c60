package alerts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/condition"
)

// Mapping makes alerts of a JSON document of any shape. Its expressions see the
// document as body and, but for "alerts", the element that becomes an alert as item.
//
//	name: zabbix
//	alerts: body.events                 # a list; without it, the body is the one alert
//	status: 'item.value == "0" ? "resolved" : "firing"'
//	labels: '{"alertname": item.trigger, "instance": item.host}'
//	annotations: '{"summary": item.message}'
//	startsAt: timestamp(int(item.clock))
//
// fingerprint, endsAt and generatorURL may be given too. Without status an alert fires.
// Where startsAt is not given, or null, an alert began when it came first, and the
// fingerprint alone tells its repeats and its end: see [keepwell.Alert].Undated.
type Mapping struct {
	Name     string
	programs map[string]*condition.Program
}

var mappingKeys = []string{"name", "alerts", "status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"}

// maxMapped bounds the body of a mapping, which is held as a whole.
const maxMapped = 32 << 20

var mappingName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`) })

// NewMapping reads a mapping from the node n of the YAML document doc, and reports all
// that is wrong with it at once, as [condition.SourceError].
func NewMapping(doc []byte, n *yaml.Node) (*Mapping, error) {
	if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	if n.Kind != yaml.MappingNode {
		return nil, &condition.SourceError{Line: n.Line, Column: n.Column, Key: "mapping.document"}
	}
	m := &Mapping{programs: map[string]*condition.Program{}}
	var errs []error
	wrong := func(n *yaml.Node, key string, args ...any) {
		errs = append(errs, &condition.SourceError{Line: n.Line, Column: n.Column, Key: key, Args: args})
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case seen[key.Value]:
			wrong(key, "mapping.twice", key.Value)
		case !contains(mappingKeys, key.Value):
			wrong(key, "mapping.unknown", key.Value)
		case key.Value == "name":
			m.Name = value.Value
			if !mappingName().MatchString(m.Name) || m.Name == "alertmanager" || m.Name == "grafana" {
				wrong(value, "mapping.name")
			}
		default:
			p, err := condition.Mappings().Any(condition.Node(doc, value))
			if err != nil {
				errs = append(errs, err)
			}
			m.programs[key.Value] = p
		}
		seen[key.Value] = true
	}
	for _, key := range []string{"name", "labels"} {
		if !seen[key] {
			wrong(n, "mapping.lacks", key)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return m, nil
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// Read makes alerts of a document. An element that makes none is refused; the others
// are handed on.
func (m *Mapping) Read(ctx context.Context, r io.Reader, l Limits, now time.Time, each Each) (Group, error) {
	var g Group
	in := &limited{r: r, left: min(l.Bytes, maxMapped)}
	dec := json.NewDecoder(in)
	var body any
	if err := dec.Decode(&body); err != nil {
		return g, in.explain(err)
	}
	if err := nothingMore(dec); err != nil {
		return g, in.explain(err)
	}
	items := []any{body}
	v := condition.Vars{"body": body, "now": now}
	if p := m.programs["alerts"]; p != nil {
		list, err := p.Value(ctx, v)
		if err != nil {
			return g, fmt.Errorf("mapping %s: alerts: %w", m.Name, err)
		}
		var ok bool
		if items, ok = list.([]any); !ok {
			return g, fmt.Errorf("mapping %s: alerts: is no list", m.Name)
		}
	}
	if len(items) > l.Alerts {
		return g, fmt.Errorf("mapping %s: %w: %d alerts", m.Name, ErrTooLarge, len(items))
	}
	for i, item := range items {
		if err := ctx.Err(); err != nil {
			return g, err
		}
		v["item"] = item
		a, err := m.alert(ctx, v, now)
		if err == nil {
			err = g.fit(&a)
		}
		if err != nil {
			g.refuse(fmt.Errorf("mapping %s: alerts[%d]: %w", m.Name, i, err))
			continue
		}
		if err := each(a); err != nil {
			return g, err
		}
		g.Alerts++
	}
	return g, nil
}

func (m *Mapping) alert(ctx context.Context, v condition.Vars, now time.Time) (keepwell.Alert, error) {
	a := keepwell.Alert{Status: keepwell.AlertFiring, Source: m.Name}
	status := ""
	for _, step := range []struct {
		name string
		set  func(any) error
	}{
		{"status", into(&status, text)},
		{"labels", into(&a.Labels, pairs)},
		{"annotations", into(&a.Annotations, pairs)},
		{"fingerprint", into(&a.Fingerprint, text)},
		{"startsAt", into(&a.StartsAt, moment)},
		{"endsAt", into(&a.EndsAt, moment)},
		{"generatorURL", into(&a.GeneratorURL, text)},
	} {
		p := m.programs[step.name]
		if p == nil {
			continue
		}
		value, err := p.Value(ctx, v)
		if err == nil && value != nil {
			err = step.set(value)
		}
		if err != nil {
			return a, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	if a.StartsAt.IsZero() {
		a.StartsAt, a.Undated = now.UTC().Truncate(time.Microsecond), true
	}
	if status != "" {
		a.Status = keepwell.AlertStatus(strings.ToLower(status))
	}
	if a.Status != keepwell.AlertResolved {
		a.EndsAt = time.Time{}
	}
	if a.Fingerprint == "" {
		a.Fingerprint = keepwell.FingerprintOf(a.Labels)
	}
	return a, nil
}

func into[T any](target *T, convert func(any) (T, error)) func(any) error {
	return func(v any) (err error) {
		*target, err = convert(v)
		return err
	}
}

func text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool, int64, uint64:
		return fmt.Sprint(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case keepwell.Priority:
		return string(v), nil
	}
	return "", fmt.Errorf("is a %T, not a text", v)
}

func pairs(v any) (map[string]string, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("is a %T, not a map", v)
	}
	out := make(map[string]string, len(m))
	for k, e := range m {
		if e == nil {
			continue // what is not there is no label
		}
		t, err := text(e)
		if err != nil {
			return nil, fmt.Errorf("%.60q: %w", k, err)
		}
		out[k] = t
	}
	return out, nil
}

func moment(v any) (time.Time, error) {
	switch v := v.(type) {
	case time.Time:
		return v, nil
	case string:
		t, err := time.Parse(time.RFC3339Nano, v)
		if err != nil {
			return t, errors.New("is no time of RFC 3339; timestamp(…) makes one of seconds")
		}
		return t, nil
	}
	return time.Time{}, fmt.Errorf("is a %T, not a time", v)
}
