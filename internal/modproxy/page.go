package modproxy

import (
	_ "embed" // the page's form
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/keepwell/keepwell/internal/msg"
)

//go:embed page.html
var pageForm string

// frontPage is parsed when a browser first comes.
var frontPage = sync.OnceValues(func() (*template.Template, error) { return template.New("page").Parse(pageForm) })

// pageData are the words of the front page.
type pageData struct {
	Lang, Title, What, Use, GOPROXY, TokenHint, Client string
	Guarded, Known                                     bool
	UpstreamTitle, None                                string
	Columns                                            []string
	Upstreams                                          []pageUpstream
	Links                                              []pageLink
}

type pageUpstream struct {
	Name, State, Latency, Failures string
	Resting                        bool
	Served                         int
}

type pageLink struct{ At, Words string }

// front tells people what this is. How the upstreams do is for those with a token.
func (s *Service) front(w http.ResponseWriter, r *http.Request, client string, known bool) {
	form, err := frontPage()
	if err != nil {
		http.Error(w, "the page cannot be drawn", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Language, Authorization")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	_ = form.Execute(w, s.pageData(r, client, known)) // the client went away
}

func (s *Service) pageData(r *http.Request, client string, known bool) pageData {
	lang := languageOf(r)
	say := func(key string, args ...any) string { return msg.Text(lang, "page."+key, args...) }
	d := pageData{
		Lang: map[msg.Lang]string{msg.EN: "en", msg.ZH: "zh-CN"}[lang], Title: say("title"), What: say("what"), Use: say("use"),
		GOPROXY: "go env -w GOPROXY=" + s.base(r), Guarded: s.Guarded(), Known: known && s.Guarded(),
	}
	if client != "" {
		d.Client = say("client", clean(client))
	}
	if d.Guarded {
		_, host, _ := strings.Cut(s.base(r), "://") // with its port: go looks for that in netrc
		d.TokenHint = say("token", host)
	}
	if !known {
		return d
	}
	d.UpstreamTitle, d.None = say("upstreams"), say("none")
	d.Columns = []string{say("upstream"), say("state"), say("latency"), say("answers"), say("failures")}
	for _, u := range s.p.Health() {
		state := say("well")
		if u.Resting {
			state = say("resting")
		}
		latency := "–" // it never answered
		if u.Latency > 0 {
			latency = u.Latency.Round(time.Millisecond).String()
		}
		d.Upstreams = append(d.Upstreams, pageUpstream{
			Name: clean(u.Upstream), State: state, Resting: u.Resting, Latency: latency,
			Served: u.Served, Failures: strconv.Itoa(u.Failed),
		})
	}
	d.Links = []pageLink{{"/metrics", say("metrics")}, {"/healthz", say("health")}}
	if s.o.Feeds != nil {
		d.Links = append(d.Links, pageLink{"/stats/summary", say("summary")}, pageLink{"/stats/trends/latest", say("trends")},
			pageLink{"/index", say("index")}, pageLink{"/catalog", say("catalog")})
	}
	return d
}

// languageOf is the one of keepwell's languages that the browser likes most; ?lang=
// outranks it, for pictures in other pages.
func languageOf(r *http.Request) msg.Lang {
	if r.URL.RawQuery != "" {
		if lang, err := msg.ParseLang(r.URL.Query().Get("lang")); err == nil {
			return lang
		}
	}
	best, most := msg.EN, 0.0
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(weight), "q="); ok {
			q, _ = strconv.ParseFloat(v, 64) // what is no number weighs nothing
		}
		first, _, _ := strings.Cut(strings.ToLower(tag), "-")
		lang, ok := map[string]msg.Lang{"en": msg.EN, "zh": msg.ZH}[first]
		if ok && q > most {
			best, most = lang, q
		}
	}
	return best
}
