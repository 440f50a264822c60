package msg

import "sync"

// runTable holds what `keepwell run` says of upstreams (upstream.KIND, the kinds of
// internal/modproxy) and of a command that failed.
var runTable = sync.OnceValue(func() map[string]message {
	return map[string]message{
		"upstream.status":      {"%d %s", "返回状态码 %d %s"},
		"upstream.dns":         {"its name has no address (DNS)", "域名解析不到地址（DNS）"},
		"upstream.refused":     {"connection refused: nobody listens there", "连接被拒绝：该端口没有服务"},
		"upstream.reset":       {"the connection was reset", "连接被重置"},
		"upstream.unreachable": {"its network cannot be reached", "网络不可达"},
		"upstream.timeout":     {"no connection in time", "连接超时"},
		"upstream.silent":      {"no answer within the time allowed", "在时限内没有应答"},
		"upstream.stalled":     {"the body came too slowly", "传输速度过慢"},
		"upstream.slower":      {"too slow; asked in its place: %s", "太慢，已改向 %s 获取"},
		"upstream.closed":      {"the connection was closed without an answer", "未作应答就关闭了连接"},
		"upstream.cut":         {"the connection was cut in the middle of the answer", "传输到一半连接被切断"},
		"upstream.expired":     {"its certificate is not valid at this time", "证书已过期或尚未生效"},
		"upstream.authority":   {"its certificate is signed by nobody whom this machine trusts", "证书的签发者不受本机信任"},
		"upstream.name":        {"its certificate is for another name", "证书上的域名与服务器不符"},
		"upstream.notls":       {"it answers https without TLS", "用 https 访问，对方却不使用 TLS"},
		"upstream.redirects":   {"it redirects without end", "无休止地重定向"},
		"upstream.downgrade":   {"a redirect from https to http, which is refused", "从 https 重定向到 http，已拒绝"},
		"upstream.private":     {"it leads to a private address, which is refused", "指向内网地址，已拒绝"},
		"upstream.large":       {"the answer is larger than allowed", "返回内容超过允许的大小"},
		"upstream.encoding":    {"an encoding that was not asked for: %s", "使用了未请求的编码：%s"},
		"upstream.range":       {"answered another part than was asked for", "返回的不是所请求的部分"},
		"upstream.page":        {"a web page in place of the file", "返回的是网页而不是文件"},
		"upstream.empty":       {"an empty answer", "返回内容为空"},
		"upstream.info":        {"no valid .info file: %s", "返回的 .info 文件无效：%s"},
		"upstream.mod":         {"no valid go.mod: %s", "返回的 go.mod 无效：%s"},
		"upstream.zip":         {"no valid module zip: %s", "返回的模块 zip 无效：%s"},
		"upstream.flate":       {"flate: corrupt input before offset %d", "压缩数据在偏移 %d 之前已损坏"},
		"upstream.list":        {"not a list of versions", "返回的不是版本列表"},
		"upstream.wrong":       {"wrong content: its sum is not the one of %s", "内容不对：校验和与 %s 的记录不符"},
		"upstream.unvouched":   {"nobody can vouch for the content: %s", "无法确认内容是否正确：%s"},
		"upstream.store":       {"its own store cannot be written: %s", "自己的仓库无法写入：%s"},
		"upstream.absent":      {"it has no such file", "没有这个文件"},
		"upstream.other":       {"%s", "%s"},
		"upstream.tunnel":      {"the HTTP proxy on the way there does not answer: %s", "通往该服务器的 HTTP 代理没有应答：%s"},
		"upstream.detail":      {"%s: %s", "%s（%s）"},
		"proof.upstream":       {"what %s did", "%s 的情况"},
		"run.rule":             {"a refusal by %s is taken as policy, so nobody else was asked: %s", "%s 的拒绝视为策略，因此没有再问其他服务器：%s"},
		"run.untold":           {"no server may be told the name %s: %s", "不得把模块名 %s 告诉任何服务器：%s"},
		"run.tempstore": {
			"keepwell: modules cannot be kept in the user's cache (%v); for this run they are kept in %s",
			"keepwell：无法把模块保存到用户缓存目录（%v），本次运行暂存于 %s",
		},
		"hint.run.notfound":      {"is it installed, and in PATH? A builtin or an alias of the shell needs one: keepwell run -- sh -c '...'", "请确认已安装且在 PATH 中；shell 的内建命令或别名要通过 shell 运行：keepwell run -- sh -c '...'"},
		"hint.run.notexecutable": {"it is there but cannot be run: see its permissions (chmod +x) and its first line", "文件存在但无法执行：请检查权限（chmod +x）和首行"},
		"run.nogo":               {"keepwell: there is no go command here; the command runs as it is", "keepwell：找不到 go 命令，直接运行该命令"},
		"via.go.sum":             {"go.sum", "go.sum"},
		"via.sumdb":              {"the checksum database", "校验数据库"},
		"via.first use":          {"what was seen first", "首次见到的内容"},
	}
})
