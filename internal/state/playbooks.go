package state

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Mode says what a playbook may do.
type Mode string

// The modes of a playbook.
const (
	ModeObserve Mode = "observe" // goes through everything and acts on nothing
	ModeActive  Mode = "active"
	ModeOff     Mode = "off"
)

// Playbook is one version of a playbook's text. Versions are never changed or removed:
// runs point at them.
type Playbook struct {
	Name    string    `json:"name"`
	Version string    `json:"version"` // PlaybookVersion(Text)
	Text    string    `json:"text"`
	Origin  string    `json:"origin"` // the file, or who sent it
	Stored  time.Time `json:"stored"`
}

// CurrentPlaybook is the version in force, with its mode.
type CurrentPlaybook struct {
	Playbook
	Mode  Mode      `json:"mode"`
	Since time.Time `json:"since"`
	By    string    `json:"by"`
}

// PlaybookVersion is the sha256 of a text, in hex.
func PlaybookVersion(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// PutPlaybook stores a version; one that is there already stays as it is. It puts
// nothing in force.
func (tx *Tx) PutPlaybook(ctx context.Context, name, text, origin string) (version string, err error) {
	version = PlaybookVersion(text)
	_, err = tx.exec(ctx, "INSERT INTO playbooks(name, version, text, origin, stored_at) VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING", name, version, text, origin, micros(tx.now()))
	return version, err
}

// SetMode puts a stored version in force in a mode; ErrConflict where it is not stored.
func (tx *Tx) SetMode(ctx context.Context, name, version string, mode Mode, by string) error {
	return tx.must(ctx, "INSERT INTO playbook_modes(name, version, mode, since, set_by) SELECT name, version, ?3, ?4, ?5 FROM playbooks WHERE name = ?1 AND version = ?2 "+
		"ON CONFLICT(name) DO UPDATE SET version = excluded.version, mode = excluded.mode, since = excluded.since, set_by = excluded.set_by",
		name, version, string(mode), micros(tx.now()), by)
}

const currentQuery = "SELECT p.name, p.version, p.text, p.origin, p.stored_at, m.mode, m.since, m.set_by FROM playbook_modes m JOIN playbooks p ON p.name = m.name AND p.version = m.version"

func scanCurrent(s scanner) (c CurrentPlaybook, err error) {
	var us [2]int64
	err = s.Scan(&c.Name, &c.Version, &c.Text, &c.Origin, &us[0], &c.Mode, &us[1], &c.By)
	whens([]*time.Time{&c.Stored, &c.Since}, us[:])
	return c, err
}

// CurrentPlaybooks lists the playbooks in force, in any mode, by name.
func (r Reader) CurrentPlaybooks(ctx context.Context) ([]CurrentPlaybook, error) {
	return list(ctx, r, scanCurrent, currentQuery+" ORDER BY p.name")
}

// CurrentPlaybook reads the version of a playbook that is in force.
func (r Reader) CurrentPlaybook(ctx context.Context, name string) (CurrentPlaybook, error) {
	return one(ctx, r, scanCurrent, currentQuery+" WHERE m.name = ?1", name)
}

func scanPlaybook(s scanner) (p Playbook, err error) {
	var us int64
	err = s.Scan(&p.Name, &p.Version, &p.Text, &p.Origin, &us)
	p.Stored = when(us)
	return p, err
}

// Playbook reads one version.
func (r Reader) Playbook(ctx context.Context, name, version string) (Playbook, error) {
	return one(ctx, r, scanPlaybook, "SELECT name, version, text, origin, stored_at FROM playbooks WHERE name = ?1 AND version = ?2", name, version)
}

// PlaybookVersions lists the versions of a playbook, newest first.
func (r Reader) PlaybookVersions(ctx context.Context, name string) ([]Playbook, error) {
	return list(ctx, r, scanPlaybook, "SELECT name, version, text, origin, stored_at FROM playbooks WHERE name = ?1 ORDER BY stored_at DESC, version", name)
}
