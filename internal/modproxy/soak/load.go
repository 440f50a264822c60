//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// kind is a kind of request: what is asked, and whether the answer is right.
type kind struct {
	name   string
	weight int
	ask    func(s *soak, ctx context.Context, random *rand.Rand, base string) (verdict, error)
}

// verdict is what became of a request.
type verdict int

const (
	right   verdict = iota
	refused         // an honest failure: 502, 504
	wrong
)

var errWrong = errors.New("wrong")

func kinds() []kind {
	pick := func(list func(w *world) []string, ext string) func(*soak, context.Context, *rand.Rand, string) (verdict, error) {
		return func(s *soak, ctx context.Context, random *rand.Rand, base string) (verdict, error) {
			for {
				all := list(s.world)
				if path := all[random.IntN(len(all))]; strings.HasSuffix(path, ext) {
					return s.whole(ctx, base, path)
				}
			}
		}
	}
	fixed := func(w *world) []string { return w.fixed }
	return []kind{
		{"info", 20, pick(fixed, ".info")},
		{"mod", 25, pick(fixed, ".mod")},
		{"zip", 20, pick(fixed, ".zip")},
		{"list", 8, pick(func(w *world) []string { return w.lists }, "")},
		{"latest", 5, pick(func(w *world) []string { return w.latest }, "")},
		{"sumdb", 6, (*soak).lookup},
		{"range", 5, (*soak).part},
		{"not modified", 4, (*soak).unchanged},
		{"broken off", 4, (*soak).abort},
		{"absent", 3, (*soak).absent},
	}
}

// counts are what came of the requests, by kind.
type counts struct {
	mu             sync.Mutex
	all            map[string]*count
	wrong, refused []string
}

type count struct {
	right, refused, lost, wrong int
	slowest                     time.Duration
	took                        [steps]int // how many answers took how long, see step
}

// steps of durations, each longer by growth than the one before, from a microsecond on.
const (
	steps  = 512
	growth = 1.05
)

// within is the time that a share of the answers did not exceed, to 5 %.
func (c *count) within(share float64) time.Duration {
	all := 0
	for _, n := range c.took {
		all += n
	}
	left := int(math.Ceil(share * float64(all)))
	for i, n := range c.took {
		if left -= n; left <= 0 {
			return min(c.slowest, time.Duration(math.Pow(growth, float64(i+1))*float64(time.Microsecond)))
		}
	}
	return c.slowest
}

func step(took time.Duration) int {
	us := max(float64(took)/float64(time.Microsecond), 1)
	return min(int(math.Log(us)/math.Log(growth)), steps-1)
}

func (c *counts) note(kind string, v verdict, err error, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[string]*count{}
	}
	one := c.all[kind]
	if one == nil {
		one = &count{}
		c.all[kind] = one
	}
	switch {
	case v == wrong:
		one.wrong++
		const most = 20
		if len(c.wrong) < most {
			c.wrong = append(c.wrong, kind+": "+err.Error())
		}
		return
	case v == refused:
		one.refused++
		const most = 20
		if len(c.refused) < most {
			c.refused = append(c.refused, kind+": "+err.Error())
		}
	case err != nil:
		one.lost++ // the process was killed, or the run ended
		return
	default:
		one.right++
	}
	one.slowest = max(one.slowest, took)
	one.took[step(took)]++
}

// client asks one thing after the other.
func (s *soak) client(ctx context.Context, random *rand.Rand) {
	all := kinds()
	total := 0
	for _, k := range all {
		total += k.weight
	}
	for ctx.Err() == nil {
		n := random.IntN(total)
		i := 0
		for ; n >= all[i].weight; i++ {
			n -= all[i].weight
		}
		began := time.Now()
		v, err := all[i].ask(s, ctx, random, "http://"+s.server(random.IntN(len(s.servers))).addr)
		if ctx.Err() != nil && v != wrong {
			return
		}
		s.counts.note(all[i].name, v, err, time.Since(began))
		pause(ctx, time.Duration(random.IntN(10))*time.Millisecond) // bounds the load
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// fetch makes a request; the body is nil where it could not be read to its end.
func fetch(ctx context.Context, url string, header ...string) (status int, data []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // what was read counts
	data, err = io.ReadAll(resp.Body)
	return resp.StatusCode, data, err
}

// honest tells whether the answer is a failure that says so; 404 for what there is, is
// a lie.
func honest(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusGatewayTimeout
}

// whole asks for a file and holds it to the truth.
func (s *soak) whole(ctx context.Context, base, path string) (verdict, error) {
	status, data, err := fetch(ctx, base+path)
	if err != nil {
		return right, err
	}
	sum := sha256.Sum256(data)
	switch {
	case status == http.StatusOK && hex.EncodeToString(sum[:]) == s.world.files[path].sum:
		return right, nil
	case status == http.StatusOK && strings.HasSuffix(path, "/list") && some(string(data), string(s.world.files[path].data)):
		return right, nil // what is kept, while nobody answers
	case status == http.StatusOK && strings.HasSuffix(path, "/@latest") && s.isInfo(path, data):
		return right, nil // as above
	case honest(status):
		return refused, fmt.Errorf("%s: %d: %s", path, status, data)
	}
	return wrong, fmt.Errorf("%w: %s: %d, %d bytes: %.200q", errWrong, path, status, len(data), data)
}

// isInfo tells the .info of any version of the module.
func (s *soak) isInfo(path string, data []byte) bool {
	for v := range versions {
		if string(s.world.files[fmt.Sprintf("%s/@v/v1.%d.0.info", strings.TrimSuffix(path, "/@latest"), v)].data) == string(data) {
			return true
		}
	}
	return false
}

// some says that each line is one of all.
func some(data, all string) bool {
	for line := range strings.Lines(data) {
		if !strings.Contains("\n"+all, "\n"+line) {
			return false
		}
	}
	return data != ""
}

func (s *soak) lookup(ctx context.Context, random *rand.Rand, base string) (verdict, error) {
	path := s.world.sums[random.IntN(len(s.world.sums))]
	status, data, err := fetch(ctx, base+path)
	if err != nil {
		return right, err
	}
	module, version, _ := strings.Cut(path[strings.Index(path, "/lookup/")+len("/lookup/"):], "@")
	switch {
	case status == http.StatusOK && strings.Contains(string(data), "\n"+module+" "+version+" h1:"):
		return right, nil
	case honest(status):
		return refused, fmt.Errorf("%s: %d: %s", path, status, data)
	}
	return wrong, fmt.Errorf("%w: %s: %d: %.200q", errWrong, path, status, data)
}

func (s *soak) zip(random *rand.Rand) string {
	for {
		if path := s.world.fixed[random.IntN(len(s.world.fixed))]; strings.HasSuffix(path, ".zip") {
			return path
		}
	}
}

// part asks for a range.
func (s *soak) part(ctx context.Context, random *rand.Rand, base string) (verdict, error) {
	path := s.zip(random)
	want := s.world.files[path].data
	from := random.IntN(len(want))
	to := from + random.IntN(len(want)-from)
	status, data, err := fetch(ctx, base+path, "Range", fmt.Sprintf("bytes=%d-%d", from, to))
	switch {
	case err != nil:
		return right, err
	case honest(status):
		return refused, fmt.Errorf("%s: %d: %s", path, status, data)
	case status == http.StatusPartialContent && string(data) == string(want[from:to+1]):
		return right, nil
	}
	return wrong, fmt.Errorf("%w: %s, bytes %d to %d: %d, %d bytes", errWrong, path, from, to, status, len(data))
}

// unchanged asks whether a file changed.
func (s *soak) unchanged(ctx context.Context, random *rand.Rand, base string) (verdict, error) {
	path := s.world.fixed[random.IntN(len(s.world.fixed))]
	status, data, err := fetch(ctx, base+path, "If-None-Match", `"`+s.world.files[path].sum+`"`)
	switch {
	case err != nil:
		return right, err
	case honest(status):
		return refused, fmt.Errorf("%s: %d: %s", path, status, data)
	case status == http.StatusNotModified:
		return right, nil
	}
	return wrong, fmt.Errorf("%w: %s: %d where it has not changed", errWrong, path, status)
}

// abort goes away in the middle.
func (s *soak) abort(ctx context.Context, random *rand.Rand, base string) (verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(random.IntN(30))*time.Millisecond)
	defer cancel()
	path := s.zip(random)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, http.NoBody)
	if err != nil {
		return right, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return right, nil // that is what was wanted
	}
	defer resp.Body.Close() //nolint:errcheck // it is cut on purpose
	some := make([]byte, 1+random.IntN(2000))
	n, _ := io.ReadFull(resp.Body, some)
	if resp.StatusCode == http.StatusOK && !bytes.HasPrefix(s.world.files[path].data, some[:n]) {
		return wrong, fmt.Errorf("%w: %s: its first %d bytes", errWrong, path, n)
	}
	return right, nil
}

// absent asks for what nobody has.
func (s *soak) absent(ctx context.Context, random *rand.Rand, base string) (verdict, error) {
	path := fmt.Sprintf("/example.com/m%02d/@v/v9.%d.0.mod", random.IntN(modules), random.IntN(50))
	status, data, err := fetch(ctx, base+path)
	switch {
	case err != nil:
		return right, err
	case honest(status):
		return refused, fmt.Errorf("%s: %d: %s", path, status, data)
	case status == http.StatusNotFound:
		return right, nil
	}
	return wrong, fmt.Errorf("%w: %s: %d: %.100q", errWrong, path, status, data)
}
