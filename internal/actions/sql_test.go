package actions_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/keepwell/keepwell/internal/actions"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

func TestSQL(t *testing.T) {
	t.Parallel()
	address := statetest.PostgreSQL(t)
	ctx := t.Context()
	admin, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.WithoutCancel(ctx)) })
	exec := func(q string) {
		t.Helper()
		if _, err := admin.Exec(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE users (id int PRIMARY KEY, name text, seen timestamptz DEFAULT '2026-01-02 03:04:05Z')")
	exec("INSERT INTO users (id, name) SELECT i, 'user ' || i FROM generate_series(1, 5000) i")
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	wrong := *u
	wrong.User = url.UserPassword("nobody-known", "correct-horse-battery")
	set := actions.New(actions.Options{Secrets: secrets, Databases: map[string]actions.Database{
		"rw": {URL: address, Write: true}, "ro": {URL: address},
		"wrong": {URL: strings.ReplaceAll(wrong.String(), "correct-horse-battery", "${secret:TOKEN}")}, "broken": {URL: "postgres://u:${secret:TOKEN}@:x/y"},
		"gone": {URL: "postgres://u:${secret:TOKEN}@127.0.0.1:1/d"},
	}})
	s := scope()
	s.Alert.Labels["evil"] = "1'; DROP TABLE users; --"
	for _, row := range []struct {
		action, output, want string
		again                bool
	}{
		{`sql: {query: "SELECT id, name, NULL AS none, seen FROM users WHERE id = $1", args: ["7"], in: ro}`, "id\tname\tnone\tseen\n7\tuser 7\tNULL\t2026-01-02 03:04:05+00\n", "", false},
		{`sql: {query: "SELECT $1::text AS said", args: ["{{ .labels.evil }}"], in: ro}`, "said\n1'; DROP TABLE users; --\n", "", false},
		{`sql: {query: "SELECT count(*) FROM users", expect: "== 5000", in: ro}`, "count\n5000\n", "", false},
		{`sql: {query: "SELECT count(*) FROM users", expect: "< 5000", in: ro}`, "count\n5000\n", "5000 is not < 5000", false},
		{`sql: {query: "SELECT id FROM users WHERE false", expect: "< 5000", in: ro}`, "id\n", "no rows", false},
		{`sql: {query: "SELECT id FROM users ORDER BY id", rows: 2, in: ro}`, "id\n1\n2\n…\n", "", false},
		{`sql: {query: "SELECT id FROM users ORDER BY id", rows: 2, expect: "> 0", in: ro}`, "", "not all were compared", false},
		{`sql: {query: "WITH gone AS (DELETE FROM users RETURNING id) SELECT id FROM gone", in: rw}`, "", "hint: allow: write", false},
		{`sql: {query: "DELETE FROM users WHERE id = $1", args: ["9"], allow: write, in: ro}`, "", "hint: databases.ro.write", false},
		{`sql: {query: "DELETE FROM users WHERE id <= $1", args: ["9"], allow: write, in: rw}`, "", "", false},
		{`sql: {query: "UPDATE users SET name = $1 WHERE id = 10 RETURNING name", args: ["{{ .labels.evil }}"], allow: write, in: rw}`, "name\n1'; DROP TABLE users; --\n", "", false},
		{`sql: {query: "COMMIT", allow: write, in: rw}`, "", "", false},
		{`sql: {query: "SELECT 1", in: wrong}`, "", "connecting to the database", false},
		{`sql: {query: "SELECT 1", in: broken}`, "", "hint: databases.broken.url", false},
		{`sql: {query: "SELECT 1", in: gone}`, "", "connecting to the database", true},
		{`sql: {query: "SELECT 1", in: other}`, "", "hint: databases", false},
		{`sql: {query: "SELECT nothing", in: ro}`, "", "42703", false},
		{`sql: {query: "SELECT $1::int", args: ["{{ .labels.evil }}"], in: ro}`, "", "refused it", false},
	} {
		res, err := set.Do(ctx, request(t, row.action, s))
		if strings.Contains(row.action, "COMMIT") {
			continue // whatever it says, what follows must hold
		}
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) || row.output != "" && res.Output != row.output {
			t.Errorf("%s: %+v %v", row.action, res, err)
		}
		if err != nil && (errors.Is(err, actions.ErrAgain) != row.again || errors.Is(err, actions.ErrUnsure) || strings.Contains(err.Error(), "horse")) {
			t.Errorf("%s: %v", row.action, err)
		}
	}
	left := 0
	if err := admin.QueryRow(ctx, "SELECT count(*) FROM users").Scan(&left); err != nil || left != 4991 {
		t.Errorf("%d rows are left: %v", left, err)
	}
	// The server ends a statement when the step's time is up, also where somebody else holds a lock.
	exec("BEGIN")
	exec("LOCK TABLE users")
	limited, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	if _, err := set.Do(limited, request(t, `sql: {query: "DELETE FROM users", allow: write, in: rw}`, s)); !errors.Is(err, actions.ErrAgain) || errors.Is(err, actions.ErrUnsure) {
		t.Errorf("behind a lock: %v", err)
	}
	exec("COMMIT")
	lines, err := planned(set, request(t, `sql: {query: "DELETE FROM users WHERE name = $1", args: ["{{ .labels.evil }}"], allow: write, in: rw}`, s))
	if err != nil || strings.Join(lines, "|") != `in rw, in a transaction that may write: DELETE FROM users WHERE name = $1|$1 is "1'; DROP TABLE users; --"` {
		t.Errorf("planned %q %v", lines, err)
	}
}
