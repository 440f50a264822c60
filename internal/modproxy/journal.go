package modproxy

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/keepwell/keepwell/internal/mask"
)

// journal is what a summary is made of.
type journal struct {
	mu       sync.Mutex
	served   map[string]int
	failures map[Complaint]int
	saved    int
	failed   int
	alarms   []string
	down     string
	zips     []string
	lost     []Loss
}

// Complaint is what one upstream had against one kind of request.
type Complaint struct {
	Upstream string
	// Said is the failure in English, as the answers that go shows have it.
	Said string
	// Why is the same for any language.
	Why
}

func (t *trouble) complaint() Complaint { return Complaint{t.server, clean(t.said), t.because()} }

// Loss is a file that nobody brought.
type Loss struct {
	// Module and Version are as go writes them; Version is empty for lists and queries.
	Module, Version string
	// Status is what the client was answered, Rule what forbids the file, "" where
	// nothing does.
	Status int
	Rule   string
	// Heard is what each upstream said, in the order of asking.
	Heard []Heard
}

// Heard is a complaint with all that a tool printed of it: what git says takes many
// lines.
type Heard struct {
	Complaint
	Words string
	// Final says that this one's refusal ended the search.
	Final  bool
	absent bool
}

// Absent says that the upstream answered, and has no such file.
func (h Heard) Absent() bool { return h.absent }

// mostLost and mostHeard bound what is remembered for an explanation.
const (
	mostLost  = 64
	mostHeard = 4 << 10
)

// lose notes a file that did not come.
func (j *journal) lose(a ask, f *Failure, all []*trouble) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.lost) >= mostLost || a.database != "" {
		return
	}
	l := Loss{Module: a.module, Version: a.version, Status: f.Status, Rule: f.Rule}
	for _, t := range all {
		h := Heard{Complaint: t.complaint(), Final: t.final && t.how == refused, absent: t.how == absent}
		if t.server == "direct" && t.err != nil {
			words := t.err.Error()
			h.Words = mask.Answer(strings.ToValidUTF8(words[:min(len(words), mostHeard)], ""))
		}
		l.Heard = append(l.Heard, h)
	}
	j.lost = append(j.lost, l)
}

// note takes what happened for one file; server is "" where nobody had it.
func (j *journal) note(a ask, server string, all []*trouble) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.served == nil {
		j.served, j.failures = map[string]int{}, map[Complaint]int{}
	}
	hurt := false
	for _, t := range all {
		if t.how == absent { // an answer like any other
			continue
		}
		hurt = true
		const most = 256
		if c := t.complaint(); len(j.failures) < most || j.failures[c] > 0 {
			j.failures[c]++
		}
	}
	switch {
	case server != "":
		if a.database == "" {
			j.served[server]++
		}
		if hurt {
			j.saved++
		}
	case hurt:
		j.failed++
	}
}

func (j *journal) alarm(what, server string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	const most = 16
	if line := what + " (" + server + ")"; len(j.alarms) < most && !slices.Contains(j.alarms, line) {
		j.alarms = append(j.alarms, line)
	}
}

// zip notes that a zip was fetched and kept.
func (j *journal) zip(key string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.zips = append(j.zips, key)
}

func (j *journal) unverified(database string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.down = database
}

// Summary is what the proxy had to do.
type Summary struct {
	// Served counts the files that each upstream brought, the most first.
	Served []Count
	// Complaints are the failures, the most frequent first.
	Complaints []ComplaintCount
	// Saved are files that came although an upstream failed; Failed those that did not
	// come.
	Saved, Failed int
	// Alarms are versions whose content is not what it was when first seen.
	Alarms []string
	// Unverified names the checksum database that could not be asked; "" where none was
	// missed.
	Unverified string
	// Zips are the keys of those that were fetched and kept.
	Zips []string
	// Lost are the first files that nobody brought, absent ones too.
	Lost []Loss
}

// Count is a number of files of one upstream.
type Count struct {
	Upstream string
	Files    int
}

// ComplaintCount is a complaint and how often it was heard.
type ComplaintCount struct {
	Complaint
	Times int
}

// Summary tells what happened so far.
func (p *Proxy) Summary() Summary {
	j := &p.seen
	j.mu.Lock()
	defer j.mu.Unlock()
	s := Summary{Saved: j.saved, Failed: j.failed, Alarms: slices.Clone(j.alarms), Unverified: j.down, Zips: slices.Clone(j.zips), Lost: slices.Clone(j.lost)}
	for u, n := range j.served {
		s.Served = append(s.Served, Count{u, n})
	}
	for c, n := range j.failures {
		s.Complaints = append(s.Complaints, ComplaintCount{c, n})
	}
	slices.SortFunc(s.Served, func(a, b Count) int { return cmp.Or(b.Files-a.Files, cmp.Compare(a.Upstream, b.Upstream)) })
	slices.SortFunc(s.Complaints, func(a, b ComplaintCount) int {
		return cmp.Or(b.Times-a.Times, cmp.Compare(a.Upstream, b.Upstream), cmp.Compare(a.Said, b.Said))
	})
	return s
}
