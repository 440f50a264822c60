package playbook_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/playbook"
)

// TestSystems: what the kinds for systems of others admit, what they refuse and why, and
// what is known of their nature.
func TestSystems(t *testing.T) {
	t.Parallel()
	for action, want := range map[string]string{
		`kubernetes: {do: restart, object: deployment/web, namespace: shop}`:                            "idempotent",
		`kubernetes: {do: status, object: "deployment/{{ .labels.app }}", namespace: shop}`:             "reads idempotent",
		`kubernetes: {do: restart, object: "{{ .labels.kind }}/web", namespace: shop}`:                  "play.k8s.object",
		`kubernetes: {do: restart, object: secret/web, namespace: shop}`:                                "play.k8s.object",
		`kubernetes: {do: "{{ .labels.do }}", object: deployment/web, namespace: shop}`:                 "play.sink",
		`kubernetes: {do: cordon, object: deployment/web, namespace: shop}`:                             "play.k8s.fit",
		`kubernetes: {do: restart, object: node/web}`:                                                   "play.k8s.fit",
		`kubernetes: {do: restart, object: deployment/web}`:                                             "play.k8s.namespace",
		`kubernetes: {do: cordon, object: node/a, namespace: shop}`:                                     "play.k8s.namespace",
		`kubernetes: {do: scale, object: deployment/web, namespace: shop}`:                              "play.k8s.scale",
		`kubernetes: {do: scale, object: deployment/web, namespace: shop, replicas: 2, by: "+1"}`:       "play.k8s.scale",
		`kubernetes: {do: restart, object: deployment/web, namespace: shop, replicas: 2}`:               "play.k8s.scale",
		`kubernetes: {do: scale, object: deployment/web, namespace: shop, by: "+1"}`:                    "play.param",
		`kubernetes: {do: scale, object: deployment/web, namespace: shop, by: "2", max: 3}`:             "play.by",
		`kubernetes: {do: scale, object: deployment/web, namespace: shop, by: "+2", min: 4, max: 3}`:    "play.k8s.bounds",
		`kubernetes: {do: scale, object: deployment/web, namespace: shop, replicas: -1}`:                "play.number",
		`kubernetes: {do: scale, object: deployment/web, namespace: shop, replicas: 2, wait: for_ever}`: "play.enum",
		`redis: DBSIZE`: "reads idempotent",
		`redis: {command: get, args: ["{{ .labels.key }}"], expect: "> 1"}`:               "reads idempotent",
		`redis: {command: UNLINK, args: [a], allow: write}`:                               "idempotent",
		`redis: {command: INCR, args: [a], allow: write}`:                                 "changes",
		`redis: {command: CONFIG SET, args: [a, b], allow: write}`:                        "changes",
		`redis: {evict: "tmp:*", ttl: none, allow: write}`:                                "idempotent",
		`redis: {command: UNLINK, args: [a]}`:                                             "play.redis.write",
		`redis: FLUSHALL`:                                                                 "play.redis.write",
		`redis: {evict: "tmp:*"}`:                                                         "play.redis.write",
		`redis: {}`:                                                                       "play.redis.form",
		`redis: {command: GET, evict: "tmp:*", allow: write}`:                             "play.redis.form",
		`redis: {command: "GET a"}`:                                                       "play.redis.write",
		`redis: {command: "GET a b"}`:                                                     "play.redis.name",
		`redis: {command: "{{ .labels.c }}"}`:                                             "play.sink",
		`redis: {evict: "{{ .labels.c }}", allow: write}`:                                 "play.sink",
		`redis: {evict: "**??*", allow: write}`:                                           "play.redis.pattern",
		`redis: {evict: "[a-z]*", allow: write}`:                                          "play.redis.pattern",
		`redis: {evict: "tmp:*", ttl: "1h", allow: write}`:                                "play.redis.ttl",
		`redis: {command: INFO, expect: "> 1"}`:                                           "play.redis.field",
		`sql: SELECT 1`:                                                                   "reads idempotent",
		`sql: {query: "SELECT $1", args: ["{{ .labels.a }}"], expect: "> 0"}`:             "reads idempotent",
		`sql: {query: "DELETE FROM a", allow: write}`:                                     "changes",
		`sql: {query: "SELECT pg_terminate_backend(1)", allow: write}`:                    "changes",
		`sql: SELECT pg_terminate_backend(1)`:                                             "play.sql.write",
		`sql: DELETE FROM a`:                                                              "play.sql.write",
		`sql: "SELECT 1; DELETE FROM a"`:                                                  "play.sql.one",
		`sql: "SELECT '{{ .labels.a }}'"`:                                                 "play.sink",
		`sql: {query: "SELECT $1", args: ["${secret:A}"]}`:                                "play.sink.secret",
		`sql: {query: "SELECT 1", rows: 0}`:                                               "play.number",
		`ansible: {playbook: a.yml, inventory: hosts, mode: check}`:                       "reads idempotent",
		`ansible: {playbook: a.yml, inventory: hosts, limit: "{{ .labels.host }}"}`:       "changes",
		`ansible: {playbook: /etc/a.yml, inventory: hosts}`:                               "play.script",
		`ansible: {playbook: "{{ .labels.p }}", inventory: hosts}`:                        "play.sink",
		`ansible: a.yml`:                                                                  "play.param",
		`ansible: {playbook: a.yml, inventory: hosts, limit: "*"}`:                        "play.limit",
		`ansible: {playbook: a.yml, inventory: hosts, vars: {ansible_connection: local}}`: "play.varname",
		`doctor: example.com/widget@v1.2.0`:                                               "reads idempotent",
		`doctor: "-o=../x"`:                                                               "play.target",
	} {
		p, problems := playbook.Read([]byte("trigger: x\nactions:\n  - "+action+"\n"), playbook.Options{})
		if strings.HasPrefix(want, "play.") {
			if !slices.ContainsFunc(problems, func(p playbook.Problem) bool { return p.Key == want }) {
				t.Errorf("%s: %v, want %s", action, problems, want)
			}
			continue
		}
		if p == nil {
			t.Errorf("%s: %v", action, problems)
			continue
		}
		if got := p.Steps[0].Idempotent; got != strings.Contains(want, "idempotent") {
			t.Errorf("%s: idempotent %v", action, got)
		}
		_, problems = playbook.Read([]byte("trigger: x\nactions:\n  - wait: 1s\n    verify:\n      "+action+"\n"), playbook.Options{})
		if problems.Fatal() == strings.Contains(want, "reads") {
			t.Errorf("%s as a check: %v", action, problems)
		}
	}
}
