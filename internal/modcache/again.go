package modcache

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"
)

// Again tells from go's settings alone what might not come again once it is removed;
// nobody is asked. proxies is GOPROXY, noProxy GONOPROXY.
func Again(proxies, noProxy string) func(m module.Version) Reason {
	list := strings.FieldsFunc(proxies, func(r rune) bool { return r == ',' || r == '|' })
	return func(m module.Version) Reason {
		if module.MatchPrefixPatterns(noProxy, m.Path) {
			return StaysPrivate
		}
		why := StaysNoProxy
		for _, p := range list {
			switch p = strings.TrimSpace(p); {
			case p == "off":
				return why
			case p == "direct" || p == "noproxy":
				return StaysDirect
			case strings.HasPrefix(p, "file:"):
				if fileHas(p, m) {
					return ""
				}
				why = StaysNotServed
			default:
				return ""
			}
		}
		return why
	}
}

// fileHas reports whether a directory that serves as a proxy has the version.
func fileHas(address string, m module.Version) bool {
	u, err := url.Parse(address)
	path, err1 := module.EscapePath(m.Path)
	version, err2 := module.EscapeVersion(m.Version)
	if err != nil || err1 != nil || err2 != nil {
		return false
	}
	dir := u.Path
	if len(dir) > 2 && dir[0] == '/' && dir[2] == ':' { // file:///C:/modules
		dir = dir[1:]
	}
	base := filepath.Join(filepath.FromSlash(dir), filepath.FromSlash(path), "@v", version)
	for _, ext := range []string{extMod, extZip} {
		if _, err := os.Stat(base + ext); err != nil {
			return false
		}
	}
	return true
}
