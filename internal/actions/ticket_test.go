package actions_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/keepwell/keepwell/internal/actions"
)

// jira answers as Jira does: a search by JQL over labels, and creation.
func jira(t *testing.T, version string) (*seen, *[]map[string]any) {
	t.Helper()
	var mu sync.Mutex
	issues := []map[string]any{}
	search := map[string]string{"2": "/rest/api/2/search", "3": "/rest/api/3/search/jql"}[version]
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch r.Method + " " + r.URL.Path {
		case "GET " + search:
			list := []map[string]any{}
			for i, issue := range issues {
				jql := r.URL.Query().Get("jql")
				for _, l := range issue["labels"].([]any) {
					if strings.Contains(jql, fmt.Sprintf("labels = %q", l)) && strings.HasPrefix(jql, `project = "OPS" AND `) && strings.HasSuffix(jql, " AND statusCategory != Done") {
						list = append(list, map[string]any{"id": fmt.Sprint(10_000 + i), "key": fmt.Sprintf("OPS-%d", i+1)})
					}
				}
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"issues": list, "isLast": true})
		case "POST /rest/api/" + version + "/issue":
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, `{"id":"10000","key":"OPS-%d","self":"https://jira.example.org/rest/api/3/issue/10000"}`, len(issues))
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"errorMessages":["no such place"]}`)
		}
	})
	// What is created is read from what the server kept: the body was read already.
	return s, &issues
}

func TestJira(t *testing.T) {
	t.Parallel()
	for version, kind := range map[string]string{"2": "jira-server", "3": "jira"} {
		s, issues := jira(t, version)
		tracker := actions.Tracker{Type: kind, URL: s.URL + "/", Project: "OPS", Token: "${secret:TOKEN}", User: "bot@example.org"}
		if kind == "jira-server" {
			tracker.User = "" // a personal access token
		}
		set := actions.New(actions.Options{Secrets: secrets, Trackers: map[string]actions.Tracker{"jira": tracker}})
		r := request(t, `create_ticket: {title: "{{ .labels.evil }}", body: "a\n\n[link|http://x] {{ .asset }}", labels: [on call]}`, scope())
		res, err := set.Do(t.Context(), r)
		if err != nil || res.Existing || res.URL != s.URL+"/browse/OPS-0" {
			t.Fatalf("%s: %+v %v", kind, res, err)
		}
		var made struct {
			Fields map[string]any
		}
		if err := json.Unmarshal([]byte(s.bodies[1]), &made); err != nil {
			t.Fatal(err)
		}
		f := made.Fields
		if fmt.Sprint(f["project"], f["issuetype"]) != "map[key:OPS] map[name:Task]" || f["summary"] != "$(touch pwned); `id` <!channel>" || f["labels"].([]any)[0] != "on-call" {
			t.Errorf("%s: created %s", kind, s.bodies[1])
		}
		if _, plain := f["description"].(string); plain != (version == "2") || !strings.Contains(s.bodies[1], "[link|http://x] redis-1") {
			t.Errorf("%s: created %s", kind, s.bodies[1])
		}
		login := map[string]string{"2": "Bearer correct-horse-battery", "3": "Basic Ym90QGV4YW1wbGUub3JnOmNvcnJlY3QtaG9yc2UtYmF0dGVyeQ=="}[version]
		if got := s.headers[1].Get("Authorization"); got != login {
			t.Errorf("%s: logged in by %q", kind, got)
		}
		*issues = append(*issues, f)
		if res, err = set.Do(t.Context(), r); err != nil || !res.Existing || res.URL != s.URL+"/browse/OPS-1" || len(s.bodies) != 3 {
			t.Errorf("%s, again: %+v %v", kind, res, err)
		}
	}
	broken := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) })
	for name, tracker := range map[string]actions.Tracker{
		"cannot be read": {Type: "jira", URL: broken.URL, Project: "OPS"},
		"no key of Jira": {Type: "jira", URL: broken.URL, Project: `OPS" OR project = "HR`},
	} {
		set := actions.New(actions.Options{Trackers: map[string]actions.Tracker{"jira": tracker}})
		if _, err := set.Do(t.Context(), request(t, "create_ticket", scope())); err == nil || !strings.Contains(err.Error(), name) || errors.Is(err, actions.ErrUnsure) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGitea: the pages of open tickets are read to their end; what only looks like the mark
// is no ticket of ours.
func TestGitea(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	issues := []map[string]any{{"number": 1, "html_url": "https://gitea.example.org/o/n/issues/1", "body": "talks of keepwell-0123456789abcdef."}}
	var s *seen
	s = serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch r.Method + " " + r.URL.Path {
		case "GET /api/v1/repos/o/n/issues":
			list := []map[string]any{}
			page, _ := strconv.Atoi(r.URL.Query().Get("page"))
			if page >= 1 && page <= len(issues) && r.URL.Query().Get("state") == "open" { // one a page
				list = append(list, issues[page-1])
			}
			_ = json.NewEncoder(w).Encode(list)
		case "POST /api/v1/repos/o/n/issues":
			var made map[string]any
			s.mu.Lock()
			_ = json.Unmarshal([]byte(s.bodies[len(s.bodies)-1]), &made)
			s.mu.Unlock()
			made["html_url"] = fmt.Sprintf("https://gitea.example.org/o/n/issues/%d", len(issues)+1)
			issues = append(issues, made)
			w.WriteHeader(http.StatusCreated)
			_ = json.NewEncoder(w).Encode(made)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	set := actions.New(actions.Options{Secrets: secrets, Trackers: map[string]actions.Tracker{"gitea": {Type: "gitea", URL: s.URL + "/api/v1", Project: "o/n", Token: "${secret:TOKEN}"}}})
	for i := range 3 {
		res, err := set.Do(t.Context(), request(t, "create_ticket", scope()))
		if err != nil || res.Existing != (i > 0) || res.URL != "https://gitea.example.org/o/n/issues/2" {
			t.Errorf("time %d: %+v %v", i, res, err)
		}
	}
	if len(issues) != 2 || issues[1]["title"] != "P0 RedisMemoryHigh on redis-1 (playbook book)" {
		t.Errorf("%v", issues)
	}
}
