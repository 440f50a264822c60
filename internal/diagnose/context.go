package diagnose

import (
	"regexp"
	"sync"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/explain"
)

// Machine is what is known of the machine on which the text was printed.
type Machine struct{}

// surroundings is what the rest of the text says about where it was printed.
type surroundings struct {
	sandbox string // the build system whose sandbox has no network, "" if none
}

var sandboxWords = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)(?:building '?/nix/store|/nix/store/\S+\.drv|(?:flatpak-builder|/app/(?:go|bin)\b.*|/run/build/|/usr/lib/sdk/)|rpmbuild/BUILD|/home/abuild/|sbuild|pbuilder|guix (?:build|environment)|/gnu/store|/build/source\b|--network[= ]none|vendorHash|bwrap|unshare -n)`)
})

func (a *surroundings) look(s *explain.Statement) {
	if a.sandbox != "" {
		return
	}
	a.sandbox = sandboxWords().FindString(s.Text)
}

// reconsider lets what surrounds a fault change its code.
func (d *Diagnosis) reconsider(g *group) {
	switch g.key.code {
	case "net/dns", "net/refused", "net/unreachable":
		if d.around.sandbox != "" {
			d.change(g, "net/sandboxed", keepwell.Evidence{Source: "input", Text: d.around.sandbox}, 0.85)
		}
	}
}

func (d *Diagnosis) change(g *group, to keepwell.Code, why keepwell.Evidence, confidence float64) {
	g.rivals = append([]keepwell.Code{g.key.code}, g.rivals...)
	g.key.code, g.changed, g.confidence = to, &why, confidence
}
