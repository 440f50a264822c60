package trace

import (
	"fmt"
	"net/http"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/route"
)

// text is what go would print for the failure, and the fault's code where keepwell gave
// up before go would have.
func (r *runner) text(rep Report) (string, keepwell.Code) {
	name := r.Query.Module
	if v := rep.Route.Version; v != "" {
		name += "@" + v
	}
	says := rep.Outcome.Says
	if rep.Proof.Wrong != "" {
		return mismatch(rep.Proof, r.Query.Module, r.version), ""
	}
	if r.direct.failed != "" && r.direct.hop == rep.Outcome.Hop {
		return "go: " + r.direct.failed, r.direct.code
	}
	if rep.Proof.Damage != "" && rep.Outcome.Hop == rep.Served {
		return "go: " + name + ": " + rep.Proof.Damage, ""
	}
	blamed := r.blamed(rep)
	if blamed == nil {
		return "go: " + name + ": " + says, ""
	}
	if rep.Outcome.Says == "checksum mismatch" || rep.Outcome.Says == "SECURITY ERROR" {
		return r.databaseMismatch(rep), ""
	}
	cause := blamed.Err
	switch {
	case cause != "":
	case blamed.Status != http.StatusOK && blamed.Status != 0 && blamed.Location == "":
		cause = fmt.Sprintf("reading %s: %d %s", blamed.URL, blamed.Status, http.StatusText(blamed.Status))
		if blamed.Said != "" {
			cause += "\n\tserver response:\n\t" + indented(blamed.Said)
		}
	case blamed.Location != "":
		cause = fmt.Sprintf("Get %q: %s", blamed.URL, says)
	default:
		cause = says
	}
	if blamed.Kind == route.Lookup || blamed.Kind == route.Tile || blamed.Kind == route.Supported {
		return "go: " + name + ": verifying module: " + name + ": " + cause, blamed.Code
	}
	if blamed.Kind == route.Discovery {
		return "go: " + name + ": unrecognized import path \"" + r.Query.Module + "\": https fetch: " + cause, blamed.Code
	}
	return "go: " + name + ": " + cause, blamed.Code
}

// blamed is the request whose failure go reports: the last that failed at the hop of
// the outcome; the last of all where the hop asked nothing itself.
func (r *runner) blamed(rep Report) *Request {
	for i := len(r.seen) - 1; i >= 0; i-- {
		q := &r.seen[i]
		if q.Hop == rep.Outcome.Hop && (q.Err != "" || q.Status != http.StatusOK) {
			return q
		}
	}
	for i := len(r.seen) - 1; i >= 0; i-- {
		if q := &r.seen[i]; q.Hop == rep.Outcome.Hop {
			return q
		}
	}
	return nil
}

func indented(s string) string {
	out := ""
	for i, r := range s {
		out += string(r)
		if r == '\n' && i+1 < len(s) {
			out += "\t"
		}
	}
	return out
}

// mismatch is go's refusal where go.sum says otherwise.
func mismatch(p Proof, path, version string) string {
	name, got := path+"@"+version, p.Hash
	wanted := p.Wrong
	if len(wanted) > 0 && wanted[:len(wanted)-len(lastWord(wanted))-1] == path+" "+version+"/go.mod" {
		name, got = name+"/go.mod", p.ModHash
	}
	return "verifying " + name + ": checksum mismatch\n\tdownloaded: " + got + "\n\tgo.sum:     " + lastWord(wanted) +
		"\n\nSECURITY ERROR\nThis download does NOT match an earlier download recorded in go.sum.\n" +
		"The bits may have been replaced on the origin server, or an attacker may\nhave intercepted the download attempt.\n\n" +
		"For more information, see 'go help module-auth'."
}

// databaseMismatch is go's refusal where the checksum database says otherwise.
func (r *runner) databaseMismatch(rep Report) string {
	name := r.Query.Module + "@" + r.version
	if rep.Outcome.Says == "SECURITY ERROR" {
		return "go: " + name + ": verifying module: SECURITY ERROR\ngo.sum database server misbehavior detected!"
	}
	got, wanted, at := rep.Proof.Hash, lookupSum(r.note, r.Query.Module+" "+r.version), name
	if rep.Proof.Hash == "" || got == wanted {
		got, wanted, at = rep.Proof.ModHash, lookupSum(r.note, r.Query.Module+" "+r.version+"/go.mod"), name+"/go.mod"
	}
	return "go: " + name + ": verifying " + at + ": checksum mismatch\n\tdownloaded: " + got + "\n\t" + rep.Route.Checksum.Name + ": " + wanted +
		"\n\nSECURITY ERROR\nThis download does NOT match the one reported by the checksum server.\n" +
		"The bits may have been replaced on the origin server, or an attacker may\nhave intercepted the download attempt.\n\n" +
		"For more information, see 'go help module-auth'."
}
