package playbook

import (
	"regexp"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/spelling"
)

var nameForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`) })

// take reads the values of some keys before others, since those refer to them.
func take(n *yaml.Node, key string) *yaml.Node {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1]
			}
		}
	}
	return nil
}

func (r *reader) top(n *yaml.Node) {
	if v := take(n, "vars"); v != nil {
		r.p.Vars = r.vars(v)
	}
	r.fields(n, fieldReaders{
		"name":         func(v *yaml.Node) { r.p.Name = r.word(v, "name") },
		"title":        func(v *yaml.Node) { r.p.Title.EN = r.word(v, "title") },
		"title_zh":     func(v *yaml.Node) { r.p.Title.ZH = r.word(v, "title_zh") },
		"trigger":      func(v *yaml.Node) { r.p.Trigger = r.words(v, "trigger") },
		"match":        r.match,
		"severity":     func(v *yaml.Node) { r.p.Severity = r.priority(v, "severity") },
		"vars":         func(*yaml.Node) {}, // read before
		"actions":      func(v *yaml.Node) { r.p.Steps = r.steps(v, "actions") },
		"on_failure":   func(v *yaml.Node) { r.p.OnFailure = r.steps(v, "on_failure") },
		"cooldown":     func(v *yaml.Node) { r.p.Cooldown = r.duration(v, "cooldown", 0, longestTime) },
		"max_runs":     func(v *yaml.Node) { r.p.MaxRuns = r.budget(v, "max_runs") },
		"blast_radius": func(v *yaml.Node) { r.p.BlastRadius = r.budget(v, "blast_radius") },
		"concurrency":  r.concurrency,
		"maintenance":  r.maintenance,
		"mode":         func(v *yaml.Node) { r.p.Mode = oneOf(r, v, "mode", ModeObserve, ModeActive) },
	})
	if n.Kind != yaml.MappingNode {
		return
	}
	if take(n, "trigger") == nil {
		r.wrong(n, "play.missing", "trigger")
	}
	if take(n, "actions") == nil {
		r.wrong(n, "play.missing", "actions")
	}
	if r.p.Name == "" && len(r.p.Trigger) > 0 {
		r.p.Name = strings.ReplaceAll(strings.ToLower(r.p.Trigger[0]), "/", "-")
	}
	if name := take(n, "name"); !nameForm().MatchString(r.p.Name) {
		if name == nil {
			name = n
		}
		r.wrong(name, "play.name", cut(r.p.Name))
	}
	for _, t := range r.p.Trigger {
		if fold(t) == "" || len(t) > 256 {
			r.wrong(take(n, "trigger"), "play.trigger", cut(t))
		} else if near := r.nearCode(t); near != "" {
			r.warn(take(n, "trigger"), "play.trigger.near", cut(t), string(near))
		}
	}
}

// nearCode is the fault that a trigger may mean which is none, but for a slip or two.
func (r *reader) nearCode(trigger string) (near keepwell.Code) {
	const slips, shortest = 2, 6
	least, folded := slips+1, fold(trigger)
	if len(folded) < shortest || len(folded) > 64 {
		return ""
	}
	for _, code := range r.o.Codes {
		for _, name := range []string{string(code), strings.TrimPrefix(string(code), "ops/")} {
			if d := spelling.Distance(folded, fold(name)); d < least {
				near, least = code, d
			}
		}
	}
	if least == 0 {
		return ""
	}
	return near
}

func (r *reader) match(n *yaml.Node) {
	r.fields(n, fieldReaders{
		"labels": func(v *yaml.Node) {
			r.p.Match.Labels = map[string][]string{}
			r.pairs(v, "LABEL: VALUE", func(k, v *yaml.Node) {
				r.p.Match.Labels[k.Value] = r.words(v, "labels."+cut(k.Value))
			})
		},
		"if": func(v *yaml.Node) { r.p.Match.If = r.test(v, "match.if") },
	})
}

func (r *reader) concurrency(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		r.p.Concurrency.Global = r.number(n, "concurrency", 1, 1000)
		return
	}
	r.fields(n, fieldReaders{
		"per_target": func(v *yaml.Node) { r.p.Concurrency.PerTarget = r.number(v, "per_target", 1, 100) },
		"global":     func(v *yaml.Node) { r.p.Concurrency.Global = r.number(v, "global", 1, 1000) },
	})
}

func (r *reader) maintenance(n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		r.wrong(n, "play.list", "maintenance")
		return
	}
	for _, e := range n.Content {
		expr, length, zone := "", time.Duration(0), time.UTC
		r.fields(e, fieldReaders{
			"cron":     func(v *yaml.Node) { expr = r.word(v, "cron") },
			"duration": func(v *yaml.Node) { length = r.duration(v, "duration", time.Minute, longestWindow) },
			"timezone": func(v *yaml.Node) {
				var err error
				name := r.word(v, "timezone")
				if zone, err = time.LoadLocation(name); err != nil || name == "Local" {
					r.wrong(v, "play.zone", cut(name))
					zone = time.UTC
				}
			},
		})
		if expr == "" || length == 0 {
			r.wrong(e, "play.window")
			continue
		}
		w, err := newWindow(expr, length, zone)
		if err != nil {
			r.wrong(take(e, "cron"), "play.cron", cut(expr), err)
			continue
		}
		r.p.Maintenance = append(r.p.Maintenance, w)
	}
}
