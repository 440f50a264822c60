package actions

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/playbook"
)

// Database is a PostgreSQL database and what may be done there. The rights of its login
// are what holds in the end: give it the least that the playbooks need.
type Database struct {
	// URL is postgres://USER:${secret:NAME}@HOST/DATABASE?sslmode=verify-full.
	URL string
	// Write says that playbooks with allow: write may change something there.
	Write bool
}

// sqlAction makes statements.
type sqlAction struct{ s *Set }

func (a sqlAction) admitted(r Request) (name string, to Database, write bool, err error) {
	if name, to, err = pick(r, "database", "databases", a.s.o.Databases); err != nil {
		return name, to, false, err
	}
	write = r.text("allow", "") == "write"
	switch {
	case !write && !playbook.StatementReads(r.text("query", "")):
		err = msg.Wrong("do.sql.write")
	case write && !to.Write:
		err = msg.Wrong("do.sql.readonly", name)
	}
	return name, to, write, err
}

func (a sqlAction) plan(r Request) (lines []msg.Reason, err error) {
	name, _, write, err := a.admitted(r)
	line := msg.Because("plan.line.sql.reads", name, r.text("query", ""))
	if write {
		line = msg.Because("plan.line.sql.writes", name, r.text("query", ""))
	}
	lines = append(lines, line)
	for i, v := range r.Params["args"].Texts {
		lines = append(lines, msg.Because("plan.line.sql.arg", i+1, strconv.Quote(v)))
	}
	if e := r.text("expect", ""); e != "" {
		lines = append(lines, msg.Because("plan.line.expects", e))
	}
	return lines, err
}

// open connects. Errors of parsing are not told: they may hold the password.
func (a sqlAction) open(ctx context.Context, name string, to Database, write bool) (*pgx.Conn, error) {
	address, err := vaultOf(ctx).opened(to.URL)
	if err != nil {
		return nil, err
	}
	cfg, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, msg.Wrong("do.sql.address", name, name)
	}
	vaultOf(ctx).learn(cfg.Password)
	cfg.ConnectTimeout = 10 * time.Second
	limit := time.Hour
	if end, ok := ctx.Deadline(); ok {
		limit = time.Until(end)
	}
	cfg.RuntimeParams["application_name"] = "keepwell"
	// The server ends what takes longer even where it never hears of us again.
	cfg.RuntimeParams["statement_timeout"] = strconv.FormatInt(max(limit.Milliseconds(), 1), 10)
	cfg.RuntimeParams["idle_in_transaction_session_timeout"] = "60000"
	if !write {
		cfg.RuntimeParams["default_transaction_read_only"] = "on"
	}
	c, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		var refused *pgconn.PgError
		if errors.As(err, &refused) {
			return nil, msg.Wrong("do.sql.connect", name, refused.Message)
		}
		return nil, msg.Wrong("do.sql.connect.kind", name, err, ErrAgain)
	}
	return c, nil
}

func (a sqlAction) do(ctx context.Context, r Request) (res Result, err error) {
	name, to, write, err := a.admitted(r)
	if err != nil {
		return res, err
	}
	c, err := a.open(ctx, name, to, write)
	if err != nil {
		return res, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = c.Close(ctx)
	}()
	mode := pgx.ReadOnly
	if write {
		mode = pgx.ReadWrite
	}
	tx, err := c.BeginTx(ctx, pgx.TxOptions{AccessMode: mode})
	if err != nil {
		return res, sqlError(err, ErrAgain)
	}
	got, err := ask(ctx, tx, r, write)
	if err != nil {
		return res, sqlError(err, ErrAgain) // nothing was committed
	}
	if write {
		if err := tx.Commit(ctx); err != nil {
			return res, sqlError(err, ErrUnsure)
		}
	}
	res = Result{Data: got, Output: got.text(), Summary: fmt.Sprintf("%s: %d rows", name, len(got.Rows))}
	if write {
		res.Summary = fmt.Sprintf("%s: %s", name, got.Tag)
	}
	return res, got.meets(r.text("expect", ""))
}

// table is what is kept of an answer. NULL is nil.
type table struct {
	Columns []string    `json:"columns"`
	Rows    [][]*string `json:"rows"`
	// More says that rows or texts were left out.
	More bool `json:"more"`
	// Tag is what PostgreSQL says was done: "UPDATE 3".
	Tag string `json:"tag,omitempty"`
}

func ask(ctx context.Context, tx pgx.Tx, r Request, write bool) (got table, err error) {
	args := []any{pgx.QueryResultFormats{pgx.TextFormatCode}}
	for _, v := range r.Params["args"].Texts {
		args = append(args, v)
	}
	rows, err := tx.Query(ctx, r.text("query", ""), args...)
	if err != nil {
		return got, err
	}
	defer rows.Close()
	for _, f := range rows.FieldDescriptions() {
		got.Columns = append(got.Columns, f.Name)
	}
	const usual = 20
	most, room := r.number("rows", usual), replyRoom
	for rows.Next() {
		if int64(len(got.Rows)) >= most || room <= 0 {
			if got.More = true; write {
				continue // the statement must come to its end
			}
			// What is left is not fetched: the connection ends here.
			ended, cancel := context.WithCancel(ctx)
			cancel()
			_ = tx.Conn().Close(ended)
			return got, nil
		}
		row := []*string{}
		for _, v := range rows.RawValues() {
			if v == nil {
				row = append(row, nil)
				continue
			}
			text := short(strings.ToValidUTF8(string(v), "?"), max(room, len("…")))
			got.More = got.More || len(text) < len(v)
			room -= len(text) + 1
			row = append(row, &text)
		}
		got.Rows = append(got.Rows, row)
	}
	got.Tag = rows.CommandTag().String()
	return got, rows.Err()
}

// text shows a table to people.
func (t table) text() string {
	var b strings.Builder
	b.WriteString(strings.Join(t.Columns, "\t") + "\n")
	for _, row := range t.Rows {
		for i, v := range row {
			if i > 0 {
				b.WriteByte('\t')
			}
			if v == nil {
				b.WriteString("NULL")
				continue
			}
			b.WriteString(*v)
		}
		b.WriteByte('\n')
	}
	if t.More {
		b.WriteString("…\n")
	}
	return b.String()
}

// meets holds the first value of every row to an expectation; no row meets none.
func (t table) meets(expect string) error {
	if expect == "" {
		return nil
	}
	if len(t.Rows) == 0 {
		return msg.Wrong("do.sql.norows")
	}
	if t.More {
		return msg.Wrong("do.sql.rows")
	}
	op, number := playbook.Expectation(expect)
	for _, row := range t.Rows {
		switch {
		case len(row) == 0 || row[0] == nil:
			return msg.Wrong("do.sql.null", op, number)
		case !compare(*row[0], op, number):
			return msg.Wrong("do.expect", short(*row[0], 100), op, number)
		}
	}
	return nil
}

// sqlError tells what PostgreSQL refused from what was cut off; the latter means lost.
func sqlError(err, lost error) error {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return msg.Wrong("do.sql.statement", err, lost)
	}
	const classOf = 2
	text := msg.Wrong("do.sql.refused", refused.Message, refused.Code)
	switch class := refused.Code[:min(classOf, len(refused.Code))]; {
	case class == "40" || class == "53" || class == "57" || refused.Code == "55P03": // deadlock, no room, shutting down, locked
		return msg.Wrong("do.pair", text, ErrAgain)
	case refused.Code == "25006":
		return msg.Wrong("do.sql.hint.write", text)
	case refused.Code == "42501":
		return msg.Wrong("do.sql.hint.right", text)
	}
	return text
}
