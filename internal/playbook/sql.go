package playbook

import (
	"regexp"
	"strings"
	"sync"
)

func kindSQL() Kind {
	return Kind{
		Name: "sql", Short: "query", Check: true, check: checkSQL, nature: natureOfSQL,
		Doc: Title{"make one statement in PostgreSQL: in a transaction that only reads, unless it may write", "在 PostgreSQL 中执行一条语句：默认在只读事务中"},
		Params: []Param{
			{Name: "query", Type: TypeText, Sink: SinkFixed, Required: true, check: checkStatement, Doc: Title{"the statement; values are $1, $2, … of args", "语句；取值写作 $1、$2……，来自 args"}},
			{Name: "args", Type: TypeTexts, Sink: SinkValue, Doc: Title{"values, never a part of the statement", "取值，绝不会成为语句的一部分"}},
			{Name: "allow", Type: TypeText, Sink: SinkFixed, Enum: []string{"read", "write"}, Doc: Title{"write: it may change something (default: read)", "write：可以产生改动（默认 read）"}},
			{Name: "rows", Type: TypeNumber, Sink: SinkFixed, Least: 1, Most: 1000, Doc: Title{"rows kept of the answer (default: 20)", "结果保留的行数（默认 20）"}},
			{Name: "expect", Type: TypeText, Sink: SinkFixed, check: checkExpect, Doc: Title{"such as \"< 80\": what the first value of every row must be", "例如 \"< 80\"：对每行第一个值的要求"}},
			{Name: "in", Type: TypeText, Sink: SinkFixed, check: checkName, Doc: Title{"database of the server's configuration (default: the only one)", "服务器配置中的数据库（默认：唯一的一个）"}},
		},
	}
}

// checkStatement: the protocol refuses a second statement, too; said here, it is said early.
func checkStatement(s string) *placeFault {
	if strings.ContainsAny(s, ";\x00") {
		return &placeFault{"play.sql.one", nil}
	}
	return nil
}

var (
	readingForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)^\s*(select|with|values|table|show|explain)\b`) })
	// effectForm are functions that do something although the transaction only reads.
	effectForm = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?i)\b(pg_(terminate|cancel)_backend|pg_reload_conf|pg_rotate_logfile|pg_switch_wal|pg_promote|pg_wal_replay_\w+|pg_(create|drop)_\w+|pg_logical_\w+|pg_replication_\w+|pg_(try_)?advisory_\w+|pg_notify|pg_read_\w+|pg_file_\w+|pg_stat_reset\w*|nextval|setval|set_config|dblink\w*|lo_\w+|query_to_xml\w*)"?\s*\(`)
	})
)

// StatementReads tells whether a statement is known to change nothing. The rights of the
// login are what holds; this is what a playbook must say aloud.
func StatementReads(s string) bool {
	return readingForm().MatchString(s) && !effectForm().MatchString(s)
}

func natureOfSQL(a Action) Nature {
	reads := a.Params["allow"].Text.Raw() != "write" && StatementReads(a.Params["query"].Text.Raw())
	return Nature{Reads: reads, Idempotent: reads}
}

func checkSQL(a Action) *placeFault {
	if a.Params["allow"].Text.Raw() != "write" && !natureOfSQL(a).Reads {
		return &placeFault{"play.sql.write", nil}
	}
	return nil
}
