package route

import (
	"net/url"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell/internal/mask"
)

// Import is one go-import tag of a page: `prefix vcs repository [directory]`.
type Import struct {
	Prefix string `json:"prefix"`
	VCS    string `json:"vcs"`
	Repo   string `json:"repo"`
	Dir    string `json:"dir,omitempty"`
}

// Direct is how go would fetch a module from where its source lies.
type Direct struct {
	// Problem says why direct fails at once, before anyone is asked.
	Problem *Rule `json:"problem,omitempty"`
	// Found says where the repository is known from: "host" (go knows the host),
	// "suffix" (.git in the path), "known" (a tag seen before) or "page" (Discovery has
	// to be asked).
	Found string `json:"found,omitempty"`
	// Discovery is the page asked for a go-import tag. A 4xx page that holds one counts.
	Discovery string  `json:"discovery,omitempty"`
	Access    *Access `json:"access,omitempty"`
	// Insecure is the item of GOINSECURE that matches: the certificate is not checked
	// and http is tried where https fails.
	Insecure *Rule `json:"insecure,omitempty"`
	// VCS is the tool: git, hg, svn, bzr, fossil, or mod for a proxy named by the page;
	// empty until the page is known. Root is the repository's import path.
	VCS  string `json:"vcs,omitempty"`
	Root string `json:"root,omitempty"`
	// Repo is what go hands to the tool; Rewritten is what git makes of it by Rewrite,
	// empty where no rule of insteadOf matches.
	Repo      string `json:"repo,omitempty"`
	Rewritten string `json:"rewritten,omitempty"`
	Rewrite   string `json:"rewrite,omitempty"`
	// Allowed are the tools that GOVCS allows for this module; Policy is its item.
	Allowed []string `json:"allowed,omitempty"`
	Policy  *Rule    `json:"policy,omitempty"`
}

// repository is where a path's source lies.
type repository struct{ vcs, root, url string }

// direct tells how modulePath is fetched without a proxy.
func (s *settings) direct(modulePath string) Direct {
	d := Direct{Found: "host"}
	if r, ok := s.insecure.match(modulePath); ok {
		d.Insecure = &r
	}
	repo, code := knownRepository(modulePath)
	switch {
	case code == "":
		d.Found = foundBy(modulePath)
		return s.withRepository(d, repo)
	case code != "unknown":
		d.Problem = &Rule{Code: code, Value: modulePath}
		return d
	}
	if tag, ok := s.cfg.Known[modulePath]; ok {
		d.Found = "known"
		return s.withRepository(d, repository{tag.VCS, tag.Prefix, tag.Repo})
	}
	d.Found = "page"
	u, ok := pageOf(modulePath)
	if !ok {
		d.Problem = &Rule{Code: "no-host", Value: modulePath}
		return d
	}
	d.Discovery = u.String()
	d.Access = s.access(u)
	d.Allowed, d.Policy = s.allowed(modulePath)
	return d
}

func (s *settings) withRepository(d Direct, repo repository) Direct {
	d.VCS, d.Root, d.Repo = repo.vcs, repo.root, bareText(repo.url)
	if repo.vcs == "mod" {
		if u, err := url.Parse(repo.url); err == nil {
			d.Access = s.access(u)
		}
		return d
	}
	d.Allowed, d.Policy = s.allowed(repo.root)
	if !slices.Contains(d.Allowed, repo.vcs) && !slices.Contains(d.Allowed, "all") {
		p := *d.Policy
		p.Code = "vcs-forbidden"
		d.Problem = &p
	}
	if repo.vcs == "git" {
		d.Rewritten, d.Rewrite = s.rewrite(repo.url)
	}
	return d
}

// rewrite applies git's insteadOf: of all rules the one with the longest match.
func (s *settings) rewrite(repo string) (to, rule string) {
	longest := ""
	for prefix := range s.cfg.InsteadOf {
		if strings.HasPrefix(repo, prefix) && len(prefix) > len(longest) {
			longest = prefix
		}
	}
	if longest == "" {
		return "", ""
	}
	base := s.cfg.InsteadOf[longest]
	return mask.Text(base + strings.TrimPrefix(repo, longest)), mask.Text(longest)
}

// pageOf is the page that go asks for the go-import tag of an import path.
func pageOf(importPath string) (*url.URL, bool) {
	host, rest, slash := strings.Cut(importPath, "/")
	if !strings.Contains(host, ".") {
		return nil, false
	}
	u := &url.URL{Scheme: "https", Host: host, Path: "/", RawQuery: "go-get=1"}
	if slash {
		u.Path = "/" + rest
	}
	return u, true
}

// vcsNames are the tools that go can drive.
func vcsNames() []string { return []string{"bzr", "fossil", "git", "hg", "svn"} }

// knownRepository finds the repositories that go knows without asking: those of a
// few hosts and those with the tool's name in the path. The code is "" where it
// knows, "unknown" where a page must be asked, else why the path is refused.
func knownRepository(importPath string) (repository, string) {
	parts := strings.Split(importPath, "/")
	for _, h := range knownHosts() {
		if len(parts) < len(h.prefix) || !slices.Equal(parts[:len(h.prefix)], h.prefix) {
			continue
		}
		n := h.length
		if len(parts) < n || !plainWords(parts) || (h.exact && len(parts) != n) || (h.shape != nil && !h.shape(parts[:n])) {
			return repository{}, "bad-host-path"
		}
		root := strings.Join(parts[:n], "/")
		if h.noSuffix && slices.ContainsFunc(vcsNames(), func(v string) bool { return strings.HasSuffix(root, "."+v) }) {
			return repository{}, "host-suffix"
		}
		return repository{h.vcs, root, "https://" + root}, ""
	}
	if parts[0] == "example.net" || importPath == "rsc.io" { // for the tests of go itself
		return repository{}, "no-modules"
	}
	for i := len(parts) - 1; i > 0 && homeWords(parts[1:]) && strings.Contains(parts[0], "."); i-- {
		for _, v := range vcsNames() {
			if name, ok := strings.CutSuffix(parts[i], "."+v); ok && name != "" && name != "~" {
				root := strings.Join(parts[:i+1], "/")
				// Of the tool's schemes only the secure ones are tried, https first.
				return repository{v, root, "https://" + strings.TrimSuffix(root, "."+v)}, ""
			}
		}
	}
	return repository{}, "unknown"
}

// foundBy tells the two ways of knowing apart.
func foundBy(importPath string) string {
	for _, h := range knownHosts() {
		if importPath == strings.Join(h.prefix, "/") || strings.HasPrefix(importPath, strings.Join(h.prefix, "/")+"/") {
			return "host"
		}
	}
	return "suffix"
}

// knownHost is a host whose layout of repositories go knows.
type knownHost struct {
	prefix   []string
	length   int // elements of a repository's root
	vcs      string
	noSuffix bool // ".git" at the end of the root is refused
	exact    bool // nothing may stand behind the root
	shape    func(root []string) bool
}

func knownHosts() []knownHost {
	return []knownHost{
		{prefix: []string{"github.com"}, length: 3, vcs: "git", noSuffix: true},
		{prefix: []string{"bitbucket.org"}, length: 3, vcs: "git", noSuffix: true},
		{prefix: []string{"hub.jazz.net", "git"}, length: 4, vcs: "git", noSuffix: true, shape: func(r []string) bool { return lowerWord(r[2]) }},
		{prefix: []string{"git.apache.org"}, length: 2, vcs: "git", shape: func(r []string) bool { return strings.HasSuffix(r[1], ".git") }},
		{prefix: []string{"git.openstack.org"}, length: 3, vcs: "git"},
		{prefix: []string{"chiselapp.com"}, length: 5, vcs: "fossil", exact: true, shape: func(r []string) bool { return r[1] == "user" && r[3] == "repository" }},
	}
}

const wordLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

func plainWords(parts []string) bool {
	return !slices.ContainsFunc(parts, func(p string) bool {
		return p == "" || strings.ContainsFunc(p, func(r rune) bool { return !strings.ContainsRune(wordLetters, r) })
	})
}

// homeWords are plain ones, perhaps with a ~ at their beginning.
func homeWords(parts []string) bool {
	return !slices.ContainsFunc(parts, func(p string) bool { return !plainWords([]string{strings.TrimPrefix(p, "~")}) })
}

func lowerWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// allowed tells which tools GOVCS allows for a repository's root, by its first item
// that matches; go's own two items stand behind the user's.
func (s *settings) allowed(root string) ([]string, *Rule) {
	_, private := s.private.match(root)
	item := 0
	for pattern, list := range govcs(s.cfg.Env.Value("GOVCS")) {
		item++
		match := module.MatchPrefixPatterns(pattern, root)
		switch pattern {
		case "private":
			match = private
		case "public":
			match = !private
		}
		if match {
			r := s.rule("govcs", "GOVCS")
			r.Item, r.Value = item, pattern+":"+strings.Join(list, "|")
			return list, &r
		}
	}
	r := s.rule("govcs-bad", "GOVCS")
	return nil, &r
}

// govcs walks the items of GOVCS and the two that go appends. An item that go would
// refuse ends the walk: then nothing is allowed.
func govcs(value string) func(yield func(string, []string) bool) {
	return func(yield func(string, []string) bool) {
		seen := map[string]bool{}
		if value = strings.TrimSpace(value); value != "" {
			for item := range strings.SplitSeq(value, ",") {
				pattern, list, ok := strings.Cut(item, ":")
				pattern = strings.TrimSpace(pattern)
				var tools []string
				for tool := range strings.SplitSeq(list, "|") {
					tools = append(tools, strings.TrimSpace(tool))
				}
				if !ok || pattern == "" || seen[pattern] || slices.Contains(tools, "") {
					return
				}
				seen[pattern] = true
				if !yield(pattern, tools) {
					return
				}
			}
		}
		if yield("private", []string{"all"}) {
			yield("public", []string{"git", "hg"})
		}
	}
}
