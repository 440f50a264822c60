package playbook_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell/internal/playbook"
)

// TestSchema: the file is what the tables say (KEEPWELL_UPDATE=1 writes it); it admits
// what Read admits and refuses what a schema can tell.
func TestSchema(t *testing.T) {
	t.Parallel()
	want, err := playbook.Schema()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("KEEPWELL_UPDATE") == "1" {
		if err := os.WriteFile("schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(want) != playbook.SchemaText {
		t.Error("schema.json is not what the tables say: KEEPWELL_UPDATE=1 go test ./internal/playbook")
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("playbook.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("playbook.json")
	if err != nil {
		t.Fatal(err)
	}
	for text, fits := range map[string]bool{
		short:                       true,
		full:                        true,
		"trigger: x\nactions: []\n": false,
		"trigger: x\nactions:\n  - run_scrpt: a\n":            false,
		"trigger: x\nactions: [notify_slack]\nmode: on\n":     false,
		"trigger: x\nactions:\n  - run_script: {args: [a]}\n": false,
	} {
		if _, problems := playbook.Read([]byte(text), playbook.Options{Conditions: words{}}); problems.Fatal() == fits {
			t.Errorf("Read of %q: %v", text, problems)
		}
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		plain, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		v, err = jsonschema.UnmarshalJSON(bytes.NewReader(plain))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); (err == nil) != fits {
			t.Errorf("the schema says of %q: %v", text, err)
		}
	}
}

// full uses every key.
const full = `name: everything
title: Everything
title_zh: 全部
trigger: [redis/memory-high, RedisMemoryHigh]
match: {labels: {env: [production, staging]}, if: "true"}
severity: P1
vars: {host: '{{ .labels.instance | default "none" }}'}
cooldown: 10m
max_runs: 3 per 1h
blast_radius: 5/1d
concurrency: {per_target: 1, global: 3}
maintenance:
  - {cron: "0 2 * * 6", duration: 2h, timezone: Asia/Shanghai}
mode: active
actions:
  - run_script: {script: evict.sh, args: ["--", "{{ .vars.host }}"], env: {TOKEN: "${secret:REDIS}"}, ok: [0, 3]}
    name: evict
    if: "true"
    if_severity: ">= P2"
    vars: {extra: "{{ .asset }}"}
    timeout: 45s
    retries: {count: 2, backoff: 5s, max: 1m}
    idempotent: true
    approval: {by: admin, within: 1h, on_expiry: human}
    verify: {promql: {query: 'redis_memory_used_ratio{instance="{{ .vars.host }}"}', expect: "< 0.8"}, delay: 30s, attempts: 5, every: 10s}
    undo: {run_script: restore.sh}
    on_failure: undo
  - wait: 5s
  - http: {url: "https://hooks.example.org/x", method: PUT, query: {q: "{{ .asset }}"}, headers: {Authorization: "Bearer ${secret:HOOK}"}, json: {a: [1, "{{ .code }}"]}, expect: 204}
    verify: {alert: resolved}
on_failure:
  - notify_slack: {channel: "#oncall", text: "{{ .playbook }}: {{ .alert.name }}"}
  - create_ticket: {title: "{{ .alert.name }}", labels: [auto], key: "{{ .asset }}"}
`
