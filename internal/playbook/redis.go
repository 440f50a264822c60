package playbook

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

func kindRedis() Kind {
	return Kind{
		Name: "redis", Short: "command", Check: true, check: checkRedis, nature: natureOfRedis,
		Doc: Title{"send a command to Redis, or unlink keys by a pattern, so many a second", "向 Redis 发送命令，或按模式限速删除键（UNLINK）"},
		Params: []Param{
			{Name: "command", Type: TypeText, Sink: SinkFixed, check: checkRedisCommand, Doc: Title{"name of the command", "命令名"}},
			{Name: "args", Type: TypeTexts, Sink: SinkValue, Doc: Title{"what it works on, one element each", "命令的参数，每项一个"}},
			{Name: "allow", Type: TypeText, Sink: SinkFixed, Enum: []string{"read", "write"}, Doc: Title{"write: it may change something (default: read)", "write：可以产生改动（默认 read）"}},
			{Name: "field", Type: TypeText, Sink: SinkFixed, check: checkName, Doc: Title{"of INFO: one line of it", "INFO：取其中一行"}},
			{Name: "expect", Type: TypeText, Sink: SinkFixed, check: checkExpect, Doc: Title{"such as \"< 80\": what the answer must be", "例如 \"< 80\"：对结果的要求"}},
			{Name: "evict", Type: TypeText, Sink: SinkFixed, check: checkPattern, Doc: Title{"unlink the keys of this pattern, such as \"tmp:*\"", "删除匹配此模式的键，例如 \"tmp:*\""}},
			{Name: "ttl", Type: TypeText, Sink: SinkFixed, check: checkTTL, Doc: Title{"only keys with: any (default), none, \"< 1h\", \"> 1h\" left", "只处理剩余时间符合条件的键：any（默认）、none、\"< 1h\"、\"> 1h\""}},
			{Name: "per_second", Type: TypeNumber, Sink: SinkFixed, Least: 1, Most: 1_000_000, Doc: Title{"keys unlinked a second (default: 1000)", "每秒删除的键数（默认 1000）"}},
			{Name: "most", Type: TypeNumber, Sink: SinkFixed, Least: 1, Most: 100_000_000, Doc: Title{"keys unlinked in all (default: 100000)", "总共最多删除的键数（默认 100000）"}},
			{Name: "in", Type: TypeText, Sink: SinkFixed, check: checkName, Doc: Title{"Redis of the server's configuration (default: the only one)", "服务器配置中的 Redis（默认：唯一的一个）"}},
		},
	}
}

var commandForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._]*( [A-Za-z][A-Za-z-]*)?$`) })

func checkRedisCommand(s string) *placeFault {
	if !commandForm().MatchString(s) {
		return &placeFault{"play.redis.name", []any{cut(s)}}
	}
	return nil
}

func checkPattern(s string) *placeFault {
	const least = 3
	if len(s) > 256 || strings.ContainsAny(s, "\x00\n") || len(strings.Trim(strings.NewReplacer("*", "", "?", "", "[", "", "]", "", "^", "", "-", "", `\`, "").Replace(s), " ")) < least {
		return &placeFault{"play.redis.pattern", []any{cut(s)}}
	}
	return nil
}

func checkTTL(s string) *placeFault {
	if _, _, ok := TimeLeft(s); !ok {
		return &placeFault{"play.redis.ttl", []any{cut(s)}}
	}
	return nil
}

// TimeLeft takes apart a condition on the time that keys have left: op is any, none, < or >.
func TimeLeft(s string) (op string, than time.Duration, ok bool) {
	s = strings.TrimSpace(s)
	switch {
	case s == "any" || s == "none":
		return s, 0, true
	case strings.HasPrefix(s, "<") || strings.HasPrefix(s, ">"):
		than, ok = parseDuration(s[1:])
		return s[:1], than, ok && than > 0
	}
	return "", 0, false
}

// RedisNature is what is known of a command by its name; writes: it is known, and changes
// something. What is not known may do anything.
func RedisNature(command string) (n Nature, writes bool) {
	name := strings.ToUpper(command)
	in := func(list string) bool { return slices.Contains(strings.Split(list, ","), name) }
	switch {
	case in("GET,MGET,EXISTS,TYPE,TTL,PTTL,STRLEN,GETRANGE,LLEN,LRANGE,LINDEX,HLEN,HGET,HMGET,HEXISTS,SCARD,SISMEMBER,ZCARD,ZCOUNT,ZSCORE,ZRANGE,XLEN,DBSIZE,INFO,PING,TIME,LASTSAVE,ROLE,SCAN,MEMORY USAGE,MEMORY STATS,OBJECT IDLETIME,OBJECT ENCODING,OBJECT FREQ,SLOWLOG LEN,LATENCY LATEST,CLUSTER INFO,XPENDING,PFCOUNT"):
		return Nature{Reads: true, Idempotent: true}, false
	case in("DEL,UNLINK,PERSIST,HDEL,SADD,SREM,ZREM,LTRIM,XTRIM,HSET,MEMORY PURGE"):
		return Nature{Idempotent: true}, true
	}
	return Nature{}, in("SET,SETEX,PSETEX,EXPIRE,PEXPIRE,EXPIREAT,INCR,INCRBY,DECR,DECRBY,APPEND,LPUSH,RPUSH,LPOP,RPOP,LREM,ZADD,XADD,XDEL,HINCRBY,RENAMENX,COPY,PUBLISH")
}

func natureOfRedis(a Action) Nature {
	if a.Has("evict") {
		return Nature{Idempotent: true}
	}
	n, _ := RedisNature(a.Params["command"].Text.Raw())
	return n
}

func checkRedis(a Action) *placeFault {
	has := func(names ...string) bool { return slices.ContainsFunc(names, a.Has) }
	command := a.Params["command"].Text.Raw()
	write := a.Params["allow"].Text.Raw() == "write"
	switch {
	case a.Has("command") == a.Has("evict"), a.Has("evict") && has("args", "field", "expect"), a.Has("command") && has("ttl", "per_second", "most"):
		return &placeFault{"play.redis.form", nil}
	case !write && !natureOfRedis(a).Reads:
		return &placeFault{"play.redis.write", []any{cut(command + a.Params["evict"].Text.Raw())}}
	case strings.EqualFold(command, "INFO") && a.Has("expect") && !a.Has("field"), a.Has("field") && !strings.EqualFold(command, "INFO"):
		return &placeFault{"play.redis.field", nil}
	}
	return nil
}
