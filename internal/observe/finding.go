package observe

import (
	"github.com/keepwell/keepwell"
)

// Findings are the faults that results show, lowest layer first; one a code. say puts
// a result into words: they are the evidence.
func Findings(results []Result, say func(Result) string) []keepwell.Finding {
	var out []keepwell.Finding
	seen := map[keepwell.Code]int{}
	for _, r := range results {
		if r.Code == "" || r.State != No {
			continue
		}
		if i, ok := seen[r.Code]; ok {
			out[i].Evidence = append(out[i].Evidence, evidence(r, say))
			continue
		}
		seen[r.Code] = len(out)
		f := keepwell.Finding{Code: r.Code, Confidence: 0.95, Owner: r.Owner, Tool: r.Tool, Facts: r.Facts, Evidence: []keepwell.Evidence{evidence(r, say)}}
		if r.Machine != "" {
			f.Evidence = append(f.Evidence, keepwell.Evidence{Source: "environment", Text: say(Result{Key: r.Machine, Args: r.MachineArgs})})
		}
		if r.Rival != "" {
			f.Confidence, f.Rivals = 0.7, []keepwell.Rival{{Code: r.Rival}}
		}
		out = append(out, f)
	}
	return out
}

func evidence(r Result, say func(Result) string) keepwell.Evidence {
	text := say(r)
	if r.Said != "" {
		text += "\n" + r.Said
	}
	return keepwell.Evidence{Source: "probe", Text: text}
}
