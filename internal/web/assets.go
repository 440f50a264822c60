package web

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// assets are the files of static/ under names that change with what they hold, so that
// browsers may keep them for ever.
type assets struct {
	names map[string]string // app.css -> app.1a2b3c4d5e6f.css
	files map[string][]byte // by the long name
}

func readAssets(dir fs.FS) (assets, error) {
	a := assets{map[string]string{}, map[string][]byte{}}
	list, err := fs.ReadDir(dir, "static")
	if err != nil {
		return a, err
	}
	for _, entry := range list {
		data, err := fs.ReadFile(dir, "static/"+entry.Name())
		if err != nil {
			return a, err
		}
		const digits = 12
		sum := sha256.Sum256(data)
		ext := path.Ext(entry.Name())
		long := strings.TrimSuffix(entry.Name(), ext) + "." + hex.EncodeToString(sum[:])[:digits] + ext
		a.names[entry.Name()], a.files[long] = long, data
	}
	return a, nil
}

// path is where a page finds a file.
func (a assets) path(name string) string { return "/static/" + a.names[name] }

func (a assets) serve(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	data, ok := a.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	kind := mime.TypeByExtension(path.Ext(name))
	switch path.Ext(name) { // machines differ
	case ".js":
		kind = "text/javascript; charset=utf-8"
	case ".css":
		kind = "text/css; charset=utf-8"
	case ".svg":
		kind = "image/svg+xml"
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) // whoever asked has gone
}
