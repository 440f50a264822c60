package doctor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/keepwell/keepwell"
)

// Unreadable looks whether the project of dir has a file that would hold every tool
// up, or lead it round for ever: a pipe, a device, a link to itself. It asks no tool,
// for each would open it.
func Unreadable(dir string, say func(key string, args ...string) string) (keepwell.Finding, bool) {
	codes := []struct {
		name string
		code keepwell.Code
	}{{"go.mod", "local/go-mod-parse"}, {"go.sum", "sum/malformed"}, {"go.work", "local/workspace"}}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return keepwell.Finding{}, false
	}
	for {
		for _, c := range codes {
			name := filepath.Join(dir, c.name)
			info, err := os.Stat(name)
			if err == nil && (info.Mode().IsRegular() || info.IsDir()) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
				continue
			}
			text := say("doctor.unreadable", name)
			if err != nil {
				text += "\n" + err.Error()
			}
			return keepwell.Finding{
				Code: c.code, Confidence: 0.95, Owner: keepwell.OwnerYou, Facts: keepwell.Facts{},
				Evidence: []keepwell.Evidence{{Source: "environment", Text: text}},
			}, true
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		return keepwell.Finding{}, false
	}
}
