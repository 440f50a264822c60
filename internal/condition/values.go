package condition

import (
	"errors"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// plain turns a value of an expression into one of Go.
func plain(v ref.Val, depth int) (any, error) {
	if depth == 0 {
		return nil, errors.New("nested too deeply")
	}
	switch v := v.(type) {
	case types.Null, *types.Optional:
		if o, ok := v.(*types.Optional); ok && o.HasValue() {
			return plain(o.GetValue(), depth-1)
		}
		return nil, nil //nolint:nilnil // null is a value
	case traits.Mapper:
		return plainMap(v, depth)
	case traits.Lister:
		return plainList(v, depth)
	case types.Timestamp:
		return v.Time, nil
	case types.Duration:
		return v.Duration, nil
	}
	switch native := v.Value().(type) {
	case bool, int64, uint64, float64, string, []byte, time.Time, time.Duration:
		return native, nil
	}
	if p, ok := priorityOf(v); ok {
		return p, nil
	}
	return nil, errorf("a value of type %s", v.Type().TypeName())
}

func plainMap(m traits.Mapper, depth int) (any, error) {
	out := map[string]any{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name, ok := key.(types.String)
		if !ok {
			return nil, errorf("a key of type %s", key.Type().TypeName())
		}
		value, err := plain(m.Get(key), depth-1)
		if err != nil {
			return nil, errorf("%.60q: %w", string(name), err)
		}
		if len(out) >= maxElements {
			return nil, errorf("more than %d elements", maxElements)
		}
		out[string(name)] = value
	}
	return out, nil
}

func plainList(l traits.Lister, depth int) (any, error) {
	out := []any{}
	for it := l.Iterator(); it.HasNext() == types.True; {
		value, err := plain(it.Next(), depth-1)
		if err != nil {
			return nil, errorf("[%d]: %w", len(out), err)
		}
		if len(out) >= maxElements {
			return nil, errorf("more than %d elements", maxElements)
		}
		out = append(out, value)
	}
	return out, nil
}

// measure holds foreign structures to their bounds. Documents decoded from JSON and
// YAML are walked; what else there is has no size worth counting.
func measure(v Vars) error {
	_, items := v["item"]
	var m meter
	for name, e := range v {
		if items && name == "body" {
			continue // its size was held when it was read; it is the same for each item
		}
		if err := m.walk(e, maxNesting); err != nil {
			return errorf("%s: %w", name, err)
		}
	}
	return nil
}

type meter struct{ bytes, elements int }

func (m *meter) walk(v any, depth int) error {
	m.elements++
	switch {
	case depth == 0:
		return errorf("nested more than %d deep", maxNesting)
	case m.elements > maxElements:
		return errorf("more than %d elements", maxElements)
	case m.bytes > maxInput:
		return errorf("more than %d bytes", maxInput)
	}
	switch v := v.(type) {
	case string:
		m.bytes += len(v)
	case map[string]string:
		for k, e := range v {
			m.bytes += len(k) + len(e)
		}
	case map[string]any:
		return walkMap(m, v, depth)
	case map[string]map[string]any:
		return walkMap(m, v, depth)
	case []any:
		for _, e := range v {
			if err := m.walk(e, depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}

func walkMap[V any](m *meter, v map[string]V, depth int) error {
	for k, e := range v {
		m.bytes += len(k)
		if err := m.walk(e, depth-1); err != nil {
			return err
		}
	}
	return nil
}
