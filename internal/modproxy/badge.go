package modproxy

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/keepwell/keepwell/internal/msg"
)

// drawBadge draws the number of downloads. Nothing in it comes from a request.
func drawBadge(lang msg.Lang, n int64) []byte {
	label, count := msg.Text(lang, "page.downloads"), short(n)
	left, right := 10+width(label), 10+width(count)
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="20" role="img" aria-label="%[4]s: %[5]s">`+
		`<title>%[4]s: %[5]s</title>`+
		`<rect width="%[2]d" height="20" rx="3" fill="#555"/><rect x="%[2]d" width="%[3]d" height="20" rx="3" fill="#0b7285"/>`+
		`<rect x="%[6]d" width="6" height="20" fill="#0b7285"/>`+
		`<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">`+
		`<text x="%[7]d" y="14">%[4]s</text><text x="%[8]d" y="14">%[5]s</text></g></svg>`+"\n",
		left+right, left, right, label, count, left, left/2, left+right/2)
}

// width is about how wide the words are at 11 pixels.
func width(s string) int {
	w := 0
	for _, r := range s {
		if w += 7; utf8.RuneLen(r) > 2 {
			w += 4
		}
	}
	return w
}

// short is 950, 12.3k, 4.5M.
func short(n int64) string {
	for _, u := range []struct {
		of   int64
		name string
	}{{1_000_000_000, "G"}, {1_000_000, "M"}, {1000, "k"}} {
		if n >= u.of {
			return strconv.FormatFloat(float64(n/(u.of/10))/10, 'f', -1, 64) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}
