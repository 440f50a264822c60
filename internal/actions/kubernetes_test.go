package actions_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/actions"
	"github.com/keepwell/keepwell/internal/playbook"
)

// apiServer answers as the API server of Kubernetes does, for deployments and nodes:
// versions of objects, merge patches that hold one, conflicts, Status objects, watches.
type apiServer struct {
	*httptest.Server
	mu      sync.Mutex
	version int
	objects map[string]map[string]any // by path
	patches []string
	// hook is called with each request before it is answered, under mu.
	hook     func(r *http.Request) (status int, reason, message string)
	watchers []chan map[string]any
}

const apiToken = "eyJ-token-of-the-account"

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{objects: map[string]map[string]any{}, version: 100}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	s.put("/apis/apps/v1/namespaces/shop/deployments/web", fmt.Sprintf(deploymentJSON, 3, 3, 3))
	s.put("/api/v1/nodes/node-1", `{"apiVersion":"v1","kind":"Node","metadata":{"name":"node-1","generation":1,"labels":{"kubernetes.io/hostname":"node-1"}},"spec":{"podCIDR":"10.244.0.0/24"},"status":{"conditions":[{"type":"Ready","status":"True","reason":"KubeletReady"}]}}`)
	return s
}

const deploymentJSON = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop","generation":4,"annotations":{"deployment.kubernetes.io/revision":"2"}},
"spec":{"replicas":%d,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"web","image":"registry.example.org/web:1"}]}}},
"status":{"observedGeneration":4,"replicas":%d,"updatedReplicas":%[2]d,"readyReplicas":%[2]d,"availableReplicas":%[3]d,"conditions":[{"type":"Available","status":"True","reason":"MinimumReplicasAvailable"},{"type":"Progressing","status":"True","reason":"NewReplicaSetAvailable"}]}}`

func (s *apiServer) put(path, text string) {
	var o map[string]any
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored(path, o)
}

// stored gives an object its next version and tells who watches.
func (s *apiServer) stored(path string, o map[string]any) {
	s.version++
	o["metadata"].(map[string]any)["resourceVersion"] = strconv.Itoa(s.version)
	s.objects[path] = o
	for _, w := range s.watchers {
		w <- o
	}
}

// with changes a field of an object as a controller would.
func (s *apiServer) with(path string, change func(o map[string]any)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[path]
	change(o)
	s.stored(path, o)
}

func fail(w http.ResponseWriter, code int, reason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "metadata": map[string]any{}, "status": "Failure", "message": message, "reason": reason, "code": code})
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+apiToken {
		fail(w, 401, "Unauthorized", "Unauthorized")
		return
	}
	if r.URL.Query().Get("watch") == "1" {
		s.watch(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hook != nil {
		if code, reason, message := s.hook(r); code != 0 {
			fail(w, code, reason, message)
			return
		}
	}
	o, ok := s.objects[r.URL.Path]
	if !ok {
		fail(w, 404, "NotFound", "not found")
		return
	}
	if r.Method == http.MethodPatch {
		var patch map[string]any
		if r.Header.Get("Content-Type") != "application/merge-patch+json" || json.Unmarshal(body, &patch) != nil {
			fail(w, 415, "UnsupportedMediaType", "the body is of another type")
			return
		}
		s.patches = append(s.patches, string(body))
		meta := patch["metadata"].(map[string]any)
		if v, ok := meta["resourceVersion"]; ok && v != o["metadata"].(map[string]any)["resourceVersion"] {
			fail(w, 409, "Conflict", "the object has been modified; please apply your changes to the latest version and try again")
			return
		}
		before, _ := json.Marshal(o["spec"])
		o = merge(o, patch).(map[string]any)
		if after, _ := json.Marshal(o["spec"]); string(after) != string(before) {
			o["metadata"].(map[string]any)["generation"] = o["metadata"].(map[string]any)["generation"].(float64) + 1
		}
		s.stored(r.URL.Path, o)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(o)
}

// merge is RFC 7396.
func merge(to, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, _ := to.(map[string]any)
	t = maps.Clone(t)
	if t == nil {
		t = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(t, k)
			continue
		}
		t[k] = merge(t[k], v)
	}
	return t
}

func (s *apiServer) watch(w http.ResponseWriter, r *http.Request) {
	c := make(chan map[string]any, 16)
	s.mu.Lock()
	if s.hook != nil {
		if code, reason, message := s.hook(r); code != 0 {
			s.mu.Unlock()
			fail(w, code, reason, message)
			return
		}
	}
	s.watchers = append(s.watchers, c)
	s.mu.Unlock()
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case o := <-c:
			s.mu.Lock()
			line, _ := json.Marshal(map[string]any{"type": "MODIFIED", "object": o})
			s.mu.Unlock()
			_, _ = w.Write(append(line, '\n'))
			w.(http.Flusher).Flush()
		}
	}
}

// config writes a kubeconfig for the server.
func (s *apiServer) config(t *testing.T, user string) string {
	t.Helper()
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	path := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: main\ncontexts:\n- name: main\n  context: {cluster: c, user: u}\nclusters:\n- name: c\n  cluster:\n    server: %s\n    certificate-authority-data: %s\nusers:\n- name: u\n  user: %s\n", s.URL, ca, user)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *apiServer) set(t *testing.T) *actions.Set {
	t.Helper()
	return actions.New(actions.Options{Clusters: map[string]actions.Cluster{
		"main": {Kubeconfig: s.config(t, "{token: "+apiToken+"}"), Namespaces: []string{"shop"}, Nodes: true, MaxReplicas: 8},
	}})
}

const webPath = "/apis/apps/v1/namespaces/shop/deployments/web"

func k8sScope() playbook.Scope {
	s := scope()
	s.Alert.Labels = map[string]string{"deployment": "web", "namespace": "shop", "node": "node-1", "evil": "web/../../secrets/x"}
	return s
}

func attempt(r actions.Request, key string) actions.Request { r.Key = key; return r }

func TestKubernetesScale(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t)
	set := s.set(t)
	r := request(t, `kubernetes: {do: scale, object: "deployment/{{ .labels.deployment }}", namespace: "{{ .labels.namespace }}", by: "+2", max: 6}`, k8sScope())
	lines, err := planned(set, r)
	if err != nil || strings.Join(lines, "\n") != "scale deployment/web in shop by +2, within 1 and 6, in cluster main" || len(s.patches) > 0 {
		t.Errorf("planned %q %v", lines, err)
	}
	if made, err := set.Probe(t.Context(), r); made || err != nil {
		t.Errorf("probed before: %v %v", made, err)
	}
	res, err := set.Do(t.Context(), r)
	if err != nil || res.Summary != "scaled deployment/web in shop from 3 to 5" || res.Existing {
		t.Fatalf("%+v %v", res, err)
	}
	if made, err := set.Probe(t.Context(), r); !made || err != nil {
		t.Errorf("probed after: %v %v", made, err)
	}
	// The same step, made again after a crash, adds nothing; another one does, to the bound.
	if res, err := set.Do(t.Context(), attempt(r, "7/0/2")); err != nil || !res.Existing || len(s.patches) != 1 {
		t.Errorf("again: %+v %v", res, err)
	}
	if res, err := set.Do(t.Context(), attempt(r, "8/0/1")); err != nil || res.Summary != "scaled deployment/web in shop from 5 to 6" {
		t.Errorf("another: %+v %v", res, err)
	}
	if res, err := set.Do(t.Context(), attempt(r, "9/0/1")); err != nil || !res.Existing || len(s.patches) != 2 {
		t.Errorf("at its bound: %+v %v", res, err)
	}
	if _, err := set.Do(t.Context(), request(t, `kubernetes: {do: scale, object: deployment/web, namespace: shop, replicas: 9}`, k8sScope())); err == nil || !strings.Contains(err.Error(), "max_replicas") {
		t.Errorf("more than allowed: %v", err)
	}

	// Taken back: to what the second step found; not where others scaled since.
	undo := request(t, `kubernetes: {do: undo, object: deployment/web, namespace: shop}`, k8sScope())
	undo.Key = "10/0/1"
	undo.Undone = json.RawMessage(`{"before":{"object":"deployment/web","replicas":5,"after":6}}`)
	if res, err := set.Do(t.Context(), undo); err != nil || res.Summary != "scaled deployment/web in shop back to 5" {
		t.Errorf("undone: %+v %v", res, err)
	}
	if _, err := set.Do(t.Context(), attempt(undo, "11/0/1")); err == nil || !strings.Contains(err.Error(), "by others") {
		t.Errorf("undone twice: %v", err)
	}
	// A result that was lost in a crash: the mark on the object says what was before.
	if _, err := set.Do(t.Context(), attempt(r, "12/0/1")); err != nil {
		t.Fatal(err)
	}
	undo.Undone = nil
	if res, err := set.Do(t.Context(), attempt(undo, "13/0/1")); err != nil || res.Summary != "scaled deployment/web in shop back to 5" {
		t.Errorf("undone by its mark: %+v %v", res, err)
	}
}

func TestKubernetesRestart(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t)
	set := s.set(t)
	r := request(t, `kubernetes: {do: restart, object: deployment/web, namespace: shop, wait: rollout}`, k8sScope())
	// The controller takes the change up once it is watched; before, another changes the
	// object between the look and the patch: a conflict, and a second look.
	conflicts, watched := 0, make(chan struct{})
	s.hook = func(q *http.Request) (int, string, string) {
		if q.Method == http.MethodPatch && conflicts == 0 {
			conflicts++
			s.stored(webPath, s.objects[webPath])
		}
		if q.URL.Query().Get("watch") == "1" {
			close(watched)
		}
		return 0, "", ""
	}
	controller := sync.WaitGroup{}
	controller.Go(func() {
		<-watched
		for _, available := range []float64{1, 2, 3} {
			s.with(webPath, func(o map[string]any) {
				status := o["status"].(map[string]any)
				status["observedGeneration"] = o["metadata"].(map[string]any)["generation"]
				status["updatedReplicas"], status["availableReplicas"] = 3., available
			})
		}
	})
	res, err := set.Do(t.Context(), r)
	controller.Wait()
	if err != nil || res.Summary != "restarts deployment/web in shop; all of it is available" || conflicts != 1 {
		t.Fatalf("%+v %v, %d conflicts", res, err, conflicts)
	}
	if len(s.patches) != 2 || !strings.Contains(s.patches[1], `"kubectl.kubernetes.io/restartedAt"`) {
		t.Errorf("patches %q", s.patches)
	}
	s.hook = nil
	if res, err := set.Do(t.Context(), attempt(r, "7/0/2")); err != nil || !res.Existing || len(s.patches) != 2 {
		t.Errorf("restarted twice: %+v %v", res, err)
	}

	// A rollout that is stuck is told at once, one that goes on is looked at again.
	status := request(t, `kubernetes: {do: status, object: deployment/web, namespace: shop}`, k8sScope())
	if res, err := set.Do(t.Context(), status); err != nil || !strings.Contains(res.Summary, "3 of 3 updated, 3 available") {
		t.Errorf("complete: %+v %v", res, err)
	}
	s.with(webPath, func(o map[string]any) { o["status"].(map[string]any)["availableReplicas"] = 1. })
	if _, err := set.Do(t.Context(), status); !errors.Is(err, actions.ErrAgain) {
		t.Errorf("on its way: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if res, err := set.Do(ctx, attempt(r, "7/0/3")); err == nil || errors.Is(err, actions.ErrUnsure) {
		t.Errorf("a rollout that does not end: %+v %v", res, err)
	}
	s.with(webPath, func(o map[string]any) {
		o["status"].(map[string]any)["conditions"] = []any{map[string]any{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "ReplicaSet \"web-1\" has timed out progressing."}}
	})
	if _, err := set.Do(t.Context(), status); err == nil || !strings.Contains(err.Error(), "timed out progressing") || errors.Is(err, actions.ErrAgain) {
		t.Errorf("stuck: %v", err)
	}
}

func TestKubernetesNodes(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t)
	set := s.set(t)
	cordon := request(t, `kubernetes: {do: cordon, object: "node/{{ .labels.node }}"}`, k8sScope())
	res, err := set.Do(t.Context(), cordon)
	if err != nil || res.Summary != "cordoned node/node-1" || s.objects["/api/v1/nodes/node-1"]["spec"].(map[string]any)["unschedulable"] != true {
		t.Fatalf("%+v %v", res, err)
	}
	result, err := json.Marshal(res)
	if err != nil {
		t.Fatal(err)
	}
	undo := request(t, `kubernetes: {do: undo, object: node/node-1}`, k8sScope())
	undo.Undone = result
	if res, err := set.Do(t.Context(), attempt(undo, "8/0/1")); err != nil || s.objects["/api/v1/nodes/node-1"]["spec"].(map[string]any)["unschedulable"] != false {
		t.Errorf("undone: %+v %v", res, err)
	}
	// A node that a person had cordoned stays so.
	s.with("/api/v1/nodes/node-1", func(o map[string]any) { o["spec"].(map[string]any)["unschedulable"] = true })
	res, err = set.Do(t.Context(), attempt(cordon, "9/0/1"))
	if err != nil || !res.Existing {
		t.Fatalf("%+v %v", res, err)
	}
	if undo.Undone, err = json.Marshal(res); err != nil {
		t.Fatal(err)
	}
	if res, err := set.Do(t.Context(), attempt(undo, "10/0/1")); err != nil || !res.Existing || s.objects["/api/v1/nodes/node-1"]["spec"].(map[string]any)["unschedulable"] != true {
		t.Errorf("undone what another had done: %+v %v", res, err)
	}
}

func TestKubernetesIsRefused(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t)
	set := s.set(t)
	for action, want := range map[string]string{
		`kubernetes: {do: restart, object: deployment/web, namespace: kube-system}`:                    "not allowed",
		`kubernetes: {do: restart, object: "deployment/{{ .labels.evil }}", namespace: shop}`:          "no name of an object",
		`kubernetes: {do: restart, object: deployment/web, namespace: "{{ .labels.evil }}"}`:           "not allowed",
		`kubernetes: {do: restart, object: deployment/none, namespace: shop}`:                          "there is no deployment/none",
		`kubernetes: {do: restart, object: deployment/web, namespace: shop, in: another}`:              "hint: clusters",
		`kubernetes: {do: undo, object: deployment/web, namespace: shop}`:                              "is not known",
		`kubernetes: {do: scale, object: deployment/web, namespace: shop, replicas: 4, wait: rollout}`: "forbids it",
	} {
		if strings.Contains(want, "forbids") {
			s.hook = func(q *http.Request) (int, string, string) {
				if q.Method == http.MethodPatch {
					return 403, "Forbidden", `deployments.apps "web" is forbidden: User "system:serviceaccount:ops:keepwell" cannot patch resource "deployments" in API group "apps" in the namespace "shop"`
				}
				return 0, "", ""
			}
		}
		_, err := set.Do(t.Context(), request(t, action, k8sScope()))
		if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, actions.ErrUnsure) {
			t.Errorf("%s: %v", action, err)
		}
		if want == "forbids it" && (err == nil || !strings.Contains(err.Error(), "hint: a role with the verb patch on deployments in namespace shop")) {
			t.Errorf("without how to mend it: %v", err)
		}
		s.hook = nil
	}
	if len(s.patches) != 0 {
		t.Errorf("patched %q", s.patches)
	}
	// A patch whose answer is lost is looked at, not repeated.
	cut := true
	s.hook = func(q *http.Request) (int, string, string) {
		if q.Method == http.MethodPatch && cut {
			cut = false
			s.objects[webPath] = merge(s.objects[webPath], map[string]any{"metadata": map[string]any{"annotations": map[string]any{"keepwell/changed": fmt.Sprintf(`{"step":"7/0","playbook":"book","at":%q}`, time.Now().Format(time.RFC3339))}}}).(map[string]any)
			return 504, "Timeout", "request did not complete"
		}
		return 0, "", ""
	}
	res, err := set.Do(t.Context(), request(t, `kubernetes: {do: restart, object: deployment/web, namespace: shop}`, k8sScope()))
	if err != nil || !res.Existing || len(s.patches) != 0 {
		t.Errorf("a lost answer: %+v %v, patches %q", res, err, s.patches)
	}
}

func TestKubernetesLogins(t *testing.T) {
	s := newAPIServer(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(apiToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	host, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "https://"), ":")
	t.Setenv("KUBERNETES_SERVICE_HOST", host)
	t.Setenv("KUBERNETES_SERVICE_PORT", port)
	status := request(t, `kubernetes: {do: status, object: deployment/web, namespace: shop}`, k8sScope())
	for name, row := range map[string]struct {
		c    actions.Cluster
		want string
	}{
		"in the cluster": {actions.Cluster{Account: dir}, ""},
		"token file":     {actions.Cluster{Kubeconfig: s.config(t, "{tokenFile: "+filepath.Join(dir, "token")+"}")}, ""},
		"wrong token":    {actions.Cluster{Kubeconfig: s.config(t, "{token: wrong-token-of-mine}")}, "does not know the login"},
		"a program":      {actions.Cluster{Kubeconfig: s.config(t, "{exec: {command: /bin/sh}}")}, "which is not run"},
		"no context":     {actions.Cluster{Kubeconfig: s.config(t, "{}"), Context: "other"}, "leads to no https server"},
		"no file":        {actions.Cluster{Kubeconfig: filepath.Join(dir, "none")}, "no such file"},
		"broken key":     {actions.Cluster{Kubeconfig: s.config(t, "{client-certificate-data: YQ==, client-key-data: YQ==}")}, "do not fit"},
	} {
		row.c.Namespaces = []string{"shop"}
		_, err := actions.New(actions.Options{Clusters: map[string]actions.Cluster{"c": row.c}}).Do(t.Context(), status)
		if (err == nil) != (row.want == "") || err != nil && (!strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "token-of")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
