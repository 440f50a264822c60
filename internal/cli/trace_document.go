package cli

import (
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/route"
	"github.com/keepwell/keepwell/internal/trace"
)

// tracedDocument is that of all commands with findings, and what was seen on the way.
type tracedDocument struct {
	gathered
	Version  string          `json:"version"`
	Tried    []string        `json:"tried"`
	TookMS   float64         `json:"took_ms"`
	Requests []tracedRequest `json:"requests"`
	Commands []tracedCommand `json:"commands"`
	Proof    tracedProof     `json:"proof"`
	Chosen   *trace.Chosen   `json:"chosen"`
	GOPROXY  tracedVerdict   `json:"goproxy"`
}

type tracedRequest struct {
	Kind       route.Kind    `json:"kind"`
	URL        string        `json:"url"`
	Hop        int           `json:"hop"`
	Server     string        `json:"server"`
	Again      bool          `json:"again,omitempty"`
	Redirected bool          `json:"redirected,omitempty"`
	Location   string        `json:"location,omitempty"`
	AtMS       float64       `json:"at_ms"`
	TookMS     float64       `json:"took_ms"`
	Phases     []tracedPhase `json:"phases"`
	Status     int           `json:"status"`
	Bytes      int64         `json:"bytes"`
	Protocol   string        `json:"protocol,omitempty"`
	Address    string        `json:"address,omitempty"`
	Reused     bool          `json:"reused,omitempty"`
	Login      string        `json:"login,omitempty"`
	Error      string        `json:"error,omitempty"`
	Said       string        `json:"said,omitempty"`
	// Then says why go went on: "not-found" or "any" to the next hop, "redirect", "again",
	// "end" where it stopped; empty where the answer served.
	Then string `json:"then,omitempty"`
}

type tracedPhase struct {
	Phase  trace.Phase `json:"phase"`
	AtMS   float64     `json:"at_ms"`
	TookMS float64     `json:"took_ms"`
}

type tracedCommand struct {
	Text   string  `json:"text"`
	Depth  int     `json:"depth"`
	AtMS   float64 `json:"at_ms"`
	TookMS float64 `json:"took_ms"`
	Failed bool    `json:"failed,omitempty"`
}

type tracedProof struct {
	Hash     string `json:"hash,omitempty"`
	ModHash  string `json:"go_mod_hash,omitempty"`
	Size     int64  `json:"size"`
	Database string `json:"database,omitempty"`
	Tree     int64  `json:"tree,omitempty"`
	Record   int64  `json:"record,omitempty"`
	Tiles    int    `json:"tiles,omitempty"`
	InSum    bool   `json:"in_go_sum"`
	// Why is the code of the rule that decides on the database.
	Why string `json:"why"`
}

type tracedVerdict struct {
	Value string `json:"value"`
	// TookEffect says whether GOPROXY decided where the module was asked for.
	TookEffect bool `json:"took_effect"`
	// Code is "served", "direct", "private", "off", "failed", "refused" (what came is not taken) or
	// "problem"; Server is who
	// delivered.
	Code   string   `json:"code"`
	Server string   `json:"server,omitempty"`
	Text   string   `json:"text"`
	Notes  []string `json:"notes"`
}

func (d *tracedDocument) fill(t traced, v tracedVerdict) {
	rep := t.rep
	d.Version, d.Tried, d.TookMS, d.Chosen, d.GOPROXY = rep.Version, masked(t.options.env), milliseconds(rep.Took), t.chosen, v
	d.Requests, d.Commands = []tracedRequest{}, []tracedCommand{}
	for i := range rep.Requests {
		q := &rep.Requests[i]
		phases := []tracedPhase{}
		for _, s := range q.Spans {
			phases = append(phases, tracedPhase{s.Phase, milliseconds(s.At), milliseconds(s.Took)})
		}
		d.Requests = append(d.Requests, tracedRequest{
			q.Kind, q.URL, q.Hop, q.Server, q.Again, q.Redirected, q.Location, milliseconds(q.At), milliseconds(q.Took), phases,
			q.Status, q.Bytes, q.Protocol, q.Address, q.Reused, q.Login, q.Err, q.Said, then(rep, i),
		})
	}
	for _, c := range rep.Commands {
		d.Commands = append(d.Commands, tracedCommand{mask.Text(c.Text), c.Depth, milliseconds(c.At), milliseconds(c.Took), c.Failed})
	}
	p := rep.Proof
	d.Proof = tracedProof{p.Hash, p.ModHash, p.Size, p.Database, p.Tree, p.Record, p.Tiles, p.InSum, rep.Route.Checksum.Rule.Code}
}

// then says why go went on behind a request.
func then(rep *trace.Report, i int) string {
	q := &rep.Requests[i]
	if q.Status == 200 && q.Err == "" {
		return ""
	}
	if q.Location != "" && i+1 < len(rep.Requests) && rep.Requests[i+1].Redirected {
		return "redirect"
	}
	if i+1 < len(rep.Requests) && rep.Requests[i+1].Again && !q.Again && rep.Requests[i+1].Kind == q.Kind {
		return "again"
	}
	if q.Hop < 0 || q.Hop >= len(rep.Route.Hops) {
		return "end"
	}
	next := -1
	for j := i + 1; j < len(rep.Requests); j++ {
		if r := rep.Requests[j]; r.Hop != q.Hop {
			next = r.Hop
			break
		}
	}
	// The database is asked itself where no proxy speaks for it.
	if next > q.Hop || q.Kind == route.Supported && i+1 < len(rep.Requests) && rep.Requests[i+1].Kind == route.Lookup ||
		len(rep.Commands) > 0 && q.Hop < rep.Served {
		if q.Status != 404 && q.Status != 410 {
			return string(route.FallsAny)
		}
		return string(route.FallsNotFound)
	}
	return "end"
}
