package msg

import "sync"

// proxyTable holds the words of `keepwell run` and `keepwell proxy`. It is built when
// first asked for.
var proxyTable = sync.OnceValue(func() map[string]message {
	return map[string]message{
		"run.nothing":        {"there is no command to run", "没有要运行的命令"},
		"run.start":          {"starting the command: %v", "启动命令：%v"},
		"hint.proxy.run":     {"put it behind --, as in: keepwell run -- go build ./...", "请写在 -- 后面，例如：keepwell run -- go build ./..."},
		"run.both":           {"--mirrors and --no-mirrors exclude each other", "--mirrors 和 --no-mirrors 不能同时使用"},
		"run.company":        {"--mirrors: GOPROXY (%s) is no list of public mirrors with the checksum database on", "--mirrors：GOPROXY（%s）不是开启了校验数据库的公共镜像列表"},
		"hint.proxy.company": {"name the servers that may be asked: --upstream A,B", "请明确写出可以使用的服务器：--upstream A,B"},

		"run.saved":     {"keepwell: %d of %d {download|downloads} saved from failing servers (%s), served by %s", "keepwell：有服务器出故障，%[2]d 次下载中有 %[1]d 次已补救（%[3]s），由 %[4]s 提供"},
		"run.complaint": {"%s: %s", "%s：%s"},
		"run.and":       {"; ", "；"},
		"run.more":      {"%d more", "另有 %d 种"},
		"run.unverified": {
			"keepwell: the checksum database %s cannot be reached; new modules are trusted on first use",
			"keepwell：校验数据库 %s 无法访问；新模块按首次使用的内容信任",
		},
		"run.alarm": {
			"keepwell: ALARM: the content of %s is not what it was when first seen; it was refused",
			"keepwell：警报：%s 的内容与首次见到时不同，已拒绝",
		},

		"help.usage":        {"Usage:", "用法："},
		"help.commands":     {"Available Commands:", "可用命令："},
		"help.flags":        {"Flags:", "参数："},
		"help.help":         {"show this help", "显示此帮助"},
		"help.version":      {"show the version", "显示版本"},
		"help.examples":     {"Examples:", "示例："},
		"help.default":      {"%s (default: %s)", "%s（默认：%s）"},
		"help.proxy.ask":    {"Whom it asks:", "上游："},
		"help.proxy.serve":  {"Whom it serves:", "服务："},
		"help.proxy.keep":   {"What it keeps:", "仓库："},
		"help.proxy.share":  {"Replicas (docs/proxy-store.md):", "多副本（docs/proxy-store.zh-CN.md）："},
		"help.proxy.config": {"Configuration:", "配置："},
		"help.proxy.watch":  {"Logs and traces:", "日志与追踪："},
		"help.all":          {"As for all commands:", "通用："},
		// What go shows of an answer.
		"answer.forbidden": {"forbidden: %s: rule %s", "禁止获取 %s：规则 %s"},
		"answer.absent":    {"not found: %s", "没有找到：%s"},
		"answer.absentfor": {"not found: %s: %s", "没有找到：%s：%s"},
		"answer.bad":       {"bad request: %s", "请求有误：%s"},
		"answer.failed":    {"keepwell could not get %s; tried:", "keepwell 没能取得 %s，问过的服务器："},
		"answer.more":      {"and %d more", "另有 %d 个"},
		"answer.said":      {"%s: %s", "%s：%s"},
		"answer.final":     {"upstream %s is final", "上游 %s 的拒绝即为最终结果"},
		"answer.database":  {"this checksum database is not served here", "这里不提供该校验数据库"},
		"answer.untold":    {"the name may not be told to a checksum database", "该名称不得告知校验数据库"},
		"answer.nobody":    {"no upstream may be told this name", "该名称不得告知任何上游"},
		"answer.notkept": {
			"it is not kept here, and the client wants nobody to be asked (Disable-Module-Fetch)",
			"本代理没有保存，而客户端要求不向任何上游查询（Disable-Module-Fetch）",
		},

		"proxy.upstream":      {"--upstream: %v", "--upstream：%v"},
		"hint.proxy.upstream": {"write URLs with commas: https://goproxy.example.org,https://mirror.example.com!,direct", "请用逗号分隔 URL：https://goproxy.example.org,https://mirror.example.com!,direct"},
		"proxy.separator":     {"--upstream: %q has %q where a comma should be", "--upstream：%q 中的 %q 应为英文逗号"},
		"proxy.upstreamgone":  {"--upstream: there is no %s", "--upstream：找不到 %s"},
		"proxy.upstreamfile":  {"--upstream: reading %s: %v", "--upstream：读取 %s：%v"},
		"hint.proxy.upstreamfile": {
			"name a bundle, or a directory in the layout of GOPROXY=file://; --upstream takes paths and URLs",
			"请指定打包文件，或采用 GOPROXY=file:// 布局的目录；--upstream 接受路径和 URL",
		},
		"hint.proxy.plainlogin": {
			"write https:// in its place; over http none is sent, not even one from netrc",
			"请改用 https://；登录信息（包括 netrc 中的）不会通过 http 发送",
		},
		"proxy.goproxy":    {"GOPROXY: %v", "GOPROXY：%v"},
		"proxy.off":        {"GOPROXY names no server that could be asked (%s)", "GOPROXY 里没有可以使用的服务器（%s）"},
		"hint.proxy.off":   {"name them: keepwell proxy --upstream https://goproxy.example.org,direct", "请明确指定：keepwell proxy --upstream https://goproxy.example.org,direct"},
		"proxy.store":      {"opening the module store: %v", "打开模块仓库：%v"},
		"proxy.opened":     {"opening the module store %s: %v", "打开模块仓库 %s：%v"},
		"hint.proxy.store": {"--dir names another place; it must be writable", "--dir 可以换一个目录；该目录必须可写"},
		"hint.proxy.store.damaged": {
			"store.db is damaged: end what uses the directory and start again; what can be read is taken over, the rest is fetched anew",
			"store.db 已损坏：停掉使用该目录的程序后重新启动；能读出的记录会保留，其余文件会重新下载",
		},
		"store.mended": {
			"keepwell: store.db was damaged. What could be read of it was taken over: %d {file|files}, %d {sum|sums} trusted on first use; what is missing is fetched anew. The damaged file is now %s",
			"keepwell：store.db 已损坏，已保留能读出的内容：%d 个文件，%d 条首次使用时信任的校验和；缺少的会重新下载。损坏的文件现在是 %s",
		},
		"proxy.start":       {"starting the module proxy: %v", "启动模块代理：%v"},
		"proxy.listen":      {"listening on %s: %v", "监听 %s：%v"},
		"hint.proxy.listen": {"another program may have the port; --listen 127.0.0.1:0 takes a free one", "端口可能被占用；--listen 127.0.0.1:0 会自动选择空闲端口"},
		"proxy.open":        {"%s can be reached from other machines, and there are no tokens", "%s 可以从其他机器访问，但没有设置令牌"},
		"hint.proxy.open":   {"write tokens into a file, one a line, and name it with --token-file", "请把令牌写入文件，每行一个，并用 --token-file 指定"},
		"proxy.tokens":      {"reading the tokens: %v", "读取令牌：%v"},
		"proxy.token.short": {"reading the tokens: line %d: a token has at least 16 characters", "读取令牌：第 %d 行：令牌至少要有 16 个字符"},
		"proxy.token.words": {"reading the tokens: line %d: a line is NAME TOKEN, two words", "读取令牌：第 %d 行：每行应为“名称 令牌”两个词"},
		"proxy.token.name":  {"reading the tokens: line %d: this looks like a name whose token is missing", "读取令牌：第 %d 行：看起来只有名称，缺少令牌"},
		"proxy.token.hash":  {"reading the tokens: line %d: sha256: is followed by 64 hexadecimal digits", "读取令牌：第 %d 行：sha256: 后面应有 64 位十六进制数字"},
		"hint.proxy.tokens": {"keepwell proxy --new-token NAME makes a token and its line", "keepwell proxy --new-token 名称 可生成令牌和对应的一行"},
		"proxy.quota":       {"--quota takes a number with K, M, G or T, not %q", "--quota 的格式是数字加 K、M、G 或 T，不是 %q"},
		"proxy.imported":    {"imported from %s: %d {file|files} (%d {was|were} here before), %d refused", "从 %s 导入：%d 个文件（其中 %d 个早已存在），拒绝 %d 个"},
		"proxy.importing":   {"keepwell: importing %s: %d {file|files}", "keepwell：正在导入 %s：%d 个文件"},
		"proxy.import":      {"importing %s: %v", "导入 %s：%v"},
		"hint.proxy.import": {"name a GOMODCACHE, or the directory of a goproxy or an Athens", "请指定 GOMODCACHE，或者 goproxy、Athens 的存储目录"},
		"proxy.scrubbed":    {"files held to their sums: %d (%d MiB); rotten: %d, missing: %d", "已校验文件 %d 个（%d MiB）；损坏 %d 个，丢失 %d 个"},
		"proxy.scrub":       {"checking the module store: %v", "校验模块仓库：%v"},
		"proxy.orphans":     {"files that no record named, removed: %d (%d KiB)", "已删除无记录的文件 %d 个（%d KiB）"},
		"proxy.young":       {"public since %s; must be so for %s: allowed from %s", "公开时间 %s，须满 %s，自 %s 起允许"},
		"proxy.ready":       {"keepwell serves modules at %s (GOPROXY=%s)", "keepwell 模块代理已启动：%s（GOPROXY=%s）"},
	}
})
