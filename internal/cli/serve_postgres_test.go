package cli_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/keepwell/keepwell/internal/state/statetest"
)

// TestServeOnPostgreSQL is the session of serve.txtar on the other database.
func TestServeOnPostgreSQL(t *testing.T) {
	t.Parallel()
	database := statetest.PostgreSQL(t)
	testscript.Run(t, testscript.Params{
		Files: []string{filepath.Join("testdata", "script", "serve.txtar")},
		Setup: func(e *testscript.Env) error {
			e.Setenv("LANG", "C.UTF-8")
			e.Setenv("KEEPWELL_DATABASE", database)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "postgresql" {
				return true, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "valid": valid, "await": await, "request": request},
	})
}
