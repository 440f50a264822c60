package doctor

import (
	"bytes"
	"io/fs"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/mask"
)

// steps is what go -x told of its requests and tools.
type steps struct {
	// waiting is the URL or the command that go waits for; empty where it waits for none.
	waiting string
	// body says that the answer began and did not end.
	body bool
	// remote is the repository that go's git was last told of.
	remote string
}

// timed is a tool's command when it has ended; started is one when it begins.
var (
	timed   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\d+\.\d{3}s # (.*)$`) })
	started = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:cd [^;]+; )?(?:git|hg|svn|bzr|fossil|ssh) .*$|^(?:mkdir -p|# lock) `)
	})
	remoteAdd = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`\bgit remote add (?:\S+ )?(?:-- )?\S+ (\S+)$|# git\d? (\S+)$`)
	})
)

// readSteps takes go's own account of its steps (-x) out of what it printed.
func readSteps(output []byte) (s steps, rest []byte) {
	var open []string
	last := ""
	end := func(what string) {
		open = slices.DeleteFunc(open, func(o string) bool { return o == what })
	}
	for line := range bytes.Lines(output) {
		text := strings.TrimRight(string(line), "\r\n")
		if m := remoteAdd().FindStringSubmatch(text); m != nil {
			s.remote = m[1] + m[2]
		}
		if get, ok := strings.CutPrefix(text, "# get "); ok {
			u, status, done := strings.Cut(get, ": ")
			switch {
			case !done:
				open = append(open, u)
			case strings.HasPrefix(status, "200"):
				end(u)
				last = u
			default:
				end(u)
			}
			continue
		}
		if m := timed().FindStringSubmatch(text); m != nil {
			end(m[1])
			continue
		}
		if started().MatchString(text) {
			if !strings.HasPrefix(text, "mkdir") && !strings.HasPrefix(text, "# lock") {
				open = append(open, text)
			}
			continue
		}
		rest = append(rest, line...)
	}
	switch {
	case len(open) > 0:
		s.waiting = open[0]
	case last != "":
		s.waiting, s.body = last, true
	}
	return s, rest
}

// leastRate is how fast a download that has not ended must be to count as one that
// goes on, in bytes per second.
const leastRate = 32 << 10

// steady reports whether what was fetched into dir until now came at a speed that one
// can wait for.
func steady(dir string, took time.Duration) bool {
	var size int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // what has gone meanwhile does not count
		}
		if info, err := d.Info(); err == nil {
			size += info.Size()
		}
		return nil
	})
	return float64(size) > leastRate*took.Seconds()
}

// waited turns a go that did not end into what it waited for. go itself has no
// deadline for an answer.
func (c *Case) waited(s steps, took string) []keepwell.Finding {
	f := keepwell.Finding{Code: "net/slow", Confidence: 0.9, Tool: "go", Facts: keepwell.Facts{}}
	where := s.waiting
	if !strings.Contains(where, "://") || strings.Contains(where, "; ") {
		where = s.remote
	}
	key := "doctor.fetch.silent"
	if s.body {
		key = "doctor.fetch.stalled"
	}
	text := c.Say(key, took) + "\n" + mask.Text(s.waiting)
	if s.waiting == "" { // it gave no account, as for files
		text, f.Confidence = c.Say("doctor.fetch.hung", took), 0.6
	}
	f.Evidence = []keepwell.Evidence{{Source: "tool", Text: text}}
	if u, err := url.Parse(where); err == nil && u.Host != "" {
		if keepwell.ValidFact("host", u.Hostname()) {
			f.Facts["host"] = u.Hostname()
		}
		if c.isSumDB(u) {
			f.Code = "sum/sumdb-unreachable"
		}
	}
	return []keepwell.Finding{f}
}

// isSumDB reports whether a URL belongs to the checksum database, at its own host or
// behind a module proxy.
func (c *Case) isSumDB(u *url.URL) bool {
	name, base := sumDBName(c.Settings.Env.Value("GOSUMDB"))
	if b, err := url.Parse(base); err == nil && b.Host != "" && b.Host == u.Host {
		return true
	}
	return u.Host == name || strings.Contains(u.Path, "/sumdb/"+name+"/")
}

// sumDBName reads GOSUMDB: a name or a key, and a URL where one is given.
func sumDBName(value string) (name, base string) {
	key, base, _ := strings.Cut(strings.TrimSpace(value), " ")
	name, _, _ = strings.Cut(key, "+")
	return name, strings.TrimSpace(base)
}
