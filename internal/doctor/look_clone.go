package doctor

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/credentials"
	"github.com/keepwell/keepwell/internal/observe"
)

// cloneKinds are what go has called its clones of git repositories, newest first
// (cmd/go/internal/modfetch/codehost, gitWorkDirType).
func cloneKinds() []string { return []string{"git3", "git2"} }

// wantsClone: go's own clones matter where something has to be fetched from a
// repository. The real command was tried with fresh ones.
func wantsClone(c *Case, seen []Outcome) bool {
	return wantsFetch(c, seen) && len(c.vcsUses()) > 0
}

// lookClone looks for locks that a killed git has left in go's clones: git stops at them.
// Where a go is at work there just now they are its own.
func lookClone(_ context.Context, c *Case, _ []Outcome) Outcome {
	base := filepath.Join(c.Settings.Env.Value("GOMODCACHE"), "cache", "vcs")
	for _, u := range c.vcsUses() {
		for _, kind := range cloneKinds() {
			dir := filepath.Join(base, fmt.Sprintf("%x", sha256.Sum256([]byte(kind+":"+u.repo))))
			locks, err := filepath.Glob(filepath.Join(dir, "*.lock"))
			if err != nil || len(locks) == 0 || credentials.Locked(dir+".lock") {
				continue
			}
			lock := c.tilde(locks[0])
			f := keepwell.Finding{
				Code: "vcs/stale-clone", Confidence: 0.93, Owner: keepwell.OwnerYou, Tool: "go", Facts: keepwell.Facts{},
				Evidence: []keepwell.Evidence{{Source: "environment", Text: c.Say("doctor.clone.lock", lock)}},
			}
			for name, value := range map[string]string{"module": u.module, "path": lock, "host": u.url.Hostname()} {
				if keepwell.ValidFact(name, value) {
					f.Facts[name] = value
				}
			}
			return Outcome{State: observe.No, Key: "doctor.clone.lock", Args: []string{lock}, Tried: true, Findings: []keepwell.Finding{f}}
		}
	}
	return Outcome{State: observe.Yes, Key: "doctor.clone.fine"}
}
