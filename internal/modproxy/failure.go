package modproxy

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
)

// how says what a failure means for the next upstream.
type how int

const (
	broken  how = iota // no answer, or one that can get better: 5xx, reset, silence
	absent             // 404, 410
	refused            // 401, 403, 451
	limited            // 429, and 503 with Retry-After
	bad                // an answer that is not what was asked for
	slowly             // silent or slow beyond patience
	ours               // this machine cannot keep what came: nobody else's fault
)

// trouble is what one upstream had to say against.
type trouble struct {
	server string
	how    how
	said   string
	// why is the same for any language; empty where err tells.
	why Why
	// after is Retry-After.
	after time.Duration
	// final ends the search: policy.
	final bool
	err   error
}

func (t *trouble) Error() string { return t.server + ": " + t.said }
func (t *trouble) Unwrap() error { return t.err }

// unkept says that the store could not take what came. Where that lies is nothing that
// clients should read.
func unkept(err error) error {
	why := err
	var path *fs.PathError
	if errors.As(err, &path) {
		why = path.Err
	}
	if strings.Contains(why.Error(), "disk is full") { // SQLite's word for it
		why = syscall.ENOSPC
	}
	return &trouble{how: ours, said: "its own store cannot be written: " + clean(why.Error()), why: Why{Kind: KindStore, Detail: why.Error()}, err: err}
}

// ends says that nobody else need be asked.
func (t *trouble) ends() bool { return t.how == ours || t.final && t.how == refused }

// Failure is why a file could not be had.
type Failure struct { //nolint:errname // it is what the client is told, and an error besides
	// Status is what the client is answered.
	Status int
	// What was wanted, Rule what forbids it, Tried who was asked and what each said.
	What, Rule string
	Tried      []string
	// rule is the key of the words that Rule has in English; the words may name an upstream.
	rule, upstream string
	// said is what Tried has in English.
	said []*trouble
	// doubted: somebody knows of no such file, and nobody who would have to know answered.
	doubted bool
}

func (f *Failure) Error() string { return f.Text() }

// mostLines is what go shows of an answer.
const mostLines = 8

// Text is the answer's body: at most eight lines, which go shows.
func (f *Failure) Text() string { return f.In(msg.EN) }

// In is the answer's body in a language. What servers say is theirs in any.
func (f *Failure) In(lang msg.Lang) string {
	rule, tried := f.Rule, f.Tried
	if lang == msg.ZH {
		if f.rule != "" && f.upstream != "" {
			rule = msg.Text(lang, f.rule, f.upstream)
		} else if f.rule != "" {
			rule = msg.Text(lang, f.rule)
		}
		if len(f.said) > 0 {
			tried = nil
			for _, t := range f.said {
				tried = append(tried, msg.Text(lang, "answer.said", t.server, t.because().Words(lang)))
			}
		}
	}
	var head string
	switch {
	case f.Status == http.StatusForbidden:
		head = msg.Text(lang, "answer.forbidden", f.What, rule)
	case f.Status == http.StatusNotFound && len(tried) == 0 && rule != "":
		head = msg.Text(lang, "answer.absentfor", f.What, rule)
	case f.Status == http.StatusNotFound:
		head = msg.Text(lang, "answer.absent", f.What)
	case f.Status == http.StatusBadRequest:
		head = msg.Text(lang, "answer.bad", rule)
	default:
		head = msg.Text(lang, "answer.failed", f.What)
	}
	lines := []string{clean(head)}
	for i, t := range tried {
		if i == mostLines-2 && len(tried) > mostLines-1 {
			lines = append(lines, "  "+msg.Text(lang, "answer.more", len(tried)-i))
			break
		}
		lines = append(lines, "  "+clean(t))
	}
	return strings.Join(lines, "\n") + "\n"
}

// clean makes foreign words fit for one line of somebody's terminal.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) { // Cf turns the direction of writing, too
			return ' '
		}
		return r
	}, strings.ToValidUTF8(mask.Answer(s), "?"))
	const most = 160
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strings.TrimSpace(s)
}

// failure sums up what all upstreams said.
func (a ask) failure(all []*trouble) *Failure {
	f := &Failure{Status: http.StatusBadGateway, What: a.what()}
	absents, certain, late := 0, true, len(all) > 0
	for _, t := range all {
		f.Tried, f.said = append(f.Tried, t.Error()), append(f.said, t)
		if t.how == ours {
			f.Status = http.StatusInternalServerError
			return f
		}
		if t.final && t.how == refused {
			f.Status, f.Rule = http.StatusForbidden, "upstream "+t.server+" is final"
			f.rule, f.upstream = "answer.final", t.server
			return f
		}
		if t.how == absent {
			absents++
		}
		certain = certain && (t.how == absent || !t.final)
		late = late && t.how == slowly
	}
	f.doubted = absents > 0 && !certain
	switch {
	case absents > 0 && certain:
		// Those who failed are no other authority than the one who answered.
		f.Status = http.StatusNotFound
	case late:
		f.Status = http.StatusGatewayTimeout
	}
	return f
}

func (a ask) what() string {
	switch a.kind {
	case list:
		return a.module + " (versions)"
	case latest:
		return a.module + "@latest"
	case info, goMod, zipped:
		return a.module + "@" + a.version + " (" + string(a.kind) + ")"
	}
	return a.key
}

// plain says why a request got no answer, without the URL, whose server is named
// beside it.
func plain(ctx context.Context, err error) (string, how) {
	for _, cause := range []error{errStalled, errSilent} {
		if errors.Is(context.Cause(ctx), cause) || errors.Is(err, cause) {
			return cause.Error(), slowly
		}
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var timeout net.Error
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was cut in the middle of the answer", broken
	case errors.Is(err, io.EOF):
		return "the connection was closed without an answer", broken
	case errors.As(err, &timeout) && timeout.Timeout():
		return err.Error(), slowly
	}
	return err.Error(), broken
}

var (
	errSilent   = errors.New("no answer within the time allowed")
	errStalled  = errors.New("the body came too slowly")
	errTooLarge = errors.New("the answer is larger than allowed")
	errLost     = errors.New("another upstream was faster")
)
