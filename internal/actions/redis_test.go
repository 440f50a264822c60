package actions_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/keepwell/keepwell/internal/actions"
)

const redisPassword = "a-password-of-redis"

// startRedis runs a real server on a socket of its own.
func startRedis(t *testing.T) (address string, c *redis.Client) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed (Debian: redis-server)")
	}
	dir, err := os.MkdirTemp("", "redis") //nolint:usetesting // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	cmd := exec.CommandContext(context.Background(), "redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir, "--requirepass", redisPassword, "--maxmemory", "64mb")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "ready to accept connections") {
			c = redis.NewClient(&redis.Options{Network: "unix", Addr: socket, Password: redisPassword})
			t.Cleanup(func() { _ = c.Close() })
			return "unix:" + socket, c
		}
	}
	t.Fatal("redis-server ended before it was ready")
	return "", nil
}

func redisSecrets(name string) (string, error) {
	if name == "REDIS" {
		return redisPassword, nil
	}
	return secrets(name)
}

func TestRedis(t *testing.T) {
	t.Parallel()
	address, c := startRedis(t)
	set := actions.New(actions.Options{Secrets: redisSecrets, Redis: map[string]actions.Redis{
		"cache": {Address: address, Password: "${secret:REDIS}", Write: true, Commands: []string{"config get"}},
		"main":  {Address: address, Password: "${secret:REDIS}"},
		"wrong": {Address: address, Password: "${secret:TOKEN}"},
		"none":  {Address: "unix:/nonexistent/redis.sock"},
	}})
	ctx := t.Context()
	if err := c.Set(ctx, "a", "41", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s := scope()
	s.Alert.Labels["key"] = "evil\r\nFLUSHALL\r\n"
	for _, row := range []struct{ action, output, want string }{
		{`redis: {command: get, args: [a], in: main}`, "41", ""},
		{`redis: {command: GET, args: [a], expect: "< 42", in: main}`, "41", ""},
		{`redis: {command: GET, args: [a], expect: "> 42", in: main}`, "41", "41 is not > 42"},
		{`redis: {command: SET, args: ["{{ .labels.key }}", "{{ .labels.evil }}"], allow: write, in: cache}`, "OK", ""},
		{`redis: {command: MGET, args: ["{{ .labels.key }}", none], in: main}`, "[" + strings.TrimSuffix(fmt.Sprint(scope().Alert.Labels["evil"]), "\n") + " <nil>]", ""},
		{`redis: {command: INFO, args: [memory], field: used_memory, expect: "< 64000000", in: main}`, "", ""},
		{`redis: {command: SET, args: [a, b], allow: write, in: main}`, "", "hint: redis.main.write"},
		{`redis: {command: FLUSHALL, allow: write, in: cache}`, "", "hint: redis.cache.commands"},
		{`redis: {command: EVAL, args: ["return 1", "0"], allow: write, in: cache}`, "", "hint: redis.cache.commands"},
		{`redis: {command: CONFIG SET, args: [maxmemory, "0"], allow: write, in: cache}`, "", "hint: redis.cache.commands"},
		{`redis: {command: CONFIG GET, args: [maxmemory], allow: write, in: cache}`, "[maxmemory 67108864]", ""},
		{`redis: {command: MEMORY PURGE, allow: write, in: cache}`, "OK", ""},
		{`redis: {command: LLEN, args: [a], in: main}`, "", "WRONGTYPE"},
		{`redis: {command: PING, in: wrong}`, "", "WRONGPASS"},
		{`redis: {command: PING, in: none}`, "", "later attempt"},
		{`redis: {command: PING, in: other}`, "", "hint: redis"},
	} {
		r := request(t, row.action, s)
		res, err := set.Do(ctx, r)
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) || row.output != "" && res.Output != row.output {
			t.Errorf("%s: %+v %v", row.action, res, err)
		}
		if err != nil && (errors.Is(err, actions.ErrUnsure) || strings.Contains(err.Error(), "battery")) {
			t.Errorf("%s: %v", row.action, err)
		}
		if _, planned := set.Plan(r); strings.Contains(row.want, "redis.") && planned == nil {
			t.Errorf("%s was planned", row.action)
		}
	}
	if n := c.DBSize(ctx).Val(); n != 2 {
		t.Errorf("%d keys", n)
	}
	// What a list without an end would be is cut.
	for i := range 3000 {
		c.RPush(ctx, "long", fmt.Sprintf("%020d", i))
	}
	if res, err := set.Do(ctx, request(t, `redis: {command: LRANGE, args: [long, "0", "-1"], in: main}`, s)); err != nil || len(res.Output) > 40<<10 || !strings.HasSuffix(res.Output, "…]") {
		t.Errorf("%d bytes, %v", len(res.Output), err)
	}
	unlink := request(t, `redis: {command: UNLINK, args: [a], allow: write, in: cache}`, s)
	if made, err := set.Probe(ctx, unlink); made || err != nil {
		t.Errorf("probed before: %v %v", made, err)
	}
	if _, err := set.Do(ctx, unlink); err != nil {
		t.Error(err)
	}
	if made, err := set.Probe(ctx, unlink); !made || err != nil {
		t.Errorf("probed after: %v %v", made, err)
	}
	if _, err := set.Probe(ctx, request(t, `redis: {command: INCR, args: [n], allow: write, in: cache}`, s)); !errors.Is(err, actions.ErrCannotTell) {
		t.Errorf("probed what cannot be told: %v", err)
	}
}

func TestRedisEvict(t *testing.T) {
	t.Parallel()
	address, c := startRedis(t)
	set := actions.New(actions.Options{Secrets: redisSecrets, Redis: map[string]actions.Redis{"cache": {Address: address, Password: "${secret:REDIS}", Write: true}}})
	ctx := t.Context()
	fill := func() {
		_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.FlushAll(ctx)
			for i := range 2000 {
				p.Set(ctx, fmt.Sprintf("tmp:endless:%d", i), strings.Repeat("x", 1000), 0)
				p.Set(ctx, fmt.Sprintf("tmp:soon:%d", i), "x", time.Minute)
				p.Set(ctx, fmt.Sprintf("tmp:late:%d", i), "x", 24*time.Hour)
				p.Set(ctx, fmt.Sprintf("user:%d", i), "x", 0)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for ttl, left := range map[string]string{"any": "user", "none": "user soon late", "< 1h": "user endless late", "> 1h": "user endless soon"} {
		fill()
		r := request(t, `redis: {evict: "tmp:*", ttl: "`+ttl+`", allow: write, per_second: 1000000}`, scope())
		res, err := set.Do(ctx, r)
		if err != nil {
			t.Fatalf("%s: %+v %v", ttl, res, err)
		}
		if got, want := c.DBSize(ctx).Val(), int64(2000*len(strings.Fields(left))); got != want {
			t.Errorf("%s: %d keys are left, want %d: %+v", ttl, got, want, res)
		}
		data := res.Data.(map[string]any)
		if fmt.Sprint(data["unlinked"]) != fmt.Sprint(8000-c.DBSize(ctx).Val()) || data["more"] != false || fmt.Sprint(data["memory_before"]) == "0" {
			t.Errorf("%s: %v", ttl, data)
		}
	}
	fill()
	lines, err := planned(set, request(t, `redis: {evict: "tmp:*", ttl: "< 1h", allow: write}`, scope()))
	if want := `unlink the keys "tmp:*" with a time to live < 1h in cache: at most 100000, 1000 a second`; err != nil || lines[0] != want || c.DBSize(ctx).Val() != 8000 {
		t.Errorf("planned %q %v", lines, err)
	}
	if res, err := set.Do(ctx, request(t, `redis: {evict: "tmp:*", allow: write, most: 700, per_second: 1000000}`, scope())); err != nil || c.DBSize(ctx).Val() != 7300 || res.Data.(map[string]any)["more"] != true {
		t.Errorf("a limit in all: %+v %v, %d keys", res, err, c.DBSize(ctx).Val())
	}
	// A rate that the time does not suffice for: what was done is told, and it can go on.
	limited, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	res, err := set.Do(limited, request(t, `redis: {evict: "tmp:*", allow: write, per_second: 100}`, scope()))
	if !errors.Is(err, actions.ErrAgain) || res.Data.(map[string]any)["more"] != true {
		t.Errorf("%+v %v", res, err)
	}
	if left := c.DBSize(ctx).Val(); left < 7300-200 || left == 7300 {
		t.Errorf("%d keys are left of 7300", left)
	}
}

// TestRedisIsCutOff: a command whose answer never came may have been carried out.
func TestRedisIsCutOff(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewScanner(conn)
			for in.Scan() {
				switch strings.ToUpper(in.Text()) {
				case "PING":
					_, _ = conn.Write([]byte("+PONG\r\n"))
				case "HELLO":
					_, _ = conn.Write([]byte("-ERR unknown command\r\n"))
				case "INCR", "GET":
					_ = conn.Close()
				}
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-served
	})
	set := actions.New(actions.Options{Redis: map[string]actions.Redis{"r": {Address: l.Addr().String(), Write: true}}})
	if _, err := set.Do(t.Context(), request(t, `redis: {command: INCR, args: [a], allow: write}`, scope())); !errors.Is(err, actions.ErrUnsure) {
		t.Errorf("a write: %v", err)
	}
	if _, err := set.Do(t.Context(), request(t, `redis: {command: GET, args: [a]}`, scope())); !errors.Is(err, actions.ErrAgain) || errors.Is(err, actions.ErrUnsure) {
		t.Errorf("a read: %v", err)
	}
}
