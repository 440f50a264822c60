package state

import "context"

// Setting reads a word that was set; ok is false where none was.
func (r Reader) Setting(ctx context.Context, name string) (value string, ok bool, err error) {
	value, err = one(ctx, r, word, "SELECT value FROM settings WHERE name = ?1", name)
	return found(value, err)
}

// SetSetting sets a word.
func (tx *Tx) SetSetting(ctx context.Context, name, value string) error {
	_, err := tx.exec(ctx, "INSERT INTO settings(name, value, updated_at) VALUES(?1, ?2, ?3) ON CONFLICT(name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at", name, value, micros(tx.now()))
	return err
}

// FirstSetting sets a word where there is none, and tells which there is: of two that do
// so at once, the later gets the word of the first.
func (tx *Tx) FirstSetting(ctx context.Context, name, value string) (string, error) {
	if _, err := tx.exec(ctx, "INSERT INTO settings(name, value, updated_at) VALUES(?1, ?2, ?3) ON CONFLICT(name) DO NOTHING", name, value, micros(tx.now())); err != nil {
		return "", err
	}
	value, _, err := tx.Setting(ctx, name)
	return value, err
}
