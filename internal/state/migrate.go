package state

import (
	"context"
	"embed"
	"fmt"
	"strconv"
	"strings"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the tables up to date, under a lock that lets one node do it while the
// others wait and then find it done.
func (s *State) migrate(ctx context.Context) error {
	files, err := migrations.ReadDir("migrations") // sorted by name
	if err != nil {
		return err
	}
	return s.Tx(ctx, func(tx *Tx) error {
		if err := tx.LockSchema(ctx); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, "CREATE TABLE IF NOT EXISTS keepwell_schema(version BIGINT NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)"); err != nil {
			return err
		}
		have, err := one(ctx, tx.Reader, number, "SELECT COALESCE(MAX(version), 0) FROM keepwell_schema")
		if err != nil {
			return err
		}
		if have > int64(len(files)) {
			return fmt.Errorf("its tables have version %d, this keepwell knows %d (hint: a newer keepwell wrote them; run that one)", have, len(files))
		}
		for i, file := range files[have:] {
			version := have + int64(i) + 1
			if n, err := strconv.ParseInt(strings.TrimSuffix(file.Name(), ".sql"), 10, 64); err != nil || n != version {
				return fmt.Errorf("migration %s stands in the place of number %d", file.Name(), version)
			}
			text, err := migrations.ReadFile("migrations/" + file.Name())
			if err != nil {
				return err
			}
			// As it is: statements of a schema have no parameters.
			if _, err := tx.SQL.ExecContext(ctx, s.kind.types().Replace(string(text))); err != nil {
				return fmt.Errorf("migration %s: %w", file.Name(), err)
			}
			if _, err := tx.exec(ctx, "INSERT INTO keepwell_schema(version, applied_at) VALUES(?1, ?2)", version, micros(s.now())); err != nil {
				return err
			}
		}
		return nil
	})
}
