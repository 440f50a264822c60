package rewrite

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/mod/module"
)

// namesBelow knows the names of the packages of a module that lies unpacked in one of
// dirs; the first that has the package counts.
func namesBelow(modulePath string, dirs ...string) names {
	var mu sync.Mutex
	known := map[string]string{}
	return func(path string) string {
		mu.Lock()
		defer mu.Unlock()
		name, ok := known[path]
		if ok || !below(path, modulePath) {
			return name
		}
		for _, dir := range dirs {
			if dir == "" {
				continue
			}
			if name = packageName(filepath.Join(dir, filepath.FromSlash(path[len(modulePath):]))); name != "" {
				break
			}
		}
		known[path] = name
		return name
	}
}

// packageName is what the package in dir calls itself; "" where there is none. Commands
// that stand beside a package with `//go:build ignore` have another name and are not it.
func packageName(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	name := ""
	for _, e := range entries {
		if base := e.Name(); !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go") || strings.HasPrefix(base, "_") || strings.HasPrefix(base, ".") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.PackageClauseOnly)
		if err != nil || f.Name.Name == "documentation" {
			continue
		}
		if name == "" || name == "main" {
			name = f.Name.Name
		}
	}
	return name
}

// unpackedIn is where a module cache keeps a version unpacked; "" where it has none.
func unpackedIn(cache, path, version string) string {
	if cache == "" || version == "" {
		return ""
	}
	p, err := module.EscapePath(path)
	if err != nil {
		return ""
	}
	v, err := module.EscapeVersion(version)
	if err != nil {
		return ""
	}
	dir := filepath.Join(cache, filepath.FromSlash(p)+"@"+v)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return ""
	}
	return dir
}
