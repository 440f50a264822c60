package playbook

import (
	"net/url"
	"path"
	"regexp"
	"strings"
	"sync"
)

// Kind describes an action: what it may be given, and what is known of its nature.
type Kind struct {
	Name string
	// Short is the parameter that a bare text is.
	Short  string
	Params []Param
	// Check says that it changes nothing and can stand under verify.
	Check bool
	// Idempotent says that it can be made again without harm, by its nature.
	Idempotent bool
	// Engine says that the engine itself does it; internal/actions has no file for it.
	Engine bool
	// check looks at the parameters together, as far as they can be judged as written.
	check func(Action) *placeFault
	// nature tells of an action what holds for it alone; nil: what the kind says.
	nature func(Action) Nature
	Doc    Title
}

// Nature is what is known of an action without its author's word.
type Nature struct {
	Reads      bool // it changes nothing
	Idempotent bool // it can be made again without harm
}

// Type is what a parameter takes.
type Type string

// The types of parameters.
const (
	TypeText     Type = "text"
	TypeTexts    Type = "texts"   // a list
	TypePairs    Type = "pairs"   // a mapping of texts
	TypeNumbers  Type = "numbers" // a list of whole numbers, or one
	TypeNumber   Type = "number"  // a whole number within the parameter's bounds
	TypeDuration Type = "duration"
	TypeJSON     Type = "json"
)

// Sink is where the value of a parameter ends, which decides whether data of an alert
// may become a part of it.
type Sink string

// The sinks.
const (
	SinkFixed  Sink = "fixed"  // commands, hosts, headers, names: no data of alerts
	SinkArg    Sink = "arg"    // one element of argv each
	SinkEnv    Sink = "env"    // values of environment variables
	SinkJSON   Sink = "json"   // strings in JSON
	SinkQuery  Sink = "query"  // values of a URL query, escaped
	SinkPromQL Sink = "promql" // inside a string of PromQL, escaped
	SinkValue  Sink = "value"  // a value beside a command or statement, or a name that is held to its form when it is used
)

// Param is one parameter of a kind.
type Param struct {
	Name     string
	Type     Type
	Sink     Sink
	Required bool
	// Secret says that a secret may be referred to.
	Secret bool
	Enum   []string
	// Least and Most bound a number.
	Least, Most int
	// check looks at a text (of pairs: at the name) and says what is wrong with it.
	check func(string) *placeFault
	Doc   Title
}

// Param finds a parameter by name.
func (k *Kind) Param(name string) *Param {
	for i := range k.Params {
		if k.Params[i].Name == name {
			return &k.Params[i]
		}
	}
	return nil
}

// Kinds lists what actions there are, in the order of the documentation.
var Kinds = sync.OnceValue(func() []Kind {
	kinds := []Kind{
		{
			Name: "run_script", Short: "script", Doc: Title{"run a script of the allowed directories: argv and environment, never a shell", "运行许可目录中的脚本：只用参数和环境变量，绝不经过 shell"},
			Params: []Param{
				{Name: "script", Type: TypeText, Sink: SinkFixed, Required: true, check: checkScript, Doc: Title{"path below a script directory", "脚本目录下的路径"}},
				{Name: "args", Type: TypeTexts, Sink: SinkArg, Doc: Title{"arguments, one element each", "参数，每项一个"}},
				{Name: "env", Type: TypePairs, Sink: SinkEnv, Secret: true, check: checkEnvName, Doc: Title{"environment; secrets by reference", "环境变量；密钥只写引用"}},
				{Name: "ok", Type: TypeNumbers, Sink: SinkFixed, Doc: Title{"exit codes that mean success (default: 0)", "表示成功的退出码（默认 0）"}},
			},
		},
		{
			Name: "http", Short: "url", Check: true, nature: natureOfHTTP, Doc: Title{"send a request to an allowed host", "向许可的主机发送请求"},
			Params: []Param{
				{Name: "url", Type: TypeText, Sink: SinkFixed, Required: true, Secret: true, check: checkURL, Doc: Title{"http or https address", "http 或 https 地址"}},
				{Name: "method", Type: TypeText, Sink: SinkFixed, Enum: []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}, Doc: Title{"default: POST with json, otherwise GET", "默认：有 json 时为 POST，否则为 GET"}},
				{Name: "query", Type: TypePairs, Sink: SinkQuery, Doc: Title{"query, escaped", "查询参数，自动转义"}},
				{Name: "headers", Type: TypePairs, Sink: SinkFixed, Secret: true, check: checkHeader, Doc: Title{"headers; no data of alerts", "请求头；不能含告警数据"}},
				{Name: "json", Type: TypeJSON, Sink: SinkJSON, Doc: Title{"body", "请求正文"}},
				{Name: "expect", Type: TypeNumbers, Sink: SinkFixed, Doc: Title{"status codes that mean success (default: 200 to 299)", "表示成功的状态码（默认 200 至 299）"}},
			},
		},
		{Name: "notify", Short: "to", Doc: Title{"tell people through a receiver of the server's configuration", "通过服务器配置中的接收方通知人员"}, Params: append([]Param{
			{Name: "to", Type: TypeText, Sink: SinkFixed, Required: true, check: checkName, Doc: Title{"name of the receiver", "接收方名称"}},
		}, message()...)},
	}
	for _, n := range []struct{ name, en string }{{"slack", "Slack"}, {"dingtalk", "DingTalk"}, {"lark", "Lark"}, {"wecom", "WeCom"}, {"teams", "Teams"}, {"email", "e-mail"}} {
		kinds = append(kinds, Kind{Name: "notify_" + n.name, Short: "channel", Doc: Title{"tell people through " + n.en, "通过 " + n.en + " 通知人员"}, Params: message()})
	}
	return append(
		append(kinds, systems()...),
		Kind{
			Name: "create_ticket", Short: "title", Idempotent: true, Doc: Title{"create a ticket, unless there is one with the same key", "创建工单；已有相同键的工单则不再创建"},
			Params: []Param{
				{Name: "in", Type: TypeText, Sink: SinkFixed, check: checkName, Doc: Title{"tracker of the server's configuration (default: the only one)", "服务器配置中的工单系统（默认：唯一的一个）"}},
				{Name: "title", Type: TypeText, Sink: SinkJSON, Doc: Title{"title", "标题"}},
				{Name: "body", Type: TypeText, Sink: SinkJSON, Doc: Title{"text", "正文"}},
				{Name: "labels", Type: TypeTexts, Sink: SinkFixed, check: checkName, Doc: Title{"labels", "标签"}},
				{Name: "key", Type: TypeText, Sink: SinkJSON, Doc: Title{"what makes two tickets one (default: playbook, code and asset)", "判定为同一工单的键（默认：剧本、故障代码和对象）"}},
			},
		},
		Kind{
			Name: "promql", Short: "query", Check: true, Idempotent: true, Doc: Title{"ask Prometheus and compare every value of the answer", "查询 Prometheus，并比较结果中的每个值"},
			Params: []Param{
				{Name: "query", Type: TypeText, Sink: SinkPromQL, Required: true, Doc: Title{"expression; data of alerts only as the whole value of a label", "表达式；告警数据只能作为标签的完整取值"}},
				{Name: "expect", Type: TypeText, Sink: SinkFixed, check: checkExpect, Doc: Title{"such as \"< 80\" (default: an answer that is not empty)", "例如 \"< 80\"（默认：结果不为空）"}},
			},
		},
		Kind{
			Name: "alert", Short: "state", Check: true, Idempotent: true, Engine: true, Doc: Title{"whether the alert has resolved", "告警是否已恢复"},
			Params: []Param{{Name: "state", Type: TypeText, Sink: SinkFixed, Required: true, Enum: []string{"resolved"}, Doc: Title{"resolved", "resolved（已恢复）"}}},
		},
		Kind{
			Name: "wait", Short: "for", Idempotent: true, Engine: true, Doc: Title{"wait; the run is kept, no worker is held", "等待；保存运行状态，不占用工作线程"},
			Params: []Param{{Name: "for", Type: TypeDuration, Sink: SinkFixed, Required: true, Doc: Title{"how long", "时长"}}},
		},
	)
})

func natureOfHTTP(a Action) Nature {
	switch m := a.Params["method"].Text.Raw(); {
	case m == "GET" || m == "HEAD" || m == "" && !a.Has("json"):
		return Nature{Reads: true, Idempotent: true}
	default:
		return Nature{Idempotent: m == "PUT" || m == "DELETE"}
	}
}

func message() []Param {
	return []Param{
		{Name: "channel", Type: TypeText, Sink: SinkFixed, check: checkName, Doc: Title{"channel, where the receiver has several", "频道（接收方有多个频道时）"}},
		{Name: "text", Type: TypeText, Sink: SinkJSON, Doc: Title{"message (default: playbook, alert, asset and priority)", "消息（默认：剧本、告警、对象和优先级）"}},
	}
}

// LookupKind finds a kind by name.
func LookupKind(name string) *Kind {
	kinds := Kinds()
	for i := range kinds {
		if kinds[i].Name == name {
			return &kinds[i]
		}
	}
	return nil
}

func kindNames(only func(Kind) bool) (names []string) {
	for _, k := range Kinds() {
		if only(k) {
			names = append(names, k.Name)
		}
	}
	return names
}

func checkScript(s string) *placeFault {
	if path.IsAbs(s) || path.Clean(s) != s || s == "." || strings.HasPrefix(s, "..") || strings.ContainsAny(s, "\\\x00\n") {
		return &placeFault{"play.script", []any{cut(s)}}
	}
	if strings.Contains(s, " ") {
		return &placeFault{"play.script.space", []any{cut(s)}}
	}
	return nil
}

var envName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`) })

// checkEnvName refuses names that make an interpreter or the loader run something else.
func checkEnvName(s string) *placeFault {
	upper := strings.ToUpper(s)
	for _, p := range []string{"LD_", "DYLD_", "BASH_", "PYTHON", "PERL", "RUBY", "NODE_", "GIT_", "JAVA_", "GCONV_", "MALLOC_", "KEEPWELL_"} {
		if strings.HasPrefix(upper, p) {
			return &placeFault{"play.env.refused", []any{s}}
		}
	}
	switch upper {
	case "PATH", "ENV", "IFS", "SHELLOPTS", "BASHOPTS", "PS4", "PROMPT_COMMAND", "HOME", "TMPDIR", "GLIBC_TUNABLES", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "EDITOR", "PAGER", "LESSOPEN":
		return &placeFault{"play.env.refused", []any{s}}
	}
	if !envName().MatchString(s) {
		return &placeFault{"play.env.name", []any{cut(s)}}
	}
	return nil
}

// checkURL looks at an address; one that is a secret as a whole is looked at when used.
func checkURL(s string) *placeFault {
	if strings.HasPrefix(s, "${secret:") {
		return nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Fragment != "":
		return &placeFault{"play.url", []any{cut(s)}}
	case u.User != nil:
		return &placeFault{"play.url.login", nil}
	}
	return nil
}

var headerName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`) })

func checkHeader(s string) *placeFault {
	switch strings.ToLower(s) {
	case "host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "proxy-authorization", "idempotency-key":
		return &placeFault{"play.header.refused", []any{s}}
	}
	if !headerName().MatchString(s) {
		return &placeFault{"play.header", []any{cut(s)}}
	}
	return nil
}

func checkName(s string) *placeFault {
	if len(s) > 128 || strings.TrimSpace(s) != s || strings.ContainsAny(s, "\n\r\t\x00") {
		return &placeFault{"play.plain", []any{cut(s)}}
	}
	return nil
}

var expectForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\s*(<=|>=|==|!=|<|>)\s*(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*$`)
})

func checkExpect(s string) *placeFault {
	if !expectForm().MatchString(s) {
		return &placeFault{"play.expect", []any{cut(s)}}
	}
	return nil
}

// Expectation takes apart what checkExpect admitted.
func Expectation(s string) (op, number string) {
	if m := expectForm().FindStringSubmatch(s); m != nil {
		return m[1], m[2]
	}
	return "", ""
}
