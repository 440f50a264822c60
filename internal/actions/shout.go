package actions

import (
	"context"
	"errors"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/discord"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/googlechat"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/matrix"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/mattermost"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/rocketchat"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/telegram"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/chat/zulip"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/incident/opsgenie"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/incident/pagerduty"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/bark"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/gotify"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/ntfy"
	"github.com/nicholas-fedor/shoutrrr/pkg/services/push/pushover"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"github.com/keepwell/keepwell/internal/msg"
)

// shout sends through shoutrrr, whose services take no context: each call has a goroutine,
// and no more than a few may be hanging at once.
type shout struct{ room chan struct{} }

func newShout() *shout {
	const most = 8
	return &shout{make(chan struct{}, most)}
}

// shouters are the services, by the scheme of their address, with the bytes of text they
// take. Those that keepwell speaks itself, and those that can be told to call any address
// or to write to a log, are left out.
func shouters() map[string]struct {
	service types.Service
	most    int
} {
	type one = struct {
		service types.Service
		most    int
	}
	return map[string]one{
		"bark": {&bark.Service{}, 4000}, "discord": {&discord.Service{}, 6000}, "googlechat": {&googlechat.Service{}, 4000},
		"gotify": {&gotify.Service{}, 20_000}, "matrix": {&matrix.Service{}, 30_000}, "mattermost": {&mattermost.Service{}, 16_000},
		"ntfy": {&ntfy.Service{}, 4000}, "opsgenie": {&opsgenie.Service{}, 15_000}, "pagerduty": {&pagerduty.Service{}, 1000},
		"pushover": {&pushover.Service{}, 1000}, "rocketchat": {&rocketchat.Service{}, 5000}, "telegram": {&telegram.Service{}, 4000}, "zulip": {&zulip.Service{}, 10_000},
	}
}

func shoutMost(scheme string) int {
	if s, ok := shouters()[strings.ToLower(scheme)]; ok {
		return s.most
	}
	return 1000
}

// send hands a text to the service of an address. All of the address counts as secret.
func (s *shout) send(ctx context.Context, name, address, text string) (res Result, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return res, msg.Wrong("do.receiver.address", name)
	}
	learnAddress(vaultOf(ctx), address, u)
	known := shouters()
	service, ok := known[strings.ToLower(u.Scheme)]
	if !ok {
		var names []string
		for n := range known {
			names = append(names, n)
		}
		slices.Sort(names)
		return res, msg.Wrong("do.shout.kind", name, strings.Join(names, ", "))
	}
	select {
	case s.room <- struct{}{}:
	case <-ctx.Done():
		return res, msg.Wrong("do.shout.hang", ErrAgain)
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-s.room }()
		defer func() {
			if p := recover(); p != nil {
				done <- msg.Wrong("do.shout.failed")
			}
		}()
		if err := service.service.Initialize(u, nil); err != nil {
			done <- msg.Wrong("do.shout.address", name, err)
			return
		}
		if err := service.service.Send(quietly(text), &types.Params{}); err != nil {
			done <- shouted(name, err)
			return
		}
		done <- nil
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = msg.Wrong("do.shout.late", name, ErrUnsure)
	}
	return Result{Summary: "told " + name}, err
}

// shouted tells what was refused, and what never got there, from what may have been heard.
// Of the services' errors only the text has the status.
func shouted(name string, err error) error {
	text := msg.Wrong("do.shout.telling", name, err)
	var dial *net.OpError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial":
		return msg.Wrong("do.pair", text, ErrAgain)
	case regexp.MustCompile(`(?i)(status|code|response)[^0-9]{0,40}4[0-9][0-9]\b|\b4[0-9][0-9] [A-Z][a-z]+|\(4[0-9]{4}\)`).MatchString(err.Error()):
		return text
	}
	return msg.Wrong("do.pair", text, ErrUnsure)
}

// learnAddress: shoutrrr has tokens in every part of an address, and repeats them in errors,
// in pieces and put together anew.
func learnAddress(v *vault, address string, u *url.URL) {
	const least = 5 // shorter ones are no tokens, and would be found everywhere
	keep := func(parts ...string) {
		for _, p := range parts {
			for _, form := range []string{p, url.QueryEscape(p), url.PathEscape(p)} {
				if len(form) >= least {
					v.learn(form)
				}
			}
		}
	}
	keep(address, u.Host, u.Hostname(), u.Path, u.RawQuery)
	if u.User != nil {
		word, _ := u.User.Password()
		keep(u.User.Username(), word)
		keep(strings.Split(u.User.Username(), ":")...)
	}
	keep(strings.Split(u.Path, "/")...)
	for _, values := range u.Query() {
		keep(values...)
	}
	slices.SortFunc(v.known, func(a, b string) int { return len(b) - len(a) }) // the whole before its parts
}
