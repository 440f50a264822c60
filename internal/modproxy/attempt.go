package modproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	modzip "golang.org/x/mod/zip"

	"github.com/keepwell/keepwell/internal/modstore"
)

// Sizes of what is taken: go's own bounds.
const (
	largestZip   = modzip.MaxZipFile
	largestFile  = modzip.MaxGoMod
	largestInfo  = 1 << 20
	largestWords = 4 << 10 // of a failure's text
)

// body is a file on its way in: a zip in a staged file, all else in memory.
type body struct {
	mem  bytes.Buffer
	file *modstore.Staged
}

func (p *Proxy) newBody(a ask) (*body, error) {
	b := &body{}
	var err error
	if a.kind == zipped {
		if b.file, err = p.Store.Stage(); err != nil {
			err = unkept(err)
		}
	}
	return b, err
}

func (b *body) Write(data []byte) (int, error) {
	if b.file != nil {
		n, err := b.file.Write(data)
		if err != nil {
			err = unkept(err)
		}
		return n, err
	}
	return b.mem.Write(data)
}

func (b *body) size() int64 {
	if b.file != nil {
		return b.file.Size()
	}
	return int64(b.mem.Len())
}

func (b *body) reset() error {
	if b.file != nil {
		return b.file.Reset()
	}
	b.mem.Reset()
	return nil
}

func (b *body) discard() {
	if b != nil && b.file != nil {
		b.file.Discard()
	}
}

// buffer is what a file comes through: it holds what a quick connection has at hand.
type buffer [64 << 10]byte

// attempt brings one file from one upstream and has it admitted.
func (p *Proxy) attempt(ctx context.Context, u *Upstream, a ask, admit func(context.Context, *Upstream, *body) (got, error), slow func(early bool)) (got, error) {
	b, err := p.newBody(a)
	if err != nil {
		return got{}, err
	}
	dir, local := u.local()
	if ctx, err = p.behindFence(ctx, u, a); err != nil {
		return got{}, err
	}
	switch {
	case u.isDirect():
		if err = p.mayGoTo(ctx, a); err == nil {
			err = p.directs.fetch(ctx, p, u.Logins, a, b)
		}
	case local:
		err = p.fromFile(a, b, func() (io.ReadSeekCloser, error) { return u.openLocal(dir, a) })
	default:
		err = p.fromServer(ctx, u, a, b, slow)
	}
	if err = p.fenceSaid(ctx, err); err != nil {
		b.discard()
		return got{}, err
	}
	g, err := admit(ctx, u, b)
	if err == nil {
		return g, nil
	}
	var t *trouble
	if !errors.As(err, &t) && ctx.Err() == nil {
		reason := p.hide(err.Error())
		t = &trouble{how: bad, said: "bad content: " + reason, err: err}
		p.Log.Warn("refused what an upstream sent", "upstream", u.Name, "file", a.key, "reason", clean(reason))
		p.setAside(ctx, u, a, b, clean(reason))
		err = t
	}
	b.discard()
	return got{}, err
}

// setAside keeps what was refused for whoever wants to look.
func (p *Proxy) setAside(ctx context.Context, u *Upstream, a ask, b *body, reason string) {
	st := b.file
	if st == nil {
		var err error
		if st, err = p.Store.Stage(); err != nil {
			return // what cannot be put aside is refused all the same
		}
		defer st.Discard()
		if _, err := st.Write(b.mem.Bytes()); err != nil {
			return
		}
	}
	if err := p.Store.Quarantine(ctx, a.key, u.Name, reason, st); err != nil {
		p.Log.Warn("cannot put into quarantine", "error", err)
	}
}

// asTrouble is what err means, said by u.
func asTrouble(ctx context.Context, u *Upstream, err error) *trouble {
	var t *trouble
	if !errors.As(err, &t) {
		t = &trouble{err: err}
		t.said, t.how = plain(ctx, err)
	}
	t.server = u.Name
	if t.how == ours {
		t.server = "keepwell"
	}
	t.final = u.Final || u.isDirect()
	return t
}

func (p *Proxy) most(a ask) int64 {
	switch a.kind {
	case zipped:
		return p.Limits.LargestZip
	case info, latest:
		return min(largestInfo, p.Limits.LargestFile)
	}
	return p.Limits.LargestFile
}

// fromFile takes a file of this machine.
func (p *Proxy) fromFile(a ask, b *body, open func() (io.ReadSeekCloser, error)) error {
	f, err := open()
	if errors.Is(err, fs.ErrNotExist) {
		return &trouble{how: absent, said: "no such file", why: Why{Kind: KindAbsent}, err: err}
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	return copyUpTo(b, f, p.most(a))
}

func copyUpTo(b *body, r io.Reader, most int64) error { return copyThrough(nil, b, r, most) }

// copyThrough is copyUpTo through a buffer.
func copyThrough(buf []byte, b *body, r io.Reader, most int64) error {
	_, err := io.CopyBuffer(b, io.LimitReader(r, most+1-b.size()), buf)
	if err == nil && b.size() > most {
		err = &trouble{how: bad, said: fmt.Sprintf("%v (%d bytes)", errTooLarge, most), err: errTooLarge}
	}
	return err
}

// mostResumed bounds how often one body is taken up again.
const mostResumed = 4

// fromServer asks one server for a file. A body that breaks off is taken up where it
// broke, at the same server and only if the server can prove that it is the same file:
// the zips of one version may differ in bytes between servers.
func (p *Proxy) fromServer(ctx context.Context, u *Upstream, a ask, b *body, slow func(bool)) error {
	proof := "" // a strong ETag, or else a date, of what b holds the beginning of
	for tries := 0; ; tries++ {
		before := b.size()
		err := p.once(ctx, u, a, b, &proof, slow)
		var t *trouble
		if err == nil || errors.As(err, &t) || ctx.Err() != nil {
			return err
		}
		if tries == mostResumed || proof == "" || b.size() == before || !p.health.mayRetry() {
			return err
		}
		p.Log.Info("resuming", "upstream", u.Name, "file", a.key, "at", b.size())
	}
}

// once makes one request. An error that is no *trouble broke the body off.
func (p *Proxy) once(ctx context.Context, u *Upstream, a ask, b *body, proof *string, slow func(bool)) error {
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	r, err := p.client.request(ctx, u, a)
	if err != nil {
		return err
	}
	if *proof != "" && b.size() > 0 {
		r.Header.Set("Range", "bytes="+strconv.FormatInt(b.size(), 10)+"-")
		r.Header.Set("If-Range", *proof)
	}
	w := p.watch(ctx, u, a, cut, slow)
	defer func() {
		w.stop()
		p.health.received(u.Name, w.read.Load())
	}()
	began := time.Now()
	resp, err := p.client.ask(r, u, a)
	if err != nil {
		said, how := plain(ctx, err)
		return &trouble{how: how, said: said, err: err}
	}
	defer resp.Body.Close() //nolint:errcheck // what was read counts
	p.health.header(u.Name, time.Since(began))
	w.header()
	if err := p.accept(resp, a, b); err != nil {
		return err
	}
	*proof = proofOf(resp)
	buf, ok := p.buffers.Get().(*buffer)
	if !ok {
		buf = new(buffer)
	}
	defer p.buffers.Put(buf)
	err = copyThrough(buf[:], b, io.TeeReader(resp.Body, w), p.most(a))
	if err != nil && ctx.Err() != nil {
		if said, how := plain(ctx, err); how == slowly {
			if *proof == "" || b.size() == 0 || errors.Is(context.Cause(ctx), errSilent) {
				return &trouble{how: slowly, said: said, err: err}
			}
			return fmt.Errorf("%s: %w", said, context.Cause(ctx))
		}
	}
	return err
}

// accept reads the status and the header.
func (p *Proxy) accept(resp *http.Response, a ask, b *body) error {
	status := resp.StatusCode
	t := &trouble{why: Why{Kind: KindStatus, Status: status, Detail: serverWords(resp, p.hide)}}
	t.said = statusWords(t.why)
	switch {
	case status == http.StatusOK:
		if err := b.reset(); err != nil {
			return unkept(err)
		}
		return p.acceptHeader(resp, a, 0)
	case status == http.StatusPartialContent && b.size() > 0:
		if strings.HasPrefix(resp.Header.Get("Content-Range"), "bytes "+strconv.FormatInt(b.size(), 10)+"-") {
			return p.acceptHeader(resp, a, b.size())
		}
		t.how, t.said, t.why = bad, "answered another range than was asked for", Why{Kind: KindRange}
	case status == http.StatusNotFound || status == http.StatusGone:
		t.how = absent
	case status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusUnavailableForLegalReasons:
		t.how = refused
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		t.how, t.after = limited, retryAfter(resp.Header.Get("Retry-After"), p.health.now())
	case status < 500:
		t.how = bad
	default:
		t.how = broken
	}
	return t
}

func (p *Proxy) acceptHeader(resp *http.Response, a ask, have int64) error {
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return &trouble{how: bad, said: "an encoding that was not asked for: " + clean(p.hide(e)), why: Why{Kind: KindEncoding, Detail: p.hide(e)}}
	}
	if resp.ContentLength > p.most(a)-have {
		return &trouble{how: bad, said: fmt.Sprintf("%v (%d bytes)", errTooLarge, resp.ContentLength), err: errTooLarge}
	}
	return nil
}

// serverWords are the first line of what the server says of a failure, where it is
// plain text; hide takes out what it must not say.
func serverWords(resp *http.Response, hide func(string) string) string {
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "text/plain" || resp.StatusCode < 400 {
		return ""
	}
	data, _ := io.ReadAll(io.LimitReader(resp.Body, largestWords)) // what came is enough
	first, _, _ := strings.Cut(strings.TrimSpace(string(data)), "\n")
	return clean(hide(first))
}

func statusWords(w Why) string {
	words := strconv.Itoa(w.Status) + " " + http.StatusText(w.Status)
	if w.Detail != "" {
		words += ": " + w.Detail
	}
	return words
}

// proofOf is what If-Range takes: a strong ETag, or a date.
func proofOf(resp *http.Response) string {
	if e := resp.Header.Get("Etag"); strings.HasPrefix(e, `"`) {
		return e
	}
	if resp.Header.Get("Etag") == "" {
		return resp.Header.Get("Last-Modified")
	}
	return ""
}

func retryAfter(v string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(v); err == nil && n > 0 {
		return time.Duration(min(n, 1<<20)) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// watch follows one request: it tells when it is slow, and cuts it when it is dead.
type watch struct {
	read   atomic.Int64
	headed atomic.Int64 // when the header came, since began; 0: not yet
	began  time.Time
	quit   chan struct{}
	ended  chan struct{}
}

func (w *watch) Write(data []byte) (int, error) {
	w.read.Add(int64(len(data)))
	return len(data), nil
}

func (w *watch) header() { w.headed.Store(int64(max(time.Since(w.began), 1))) }

func (w *watch) stop() {
	close(w.quit)
	<-w.ended
}

// patience is how long u may take for a header before another is asked, too. An upstream
// that sends wrong modules must not also keep the checksum database from being asked in
// time: of that, everybody is asked within Limits.Sum.
func (p *Proxy) patience(u *Upstream, a ask) time.Duration {
	usual := p.health.patience(u.Name)
	if a.database == "" {
		return usual
	}
	const most = 8 // upstreams
	return min(usual, p.Limits.Sum/most)
}

func (p *Proxy) watch(ctx context.Context, u *Upstream, a ask, cut context.CancelCauseFunc, slow func(early bool)) *watch {
	w := &watch{began: time.Now(), quit: make(chan struct{}), ended: make(chan struct{})}
	patience := p.patience(u, a)
	go func() {
		defer close(w.ended)
		timer := time.NewTimer(patience)
		defer timer.Stop()
		if patience < p.Limits.Slow {
			select {
			case <-timer.C:
				if w.headed.Load() == 0 || a.database != "" { // a small file is there at once, or late
					slow(true)
				}
				timer.Reset(p.Limits.Slow - patience)
			case <-w.quit:
				return
			}
		}
		w.windows(ctx, timer, p.Limits, cut, slow)
	}()
	return w
}

// windows looks once in a while at what has come since.
func (w *watch) windows(ctx context.Context, timer *time.Timer, l Limits, cut context.CancelCauseFunc, slow func(early bool)) {
	var before int64
	strikes := 0
	for {
		select {
		case <-timer.C:
		case <-w.quit:
			return
		case <-ctx.Done():
			return
		}
		timer.Reset(l.Slow)
		headed := time.Duration(w.headed.Load())
		now := w.read.Load()
		came := now - before
		before = now
		switch {
		case headed == 0 && time.Since(w.began) >= l.Silence:
			cut(errSilent)
			return
		case headed == 0:
		case time.Since(w.began)-headed < l.Slow*9/10 || came >= int64(float64(l.Floor)*l.Slow.Seconds()):
			strikes = 0
			continue
		default:
			if strikes++; strikes == 2 {
				cut(errStalled)
				return
			}
		}
		slow(false)
	}
}
