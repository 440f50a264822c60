package doctor

import (
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

var (
	npmVariable = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\$\{([^}?]+)\??\}`) })
	npmHost     = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`//([^/\s"':@]+(?::\d+)?)/?`) })
)

// borrows tells a variable of this environment that the project's .npmrc would have npm
// send to a host that nobody but the project names: a repository from a stranger could
// ask for any of them. Empty where there is none.
func (c *Case) borrows() (variable, host string) {
	data, err := readRegular(filepath.Join(c.Dir, ".npmrc"), largestMod)
	if err != nil {
		return "", ""
	}
	for _, m := range npmVariable().FindAllStringSubmatch(string(data), -1) {
		if c.Settings.OS[m[1]] != "" {
			variable = m[1]
			break
		}
	}
	if variable == "" {
		return "", ""
	}
	own := c.ownNpmHosts()
	for _, m := range npmHost().FindAllStringSubmatch(string(data), -1) {
		if !slices.Contains(own, strings.ToLower(m[1])) {
			return variable, m[1]
		}
	}
	return "", ""
}

// ownNpmHosts are the hosts that the user's own settings of npm name.
func (c *Case) ownNpmHosts() []string {
	var hosts []string
	for _, e := range c.Settings.Npm {
		if e.Place == "project" {
			continue
		}
		if e.Host != "" {
			hosts = append(hosts, strings.ToLower(e.Host))
		}
		if u, err := url.Parse(e.Value); err == nil && u.Host != "" {
			hosts = append(hosts, strings.ToLower(u.Host))
		}
	}
	return hosts
}
