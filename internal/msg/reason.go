package msg

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Reason is why something was decided or done, before it becomes words: the key of a
// message and what stands in its places, or a text of people or other programs, which is
// shown as it is. It is kept as it is (as JSON, or by [Reason.String]) and worded where
// somebody reads it ([Reason.In]).
type Reason struct {
	Key  string
	Args []any // string, int64, float64, bool, time.Time, time.Duration, Word, Reason, List
	Text string
}

// Word is the key of a word of ours that stands in a reason.
type Word string

// List are reasons in a row.
type List []Reason

// Because is the reason with a key. Errors and what else is known by its text alone stand
// in it as text.
func Because(key string, args ...any) Reason {
	r := Reason{Key: key, Args: make([]any, 0, len(args))}
	for _, a := range args {
		r.Args = append(r.Args, typed(a))
	}
	return r
}

// Said is what a person or another program gave as the reason.
func Said(text string) Reason { return Reason{Text: text} }

// Of is what an error gives as the reason: in its own key where it has one, or what it
// wraps has one and it adds no words.
func Of(err error) Reason {
	for e := err; e != nil && e.Error() == err.Error(); {
		if r, ok := e.(interface{ Reason() Reason }); ok {
			return r.Reason()
		}
		switch w := e.(type) { //nolint:errorlint // each link of the chain is looked at by itself
		case interface{ Unwrap() error }:
			e = w.Unwrap()
		case interface{ Unwrap() []error }:
			all := w.Unwrap()
			if len(all) != 1 {
				return Said(err.Error())
			}
			e = all[0]
		default:
			return Said(err.Error())
		}
	}
	return Said(err.Error())
}

// Wrong is an error that is known by the key of a message: [Of] gives its reason, which is
// worded where somebody reads it. It wraps the errors among args.
func Wrong(key string, args ...any) error {
	w := &wrong{reason: Because(key, args...)}
	for _, a := range args {
		if err, ok := a.(error); ok {
			w.wraps = append(w.wraps, err)
		}
	}
	return w
}

type wrong struct {
	reason Reason
	wraps  []error
}

// Error implements error, in English.
func (w *wrong) Error() string { return w.reason.In(EN) }

// Reason is what [Of] takes.
func (w *wrong) Reason() Reason { return w.reason }

// Unwrap is for [errors.Is].
func (w *wrong) Unwrap() []error { return w.wraps }

// Map is the reason with f made of every text in it: to take out secrets, say.
func (r Reason) Map(f func(string) string) Reason {
	out := Reason{Key: r.Key, Args: make([]any, 0, len(r.Args))}
	if r.Text != "" {
		out.Text = f(r.Text)
	}
	for _, a := range r.Args {
		switch v := a.(type) {
		case string:
			a = f(v)
		case Reason:
			a = v.Map(f)
		case List:
			list := make(List, 0, len(v))
			for _, inner := range v {
				list = append(list, inner.Map(f))
			}
			a = list
		}
		out.Args = append(out.Args, a)
	}
	return out
}

func typed(a any) any {
	switch a := a.(type) {
	case nil:
		return ""
	case string, int64, float64, bool, time.Time, time.Duration, Word, Reason, List:
		return a
	case error:
		return Of(a)
	case fmt.Stringer:
		return a.String()
	}
	v := reflect.ValueOf(a)
	switch {
	case v.CanInt():
		return v.Int()
	case v.Kind() == reflect.String:
		return v.String()
	}
	return fmt.Sprint(a)
}

// IsZero tells whether there is none.
func (r Reason) IsZero() bool { return r.Key == "" && r.Text == "" }

// In words a reason.
func (r Reason) In(lang Lang) string {
	if r.Key == "" {
		return r.Text
	}
	args := make([]any, 0, len(r.Args))
	for _, a := range r.Args {
		args = append(args, worded(lang, a))
	}
	if len(args) == 0 {
		return Text(lang, r.Key)
	}
	if _, ok := lookup(r.Key); !ok { // of a newer keepwell: what it is about still shows
		return r.Key + " " + strings.TrimSpace(fmt.Sprintln(args...))
	}
	return Text(lang, r.Key, args...)
}

func worded(lang Lang, a any) any {
	switch a := a.(type) {
	case Reason:
		return a.In(lang)
	case List:
		words := make([]string, 0, len(a))
		for _, r := range a {
			words = append(words, r.In(lang))
		}
		return strings.Join(words, Text(lang, "reason.and"))
	case Word:
		return Text(lang, string(a))
	case time.Time:
		return a.UTC().Format("2006-01-02 15:04:05 UTC")
	case time.Duration:
		return Span(lang, a)
	}
	return a
}

// Span words a duration, to the second.
func Span(lang Lang, d time.Duration) string {
	if d < time.Second {
		return d.String()
	}
	d = d.Round(time.Second)
	var parts []string
	for _, unit := range []struct {
		of     time.Duration
		en, zh string
	}{{24 * time.Hour, "d", "天"}, {time.Hour, "h", "小时"}, {time.Minute, "min", "分钟"}, {time.Second, "s", "秒"}} {
		n := int64(d / unit.of)
		d %= unit.of
		switch {
		case n == 0:
		case lang == ZH:
			parts = append(parts, fmt.Sprintf("%d %s", n, unit.zh))
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n, unit.en))
		}
	}
	return strings.Join(parts, " ")
}

// String is how a reason is kept where there is place for a text. [ParseReason] reads it.
func (r Reason) String() string {
	if r.Key == "" && !strings.HasPrefix(r.Text, reasonStart) {
		return r.Text
	}
	if r.Key == "" { // a text that looks like a reason is none
		r = Because("reason.said", r.Text)
	}
	data, err := json.Marshal(r)
	if err != nil {
		return r.In(EN)
	}
	return string(data)
}

const reasonStart = `{"key":"`

// ParseReason reads what [Reason.String] wrote; any other text is one that was said.
func ParseReason(s string) Reason {
	var r Reason
	if !strings.HasPrefix(s, reasonStart) || json.Unmarshal([]byte(s), &r) != nil {
		return Said(s)
	}
	return r
}

type reasonJSON struct {
	Key  string    `json:"key"`
	Args []argJSON `json:"args,omitempty"`
}

// argJSON is an argument with its type.
type argJSON struct {
	Text   *string    `json:"text,omitempty"`
	Int    *int64     `json:"int,omitempty"`
	Number *float64   `json:"number,omitempty"`
	Bool   *bool      `json:"bool,omitempty"`
	Time   *time.Time `json:"time,omitempty"`
	Nanos  *int64     `json:"nanoseconds,omitempty"`
	Word   *string    `json:"word,omitempty"`
	Reason *Reason    `json:"reason,omitempty"`
	List   *List      `json:"list,omitempty"`
}

// MarshalJSON implements [json.Marshaler]: a text, or an object with key and args.
func (r Reason) MarshalJSON() ([]byte, error) {
	if r.Key == "" {
		return json.Marshal(r.Text)
	}
	j := reasonJSON{Key: r.Key}
	for _, a := range r.Args {
		var arg argJSON
		switch a := a.(type) {
		case string:
			arg.Text = &a
		case int64:
			arg.Int = &a
		case float64:
			arg.Number = &a
		case bool:
			arg.Bool = &a
		case time.Time:
			a = a.UTC()
			arg.Time = &a
		case time.Duration:
			n := int64(a)
			arg.Nanos = &n
		case Word:
			s := string(a)
			arg.Word = &s
		case Reason:
			arg.Reason = &a
		case List:
			arg.List = &a
		default:
			s := fmt.Sprint(a)
			arg.Text = &s
		}
		j.Args = append(j.Args, arg)
	}
	return json.Marshal(j)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (r *Reason) UnmarshalJSON(data []byte) error {
	*r = Reason{}
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &r.Text)
	}
	var j reasonJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	r.Key = j.Key
	for _, a := range j.Args {
		switch {
		case a.Int != nil:
			r.Args = append(r.Args, *a.Int)
		case a.Number != nil:
			r.Args = append(r.Args, *a.Number)
		case a.Bool != nil:
			r.Args = append(r.Args, *a.Bool)
		case a.Time != nil:
			r.Args = append(r.Args, *a.Time)
		case a.Nanos != nil:
			r.Args = append(r.Args, time.Duration(*a.Nanos))
		case a.Word != nil:
			r.Args = append(r.Args, Word(*a.Word))
		case a.Reason != nil:
			r.Args = append(r.Args, *a.Reason)
		case a.List != nil:
			r.Args = append(r.Args, *a.List)
		case a.Text != nil:
			r.Args = append(r.Args, *a.Text)
		default:
			r.Args = append(r.Args, "")
		}
	}
	return nil
}
