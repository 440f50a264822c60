package actions

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/keepwell/keepwell/internal/msg"
)

// Tracker is where tickets are.
type Tracker struct {
	Type string // github, gitlab, gitea, jira, jira-server, generic
	// URL is the base of its API, such as https://api.github.example.org; of a generic one
	// the address that answers GET ?key= with a list and POST with the new ticket.
	URL string
	// Project is OWNER/NAME of github and gitea, the path or number of gitlab, the key of jira.
	Project string
	// Token is a reference. With User it is a password or API token of that user, as Jira in
	// the cloud wants it.
	Token string
	User  string
	// Issue is the type of the ticket in jira; "": Task.
	Issue string
}

// ProjectForm is an example of what Project looks like where t's cannot be one; "": it can.
func (t Tracker) ProjectForm() string {
	owner, name, ok := strings.Cut(t.Project, "/")
	switch t.Type {
	case "github", "gitea":
		if !ok || owner == "" || name == "" || strings.Contains(name, "/") {
			return "team/ops"
		}
	case "jira", "jira-server":
		if !jiraKey().MatchString(t.Project) {
			return "OPS"
		}
	}
	return ""
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
	inTitle, inBody := t.harmless()
	d = draft{
		Key:   r.text("key", strings.Join([]string{about.Playbook, about.Code, about.Asset}, " ")),
		Title: r.shown("title", a.s.headline(about), inTitle),
		Body:  r.shown("body", fmt.Sprintf("%s\nincident %d, run %d", toldIn(a.s.o.Lang, about), about.Incident, about.Run), inBody),
	}
	if t.Type != "generic" { // the least of what trackers take is 255 characters
		const title = 250
		d.Title = short(strings.Map(plain, d.Title), title)
	}
	d.Labels = append(slices.Clone(r.Params["labels"].Texts), d.mark())
	return name, t, d, nil
}

func (a ticket) plan(r Request) (lines []msg.Reason, err error) {
	name, _, d, err := a.draft(r)
	return []msg.Reason{
		msg.Because("plan.line.ticket", name, d.mark()), msg.Because("plan.line.title", d.Title), msg.Because("plan.line.labels", strings.Join(d.Labels, ", ")), msg.Because("plan.line.text", d.Body),
	}, err
}

// harmless are what makes data harmless in the titles and texts of a tracker.
func (t Tracker) harmless() (title, body func(string) string) {
	same := func(s string) string { return s }
	switch t.Type {
	case "github", "gitlab", "gitea":
		return calm, inMarkdown
	case "jira-server":
		return same, inWiki
	}
	return same, same
}

// shown is a parameter as a string, or another where it was left out, with the data in it
// made harmless: all of what was left out is data.
func (r Request) shown(name, otherwise string, harmless func(string) string) string {
	if f, ok := r.Params[name]; ok && len(f.Text) > 0 {
		return f.Text.Shown(harmless)
	}
	return harmless(otherwise)
}

// addresses are where tickets are listed and where they are created.
func (t Tracker) addresses(base string, d draft) (list, create string, err error) {
	base = strings.TrimSuffix(base, "/")
	switch t.Type {
	case "github":
		owner, repo, ok := strings.Cut(t.Project, "/")
		if !ok {
			return "", "", msg.Wrong("do.ticket.project", t.Project)
		}
		create = base + "/repos/" + url.PathEscape(owner) + "/" + url.PathEscape(repo) + "/issues"
		return create + "?" + url.Values{"state": {"open"}, "labels": {d.mark()}}.Encode(), create, nil
	case "gitlab":
		create = base + "/projects/" + url.PathEscape(t.Project) + "/issues"
		return create + "?" + url.Values{"state": {"opened"}, "labels": {d.mark()}}.Encode(), create, nil
	case "gitea":
		// Its lists take labels by name, and leave out those that do not exist: then all
		// tickets would be found; and its search learns of a ticket later. The mark stands in
		// the text, and the newest open tickets are read.
		owner, repo, ok := strings.Cut(t.Project, "/")
		if !ok {
			return "", "", msg.Wrong("do.ticket.project", t.Project)
		}
		create = base + "/repos/" + url.PathEscape(owner) + "/" + url.PathEscape(repo) + "/issues"
		return create + "?" + url.Values{"state": {"open"}, "type": {"issues"}, "limit": {"30"}}.Encode(), create, nil
	case "jira", "jira-server":
		if !jiraKey().MatchString(t.Project) {
			return "", "", msg.Wrong("do.ticket.jira", t.Project)
		}
		version, search := "3", "/search/jql"
		if t.Type == "jira-server" {
			version, search = "2", "/search"
		}
		api := base + "/rest/api/" + version
		jql := fmt.Sprintf(`project = "%s" AND labels = "%s" AND statusCategory != Done`, t.Project, d.mark())
		return api + search + "?" + url.Values{"jql": {jql}, "fields": {"labels"}, "maxResults": {"2"}}.Encode(), api + "/issue", nil
	case "generic":
		u, err := url.Parse(base)
		if err != nil {
			return "", "", msg.Wrong("do.ticket.address")
		}
		q := u.Query()
		q.Set("key", d.Key)
		u.RawQuery = q.Encode()
		return u.String(), base, nil
	}
	return "", "", msg.Wrong("do.ticket.type", t.Type)
}

func (t Tracker) payload(d draft) any {
	switch t.Type {
	case "github":
		return map[string]any{"title": d.Title, "body": d.Body, "labels": d.Labels}
	case "gitlab":
		return map[string]any{"title": d.Title, "description": d.Body, "labels": strings.Join(d.Labels, ",")}
	case "gitea":
		return map[string]any{"title": d.Title, "body": d.Body + "\n\n" + strings.Join(d.Labels, " ")}
	case "jira", "jira-server":
		kind := t.Issue
		if kind == "" {
			kind = "Task"
		}
		fields := map[string]any{
			"project": map[string]any{"key": t.Project}, "issuetype": map[string]any{"name": kind}, "labels": d.jiraLabels(),
			"summary": d.Title, "description": d.Body,
		}
		if t.Type == "jira" {
			fields["description"] = document(d.Body)
		}
		return map[string]any{"fields": fields}
	}
	return d
}

// giteaPages are how many pages of 30 are read.
const giteaPages = 20

var jiraKey = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Z][A-Z0-9_]{1,31}$`) })

// jiraLabels are labels without the spaces that Jira does not take.
func (d draft) jiraLabels() []string {
	out := make([]string, len(d.Labels))
	for i, l := range d.Labels {
		out[i] = strings.Join(strings.Fields(l), "-")
	}
	return out
}

// document is a text as Jira in the cloud takes it: paragraphs of plain text, in which
// nothing is read as markup.
func document(text string) any {
	paragraphs := []any{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			paragraphs = append(paragraphs, map[string]any{"type": "paragraph", "content": []any{map[string]any{"type": "text", "text": line}}})
		}
	}
	return map[string]any{"type": "doc", "version": 1, "content": paragraphs}
}

// tickets reads what of a list bears the mark; the base is where people look at tickets of
// Jira. Of Gitea's, the text is looked at, and there may be more pages.
func (t Tracker) tickets(base string, body []byte, d draft) (list []found, more bool, err error) {
	switch t.Type {
	case "jira", "jira-server":
		var doc struct {
			Issues *[]struct{ Key string }
		}
		if err := json.Unmarshal(body, &doc); err != nil || doc.Issues == nil {
			return nil, false, msg.Wrong("do.ticket.nolist")
		}
		for _, i := range *doc.Issues {
			list = append(list, found{Key: i.Key}.in(base))
		}
		return list, false, nil
	case "gitea":
		var all []found
		if err := json.Unmarshal(body, &all); err != nil {
			return nil, false, err
		}
		for _, f := range all {
			if slices.Contains(strings.Fields(f.Body), d.mark()) {
				list = append(list, f)
			}
		}
		return list, len(all) > 0, nil
	}
	err = json.Unmarshal(body, &list)
	return list, false, err
}

// in gives a ticket of Jira its address for people.
func (f found) in(base string) found {
	if f.Key != "" {
		f.HTML = strings.TrimSuffix(base, "/") + "/browse/" + url.PathEscape(f.Key)
	}
	return f
}

type found struct {
	Key  string `json:"key"`
	Body string `json:"body"`
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

// look finds a ticket that bears the mark. Creating without knowing could make a second
// one: what cannot be read is an error.
func (a ticket) look(ctx context.Context, t Tracker, name, base, list string, headers http.Header, d draft) (*found, error) {
	for page := 1; ; page++ {
		address := list
		if t.Type == "gitea" {
			address += "&page=" + strconv.Itoa(page)
		}
		got, err := send(ctx, a.c, http.MethodGet, address, headers, nil)
		if err != nil {
			return nil, err
		}
		if !success(got.status) {
			return nil, judge(http.MethodGet, name, got)
		}
		there, more, err := t.tickets(base, got.body, d)
		switch {
		case err != nil:
			return nil, msg.Wrong("do.ticket.list", name)
		case len(there) > 0:
			return &there[0], nil
		case !more || page >= giteaPages:
			return nil, nil //nolint:nilnil // none is there
		}
	}
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
	switch {
	case token != "" && t.User != "":
		basic := base64.StdEncoding.EncodeToString([]byte(t.User + ":" + token))
		vaultOf(ctx).learnLogin(t.User, token)
		headers.Set("Authorization", "Basic "+basic)
	case token != "":
		headers.Set("Authorization", "Bearer "+token)
	}
	if there, err := a.look(ctx, t, name, base, list, headers, d); err != nil || there != nil {
		if err != nil {
			return res, err
		}
		return Result{Summary: "there is a ticket in " + name, Existing: true, URL: there.address(), Code: http.StatusOK}, nil
	}
	body, err := json.Marshal(t.payload(d))
	if err != nil {
		return res, err
	}
	got, err := send(ctx, a.c, http.MethodPost, create, headers, body)
	if err != nil {
		return res, err
	}
	if !success(got.status) {
		return Result{Code: got.status, Output: short(string(got.body), replyRoom)}, judge(http.MethodPost, name, got)
	}
	var made found
	_ = json.Unmarshal(got.body, &made) // the ticket is there, wherever
	if strings.HasPrefix(t.Type, "jira") {
		made = made.in(base)
	}
	return Result{Summary: "created a ticket in " + name, URL: made.address(), Code: got.status}, nil
}
