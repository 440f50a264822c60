package msg

import "sync"

// modconfigTable holds the words of the configuration file of `keepwell proxy`, and of
// --check-rules. It is built when first asked for.
var modconfigTable = sync.OnceValue(func() map[string]message {
	return map[string]message{
		"config.large":     {"the file is larger than %d bytes", "文件超过 %d 字节"},
		"config.yaml":      {"not YAML: %v", "不是合法的 YAML：%v"},
		"config.documents": {"more than one YAML document", "包含多个 YAML 文档"},
		"config.alias":     {"*%s: aliases are not read here; write the value out", "*%s：此处不支持 YAML 别名，请直接写出内容"},
		"config.mapping":   {"want keys and values (%s)", "应为键值对（%s）"},
		"config.sequence":  {"%s: want a list, each entry after a dash", "%s：应为列表，每项以短横线开头"},
		"config.twice":     {"%q stands here a second time (first in line %d)", "%q 重复出现（第一次在第 %d 行）"},
		"config.near":      {"unknown key %q; did you mean %q?", "未知的键 %q；是否想写 %q？"},
		"config.unknown":   {"unknown key %q; known are %s", "未知的键 %q；可用的键：%s"},
		"config.word":      {"%s: want a text on one line", "%s：应为单行文本"},
		"config.words":     {"%s: want a text or a list of texts, not empty", "%s：应为文本或文本列表，且不能为空"},
		"config.bool":      {"%s: want true or false", "%s：应为 true 或 false"},
		"config.enum":      {"%s: want one of %s", "%s：应为以下之一：%s"},
		"config.lacks":     {"%s is missing", "缺少 %s"},
		"config.quota":     {"quota: want a number with K, M, G or T, not %q", "quota：格式是数字加 K、M、G 或 T，不是 %q"},
		"config.host":      {"%q is no host name, with or without a port", "%q 不是主机名（可带端口）"},
		"config.pattern":   {"%v", "模块模式无效：%v"},
		"config.versions":  {"%v", "版本条件无效，可写 <1.2.3、>=2.0.0 <2.1.5、1.2.3、pre-release、pseudo、release：%v"},
		"config.age":       {"%v", "时长无效，应为数字加 d、w 或 h，例如 7d：%v"},
		"config.until":     {"until: want a day such as 2027-01-31, not %q", "until：应为日期，例如 2027-01-31，不是 %q"},
		"config.except":    {"minimum_age_except without minimum_age", "写了 minimum_age_except，却没有 minimum_age"},
		"config.rule":      {"%v", "规则有误：%v"},
		"config.rule.name": {"name: want letters, digits, dots, dashes; %q is taken", "name：只能包含字母、数字、点和短横线；%q 已被占用"},
		"config.rule.twice": {
			"the rule %q is there twice (first in line %d): a refusal could not be told apart", "规则 %q 重复（第一次在第 %d 行）：拒绝时无法区分",
		},
		"config.behind": {
			"this entry is never reached: the one in line %d has no modules, so it takes all that are left", "这一项永远用不到：第 %d 行的条目没有 modules，会匹配其余所有模块",
		},
		"config.server": {"servers: %v", "servers：%v"},
		"config.login": {
			"servers: an address has no login in this file; write a credential and name it", "servers：此文件中的地址不能带登录信息；请在 credentials 中定义并引用",
		},
		"config.own": {"own_logins and credentials exclude each other", "own_logins 与 credentials 不能同时使用"},

		"config.credentials":       {"credentials: want a name and its keys for each", "credentials：应为“名称: 键值对”"},
		"config.credential.name":   {"a credential's name has letters, digits, dots, dashes", "凭据名称只能包含字母、数字、点和短横线"},
		"config.credential.kind":   {"want exactly one of password (with user), bearer, ssh_key, helper", "password（配合 user）、bearer、ssh_key、helper 必须且只能写一个"},
		"config.credential.key":    {"%s does not go with %s", "%s 不能与 %s 一起使用"},
		"config.credential.none":   {"there is no credential %q; there are: %s", "没有名为 %q 的凭据；已有：%s"},
		"config.credential.unused": {"no entry of upstreams names the credential %q", "upstreams 中没有任何条目使用凭据 %q"},
		"config.credential.fits": {
			"the credential %q is for %s: no https server of this entry, and there is no direct that could use it",
			"凭据 %q 只用于 %s：该条目既没有对应的 https 服务器，也没有可以使用它的 direct",
		},
		"config.plain":    {"%s: no blanks, quotes or backslashes", "%s：不能包含空格、引号或反斜杠"},
		"config.helper":   {"helper: want an absolute path, or the name of one of git's helpers", "helper：应为绝对路径，或 git 自带的凭据助手名称"},
		"config.literal":  {"%s: a secret has no place in this file; write ${VARIABLE} or file:PATH", "%s：不要把密钥写在此文件中；请写成 ${变量名} 或 file:路径"},
		"config.variable": {"the variable %s is not set, or empty", "环境变量 %s 未设置或为空"},
		"config.secret":   {"%s: want at least %d characters, without blanks and line ends", "%s：至少 %d 个字符，且不能包含空白或换行"},
		"config.file":     {"%[2]s: %[1]v", "%[2]s：%[1]v"},
		"config.regular":  {"%s is no regular file", "%s 不是普通文件"},
		"config.mode":     {"%s may be read or changed by others (mode %v); chmod 600", "%s 可被他人读取或修改（权限 %v）；请执行 chmod 600"},

		"config.wrong":       {"the configuration cannot be used:\n%s", "配置无法使用：\n%s"},
		"config.unread":      {"reading the configuration: %v", "读取配置：%v"},
		"hint.config":        {"try rules without starting: keepwell proxy --config FILE --check-rules MODULE@VERSION", "可先试规则而不启动：keepwell proxy --config 文件 --check-rules 模块@版本"},
		"config.from":        {"%s (from %s)", "%s（来自 %s）"},
		"rules.allowed":      {"%s: allowed", "%s：允许"},
		"rules.denied":       {"%s: denied", "%s：拒绝"},
		"rules.by":           {"  by rule %s (%s)", "  依据规则 %s（%s）"},
		"rules.default":      {"  no rule matches", "  没有匹配的规则"},
		"rules.nobody":       {"  no entry of upstreams takes it: its name is told to nobody", "  upstreams 中没有条目匹配它：不会向任何服务器透露其名称"},
		"rules.reason":       {"  %s", "  %s"},
		"rules.age":          {"  once it has been public for %s (%s)", "  须公开满 %s（%s）"},
		"rules.asked":        {"  asked of: %s", "  询问：%s"},
		"rules.askedfor":     {"  asked of: %s (entry for %s)", "  询问：%s（匹配 %s 的条目）"},
		"rules.nothing":      {"--check-rules takes modules, as in: example.com/widget@v1.2.0", "--check-rules 需要模块，例如：example.com/widget@v1.2.0"},
		"rules.argument":     {"%q is no module, with or without a version: %v", "%q 不是模块（可带版本）：%v"},
		"rules.noarguments":  {"proxy takes no arguments without --check-rules (%q)", "没有 --check-rules 时 proxy 不接受参数（%q）"},
		"rules.needconfig":   {"--check-rules needs --config", "--check-rules 需要 --config"},
		"proxy.reloaded":     {"the configuration was read again and holds now", "已重新读取配置并生效"},
		"proxy.reloadfailed": {"the configuration was read again and cannot be used; the one before still holds", "重新读取的配置无法使用；仍沿用之前的配置"},
	}
})
