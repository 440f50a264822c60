package mirrors

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/keepwell/keepwell/internal/observe"
)

// The score of a mirror is 0 to 100, of these parts; what was not checked earns nothing.
//
//	40  latency: all up to 50 ms, none from 2 s, by the logarithm between
//	30  speed: all from 10 MB/s, none up to 50 kB/s, by the logarithm between
//	15  freshness: the share of the compared packages that are up to date
//	15  checksum database: all where it is proved through the mirror, 5 where go has to
//	    reach it itself. Go only: of the others the other parts count for the whole.
//	-10 where it stops go at what it does not have, in place of "not found"
//
// A mirror that cannot be used has the score 0: no answer, wrong answers, or a checksum
// database that fails through it.
const (
	forLatency = 40
	forSpeed   = 30
	forFresh   = 15
	forSums    = 15
	forDirect  = 5
	forStops   = 10

	goodLatency, badLatency = 50 * time.Millisecond, 2 * time.Second
	goodSpeed, badSpeed     = 10e6, 50e3
)

// Near is how many points are no reason to change: the next measurement may differ by
// as much.
const Near = 10

func (m *Measured) usable() bool {
	failing := m.Sums.Key == "mirrors.sums.bad" || m.Sums.Key == "mirrors.sums.stops"
	return m.first && m.Protocol.State == observe.Yes && !failing
}

// between is 1 at good, 0 at bad, by the logarithm between.
func between(v, good, bad float64) float64 {
	return min(max(math.Log(v/bad)/math.Log(good/bad), 0), 1)
}

func (m *Measured) score() int {
	if !m.usable() {
		return 0
	}
	points, of := 0.0, float64(forLatency+forSpeed+forFresh)
	if m.Latency.State == observe.Yes {
		points += forLatency * between(float64(m.Median), float64(goodLatency), float64(badLatency))
	}
	if m.Speed.State == observe.Yes {
		points += forSpeed * between(m.BytesPerSecond, goodSpeed, badSpeed)
	}
	if m.compared > 0 && m.Fresh.State != observe.NotChecked { // what it did not tell is not up to date
		points += forFresh * float64(len(m.Newest)-m.late) / float64(m.compared)
	}
	if m.Ecosystem == Go {
		of += forSums
		switch {
		case m.Sums.State == observe.Yes:
			points += forSums
		case m.Sums.Key == "mirrors.sums.direct":
			points += forDirect
		}
		if m.Stops {
			points -= forStops
		}
	}
	return max(int(math.Round(100*points/of)), 1)
}

// rank orders what was measured, best first.
func rank(list []Measured) {
	for i := range list {
		list[i].Usable, list[i].Score = list[i].usable(), list[i].score()
	}
	slices.SortStableFunc(list, func(a, b Measured) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.patience(), b.patience()))
	})
	for i := range list {
		if list[i].Usable {
			list[i].Rank = i + 1
		}
	}
}

// Best is the mirror to recommend: the first, unless one that is in use is as good; nil
// where none can be used.
func Best(list []Measured) *Measured {
	if len(list) == 0 || !list[0].Usable {
		return nil
	}
	for i := range list {
		if m := &list[i]; m.InUse && m.Usable && list[0].Score-m.Score < Near {
			return m
		}
	}
	return &list[0]
}
