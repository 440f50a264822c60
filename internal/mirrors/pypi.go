package mirrors

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

func pypiProtocol() protocol {
	return protocol{
		// The page of the first package that is compared is small; the file is another's.
		small: func(ask Ask) (string, func(*answer) bool) {
			name := ask.Fresh[0]
			return pypiPath(name), func(a *answer) bool { return newestFile(name, a) != "" }
		},
		rest: pypiRest,
		file: func(l *looker) string { return l.link },
		whole: func(l *looker, data []byte, _ map[string]string) bool {
			want, ok := strings.CutPrefix(l.digest, "sha256=")
			sum := sha256.Sum256(data)
			return !ok || want == hex.EncodeToString(sum[:])
		},
		newer: compareReleases,
		pages: true,
	}
}

func pypiPath(name string) string {
	return "/" + strings.ToLower(strings.ReplaceAll(name, "_", "-")) + "/"
}

var anchor = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?is)<a\s[^>]*href\s*=\s*["']([^"']+)["']`) })

// files are the addresses of an index page, as they stand there.
func files(page []byte) []string {
	var out []string
	for _, m := range anchor().FindAllSubmatch(page, -1) {
		out = append(out, html.UnescapeString(string(m[1])))
	}
	return out
}

// version reads the version out of a file's name: NAME-1.2-py3-none-any.whl,
// NAME-1.2.tar.gz. Only final releases count.
func version(name, link string) string {
	link, _, _ = strings.Cut(link, "#")
	file := strings.ToLower(link[strings.LastIndex(link, "/")+1:])
	rest, ok := strings.CutPrefix(strings.ReplaceAll(file, "_", "-"), strings.ToLower(strings.ReplaceAll(name, "_", "-"))+"-")
	if !ok {
		return ""
	}
	v, isWheel := strings.CutSuffix(rest, ".whl")
	if isWheel {
		v, _, _ = strings.Cut(v, "-")
	} else if v, ok = strings.CutSuffix(rest, ".tar.gz"); !ok {
		return ""
	}
	if v == "" || strings.Trim(v, "0123456789.") != "" {
		return ""
	}
	return v
}

// newestFile is the newest release of which a page has a file.
func newestFile(name string, a *answer) string {
	newest := ""
	for _, link := range files(a.body) {
		if v := version(name, link); v != "" && (newest == "" || compareReleases(v, newest) > 0) {
			newest = v
		}
	}
	return newest
}

// compareReleases compares final releases number by number; missing ones are 0.
func compareReleases(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		var x, y int
		if i < len(as) {
			x, _ = strconv.Atoi(as[i])
		}
		if i < len(bs) {
			y, _ = strconv.Atoi(bs[i])
		}
		if c := cmp.Compare(x, y); c != 0 {
			return c
		}
	}
	return 0
}

func pypiRest(ctx context.Context, l *looker) {
	var wg sync.WaitGroup
	wg.Go(func() { l.wheel(ctx) })
	wg.Go(func() { l.absent(ctx, pypiPath(l.ask.Absent)) })
	wg.Go(func() { l.newest(ctx, pypiPath, newestFile) })
	wg.Wait()
	l.m.Sums = unknown("mirrors.sums.none")
}

// wheel finds the file that is downloaded on its package's page.
func (l *looker) wheel(ctx context.Context) {
	path, release := l.ask.File()
	at := pypiPath(path)
	a, err := l.c.get(ctx, at, largestAnswer)
	if err != nil || a.status != http.StatusOK {
		return
	}
	page, err := url.Parse(l.c.base + at)
	if err != nil {
		return
	}
	for _, link := range files(a.body) {
		if version(path, link) != release {
			continue
		}
		if to, err := page.Parse(link); err == nil {
			l.linked(to.String(), to.Fragment)
			return
		}
	}
}
