package mirrors

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"golang.org/x/mod/semver"
)

func npmProtocol() protocol {
	return protocol{
		small: func(ask Ask) (string, func(*answer) bool) {
			return npmPath(ask.Path) + "/" + ask.Version, func(a *answer) bool { return npmVersion(a).Version == ask.Version }
		},
		rest: npmRest,
		file: func(l *looker) string { return l.link },
		whole: func(l *looker, data []byte, _ map[string]string) bool {
			want, ok := strings.CutPrefix(l.digest, "sha512-")
			sum := sha512.Sum512(data)
			return !ok || want == base64.StdEncoding.EncodeToString(sum[:])
		},
		newer: func(a, b string) int { return semver.Compare("v"+a, "v"+b) },
	}
}

// npmPath is the path of a package; the slash of a scope is escaped.
func npmPath(name string) string { return "/" + strings.ReplaceAll(name, "/", "%2f") }

// npmManifest is what a registry says of a version.
type npmManifest struct {
	Version string
	Dist    struct{ Tarball, Integrity string }
}

func npmVersion(a *answer) npmManifest {
	var m npmManifest
	if json.Unmarshal(a.body, &m) != nil {
		return npmManifest{}
	}
	return m
}

func npmRest(ctx context.Context, l *looker) {
	var wg sync.WaitGroup
	wg.Go(func() {
		path, version := l.ask.File()
		if a, err := l.c.get(ctx, npmPath(path)+"/"+version, largestAnswer); err == nil && a.status == http.StatusOK {
			m := npmVersion(a)
			l.linked(m.Dist.Tarball, m.Dist.Integrity)
		}
	})
	wg.Go(func() { l.absent(ctx, npmPath(l.ask.Absent)) })
	wg.Go(func() {
		l.newest(ctx, func(name string) string { return npmPath(name) + "/latest" }, func(_ string, a *answer) string {
			if v := npmVersion(a).Version; semver.IsValid("v" + v) {
				return v
			}
			return ""
		})
	})
	wg.Wait()
	l.m.Sums = unknown("mirrors.sums.none")
}

// linked notes where a mirror says that the file is.
func (l *looker) linked(link, digest string) {
	base, err := url.Parse(l.c.base + "/")
	if err != nil {
		return
	}
	to, err := base.Parse(link)
	if err != nil || link == "" || to.Scheme != "https" && !Safe(to) {
		return
	}
	to.User, to.Fragment = nil, ""
	l.c.sentTo(base, to)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.link, l.digest = to.String(), digest
}
