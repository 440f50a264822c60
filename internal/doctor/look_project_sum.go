package doctor

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"strings"

	"github.com/keepwell/keepwell"
)

// readSums reads a go.sum as go does: three fields a line, the first hash counts.
func (c *Case) readSums(p *project, name string) {
	shown := c.shownPath(name)
	data, err := readRegular(name, largestSum)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		p.add("sum/malformed", keepwell.SeverityWarning, 0.7, shown+": "+reason(err), "path", shown)
		return
	}
	p.hasSums = true
	if key := encodingFault(data); key != "" {
		p.add("sum/malformed", keepwell.SeverityError, 0.9, c.Say(key, shown), "path", shown)
		return
	}
	line, bad := 0, 0
	for l := range bytes.Lines(data) {
		line++
		f := bytes.Fields(l)
		at := shown + ":" + number(line)
		switch {
		case len(f) == 0 || bad >= mostSaid:
		case bytes.HasPrefix(l, []byte("<<<<<<<")) || bytes.HasPrefix(l, []byte(">>>>>>>")):
			bad++
			severity := keepwell.SeverityError
			if len(f) == 3 { // go takes it for an entry
				severity = keepwell.SeverityWarning
			}
			p.add("sum/malformed", severity, 0.95, c.Say("doctor.project.conflict", shown, number(line)), "path", shown)
		case len(f) != 3:
			bad++
			p.add("sum/malformed", keepwell.SeverityError, 0.95, at+": wrong number of fields "+number(len(f)), "path", shown)
		default:
			bad += c.readSum(p, at, shown, string(f[0]), string(f[1]), string(f[2]))
		}
	}
}

// readSum notes one hash; it returns 1 where it is at fault.
func (c *Case) readSum(p *project, at, shown, path, version, hash string) int {
	if !strings.HasPrefix(hash, "h1:") { // of a newer go, which this one leaves alone
		return 0
	}
	key := path + " " + version
	facts := []string{"module", path, "version", strings.TrimSuffix(version, "/go.mod"), "path", shown}
	if raw, err := base64.StdEncoding.DecodeString(hash[3:]); err != nil || len(raw) != 32 {
		p.add("sum/malformed", keepwell.SeverityWarning, 0.9, c.Say("doctor.project.short-hash", at, path+"@"+version), facts...)
		return 1
	}
	old, known := p.sums[key]
	if !known {
		p.sums[key] = hash
		return 0
	}
	if old == hash {
		return 0
	}
	p.add("sum/malformed", keepwell.SeverityWarning, 0.85, c.Say("doctor.project.two-hashes", at, path+"@"+version), facts...)
	return 1
}

// lookMissingSums says where no hash is recorded at all: go will write them, or refuse
// by itself.
func (c *Case) lookMissingSums(p *project) {
	required := p.required()
	if p.hasSums || p.vendored || len(required) == 0 {
		return
	}
	shown := c.shownPath(strings.TrimSuffix(p.mods[0].name, ".mod") + ".sum")
	p.notes = append(p.notes, c.Say("doctor.project.no-sum", shown, number(len(required))))
}
