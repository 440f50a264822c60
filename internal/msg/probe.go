package msg

import "sync"

// probeTable holds the words of `keepwell probe`. It is built when first asked for.
var probeTable = sync.OnceValue(func() map[string]message {
	return map[string]message{
		"proof.probe": {"seen just now", "刚才实测"},

		"probe.layer.dns":     {"DNS", "DNS"},
		"probe.layer.icmp":    {"ping", "ping"},
		"probe.layer.tcp":     {"TCP", "TCP"},
		"probe.layer.proxy":   {"proxy", "代理"},
		"probe.layer.tls":     {"TLS", "TLS"},
		"probe.layer.http":    {"HTTP", "HTTP"},
		"probe.layer.goproxy": {"GOPROXY", "GOPROXY"},
		"probe.layer.sumdb":   {"checksums", "校验和"},

		"probe.head":      {"%s", "%s"},
		"probe.via":       {"%s, through the HTTP proxy %s", "%s，经 HTTP 代理 %s"},
		"probe.fine":      {"No fault found on the way to %s.", "到 %s 的路上没有发现故障。"},
		"probe.partial":   {"No fault found on the way to %s, but not all of it could be looked at.", "到 %s 的路上没有发现故障，但有一部分没能检查。"},
		"probe.ms":        {"%d ms", "%d ms"},
		"probe.plain":     {"%s", "%s"},
		"probe.below":     {"not checked: a layer below did not pass", "未检查：下面的一层没有通过"},
		"probe.forbidden": {"not checked: %s is a link-local or metadata address, which is never asked", "未检查：%s 是链路本地或云元数据地址，从不访问"},
		"probe.reset":     {"the connection was cut", "连接被切断"},
		"probe.private":   {"not checked: it wants a login, and a probe never sends one", "未检查：需要登录，而探测从不发送凭据"},

		"probe.dns.address": {"not needed: this is an address", "不需要：这就是 IP 地址"},
		"probe.dns.unknown": {"the resolver does not know the name %s", "DNS 服务器不认识 %s"},
		"probe.dns.timeout": {"the resolver did not answer when asked for %s", "查询 %s 时 DNS 服务器没有应答"},
		"probe.dns.failed":  {"the resolver could not answer for %s", "DNS 服务器没能解析 %s"},
		"probe.dns.bogus":   {"only addresses that no server can have: %s", "只有服务器不可能使用的地址：%s"},
		"probe.echo.not":    {"not checked: the system does not allow it (%s)", "未检查：系统不允许（%s）"},
		"probe.echo.silent": {"%s does not answer echo; many servers never do", "%s 不回应 ping；很多服务器本来就不回应"},
		"probe.echo.back":   {"%s: %s came back, %s ms on average", "%s：%s 收到回应，平均 %s ms"},

		"probe.tcp.open":        {"%s open", "%s 可连接"},
		"probe.tcp.refused":     {"%s refused: no program listens on that port", "%s 拒绝连接：该端口上没有程序在监听"},
		"probe.tcp.timeout":     {"%s silent: no answer in the time allowed", "%s 没有应答，等到超时"},
		"probe.tcp.unreachable": {"%s cannot be reached: no route", "%s 到不了：没有路由"},

		"probe.proxy.open":    {"%s let the connection through", "%s 放行了连接"},
		"probe.proxy.dead":    {"%s cannot be reached", "%s 连不上"},
		"probe.proxy.refused": {"%s answered CONNECT with status %s", "%s 对 CONNECT 回答了状态码 %s"},
		"probe.proxy.silent":  {"%s gave no answer to CONNECT", "%s 对 CONNECT 没有作答"},
		"probe.proxy.login":   {"not checked: %s wants its login, and a probe never sends one", "未检查：%s 要求登录，而探测从不发送凭据"},
		"probe.proxy.kind":    {"not checked: a proxy of the kind %s (%s) is not probed", "未检查：不探测 %s 类型的代理（%s）"},

		"probe.tls.good":        {"%s, %s, issued by %s, valid until %s, trusted by: %s", "%s，%s，签发者 %s，有效期至 %s，信任库：%s"},
		"probe.tls.inspected":   {"%s, %s, opened on the way by %s, valid until %s, trusted by: %s", "%s，%s，途中被 %s 解密检查，有效期至 %s，信任库：%s"},
		"probe.tls.expired":     {"the certificate is valid from %s to %s only (%s)", "证书只在 %s 到 %s 之间有效（%s）"},
		"probe.tls.clock":       {"this machine's clock says %s, the server's %s", "本机时钟是 %s，服务器时钟是 %s"},
		"probe.tls.name":        {"the certificate is made out to %s, issued by %s", "证书写的是 %s，签发者 %s"},
		"probe.tls.unknown":     {"the issuer %s is not in the trust store (%s)", "签发者 %s 不在信任库里（%s）"},
		"probe.tls.intercepted": {"the certificate comes from a device on the way: %s", "证书出自途中的设备：%s"},
		"probe.tls.timeout":     {"connected, but the handshake was not answered", "已连接，但握手没有应答"},
		"probe.tls.not":         {"the port answers, but not in TLS", "端口有应答，但说的不是 TLS"},
		"probe.tls.old":         {"no common protocol version", "没有共同的协议版本"},
		"probe.tls.failed":      {"the handshake failed", "握手失败"},

		"probe.http.status":     {"status %s", "状态码 %s"},
		"probe.http.redirected": {"status %s, redirected to %s", "状态码 %s，跳转到 %s"},
		"probe.http.clock":      {"status %s; the server's clock and this machine's differ by %s", "状态码 %s；服务器时钟与本机相差 %s"},
		"probe.http.loop":       {"redirected for ever: %s", "无休止地跳转：%s"},
		"probe.http.plain":      {"redirected from https to plain http: %s", "从 https 跳转到了明文 http：%s"},
		"probe.http.forbidden":  {"redirected to an address that is never asked: %s", "跳转到了从不访问的地址：%s"},
		"probe.http.silent":     {"connected, but no answer to the request came", "已连接，但请求没有得到应答"},
		"probe.http.stalled":    {"the answer began and then stalled", "应答开始后就停住了"},
		"probe.html":            {"a web page where data is due", "本该是数据的地方来了一个网页"},
		"probe.html.elsewhere":  {"a web page of %s where data is due", "本该是数据的地方来了 %s 的网页"},
		"probe.encoded":         {"answered in an encoding that was not asked for: %s", "应答用了没有请求过的编码：%s"},

		"probe.goproxy.list":    {"answers the protocol: %s versions listed", "协议应答正常：列出 %s 个版本"},
		"probe.goproxy.file":    {"answers the protocol: %s bytes", "协议应答正常：%s 字节"},
		"probe.goproxy.garbage": {"the list holds what is no version", "版本列表里有不是版本号的内容"},
		"probe.sumdb.good":      {"signature of %s verified", "%s 的签名验证通过"},
		"probe.sumdb.bad":       {"the answer does not carry the database's signature", "应答没有该数据库的有效签名"},
		"probe.sumdb.key":       {"GOSUMDB names no database with a key", "GOSUMDB 里没有带密钥的数据库"},

		"err.probe.target":    {"probing %s: %v", "探测 %s：%v"},
		"hint.probe.target":   {"name a host, a host with its port, or an http(s) URL: keepwell probe HOST:PORT", "请写主机名、主机名加端口，或 http(s) 网址：keepwell probe HOST:PORT"},
		"err.probe.forbidden": {"probing %s: link-local and metadata addresses are never asked", "探测 %s：链路本地和云元数据地址从不访问"},
		"hint.probe.metadata": {"they hand out credentials of this machine; probe the server itself", "这些地址会交出本机的凭据；请探测真正的服务器"},
		"err.probe.one":       {"probe takes one HOST[:PORT] or URL, not %d arguments", "probe 只接受一个 HOST[:PORT] 或网址，现在有 %d 个参数"},
	}
})
