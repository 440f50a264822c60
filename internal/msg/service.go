package msg

import "sync"

// serviceTable holds the words of the service's pages and of how it is run. It is built
// when first asked for.
var serviceTable = sync.OnceValue(func() map[string]message {
	return map[string]message{
		"page.title":     {"A Go module proxy, run by keepwell", "Go 模块代理（keepwell）"},
		"page.what":      {"It fetches the modules that builds ask for, checks them against the checksum database, keeps them, and goes on serving them while other servers fail.", "它负责获取构建所需的模块，对照校验数据库核对后保存下来；其他服务器出故障时，仍能照常提供。"},
		"page.use":       {"To use it", "使用方法"},
		"page.token":     {"A token is needed. Ask whoever runs this proxy, and put it into your netrc file: machine %s login go password TOKEN", "访问需要令牌。请向管理员索取，并写入 netrc 文件：machine %s login go password 令牌"},
		"page.client":    {"This browser uses the token of %s.", "当前使用的令牌：%s"},
		"page.upstreams": {"Servers it asks", "上游服务器"},
		"page.none":      {"None was asked yet.", "尚未访问过上游服务器。"},
		"page.upstream":  {"Server", "服务器"},
		"page.state":     {"State", "状态"},
		"page.latency":   {"Latency", "延迟"},
		"page.answers":   {"Answers", "正常应答"},
		"page.failures":  {"Failures", "失败"},
		"page.well":      {"well", "正常"},
		"page.resting":   {"left alone after failures", "因故障暂停访问"},
		"page.metrics":   {"Metrics", "监控指标"},
		"page.health":    {"Health", "健康状态"},
		"page.summary":   {"Summary", "统计摘要"},
		"page.trends":    {"Most downloaded today", "今日下载排行"},
		"page.index":     {"Index", "版本索引"},
		"page.catalog":   {"Catalogue", "模块目录"},
		"page.downloads": {"downloads", "下载"},

		"proxy.certificate":      {"reading the certificate: %v", "读取证书：%v"},
		"hint.proxy.certificate": {"--tls-cert and --tls-key name PEM files that belong together; the key belongs to this user alone", "--tls-cert 和 --tls-key 应指向配套的 PEM 文件；私钥文件只应允许当前用户读取"},
		"proxy.pair":             {"--tls-cert and --tls-key go together", "--tls-cert 和 --tls-key 必须同时使用"},
		"proxy.url":              {"--url takes http://HOST or https://HOST, not %q", "--url 的格式是 http://主机 或 https://主机，不是 %q"},
		"proxy.log":              {"--log takes text or json, not %q", "--log 可取 text 或 json，不是 %q"},
		"proxy.loose":            {"warning: %s can be read by others than its owner: chmod 600", "警告：%s 可被其他用户读取，请执行 chmod 600"},
		"proxy.otlp":             {"starting traces: %v", "启动链路追踪：%v"},
		"hint.proxy.otlp":        {"--otlp takes the address of a receiver, such as http://127.0.0.1:4318", "--otlp 填写接收端地址，例如 http://127.0.0.1:4318"},
		"proxy.tokenname":        {"--new-token takes a name without spaces or #, not %q", "--new-token 的名称不能含空格或 #，不能是 %q"},
		"proxy.newtoken":         {"The token, which is shown this once:", "令牌（仅显示这一次）："},
		"proxy.tokenline":        {"The line for --token-file, which does not tell it:", "写入 --token-file 的一行（不含令牌原文）："},
	}
})
