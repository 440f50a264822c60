//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// server is one process of `keepwell proxy`.
type server struct {
	cmd  *exec.Cmd
	addr string
	done chan struct{}
}

func (s *soak) start(ctx context.Context, i int) (*server, error) {
	home := filepath.Join(s.dir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "access"+strconv.Itoa(i)), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	cmd := exec.CommandContext(context.WithoutCancel(ctx), s.keepwell, "proxy", "--listen", "127.0.0.1:0", "--dir", s.store, "--upstream", strings.Join(s.world.bases, ","))
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+home, "GOENV=off", "GOFLAGS=", "GOSUMDB="+s.world.database, "GONOSUMDB=", "GOPRIVATE=", "LANG=C")
	cmd.Stdout = log
	errs, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	words, err := os.OpenFile(filepath.Join(s.dir, "log"+strconv.Itoa(i)), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, words.Close())
	}
	one := &server{cmd: cmd, done: make(chan struct{})}
	lines := bufio.NewReader(errs)
	first, err := lines.ReadString('\n')
	_, addr, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(first), ")"), "GOPROXY=http://")
	one.addr = addr
	go func() {
		defer close(one.done)
		_, _ = io.Copy(words, lines) // what was not copied is missed by nobody
		_ = words.Close()
		_ = cmd.Wait()
	}()
	if err == nil && addr == "" {
		err = fmt.Errorf("the proxy says %q", first)
	}
	return one, err
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	<-s.done
}

// figures are what must stay flat.
const (
	memory = iota // KiB resident
	descriptors
	goroutines
	figures
)

// figure says what is noise: growth below both is none.
var figure = [figures]struct { //nolint:gochecknoglobals // a table
	name  string
	noise float64
}{{"resident KiB", 8 << 10}, {"descriptors", 24}, {"goroutines", 64}}

// growthShare of the mean is noise.
const growthShare = 0.2

// settles is how long it takes until as many requests hang as ever will: the proxy's own
// patience with silent upstreams.
const settles = time.Minute

type sample struct {
	at     time.Time
	values [figures]float64
}

func (s *soak) sample(ctx context.Context) {
	one := s.server(0).sample(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples = append(s.samples, one)
}

func (s *server) sample(ctx context.Context) sample {
	one := sample{at: time.Now()}
	proc := "/proc/" + strconv.Itoa(s.cmd.Process.Pid)
	status, _ := os.ReadFile(proc + "/status") // 0 shows below
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			one.values[memory], _ = strconv.ParseFloat(strings.Fields(v)[0], 64)
		}
	}
	fds, _ := os.ReadDir(proc + "/fd")
	one.values[descriptors] = float64(len(fds))
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, data, _ := fetch(ctx, "http://"+s.addr+"/metrics") // 0 shows below
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "go_goroutines "); ok {
			one.values[goroutines], _ = strconv.ParseFloat(strings.TrimSpace(v), 64)
		}
	}
	return one
}

// slope is the growth of figure i within an hour, by least squares, and its mean.
func slope(samples []sample, i int) (perHour, mean float64) {
	n := float64(len(samples))
	var x, y, xx, xy float64
	for _, s := range samples {
		at := s.at.Sub(samples[0].at).Hours()
		x, y, xx, xy = x+at, y+s.values[i], xx+at*at, xy+at*s.values[i]
	}
	if d := n*xx - x*x; d > 0 {
		perHour = (n*xy - x*y) / d
	}
	return perHour, y / n
}

// report prints the table, and says what is wrong.
func (s *soak) report(out io.Writer) error {
	var all error
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "request\tright\trefused\tlost\twrong\tp99\tslowest\t")
	for _, k := range kinds() {
		c := s.counts.all[k.name]
		if c == nil {
			all = errors.Join(all, fmt.Errorf("no request of kind %s", k.name))
			continue
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%s\t%s\t\n", k.name, c.right, c.refused, c.lost, c.wrong,
			c.within(0.99).Round(time.Millisecond/10), c.slowest.Round(time.Millisecond))
	}
	_ = t.Flush() // to the same place as all else
	for _, w := range s.counts.wrong {
		all = errors.Join(all, errors.New(w))
	}
	for i, r := range s.counts.refused {
		const most = 3
		if i == most {
			break
		}
		fmt.Fprintf(out, "refused, as an example: %s\n", strings.TrimSpace(r))
	}
	fmt.Fprintf(out, "faults: %s\n", s.world.faultWords())
	fmt.Fprintf(out, "beside it: %d kills, %d files and %d blobs collected, %d files scrubbed\n", s.killed, s.collected, s.blobs, s.scrubbed)
	if s.killed != s.kills {
		all = errors.Join(all, fmt.Errorf("%d kills of %d", s.killed, s.kills))
	}
	const enough = 8
	late := s.samples[len(s.samples)/4:] // the first quarter fills caches
	if len(late) < enough {
		return errors.Join(all, errors.New("too short to be measured"))
	}
	judged := late[0].at.Sub(s.samples[0].at) >= settles
	if !judged {
		fmt.Fprintf(out, "too short to say whether anything grows: -for %s is enough\n", 4*settles)
	}
	run := late[len(late)-1].at.Sub(late[0].at).Hours()
	t = tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "of the process that lived\tmean\tmost\tgrowth in this run\tper hour\tat rest\t")
	for i, f := range figure {
		perHour, mean := slope(late, i)
		most := slices.MaxFunc(late, func(a, b sample) int { return int(a.values[i] - b.values[i]) }).values[i]
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%+.1f\t%+.1f\t%.0f\t\n", f.name, mean, most, perHour*run, perHour, s.rest.values[i])
		if mean == 0 || s.rest.values[i] == 0 {
			all = errors.Join(all, fmt.Errorf("%s were not measured", f.name))
		}
		if grew := perHour * run; judged && grew > max(f.noise, growthShare*mean) {
			all = errors.Join(all, fmt.Errorf("%s grew by %.0f", f.name, grew))
		}
		if i != memory && s.rest.values[i] > f.noise+growthShare*f.noise {
			all = errors.Join(all, fmt.Errorf("%.0f %s at rest", s.rest.values[i], f.name))
		}
	}
	_ = t.Flush() // as above
	return all
}

func (w *world) faultWords() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var words []string
	for name, n := range w.faults {
		words = append(words, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}
