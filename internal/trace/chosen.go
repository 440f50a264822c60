package trace

import (
	"context"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/proc"
)

// Chosen is why a project uses the version that it uses: the highest that anything in
// its module graph requires.
type Chosen struct {
	Version string `json:"version"`
	// Replaced is what stands in its place, PATH@VERSION or a directory.
	Replaced string `json:"replaced,omitempty"`
	// Wants are who requires which version, the highest first.
	Wants []Want `json:"wants"`
	// Path leads from the main module to one that requires Version.
	Path []string `json:"path"`
	// Main are the modules of the project itself.
	Main []string `json:"main"`
}

// Want is one requirement.
type Want struct {
	By      string `json:"by"` // PATH@VERSION; without a version the main module
	Version string `json:"version"`
}

// largestGraph bounds the module graph's text.
const largestGraph = 32 << 20

// Choose asks go, from the module cache alone, why the project here uses its version
// of path. It returns nil where there is no project, or it does not use the module.
func Choose(ctx context.Context, env goenv.Env, path string) (*Chosen, error) {
	flags := "-mod=readonly"
	for f := range strings.FieldsSeq(env.Value("GOFLAGS")) {
		if strings.HasPrefix(f, "-modfile=") {
			flags += " " + f
		}
	}
	o := proc.Options{
		MaxOut: largestGraph,
		Env:    []string{"GOPROXY=off", "GOSUMDB=off", "GONOPROXY=none", "GOTOOLCHAIN=local", "GOFLAGS=" + flags},
	}
	out, err := proc.Output(ctx, o, "go", "mod", "graph")
	if err != nil {
		return nil, err
	}
	c := readGraph(string(out), path)
	if c == nil {
		return nil, nil //nolint:nilnil // not used here
	}
	const format = "{{.Version}} {{with .Replace}}{{.Path}}{{with .Version}}@{{.}}{{end}}{{end}}"
	if out, err = proc.Output(ctx, o, "go", "list", "-m", "-f", format, path); err == nil {
		version, replaced, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
		if semver.IsValid(version) {
			c.Version = version
		}
		c.Replaced = replaced
	}
	return c, nil
}

// readGraph finds in the lines of `go mod graph` who wants path.
func readGraph(text, path string) *Chosen {
	c := &Chosen{Wants: []Want{}, Path: []string{}, Main: []string{}}
	edges := map[string][]string{}
	for line := range strings.Lines(text) {
		by, wanted, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		if !strings.Contains(by, "@") && !slices.Contains(c.Main, by) {
			c.Main = append(c.Main, by)
		}
		edges[by] = append(edges[by], wanted)
		if at, version, _ := strings.Cut(wanted, "@"); at == path {
			c.Wants = append(c.Wants, Want{by, version})
			if module.Check(path, version) == nil && semver.Compare(version, c.Version) > 0 {
				c.Version = version
			}
		}
	}
	if len(c.Wants) == 0 {
		return nil
	}
	slices.SortStableFunc(c.Wants, func(a, b Want) int {
		if a.Version != b.Version {
			return semver.Compare(b.Version, a.Version)
		}
		return strings.Compare(a.By, b.By) // a main module has no "@" and is no less than others
	})
	c.Path = shortest(edges, c.Main, path+"@"+c.Version)
	return c
}

// shortest is the shortest way from a main module to a node of the graph.
func shortest(edges map[string][]string, from []string, to string) []string {
	before := map[string]string{}
	queue := slices.Clone(from)
	for _, f := range from {
		before[f] = ""
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if at == to {
			var way []string
			for ; at != ""; at = before[at] {
				way = append(way, at)
			}
			slices.Reverse(way)
			return way
		}
		for _, next := range edges[at] {
			if _, seen := before[next]; !seen {
				before[next] = at
				queue = append(queue, next)
			}
		}
	}
	return []string{}
}
