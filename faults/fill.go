package faults

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/keepwell/keepwell"
)

// Placeholder is one {name|fallback} of a template. Name is a fact
// ([keepwell.FactKinds]); Fallback is what stands there when the fact is not known.
type Placeholder struct {
	Name     string
	Fallback string
	// Optional is true where a fallback is given; without one, a template whose
	// fact is missing cannot be filled.
	Optional bool
}

var placeholder = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\{([a-z]+)(?:\|([^{}]*))?\}`)
})

// Placeholders lists those of a template, in order.
func Placeholders(template string) []Placeholder {
	if !strings.Contains(template, "{") {
		return nil
	}
	var list []Placeholder
	for _, m := range placeholder().FindAllStringSubmatchIndex(template, -1) {
		p := Placeholder{Name: template[m[2]:m[3]], Optional: m[4] >= 0}
		if p.Optional {
			p.Fallback = template[m[4]:m[5]]
		}
		list = append(list, p)
	}
	return list
}

// ErrMissing is returned by [Command] where a fact that the template needs is
// not known or not fit to stand in a command.
var ErrMissing = errors.New("a fact that the command needs is not known")

// Prose fills a sentence. A fact that is missing or malformed gives way to the
// placeholder's fallback.
func Prose(template string, facts keepwell.Facts) string {
	text, _ := fill(template, facts, func(name, value string) string {
		if name != "host" && name != "proxy" {
			return value
		}
		if site := fact(facts, "site"); keepwell.ValidFact("site", site) {
			if u, err := url.Parse(site); err == nil && u.Port() != "" && u.Hostname() == strings.Trim(value, "[]") {
				return u.Host // two servers of one machine differ in their ports
			}
		}
		return value
	})
	return text
}

// fact is a fact as it was found, or follows from others.
func fact(facts keepwell.Facts, name string) string {
	if name == "port" && facts[name] == "" && facts["host"] != "" {
		return map[string]string{"http": "80", "https": "443"}[scheme(facts)]
	}
	if name != "site" || facts[name] != "" || facts["host"] == "" {
		return facts[name]
	}
	u, err := url.Parse(facts["url"])
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() == strings.Trim(facts["host"], "[]") {
		return u.Scheme + "://" + u.Host
	}
	return "https://" + facts["host"]
}

// scheme is that of the URL that was asked of host; "" where that is not known.
func scheme(facts keepwell.Facts) string {
	u, err := url.Parse(facts["url"])
	if err != nil || u.Port() != "" || u.Hostname() != strings.Trim(facts["host"], "[]") {
		return ""
	}
	return u.Scheme
}

// apart reports whether a blank belongs between two characters: Chinese typography
// sets one between Han and Western words (CLReq 3.2.2, 中西间距).
func apart(a, b rune) bool {
	return unicode.Is(unicode.Han, a) && isWestern(b) || isWestern(a) && unicode.Is(unicode.Han, b)
}

func isWestern(r rune) bool {
	return r > ' ' && r < 0x7f && r != '(' && r != ')' && r != '"'
}

// Command fills a command: each fact is validated by its kind and quoted for a
// POSIX shell, so that no foreign text can end a word. It returns [ErrMissing]
// where a placeholder without fallback has no valid fact.
func Command(template string, facts keepwell.Facts) (string, error) {
	return fill(template, facts, func(_, value string) string { return Quote(value) })
}

// space puts a blank before value where the text so far and value want one.
func space(so string, value string) string {
	last, _ := utf8.DecodeLastRuneInString(so)
	first, _ := utf8.DecodeRuneInString(value)
	if apart(last, first) {
		return " " + value
	}
	return value
}

func fill(template string, facts keepwell.Facts, quote func(name, value string) string) (string, error) {
	if !strings.Contains(template, "{") {
		return template, nil
	}
	var b strings.Builder
	var err error
	last := 0
	put := func(s string) { b.WriteString(space(b.String(), s)) }
	for _, m := range placeholder().FindAllStringSubmatchIndex(template, -1) {
		put(template[last:m[0]])
		last = m[1]
		name := template[m[2]:m[3]]
		switch value := fact(facts, name); {
		case keepwell.ValidFact(name, value):
			put(quote(name, value))
		case m[4] >= 0:
			put(template[m[4]:m[5]])
		default:
			err = fmt.Errorf("%w: %s", ErrMissing, name)
		}
	}
	put(template[last:])
	return b.String(), err
}

// Quote makes s one word of a POSIX shell (IEEE Std 1003.1, 2.2 Quoting). Words
// of harmless characters stay as they are; others stand in single quotes, which
// PowerShell reads alike.
// A leading ~/ stays outside the quotes, so that the shell still expands it.
func Quote(s string) string {
	if rest, ok := strings.CutPrefix(s, "~/"); ok && rest != "" {
		return "~/" + Quote(rest)
	}
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
