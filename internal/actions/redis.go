package actions

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/playbook"
)

// Redis is a server of Redis and what may be done there. Of a cluster it is one node.
type Redis struct {
	// Address is HOST:PORT, or unix: and a path.
	Address string
	User    string
	// Password is a reference.
	Password string
	DB       int
	// TLS; CA is a file, "": those of the system.
	TLS bool
	CA  string
	// Write says that playbooks with allow: write may change data there.
	Write bool
	// Commands are those that may be used beside the known ones that read or write data:
	// "CONFIG SET", "SCRIPT KILL". None is so by itself.
	Commands []string
}

// redisAction sends commands. Its name keeps that of the library free.
type redisAction struct{ s *Set }

// admitted holds an action to the policy, and returns its command in words.
func (a redisAction) admitted(r Request) (name string, to Redis, words []string, err error) {
	if name, to, err = pick(r, "Redis", "redis", a.s.o.Redis); err != nil {
		return name, to, nil, err
	}
	command := strings.ToUpper(r.text("command", "UNLINK"))
	nature, writes := playbook.RedisNature(command)
	if r.text("evict", "") != "" {
		nature, writes = playbook.Nature{}, true
	}
	words = strings.Fields(command)
	named := slices.ContainsFunc(to.Commands, func(c string) bool { return strings.EqualFold(c, command) })
	switch {
	case nature.Reads:
	case r.text("allow", "") != "write":
		err = msg.Wrong("do.redis.write", command)
	case named:
	case !writes:
		err = msg.Wrong("do.redis.command", command, name)
	case !to.Write:
		err = msg.Wrong("do.redis.readonly", name)
	}
	return name, to, words, err
}

func (a redisAction) plan(r Request) (lines []msg.Reason, err error) {
	name, _, words, err := a.admitted(r)
	if pattern := r.text("evict", ""); pattern != "" {
		var condition msg.Reason
		switch ttl := r.text("ttl", "any"); ttl {
		case "any":
		case "none":
			condition = msg.Because("plan.line.redis.evict.none")
		default:
			condition = msg.Because("plan.line.redis.evict.ttl", ttl)
		}
		return []msg.Reason{msg.Because("plan.line.redis.evict", strconv.Quote(pattern), condition, name, r.number("most", usualMost), r.number("per_second", usualRate))}, err
	}
	told := []any{strings.Join(words, " "), fmt.Sprintf("%q", r.Params["args"].Texts), name}
	if e := r.text("expect", ""); e != "" {
		return []msg.Reason{msg.Because("plan.line.redis.send.expect", append(told, strings.TrimSpace(r.text("field", "")+" "+e))...)}, err
	}
	return []msg.Reason{msg.Because("plan.line.redis.send", told...)}, err
}

const (
	usualMost = 100_000
	usualRate = 1000
)

// open connects, and learns that there is somebody who answers.
func (a redisAction) open(ctx context.Context, name string, to Redis) (*redis.Client, error) {
	password, err := vaultOf(ctx).opened(to.Password)
	if err != nil {
		return nil, err
	}
	o := &redis.Options{
		Addr: to.Address, Username: to.User, Password: password, DB: to.DB, Protocol: 2,
		MaxRetries: -1, // a command is never sent twice
		PoolSize:   1, ContextTimeoutEnabled: true, DisableIdentity: true, DialTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if path, ok := strings.CutPrefix(to.Address, "unix:"); ok {
		o.Network, o.Addr = "unix", path
	}
	if to.TLS {
		host, _, _ := strings.Cut(to.Address, ":")
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
		if o.TLSConfig.RootCAs, err = authorities(to.CA); err != nil {
			return nil, err
		}
	}
	c := redis.NewClient(o)
	if err := c.Ping(ctx).Err(); err != nil {
		_ = c.Close()
		return nil, redisError("connecting to "+name, err, ErrAgain)
	}
	return c, nil
}

// authorities reads a file of certificates; nil: those of the system.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // crypto/tls takes nil for the system's
	}
	text, err := plainfile.Read(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, msg.Wrong("do.nocertificate", file)
	}
	return pool, nil
}

// redisError tells what the server refused from what was cut off; the latter means lost.
func redisError(doing string, err, lost error) error {
	var refused redis.Error
	if !errors.As(err, &refused) {
		return msg.Wrong("do.about.kind", doing, err, lost)
	}
	code, _, _ := strings.Cut(refused.Error(), " ")
	switch code {
	case "LOADING", "BUSY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN":
		return msg.Wrong("do.about.kind", doing, err, ErrAgain)
	case "READONLY":
		return msg.Wrong("do.redis.replica", doing, err)
	}
	return msg.Wrong("do.about", doing, err)
}

func (a redisAction) do(ctx context.Context, r Request) (res Result, err error) {
	name, to, words, err := a.admitted(r)
	if err != nil {
		return res, err
	}
	c, err := a.open(ctx, name, to)
	if err != nil {
		return res, err
	}
	defer func() { _ = c.Close() }()
	if r.text("evict", "") != "" {
		return evict(ctx, c, name, r)
	}
	nature, _ := playbook.RedisNature(strings.Join(words, " "))
	lost := ErrUnsure
	if nature.Reads {
		lost = ErrAgain
	}
	args := make([]any, 0, len(words)+len(r.Params["args"].Texts))
	for _, w := range append(words, r.Params["args"].Texts...) {
		args = append(args, w)
	}
	got, err := c.Do(ctx, args...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return res, redisError(strings.Join(words, " "), err, lost)
	}
	if field := r.text("field", ""); field != "" {
		if got, err = infoField(fmt.Sprint(got), field); err != nil {
			return res, err
		}
	}
	room := replyRoom
	res = Result{Summary: strings.Join(words, " ") + " in " + name + ": answered", Data: reply(got, &room)}
	res.Output = fmt.Sprint(res.Data)
	if e := r.text("expect", ""); e != "" {
		op, number := playbook.Expectation(e)
		if v := fmt.Sprint(got); !compare(v, op, number) {
			return res, msg.Wrong("do.expect", short(v, 100), op, number)
		}
	}
	return res, nil
}

const replyRoom = 16 << 10

// reply keeps of an answer what fits into room.
func reply(v any, room *int) any {
	switch v := v.(type) {
	case string:
		v = short(strings.ToValidUTF8(v, "?"), max(*room, len("…")))
		*room -= len(v)
		return v
	case []any:
		out := []any{}
		for _, e := range v {
			if *room <= 0 {
				return append(out, "…")
			}
			*room -= 8 // an element costs, too
			out = append(out, reply(e, room))
		}
		return out
	}
	return v
}

// infoField is the value of a line of INFO.
func infoField(text, field string) (string, error) {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && k == field {
			return v, nil
		}
	}
	return "", msg.Wrong("do.redis.info", short(field, 100))
}

// evicted is what an eviction came to.
type evicted struct {
	Looked       int64 `json:"looked_at"`
	Unlinked     int64 `json:"unlinked"`
	MemoryBefore int64 `json:"memory_before"`
	MemoryAfter  int64 `json:"memory_after"`
	// More says that the limit or the time ended it, not the end of the keys.
	More bool `json:"more"`
}

// evict unlinks keys as they are found: never all at once, which would hold up the server
// that is in trouble already.
func evict(ctx context.Context, c *redis.Client, name string, r Request) (Result, error) {
	const batch = 500
	e := evicted{MemoryBefore: memory(ctx, c)}
	most, rate := r.number("most", usualMost), r.number("per_second", usualRate)
	began := time.Now()
	cursor := uint64(0)
	var failed error
	for {
		var keys []string
		if keys, cursor, failed = c.Scan(ctx, cursor, r.text("evict", ""), batch).Result(); failed != nil {
			break
		}
		e.Looked += int64(len(keys))
		if keys, failed = withTime(ctx, c, keys, r.text("ttl", "any")); failed != nil {
			break
		}
		for len(keys) > 0 && failed == nil && e.Unlinked < most {
			part := keys[:min(int64(len(keys)), most-e.Unlinked, max(rate/10, 1))]
			keys = keys[len(part):]
			var n int64
			n, failed = unlink(ctx, c, part)
			e.Unlinked += n
			// So many a second on the whole: the pause is what the rate is ahead of the clock.
			if ahead := time.Duration(e.Unlinked)*time.Second/time.Duration(rate) - time.Since(began); ahead > 0 && failed == nil && (len(keys) > 0 || cursor != 0) {
				select {
				case <-ctx.Done():
					failed = ctx.Err()
				case <-time.After(ahead):
				}
			}
		}
		if e.More = len(keys) > 0 || cursor != 0 && e.Unlinked >= most; failed != nil || e.More || cursor == 0 {
			break
		}
	}
	e.More = e.More || failed != nil
	e.MemoryAfter = memory(context.WithoutCancel(ctx), c)
	res := Result{Data: e, Summary: fmt.Sprintf("unlinked %d keys in %s, memory %d MB before, %d MB now", e.Unlinked, name, e.MemoryBefore>>20, e.MemoryAfter>>20)}
	if failed != nil {
		return res, redisError(fmt.Sprintf("unlinking keys, %d are gone", e.Unlinked), failed, ErrAgain)
	}
	return res, nil
}

// withTime leaves those keys whose time to live is meant.
func withTime(ctx context.Context, c *redis.Client, keys []string, ttl string) ([]string, error) {
	op, than, ok := playbook.TimeLeft(ttl)
	if !ok {
		return nil, msg.Wrong("do.redis.ttl", ttl)
	}
	if op == "any" || len(keys) == 0 {
		return keys, nil
	}
	times := make([]*redis.DurationCmd, len(keys))
	_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, k := range keys {
			times[i] = p.PTTL(ctx, k)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	const endless = -1 // PTTL's word for a key without an end
	var out []string
	for i, k := range keys {
		left := times[i].Val()
		if op == "none" && left == endless || left >= 0 && (op == "<" && left < than || op == ">" && left > than) {
			out = append(out, k)
		}
	}
	return out, nil
}

// unlink sends one command a key, which also a node of a cluster takes.
func unlink(ctx context.Context, c *redis.Client, keys []string) (n int64, err error) {
	gone := make([]*redis.IntCmd, len(keys))
	_, err = c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, k := range keys {
			gone[i] = p.Unlink(ctx, k)
		}
		return nil
	})
	for _, g := range gone {
		n += g.Val()
	}
	return n, err
}

// memory is what the server uses, 0 where it does not tell.
func memory(ctx context.Context, c *redis.Client) int64 {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	used, err := infoField(c.Info(ctx, "memory").Val(), "used_memory")
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(used, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// probe looks at the keys of what can be seen in them.
func (a redisAction) probe(ctx context.Context, r Request) (bool, error) {
	name, to, words, err := a.admitted(r)
	if err != nil {
		return false, err
	}
	if r.text("evict", "") != "" {
		return false, nil // whatever is gone, the rest can go
	}
	args := r.Params["args"].Texts
	command := strings.Join(words, " ")
	switch {
	case command == "DEL", command == "UNLINK", command == "SET" && len(args) == 2:
	default:
		return false, ErrCannotTell
	}
	c, err := a.open(ctx, name, to)
	if err != nil {
		return false, err
	}
	defer func() { _ = c.Close() }()
	if command == "SET" {
		v, err := c.Get(ctx, args[0]).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return false, redisError("looking at the key", err, ErrAgain)
		}
		return err == nil && v == args[1], nil
	}
	n, err := c.Exists(ctx, args...).Result()
	if err != nil {
		return false, redisError("looking at the keys", err, ErrAgain)
	}
	return n == 0, nil
}
