package actions

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Tracker is where tickets are.
type Tracker struct {
	Type string // github, gitlab, generic
	// URL is the base of its API, such as https://api.github.example.org; of a generic one
	// the address that answers GET ?key= with a list and POST with the new ticket.
	URL string
	// Project is OWNER/NAME of github, the path or number of gitlab.
	Project string
	// Token is a reference.
	Token string
}

type ticket struct {
	c *http.Client
	s *Set
}

// draft is a ticket to be.
type draft struct {
	Key    string   `json:"key"`
	Title  string   `json:"title"`
	Body   string   `json:"body"`
	Labels []string `json:"labels"`
}

// mark is the label by which a ticket is found again. Lists by label are exact at once,
// where a search may not know yet what was created a moment ago.
func (d draft) mark() string {
	sum := sha256.Sum256([]byte(d.Key))
	return "keepwell-" + hex.EncodeToString(sum[:8])
}

func (a ticket) draft(r Request) (name string, t Tracker, d draft, err error) {
	if name, t, err = pick(r, "tracker", "tickets", a.s.o.Trackers); err != nil {
		return name, t, d, err
	}
	about := r.About
	d = draft{
		Key:   r.text("key", strings.Join([]string{about.Playbook, about.Code, about.Asset}, " ")),
		Title: r.text("title", a.s.headline(about)),
		Body:  r.text("body", fmt.Sprintf("%s\nincident %d, run %d", a.s.headline(about), about.Incident, about.Run)),
	}
	d.Labels = append(slices.Clone(r.Params["labels"].Texts), d.mark())
	return name, t, d, nil
}

func (a ticket) plan(r Request) ([]string, error) {
	name, _, d, err := a.draft(r)
	return []string{fmt.Sprintf("create a ticket in %s, unless there is an open one marked %s", name, d.mark()), "title " + d.Title, "labels " + strings.Join(d.Labels, ", ")}, err
}

// addresses are where tickets are listed and where they are created.
func (t Tracker) addresses(base string, d draft) (list, create string, err error) {
	base = strings.TrimSuffix(base, "/")
	switch t.Type {
	case "github":
		owner, repo, ok := strings.Cut(t.Project, "/")
		if !ok {
			return "", "", fmt.Errorf("the project %q is not OWNER/NAME", t.Project)
		}
		create = base + "/repos/" + url.PathEscape(owner) + "/" + url.PathEscape(repo) + "/issues"
		return create + "?" + url.Values{"state": {"open"}, "labels": {d.mark()}}.Encode(), create, nil
	case "gitlab":
		create = base + "/projects/" + url.PathEscape(t.Project) + "/issues"
		return create + "?" + url.Values{"state": {"opened"}, "labels": {d.mark()}}.Encode(), create, nil
	case "generic":
		u, err := url.Parse(base)
		if err != nil {
			return "", "", fmt.Errorf("the address of the tracker cannot be used")
		}
		q := u.Query()
		q.Set("key", d.Key)
		u.RawQuery = q.Encode()
		return u.String(), base, nil
	}
	return "", "", fmt.Errorf("the tracker's type %q is none of github, gitlab, generic", t.Type)
}

func (t Tracker) payload(d draft) any {
	switch t.Type {
	case "github":
		return map[string]any{"title": d.Title, "body": d.Body, "labels": d.Labels}
	case "gitlab":
		return map[string]any{"title": d.Title, "description": d.Body, "labels": strings.Join(d.Labels, ",")}
	}
	return d
}

type found struct {
	HTML string `json:"html_url"`
	Web  string `json:"web_url"`
	URL  string `json:"url"`
}

func (f found) address() string {
	for _, s := range []string{f.HTML, f.Web, f.URL} {
		if s != "" {
			return s
		}
	}
	return ""
}

func (a ticket) do(ctx context.Context, r Request) (res Result, err error) {
	name, t, d, err := a.draft(r)
	if err != nil {
		return res, err
	}
	base, err := vaultOf(ctx).opened(t.URL)
	if err != nil {
		return res, err
	}
	token, err := vaultOf(ctx).opened(t.Token)
	if err != nil {
		return res, err
	}
	list, create, err := t.addresses(base, d)
	if err != nil {
		return res, err
	}
	headers := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}, "Idempotency-Key": {r.Key}}
	if token != "" {
		headers.Set("Authorization", "Bearer "+token)
	}
	got, err := send(ctx, a.c, http.MethodGet, list, headers, nil)
	if err != nil {
		return res, err
	}
	var there []found
	switch {
	case !success(got.status):
		return res, judge(http.MethodGet, name, got)
	case json.Unmarshal(got.body, &there) != nil:
		// Creating without knowing could make a second one.
		return res, fmt.Errorf("the list of tickets of %s cannot be read", name)
	case len(there) > 0:
		return Result{Summary: "there is a ticket in " + name, Existing: true, URL: there[0].address(), Code: got.status}, nil
	}
	body, err := json.Marshal(t.payload(d))
	if err != nil {
		return res, err
	}
	if got, err = send(ctx, a.c, http.MethodPost, create, headers, body); err != nil {
		return res, err
	}
	if !success(got.status) {
		return Result{Code: got.status}, judge(http.MethodPost, name, got)
	}
	var made found
	_ = json.Unmarshal(got.body, &made) // the ticket is there, wherever
	return Result{Summary: "created a ticket in " + name, URL: made.address(), Code: got.status}, nil
}
