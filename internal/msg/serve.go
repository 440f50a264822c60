package msg

import "sync"

// serveTable holds the words of `keepwell serve`. It is built when first asked for.
var serveTable = sync.OnceValue(func() map[string]message {
	return map[string]message{
		"serve.wrong":               {"the configuration cannot be used: %d {problem|problems}", "配置无法使用：共 %d 个问题"},
		"hint.serve.wrong":          {"docs/serve.md lists all keys; keepwell serve --check --config FILE looks without starting", "docs/serve.zh-CN.md 列出了所有键；keepwell serve --check --config FILE 只检查、不启动"},
		"serve.unread":              {"%v", "%v"},
		"serve.fine":                {"the configuration is fine", "配置没有问题"},
		"serve.start":               {"starting: %v", "启动失败：%v"},
		"serve.stop":                {"stopping: %v", "停止时出错：%v"},
		"serve.ready":               {"keepwell serves at %s (%s; press Ctrl-C to end)", "keepwell 已在 %s 提供服务（%s；按 Ctrl-C 结束）"},
		"serve.listen":              {"listen: want an address and a port such as 127.0.0.1:9620, not %q", "listen：应为地址和端口，例如 127.0.0.1:9620，不是 %q"},
		"serve.enum":                {"%s: want one of %s", "%s：应为以下之一：%s"},
		"serve.pair":                {"tls: cert and key belong together", "tls：cert 和 key 必须同时给出"},
		"serve.database":            {"database: want postgres://USER@HOST:PORT/NAME (without it, SQLite in the data directory)", "database：应为 postgres://USER@HOST:PORT/NAME（不写则使用数据目录中的 SQLite）"},
		"serve.address":             {"%s: want http:// or https:// and a host", "%s：应为 http:// 或 https:// 加主机名"},
		"serve.notls":               {"%s can be reached from other machines: set tls, or \"open: true\" where something before keepwell brings TLS", "%s 可被其他机器访问：请配置 tls；若前面已有服务提供 TLS，请写 \"open: true\""},
		"serve.lacks":               {"%s is missing", "缺少 %s"},
		"serve.receiver":            {"there is no receiver %q under notify", "notify 下没有接收方 %q"},
		"serve.number":              {"%s: want a whole number that is not negative", "%s：应为非负整数"},
		"serve.time":                {"%s: too short", "%s：时间过短"},
		"serve.duration":            {"%s: want a time such as 30s, 15m, 12h or 30d", "%s：应为时长，例如 30s、15m、12h 或 30d"},
		"serve.name":                {"%q: names are letters, digits, dots and dashes", "%q：名称只能包含字母、数字、点和短横线"},
		"serve.mapping":             {"the mapping: %v", "映射有误：%v"},
		"serve.escalation":          {"Somebody should look: %s", "需要人工关注：%s"},
		"serve.escalation.incident": {"%s %s on %s: %s", "%s %s，对象：%s：%s"},
		"serve.admin":               {"%s may log in with this password, which is shown this once:", "%s 可用以下密码登录（只显示这一次）："},
		"serve.noadmin":             {"making the account: %v", "创建账号失败：%v"},
		"serve.arguments":           {"serve takes no arguments, but %q", "serve 不接受参数，却收到 %q"},

		// What senders of alerts are told.
		"hook.unknown":         {"there is no hook %q", "没有名为 %q 的入口"},
		"hint.hook.unknown":    {"name it under hooks.generic of the configuration", "请在配置的 hooks.generic 下定义"},
		"hook.secret":          {"the server cannot read the secrets of its hooks", "服务器无法读取入口的密钥"},
		"hint.hook.secret":     {"the server's log says which", "详见服务器日志"},
		"hook.unauthenticated": {"the sender did not show who it is", "发送方未证明身份"},
		"hint.hook.unauthenticated": {
			"send Authorization: Bearer TOKEN (hooks.token, or a token of the scope hooks), or sign the body (hooks.hmac)", "请发送 Authorization: Bearer 令牌（hooks.token，或用途为 hooks 的令牌），或对正文签名（hooks.hmac）",
		},
		"hook.signature":        {"the signature does not fit the body", "签名与正文不符"},
		"hint.hook.signature":   {"X-Hub-Signature-256: sha256= and the HMAC-SHA256 of the body with hooks.hmac, in hex", "X-Hub-Signature-256: sha256= 加上以 hooks.hmac 为密钥、对正文计算的 HMAC-SHA256（十六进制）"},
		"hook.large":            {"the body holds more than %d MiB or %d {alert|alerts}", "正文超过 %d MiB 或 %d 条告警"},
		"hint.hook.large":       {"set max_alerts of the sender's webhook", "请在发送方的 webhook 中设置 max_alerts"},
		"hook.body":             {"the body is none of %s: %v", "正文不是 %s 的格式：%v"},
		"hint.hook.body":        {"/hooks/alertmanager takes Alertmanager's webhook, /hooks/grafana Grafana's, /hooks/generic/NAME any JSON by a mapping", "/hooks/alertmanager 接收 Alertmanager 的 webhook，/hooks/grafana 接收 Grafana 的，/hooks/generic/NAME 按映射接收任意 JSON"},
		"hook.none":             {"none of the %d {alert|alerts} can be used: %v", "%d 条告警都无法使用：%v"},
		"hint.hook.none":        {"an alert needs labels, and a status firing or resolved", "告警需要有标签，状态为 firing 或 resolved"},
		"hook.unavailable":      {"the alerts could not be stored", "告警未能保存"},
		"hint.hook.unavailable": {"send them again", "请稍后重发"},
		"hook.host":             {"%q is not this server's name", "%q 不是本服务器的名称"},
		"hint.hook.host":        {"set url of the configuration to the address that clients use", "请把配置中的 url 设为客户端使用的地址"},
		"serve.dir":             {"%s is no directory", "%s 不是目录"},
	}
})
