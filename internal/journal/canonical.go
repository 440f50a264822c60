package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/keepwell/keepwell/internal/mask"
)

// longest is where a text is cut.
const longest = 8 << 10

// Canonical writes v as JSON in the one form that is hashed: names sorted, no blanks,
// numbers as they were written, texts masked and cut. Written again, it stays the same.
func Canonical(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one JSON value")
	}
	var b bytes.Buffer
	if err := write(&b, tree); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func write(b *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case map[string]any:
		return writeObject(b, v)
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := write(b, e); err != nil {
				return err
			}
		}
		b.WriteByte(']')
		return nil
	case string:
		return writeText(b, text(v))
	default: // a number, true, false, null
		data, err := json.Marshal(v)
		b.Write(data)
		return err
	}
}

func writeObject(b *bytes.Buffer, object map[string]any) error {
	// Masked names may meet: the one that sorts last stays.
	masked := make(map[string]any, len(object))
	for _, name := range slices.Sorted(maps.Keys(object)) {
		masked[text(name)] = hide(name, object[name])
	}
	b.WriteByte('{')
	for i, name := range slices.Sorted(maps.Keys(masked)) {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writeText(b, name); err != nil {
			return err
		}
		b.WriteByte(':')
		if err := write(b, masked[name]); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

func writeText(b *bytes.Buffer, s string) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the line's end
	return nil
}

// hide masks what stands under a name that promises a secret, whatever it looks like.
func hide(name string, v any) any {
	if v == nil || v == "" {
		return v
	}
	if _, ok := v.(bool); ok {
		return v
	}
	plain := strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(name))
	for _, word := range []string{"password", "passwd", "passphrase", "secret", "token", "authorization", "cookie", "apikey", "privatekey", "credential"} {
		if strings.Contains(plain, word) {
			return mask.Secret
		}
	}
	return v
}

// text masks a text, and cuts it where it is long, until doing so changes nothing more:
// what masking leaves of odd texts can look like another secret.
func text(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	const often = 8
	for range often {
		next := cut(mask.Text(s))
		if next == s {
			return s
		}
		s = next
	}
	return mask.Secret
}

func cut(s string) string {
	if len(s) <= longest {
		return s
	}
	end := longest - len(ellipsis)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}

const ellipsis = " […]"
