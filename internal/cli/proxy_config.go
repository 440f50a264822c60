package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/modconfig"
	"github.com/keepwell/keepwell/internal/modpolicy"
	"github.com/keepwell/keepwell/internal/modproxy"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
)

// configOptions are how `proxy` is configured by a file. Flags outrank it.
type configOptions struct {
	config     string
	checkRules bool
	modules    []string // for checkRules
	// given tells which flags were set.
	given func(flag string) bool
	file  *modconfig.Config
}

func (c *configOptions) flags(flags *pflag.FlagSet) {
	flags.StringVar(&c.config, "config", "", "read all of this, credentials and rules from a file (docs/proxy-rules.md); flags outrank it / 从文件读取以上各项、凭据和规则（docs/proxy-rules.zh-CN.md）；命令行参数优先")
	flags.BoolVar(&c.checkRules, "check-rules", false, "say what the rules of --config decide on MODULE[@VERSION] ..., and end / 显示 --config 中的规则对 MODULE[@VERSION] ... 的决定，然后退出")
	c.given = flags.Changed
}

// configure reads the file, and puts what it says where no flag says otherwise.
func (a *app) configure(o proxyOptions) (proxyOptions, error) {
	switch {
	case o.checkRules && o.config == "":
		return o, misused("rules.needconfig")
	case o.checkRules && len(o.modules) == 0:
		return o, misused("rules.nothing")
	case !o.checkRules && len(o.modules) > 0:
		return o, misused("rules.noarguments", o.modules[0])
	case o.config == "":
		return o, nil
	}
	var err error
	if o.file, err = a.readConfig(o.config, !o.checkRules); err != nil {
		return o, err
	}
	f := o.file
	for flag, set := range map[string]struct {
		at *string
		to string
	}{
		"listen": {&o.listen, f.Listen}, "dir": {&o.dir, f.Dir}, "token-file": {&o.tokenFile, f.TokenFile}, "quota": {&o.quota, f.Quota},
		"tls-cert": {&o.tlsCert, f.TLSCert}, "tls-key": {&o.tlsKey, f.TLSKey}, "url": {&o.url, f.URL}, "log": {&o.log, f.Log}, "otlp": {&o.otlp, f.OTLP},
		"s3": {&o.s3.url, f.S3}, "s3-quota": {&o.s3.quota, f.S3Quota},
	} {
		if !o.given(flag) && set.to != "" {
			*set.at = set.to
		}
	}
	if !o.given("grace") && f.Grace > 0 {
		o.grace = f.Grace
	}
	if !o.given("comma-friendly") {
		o.commaFriendly = f.CommaFriendly
	}
	if !o.given("s3-unconditional") {
		o.s3.unconditional = f.S3Unconditional
	}
	if !o.given("allow-private") {
		o.private = f.AllowPrivate
	}
	return o, nil
}

func (a *app) readConfig(name string, secrets bool) (*modconfig.Config, error) {
	c, err := modconfig.Load(name, secrets)
	var p *modconfig.Problems
	switch {
	case errors.As(err, &p):
		return nil, &failure{exit: exitUsage, key: "config.wrong", args: []any{name, len(p.List)}, hint: "hint.config", unwrapped: err}
	case err != nil:
		return nil, &failure{exit: exitError, key: "config.unread", args: []any{err}, unwrapped: err}
	}
	return c, nil
}

// tellProblems writes what is wrong with a file, a line each.
func (a *app) tellProblems(err error) {
	var p *modconfig.Problems
	if errors.As(err, &p) {
		for line := range strings.SplitSeq(p.Text(a.lang), "\n") {
			fmt.Fprintln(a.errs, present.Visible(line, true))
		}
	}
}

// upstreamLists are whom modules may be asked of: by flag, by file, or by GOPROXY.
func (o *proxyOptions) upstreamLists(env goenv.Env, public func(string) bool) ([]modproxy.List, error) {
	if o.file != nil && len(o.file.Lists) > 0 && !o.given("upstream") {
		return o.file.Lists, nil
	}
	return o.lists(env, public)
}

// rules are those of the file. Without a file there are none; the proxy still notes when
// it first sees a version, for the day when there are.
func (o *proxyOptions) rules() (policy *modpolicy.Policy, firstSeen bool) {
	if o.file == nil {
		return &modpolicy.Policy{}, false
	}
	return &o.file.Policy, o.file.FirstSeen
}

// sourced adds to a failure from where the value came that it is about.
func (o *proxyOptions) sourced(a *app, err error) error {
	var f *failure
	if !errors.As(err, &f) || o.file == nil {
		return err
	}
	of, ok := map[string]struct{ flag, key string }{
		"proxy.open": {"listen", "listen"}, "proxy.listen": {"listen", "listen"}, "proxy.store": {"dir", "dir"}, "proxy.opened": {"dir", "dir"}, "proxy.scrub": {"dir", "dir"}, "proxy.tokens": {"token-file", "token_file"},
		"proxy.token.short": {"token-file", "token_file"}, "proxy.token.words": {"token-file", "token_file"}, "proxy.token.name": {"token-file", "token_file"},
		"proxy.token.hash": {"token-file", "token_file"},
		"proxy.url":        {"url", "url"}, "proxy.certificate": {"tls-cert", "tls_cert"}, "proxy.otlp": {"otlp", "otlp"}, "s3.quota": {"s3-quota", "s3_quota"},
	}[f.key]
	if strings.HasPrefix(f.key, "s3.") && !ok {
		of.flag, of.key, ok = "s3", "s3", true
	}
	if !ok {
		return err
	}
	where := "--" + of.flag
	if !o.given(of.flag) {
		where = o.file.Where(of.key)
	}
	if where == "" {
		return err
	}
	return &failure{
		exit: f.exit, key: "config.from", args: []any{msg.Text(a.lang, f.key, f.args...), where}, hint: f.hint, hintArgs: f.hintArgs, unwrapped: err,
	}
}

// reloader puts a changed file in the place of what holds.
type reloader struct {
	a      *app
	o      proxyOptions
	env    goenv.Env
	public func(string) bool
	p      *modproxy.Proxy
}

// load reads the file again: all of it holds, or nothing. What only a start can change
// is told of.
func (r *reloader) load() error {
	o := r.o
	o.file = nil
	o, err := r.a.configure(o)
	var lists []modproxy.List
	if err == nil {
		lists, err = o.upstreamLists(r.env, r.public)
	}
	if err == nil {
		c := modproxy.Changeable{Lists: lists, Private: o.private, Netrc: netrcFile(r.env)}
		c.Policy, c.FirstSeen = o.rules()
		err = r.p.Reload(c)
	}
	r.p.Reloaded(err)
	if err != nil {
		var p *modconfig.Problems
		if errors.As(err, &p) {
			r.p.Log.Error(msg.Text(r.a.lang, "proxy.reloadfailed"), "problems", strings.Split(p.Text(r.a.lang), "\n"))
		} else {
			r.p.Log.Error(msg.Text(r.a.lang, "proxy.reloadfailed"), "error", err.Error())
		}
		return err
	}
	r.p.Log.Info(msg.Text(r.a.lang, "proxy.reloaded"), "rules", len(o.file.Policy.Rules), "upstreams", len(lists))
	var later []string
	for key, changed := range map[string]bool{
		"listen": o.listen != r.o.listen, "dir": o.dir != r.o.dir, "quota": o.quota != r.o.quota,
		"token_file": o.tokenFile != r.o.tokenFile, "comma_friendly": o.commaFriendly != r.o.commaFriendly, "grace": o.grace != r.o.grace,
		"tls_cert": o.tlsCert != r.o.tlsCert, "tls_key": o.tlsKey != r.o.tlsKey, "url": o.url != r.o.url, "log": o.log != r.o.log, "otlp": o.otlp != r.o.otlp,
		"s3": o.s3.url != r.o.s3.url, "s3_quota": o.s3.quota != r.o.s3.quota, "s3_unconditional": o.s3.unconditional != r.o.s3.unconditional,
	} {
		if changed {
			later = append(later, key)
		}
	}
	if len(later) > 0 {
		r.p.Log.Warn(msg.Text(r.a.lang, "proxy.reloadlater"), "keys", later)
	}
	return nil
}

// tryRules says what the file decides on modules.
func (a *app) tryRules(ctx context.Context, o proxyOptions) error {
	lists := o.file.Lists
	if len(lists) == 0 || o.given("upstream") {
		layers, err := goenv.LoadLayers(ctx, "")
		if err != nil {
			return o.failed("route.nogo", "hint.nogo", err)
		}
		if lists, err = o.upstreamLists(layers.Env(), publicServers(layers)); err != nil {
			return err
		}
	}
	decisions := make([]modconfig.Decision, 0, len(o.modules))
	for _, arg := range o.modules {
		path, version, _ := strings.Cut(arg, "@")
		if path == modpolicy.Toolchain && strings.HasPrefix(version, "go") {
			version = "v0.0.1-" + version + ".linux-amd64"
		}
		if err := checkModule(path, version); err != nil {
			return misused("rules.argument", arg, err)
		}
		d := o.file.Decide(path, version, lists, time.Now())
		decisions = append(decisions, d)
		if !d.Allowed {
			a.exit = exitFaults
		}
	}
	switch present.Format(a.format) {
	case present.JSON:
		a.exit = exitFine
		enc := json.NewEncoder(a.out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(map[string]any{"config": o.config, "decisions": decisions})
	case present.JSONL:
		a.exit = exitFine
		enc := json.NewEncoder(a.out)
		enc.SetEscapeHTML(false)
		for _, d := range decisions {
			if err := enc.Encode(d); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range decisions {
		a.showDecision(o.config, &decisions[i])
	}
	return nil
}

func checkModule(path, version string) error {
	switch {
	case version == "":
		return module.CheckPath(path)
	case !semver.IsValid(version) || module.CanonicalVersion(version) != version:
		return fmt.Errorf("version %q is not canonical (want such as v1.2.3)", version)
	}
	return module.Check(path, version)
}

func (a *app) showDecision(file string, d *modconfig.Decision) {
	say := func(key string, args ...any) {
		fmt.Fprintln(a.out, present.Visible(msg.Text(a.lang, key, args...), true))
	}
	name := d.Module
	if d.Version != "" {
		name += "@" + d.Version
	}
	verdict := "rules.denied"
	if d.Allowed {
		verdict = "rules.allowed"
	}
	say(verdict, name)
	if d.Rule != "" {
		say("rules.by", d.Rule, fmt.Sprintf("%s:%d", file, d.Line))
	} else {
		say("rules.default")
	}
	reason := d.Reason
	if d.ReasonZH != "" && (a.lang == msg.ZH || reason == "") {
		reason = d.ReasonZH
	}
	if reason != "" {
		say("rules.reason", reason)
	}
	if d.MinimumAge != "" {
		say("rules.age", d.MinimumAge, d.AgeRule)
	}
	switch {
	case len(d.Asked) > 0 && d.Patterns != "":
		say("rules.askedfor", strings.Join(d.Asked, ", "), d.Patterns)
	case len(d.Asked) > 0:
		say("rules.asked", strings.Join(d.Asked, ", "))
	case !d.Allowed && d.Rule == "":
		say("rules.nobody")
	}
}
