// Package msg holds the words of keepwell's own voice, in English and Chinese:
// labels, verdicts, errors and hints. The words for faults are in the catalogue
// (package faults). Codes and arguments travel through the program; they become
// words here, at the edge. To add a message, add a key to table; a test compares
// the placeholders of both languages.
package msg

import (
	"fmt"
	"os"
	"strings"
)

// Lang is a language of the output.
type Lang string

// The languages.
const (
	EN Lang = "en"
	ZH Lang = "zh"
)

// ParseLang reads the value of --lang.
func ParseLang(s string) (Lang, error) {
	switch strings.ToLower(s) {
	case "en", "en_us", "en-us", "english":
		return EN, nil
	case "zh", "zh_cn", "zh-cn", "zh-hans", "chinese", "中文":
		return ZH, nil
	}
	return "", fmt.Errorf("language %q is none of en, zh", s)
}

// FromEnvironment reads the language from the locale in the order of POSIX
// (LC_ALL, LC_MESSAGES, LANG); where none is set, from the system's settings.
func FromEnvironment() Lang {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := os.Getenv(name); v != "" {
			return fromLocale(v)
		}
	}
	return fromLocale(systemLocale())
}

func fromLocale(s string) Lang {
	if strings.HasPrefix(strings.ToLower(s), "zh") {
		return ZH
	}
	return EN
}

// Text returns the message of the given key in lang, its %-verbs filled with args.
// Errors among them are worded in lang, as far as there are words ([Cause]).
// "{file|files}" follows the %d before it: the first where that is 1.
// An unknown key is returned as it is, so that a slip shows but does not crash.
func Text(lang Lang, key string, args ...any) string {
	m, ok := lookup(key)
	if !ok {
		return key
	}
	format := m.en
	if lang == ZH {
		format = m.zh
	}
	if len(args) == 0 {
		return format
	}
	return fmt.Sprintf(counted(format, args), Words(lang, args)...)
}

type message struct{ en, zh string }

// lookup finds a key in the table of all commands, then in those of single ones.
func lookup(key string) (message, bool) {
	if m, ok := table[key]; ok {
		return m, true
	}
	for _, t := range tables() {
		if m, ok := t()[key]; ok {
			return m, true
		}
	}
	return message{}, false
}

// tables are the words of single commands.
func tables() []func() map[string]message {
	return []func() map[string]message{
		accessTable,
		apiTable,
		actionsTable,
		autopilotTable,
		bundleTable,
		journalTable,
		cacheTable,
		causeTable,
		conditionTable,
		credentialsTable,
		doctorProjectTable,
		doctorTable,
		envTable,
		explainProbeTable,
		mendTable,
		mendMovedTable,
		mirrorsTable,
		modconfigTable,
		movedTable,
		playbookTable,
		probeTable,
		proxyTable,
		routeTable,
		runTable,
		serveTable,
		serviceTable,
		shareTable,
		systemsTable,
		traceTable,
		webTable,
		workTable,
	}
}

var table = map[string]message{
	// Verdicts of a finding's headline.
	"owner.you":      {"yours to mend", "需要你来处理"},
	"owner.network":  {"the network is at fault", "问题出在网络"},
	"owner.proxy":    {"the proxy's operator must act", "要由代理的运营方处理"},
	"owner.registry": {"the registry's operator must act", "要由软件源的运营方处理"},
	"owner.host":     {"the code's host must act", "要由代码托管方处理"},
	"owner.author":   {"the dependency's author must act", "要由依赖的作者处理"},
	"verdict":        {" (%s, %s)", "（%s，%s）"},
	"retry.yes":      {"a retry may help", "重试可能有用"},
	"retry.no":       {"a retry will not help", "重试没有用"},

	"severity.error":   {"error", "错误"},
	"severity.warning": {"warning", "警告"},
	"severity.info":    {"note", "提示"},

	// Parts of a finding.
	"proof":             {"proof", "证据"},
	"proof.line":        {"line %d", "第 %d 行"},
	"proof.times":       {"%d {time|times}", "共 %d 次"},
	"proof.response":    {"the server's answer, line %d", "服务器的回答，第 %d 行"},
	"proof.marks":       {"the project's marks (keepwell.marks.yaml)", "项目的记录（keepwell.marks.yaml）"},
	"proof.environment": {"this machine", "本机环境"},
	"proof.together":    {"the text taken together", "由上下文得出"},
	"mend":              {"mend", "解决"},
	"or":                {"or", "或者"},
	"undo":              {"undo", "撤销"},
	"safety.safe":       {"safe", "安全"},
	"safety.asks":       {"asks first", "需确认"},
	"safety.manual":     {"by hand", "手动"},
	"unsure":            {"%d %% sure; it may also be", "置信度 %d %%；也可能是"},
	"probe":             {"to tell", "区分方法"},
	"label":             {"%s:", "%s："},
	"labelled":          {"%s: %s", "%s：%s"},
	"proof.and":         {"%s, %s", "%s，%s"},
	"remedy":            {"%s (%s): %s", "%s（%s）：%s"},
	"more":              {"more: keepwell faults %s", "详情：keepwell faults %s"},
	"also":              {"also found", "另外发现"},
	"more.findings":     {"… and %d more; --format json shows all", "……另有 %d 项，用 --format json 查看全部"},
	"nothing":           {"No dependency fault found in this text.", "这段文本里没有发现依赖方面的故障。"},
	"nothing.hint": {
		"A compile error, a failing test or a panic is left alone on purpose. If a download failed, paste its whole output, from the command on.",
		"编译错误、测试失败、panic 不在诊断范围内，这是有意为之。如果确实是下载失败，请从执行的命令开始粘贴完整输出。",
	},
	"progress": {"read %s", "已读取 %s"},

	// The fault catalogue.
	"faults.owner":         {"owner", "责任方"},
	"faults.severity":      {"severity", "严重程度"},
	"faults.retry":         {"retry", "重试"},
	"faults.cause":         {"cause", "原因"},
	"faults.why":           {"why", "说明"},
	"faults.example":       {"what it looks like", "报错示例"},
	"faults.remedy":        {"%d. %s (%s)", "%d. %s（%s）"},
	"faults.origin":        {" (%s)", "（%s）"},
	"faults.captured":      {"captured from the real tool by a test", "由测试运行真实工具得到"},
	"faults.composed":      {"composed after the tool's wording", "按工具的措辞编写"},
	"faults.mend":          {"how to mend it", "如何解决"},
	"faults.rivals":        {"what looks the same", "容易混淆的故障"},
	"faults.depends":       {"brought about by", "可能由这些故障引起"},
	"faults.count":         {"%d {fault|faults}; keepwell faults CODE explains one", "共 %d 种故障；keepwell faults CODE 查看详细说明"},
	"faults.none":          {"no fault matches", "没有匹配的故障"},
	"faults.suggest":       {"did you mean %s?", "你是不是想找 %s？"},
	"faults.listhint":      {"`keepwell faults` lists all codes", "`keepwell faults` 列出全部代码"},
	"owner.short.you":      {"you", "你"},
	"owner.short.network":  {"network", "网络"},
	"owner.short.proxy":    {"proxy", "代理"},
	"owner.short.registry": {"registry", "软件源"},
	"owner.short.host":     {"host", "托管方"},
	"owner.short.author":   {"author", "作者"},

	// Errors and their hints.
	"error":           {"keepwell: %s", "keepwell：%s"},
	"hint":            {"hint: %s", "提示：%s"},
	"err.empty":       {"explaining %s: the input is empty", "解释 %s：输入为空"},
	"hint.empty":      {"go and npm report on stderr: pipe both, as in `go mod download 2>&1 | keepwell explain`", "go 和 npm 的报错在 stderr 上，两个输出都要接进来：`go mod download 2>&1 | keepwell explain`"},
	"err.binary":      {"explaining %s: this is binary data, not text", "解释 %s：这是二进制数据，不是文本"},
	"hint.binary":     {"give the log as text; a compressed one first goes through `zcat` or `xz -dc`", "请给出文本日志；压缩过的先用 `zcat` 或 `xz -dc` 解开"},
	"err.directory":   {"explaining %s: it is a directory", "解释 %s：这是一个目录"},
	"hint.directory":  {"name a log file, or pipe the output into `keepwell explain`", "请指定一个日志文件，或用管道把输出交给 `keepwell explain`"},
	"err.open":        {"explaining %s: %v", "解释 %s：%v"},
	"hint.open":       {"check the path and that you may read it; `-` or nothing reads standard input", "请检查路径和读取权限；不写文件名或写 `-` 则读标准输入"},
	"err.read":        {"explaining %s: reading stopped: %v", "解释 %s：读取中断：%v"},
	"hint.read":       {"what was read before is not reported; give the file again", "中断前读到的内容不作结论，请重新运行"},
	"err.usage":       {"%v", "用法有误：%v"},
	"err.command":     {"there is no command %q", "没有 %q 这个命令"},
	"err.flag":        {"there is no flag %s", "没有 %s 这个参数"},
	"err.flag.value":  {"the flag %s needs a value", "参数 %s 需要一个值"},
	"err.flag.bad":    {"%s: %q is no value of type %s", "%s：%q 不是 %s 类型的值"},
	"err.args":        {"one argument at most, not %d", "最多一个参数，现在有 %d 个"},
	"err.lang":        {"language %q is none of en, zh", "语言 %q 不是 en 或 zh"},
	"err.color":       {"colour %q is none of auto, always, never", "颜色设置 %q 不是 auto、always 或 never"},
	"err.format":      {"format %q is none of %s", "输出格式 %q 不在其中：%s"},
	"err.listformat":  {"faults are shown as text, json or jsonl, not as %s", "故障目录的输出格式是 text、json 或 jsonl，不能是 %s"},
	"err.owner":       {"owner %q is none of %s", "责任方 %q 不在其中：%s"},
	"err.family":      {"family %q is none of %s", "没有 %q 这一类；可用的有：%s"},
	"hint.usage":      {"`%s --help` shows how to call it", "`%s --help` 查看用法"},
	"err.code":        {"no fault has the code %q", "没有代码为 %q 的故障"},
	"err.write":       {"writing the result: %v", "写出结果：%v"},
	"err.internal":    {"%v", "%v"},
	"hint.internal":   {"this is a bug of keepwell; please report it with the text you gave", "这是 keepwell 的缺陷，请连同输入的文本一起反馈"},
	"waiting":         {"Paste the output, then press Ctrl-D (Ctrl-Z and Enter on Windows).", "请粘贴报错输出，然后按 Ctrl-D（Windows 上按 Ctrl-Z 再回车）。"},
	"context.partial": {"context: %v", "环境信息：%v"},
	"interrupted":     {"interrupted", "已中断"},
}

// Keys lists every key, for the test that compares the languages.
func Keys() []string {
	keys := make([]string, 0, len(table))
	for k := range table {
		keys = append(keys, k)
	}
	for _, t := range tables() {
		for k := range t() {
			keys = append(keys, k)
		}
	}
	return keys
}
