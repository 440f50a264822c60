package actions

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/keepwell/keepwell/internal/msg"
)

// kubernetes changes workloads and nodes by the API itself: the client library of
// Kubernetes would cost more at start than the rest of the server (9 ms, 17 MB).
//
// Each change is one PATCH that holds the version of the object that was looked at and a
// mark with the step's key: what was done is not done again, and what others changed
// meanwhile is looked at anew.
type kubernetes struct{ s *Set }

const (
	markKey    = "keepwell/changed"
	restartKey = "kubectl.kubernetes.io/restartedAt"
	// markAge is how long a mark says that a step was done: longer than any step takes,
	// shorter than it takes a server that lost its database to come to the same number.
	markAge = 24 * time.Hour
)

// target is an object, and what is to be done to it.
type target struct {
	do, kind, name, namespace string
	cluster                   string
	c                         Cluster
}

func (t target) String() string {
	if t.kind == "node" {
		return "node/" + t.name
	}
	return t.kind + "/" + t.name + " in " + t.namespace
}

// path is the object's, or that of all its kind.
func (t target) path(name string) string {
	p := "/api/v1/nodes"
	if t.kind != "node" {
		p = "/apis/apps/v1/namespaces/" + url.PathEscape(t.namespace) + "/" + t.kind + "s"
	}
	if name != "" {
		p += "/" + url.PathEscape(name)
	}
	return p
}

var dnsName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$`)
})

func (a kubernetes) target(r Request) (t target, err error) {
	t.do = r.text("do", "")
	if t.cluster, t.c, err = pick(r, "cluster", "clusters", a.s.o.Clusters); err != nil {
		return t, err
	}
	t.kind, t.name, _ = strings.Cut(r.text("object", ""), "/")
	t.namespace = r.text("namespace", "")
	const longest = 253
	if len(t.name) > longest || !dnsName().MatchString(t.name) {
		return t, msg.Wrong("do.k8s.name", short(t.name, longest))
	}
	switch {
	case !slices.Contains([]string{"deployment", "statefulset", "daemonset", "node"}, t.kind):
		return t, msg.Wrong("do.k8s.kind", t.kind)
	case t.kind == "node" && !t.c.Nodes:
		return t, msg.Wrong("do.k8s.nodes")
	case t.kind != "node" && !slices.Contains(t.c.Namespaces, t.namespace):
		return t, msg.Wrong("do.k8s.namespace", short(t.namespace, longest))
	}
	return t, nil
}

func (a kubernetes) plan(r Request) (lines []msg.Reason, err error) {
	t, err := a.target(r)
	switch {
	case r.text("by", "") != "":
		lines = append(lines, msg.Because("plan.line.k8s.scale.by", t, r.text("by", ""), r.number("min", 1), min(r.number("max", t.most()), t.most()), t.cluster))
	case t.do == "scale":
		lines = append(lines, msg.Because("plan.line.k8s.scale", t, r.number("replicas", 0), t.cluster))
		if err == nil && r.number("replicas", 0) > t.most() {
			err = t.tooMany()
		}
	case t.do == "restart":
		lines = append(lines, msg.Because("plan.line.k8s.restart", t, t.cluster))
	case t.do == "cordon":
		lines = append(lines, msg.Because("plan.line.k8s.cordon", t, t.cluster))
	case t.do == "uncordon":
		lines = append(lines, msg.Because("plan.line.k8s.uncordon", t, t.cluster))
	case t.do == "undo":
		lines = append(lines, msg.Because("plan.line.k8s.undo", t, t.cluster))
	default:
		lines = append(lines, msg.Because("plan.line.k8s.status", t, t.cluster))
	}
	if r.text("wait", "") != "" {
		lines = append(lines, msg.Because("plan.line.k8s.wait"))
	}
	return lines, err
}

func (t target) most() int64 {
	if t.c.MaxReplicas > 0 {
		return t.c.MaxReplicas
	}
	return 100
}

func (t target) tooMany() error {
	return msg.Wrong("do.k8s.replicas", t.most())
}

// resource is what is read of an object.
type resource struct {
	Metadata struct {
		ResourceVersion string            `json:"resourceVersion"`
		Generation      int64             `json:"generation"`
		Annotations     map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Replicas      *int64 `json:"replicas"`
		Unschedulable bool   `json:"unschedulable"`
		Paused        bool   `json:"paused"`
	} `json:"spec"`
	Status rollout `json:"status"`
}

type rollout struct {
	ObservedGeneration int64  `json:"observedGeneration"`
	Replicas           int64  `json:"replicas"`
	Updated            int64  `json:"updatedReplicas"`
	Ready              int64  `json:"readyReplicas"`
	Available          int64  `json:"availableReplicas"`
	CurrentRevision    string `json:"currentRevision"`
	UpdateRevision     string `json:"updateRevision"`
	Desired            int64  `json:"desiredNumberScheduled"`
	UpdatedScheduled   int64  `json:"updatedNumberScheduled"`
	NumberAvailable    int64  `json:"numberAvailable"`
	Conditions         []struct{ Type, Status, Reason, Message string }
}

// mark is what is left on a changed object.
type mark struct {
	Step     string    `json:"step"`
	Playbook string    `json:"playbook"`
	At       time.Time `json:"at"`
	Before   before    `json:"before"`
}

// before is what an undo needs. What is nil was not changed.
type before struct {
	Object        string `json:"object"`
	Replicas      *int64 `json:"replicas,omitempty"`
	After         *int64 `json:"after,omitempty"`
	Unschedulable *bool  `json:"unschedulable,omitempty"`
}

func (a kubernetes) step(r Request) string { return strings.TrimSpace(a.s.o.Instance + " " + r.stem()) }

// made tells whether this step's mark stands on the object.
func (a kubernetes) made(r Request, o resource) (mark, bool) {
	var m mark
	err := json.Unmarshal([]byte(o.Metadata.Annotations[markKey]), &m)
	return m, err == nil && m.Step == a.step(r) && m.Playbook == r.About.Playbook && a.s.o.Now().Sub(m.At).Abs() < markAge
}

func (a kubernetes) do(ctx context.Context, r Request) (res Result, err error) {
	t, err := a.target(r)
	if err != nil {
		return res, err
	}
	to, err := t.c.access()
	if err != nil {
		return res, err
	}
	vaultOf(ctx).learn(strings.TrimPrefix(to.header.Get("Authorization"), "Bearer "))
	const tries = 5
	for try := 1; ; try++ {
		o, err := to.get(ctx, t)
		if err != nil {
			return res, err
		}
		if t.do == "status" {
			return t.judged(o)
		}
		res, err = a.change(ctx, to, t, r, o)
		switch {
		case err == nil:
			return a.settled(ctx, to, t, r, res)
		case errors.Is(err, errConflict) && try < tries, errors.Is(err, ErrUnsure) && try < tries && ctx.Err() == nil:
			// Looked at anew: the mark tells whether it was done.
		case errors.Is(err, errConflict):
			return res, msg.Wrong("do.about.kind", t, err, ErrAgain)
		default:
			return res, err
		}
	}
}

var errConflict = msg.Wrong("do.k8s.conflict")

// change makes the one PATCH.
func (a kubernetes) change(ctx context.Context, to access, t target, r Request, o resource) (res Result, err error) {
	if m, ok := a.made(r, o); ok {
		return Result{Existing: true, Summary: t.do + " " + t.String() + ": was done already", Before: m.Before}, nil
	}
	now := a.s.o.Now().UTC()
	m := mark{Step: a.step(r), Playbook: r.About.Playbook, At: now, Before: before{Object: r.text("object", "")}}
	spec := map[string]any{}
	summary := ""
	switch t.do {
	case "restart":
		if o.Spec.Paused {
			return res, msg.Wrong("do.k8s.paused", t)
		}
		spec["template"] = map[string]any{"metadata": map[string]any{"annotations": map[string]any{restartKey: now.Format(time.RFC3339)}}}
		summary = "restarts " + t.String()
	case "scale":
		is, want, err := t.replicas(r, o)
		if err != nil {
			return res, err
		}
		if is == want {
			return Result{Existing: true, Summary: fmt.Sprintf("%s has %d replicas: nothing to do", t, is), Before: m.Before}, nil
		}
		m.Before.Replicas, m.Before.After, spec["replicas"] = &is, &want, want
		summary = fmt.Sprintf("scaled %s from %d to %d", t, is, want)
	case "cordon", "uncordon":
		if o.Spec.Unschedulable == (t.do == "cordon") {
			return Result{Existing: true, Summary: t.String() + " is " + t.do + "ed: nothing to do", Before: m.Before}, nil
		}
		was := o.Spec.Unschedulable
		m.Before.Unschedulable, spec["unschedulable"] = &was, !was
		summary = t.do + "ed " + t.String()
	case "undo":
		if summary, err = a.reverse(t, r, o, spec); err != nil {
			return res, err
		}
		if len(spec) == 0 {
			return Result{Existing: true, Summary: summary}, nil
		}
	}
	note, err := json.Marshal(m)
	if err != nil {
		return res, err
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": o.Metadata.ResourceVersion, "annotations": map[string]any{markKey: string(note)}}, "spec": spec})
	if err != nil {
		return res, err
	}
	return Result{Summary: summary, Before: m.Before}, to.patch(ctx, t, body)
}

// replicas are how many there are and shall be.
func (t target) replicas(r Request, o resource) (is, want int64, err error) {
	is = 1 // what Kubernetes makes of a number that is left out
	if o.Spec.Replicas != nil {
		is = *o.Spec.Replicas
	}
	want = r.number("replicas", is)
	if by := r.text("by", ""); by != "" {
		n, err := strconv.ParseInt(by, 10, 64)
		if err != nil {
			return is, is, msg.Wrong("do.nonumber", by)
		}
		low, high := r.number("min", 1), min(r.number("max", t.most()), t.most())
		want = is + n
		if n > 0 { // what is beyond the bound already is not brought back by it
			want = max(is, min(want, high))
		} else {
			want = min(is, max(want, low))
		}
		return is, want, nil
	}
	if want > t.most() {
		return is, is, t.tooMany()
	}
	return is, want, nil
}

// reverse says what takes back what a step did. What others changed since stays.
func (a kubernetes) reverse(t target, r Request, o resource, spec map[string]any) (string, error) {
	var done struct{ Before before }
	if err := json.Unmarshal(r.Undone, &done); err != nil || done.Before.Object == "" {
		var m mark // the result was lost: what stands on the object
		if json.Unmarshal([]byte(o.Metadata.Annotations[markKey]), &m) != nil || m.Playbook != r.About.Playbook {
			return "", msg.Wrong("do.k8s.notknown", t)
		}
		done.Before = m.Before
	}
	b := done.Before
	switch {
	case b.Object != r.text("object", ""):
		return "", msg.Wrong("do.k8s.other", short(b.Object, 300), t)
	case b.Replicas != nil && b.After != nil:
		if o.Spec.Replicas == nil || *o.Spec.Replicas != *b.After {
			return "", msg.Wrong("do.k8s.scaled", t)
		}
		spec["replicas"] = *b.Replicas
		return fmt.Sprintf("scaled %s back to %d", t, *b.Replicas), nil
	case b.Unschedulable != nil:
		if o.Spec.Unschedulable == *b.Unschedulable {
			return t.String() + " is as it was: nothing to do", nil
		}
		spec["unschedulable"] = *b.Unschedulable
		return t.String() + " takes pods as it did before", nil
	}
	return "the step changed nothing that can be taken back", nil
}

// settled waits for the rollout where that is wanted.
func (a kubernetes) settled(ctx context.Context, to access, t target, r Request, res Result) (Result, error) {
	if r.text("wait", "") == "" {
		return res, nil
	}
	seen, err := to.watch(ctx, t)
	res.Data = seen.Data
	if err != nil {
		return res, msg.Wrong("do.about", res.Summary, err)
	}
	res.Summary += "; all of it is available"
	return res, nil
}

// probe looks for the mark.
func (a kubernetes) probe(ctx context.Context, r Request) (bool, error) {
	t, err := a.target(r)
	if err != nil {
		return false, err
	}
	to, err := t.c.access()
	if err != nil {
		return false, err
	}
	vaultOf(ctx).learn(strings.TrimPrefix(to.header.Get("Authorization"), "Bearer "))
	o, err := to.get(ctx, t)
	_, made := a.made(r, o)
	return made, err
}

// judged is the result of a look at a rollout.
func (t target) judged(o resource) (Result, error) {
	text, done, err := t.progress(o)
	return Result{Summary: text, Data: o.Status}, errors.Join(err, unless(done || err != nil, text))
}

func unless(ok bool, text string) error {
	if ok {
		return nil
	}
	return msg.Wrong("do.about", text, ErrAgain)
}

// progress tells how far a rollout is, as kubectl would; the error, that it is stuck.
func (t target) progress(o resource) (text string, done bool, err error) {
	s := o.Status
	if s.ObservedGeneration < o.Metadata.Generation {
		return t.String() + ": the change was not taken up yet", false, nil
	}
	want := int64(1)
	if o.Spec.Replicas != nil {
		want = *o.Spec.Replicas
	}
	updated, available := s.Updated, s.Available
	switch t.kind {
	case "daemonset":
		want, updated, available = s.Desired, s.UpdatedScheduled, s.NumberAvailable
	case "statefulset":
		available = s.Ready
		if s.UpdateRevision == s.CurrentRevision {
			updated = s.Replicas // the field counts only while there are two revisions
		}
	}
	for _, c := range s.Conditions {
		if c.Type == "Progressing" && c.Reason == "ProgressDeadlineExceeded" {
			return "", false, msg.Wrong("do.k8s.stuck", t, short(c.Message, 500))
		}
	}
	text = fmt.Sprintf("%s: %d of %d updated, %d available", t, updated, want, available)
	extra := t.kind != "daemonset" && s.Replicas > want
	return text, updated >= want && available >= want && !extra, nil
}

// get reads an object.
func (to access) get(ctx context.Context, t target) (o resource, err error) {
	got, err := send(ctx, to.client, http.MethodGet, to.base+t.path(t.name), to.header.Clone(), nil)
	if err != nil {
		return o, err
	}
	if !success(got.status) {
		return o, t.refused(http.MethodGet, got)
	}
	if err := json.Unmarshal(got.body, &o); err != nil || o.Metadata.ResourceVersion == "" {
		return o, msg.Wrong("do.k8s.answer", t)
	}
	return o, nil
}

func (to access) patch(ctx context.Context, t target, body []byte) error {
	header := to.header.Clone()
	header.Set("Content-Type", "application/merge-patch+json")
	got, err := send(ctx, to.client, http.MethodPatch, to.base+t.path(t.name)+"?fieldManager=keepwell", header, body)
	if err != nil || success(got.status) {
		return err
	}
	return t.refused(http.MethodPatch, got)
}

// refused makes an error of what the API server says.
func (t target) refused(method string, got answer) error {
	var status struct{ Message, Reason string }
	_ = json.Unmarshal(got.body, &status) // without it, the number is told
	said := short(status.Message, 500)
	if said == "" {
		said = fmt.Sprintf("status %d", got.status)
	}
	verbs := map[string]string{http.MethodGet: "get", http.MethodPatch: "patch", "watch": "watch"}[method]
	switch got.status {
	case http.StatusConflict:
		return errConflict
	case http.StatusForbidden:
		where := ""
		if t.namespace != "" {
			where = " in namespace " + t.namespace
		}
		return msg.Wrong("do.k8s.forbidden", said, verbs, t.kind, where)
	case http.StatusUnauthorized:
		return msg.Wrong("do.k8s.login")
	case http.StatusNotFound:
		return msg.Wrong("do.k8s.none", t, said)
	}
	return msg.Wrong("do.said", judge(method, "the cluster", got), said)
}

// watch follows an object until its rollout is complete or stuck, or ctx ends.
func (to access) watch(ctx context.Context, t target) (res Result, err error) {
	for {
		o, err := to.get(ctx, t)
		if err != nil {
			return res, err
		}
		text, done, err := t.progress(o)
		res = Result{Summary: text, Data: o.Status}
		if done || err != nil {
			return res, err
		}
		last, ended, err := to.follow(ctx, t, o.Metadata.ResourceVersion)
		if last.Summary != "" {
			res = last
		}
		switch {
		case ended:
			return res, err
		case ctx.Err() != nil:
			return res, msg.Wrong("do.k8s.late", res.Summary, ErrAgain)
		case err != nil:
			return res, err
		}
		select { // a server that ends streams at once is not asked without a pause
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

const pause = 500 * time.Millisecond

// follow reads one stream of changes; it ends when the server wants it asked anew.
func (to access) follow(ctx context.Context, t target, version string) (res Result, ended bool, err error) {
	const stream = 60 // seconds, after which the server ends it
	query := url.Values{"watch": {"1"}, "fieldSelector": {"metadata.name=" + t.name}, "resourceVersion": {version}, "timeoutSeconds": {strconv.Itoa(stream)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.base+t.path("")+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return res, true, msg.Wrong("do.k8s.address")
	}
	req.Header = to.header.Clone()
	resp, err := to.client.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return res, ctx.Err() == nil, msg.Wrong("do.k8s.watching", t, err, ErrAgain)
	}
	defer func() { _ = resp.Body.Close() }()
	if !success(resp.StatusCode) {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		return res, true, t.refused("watch", answer{resp.StatusCode, body})
	}
	const changes = 1000 // many more than a stream of a minute holds
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxAnswer)
	for range changes {
		if !lines.Scan() {
			break
		}
		var event struct {
			Type   string
			Object resource
		}
		if json.Unmarshal(lines.Bytes(), &event) != nil || event.Type == "ERROR" {
			return res, false, nil // too old a version: asked anew
		}
		if event.Type == "DELETED" {
			return res, true, msg.Wrong("do.k8s.deleted", t)
		}
		text, done, err := t.progress(event.Object)
		res = Result{Summary: text, Data: event.Object.Status}
		if done || err != nil {
			return res, true, err
		}
	}
	return res, false, nil
}
