package route

import (
	"fmt"
	"net/url"
	"slices"
)

// Database is what GOSUMDB names.
type Database struct {
	Name, Key string
	// At is where the database itself answers; Only says that the setting gave that
	// address, so that no proxy is asked for it.
	At   *url.URL
	Only bool
}

// ReadDatabase reads GOSUMDB as go does. ok is false where it is off or empty.
func ReadDatabase(value string) (db Database, ok bool, err error) {
	d, code := readDatabase(value)
	switch code {
	case "":
	case "sumdb-off", "sumdb-missing":
		return db, false, nil
	default:
		return db, false, fmt.Errorf("GOSUMDB cannot be read: %s", code)
	}
	db = Database{Name: d.name, Key: d.key, At: d.direct}
	if d.base != nil {
		db.At, db.Only = d.base, true
	}
	return db, true, nil
}

// IsMirror tells module proxies and databases that serve everyone.
func IsMirror(host string) bool { return slices.Contains(mirrors(), hostname(host)) }

// Spares are mirrors that may stand in for a public proxy that fails.
func Spares() []string { return []string{"https://goproxy.cn", "https://goproxy.io"} }
