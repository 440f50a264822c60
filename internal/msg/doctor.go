package msg

import "sync"

// doctorTable holds the words of `keepwell doctor`. It is built when first asked for.
var doctorTable = sync.OnceValue(func() map[string]message {
	return map[string]message{
		"proof.tool":   {"what the tool says", "工具的输出"},
		"proof.answer": {"what the server answered", "服务器的回答"},

		"doctor.head":      {"Looking at %s", "检查对象：%s"},
		"doctor.machine":   {"this directory and machine", "当前目录与本机"},
		"doctor.workspace": {"the workspace of %s", "工作区 %s"},
		"doctor.fine":      {"No fault found.", "没有发现故障。"},
		"doctor.partial":   {"No fault found, but not everything could be checked.", "没有发现故障，但有一部分没能检查。"},
		"doctor.ms":        {"%d ms", "%d ms"},
		"doctor.looking":   {"looking at: %s", "正在检查：%s"},

		"err.doctor.check":   {"there is no check called %s; the checks are %s", "没有叫 %s 的检查；所有检查：%s"},
		"err.doctor.timeout": {"--timeout %v is less than a second", "--timeout %v 不到 1 秒"},
		"err.doctor.module":  {"%s names no module or package", "%s 不是模块或软件包的名字"},
		"hint.doctor.module": {"write MODULE[@VERSION], npm:NAME[@VERSION] or pypi:NAME[==VERSION]", "写法：模块[@版本]、npm:包名[@版本] 或 pypi:包名[==版本]"},

		"doctor.toolchain.does": {"the go command and its installation", "go 命令及其安装"},
		"doctor.settings.does":  {"the settings of go, npm and pip", "go、npm、pip 的设置"},
		"doctor.modules.does":   {"whether go has all that the project needs, without a network", "不用网络，go 需要的东西是否齐全"},
		"doctor.fetch.does":     {"fetches what is missing with the real go command, into a directory of its own", "用真正的 go 命令把缺少的下载到临时目录"},
		"doctor.network.does":   {"probes the servers on the way", "探测途中的服务器"},

		"doctor.unreadable": {"%s is no file that a tool could read", "%s 不是工具能读取的普通文件"},

		"doctor.toolchain":         {"go", "go"},
		"doctor.toolchain.none":    {"there is no go command in PATH", "PATH 里没有 go 命令"},
		"doctor.toolchain.mute":    {"%s does not answer `go env`", "%s 执行 go env 没有结果"},
		"doctor.toolchain.version": {"go %s, %s", "go %s，%s"},

		"doctor.settings":      {"settings", "设置"},
		"doctor.settings.bad":  {"settings that look wrong: %s (keepwell env)", "有 %s 处设置可疑（见 keepwell env）"},
		"doctor.settings.fine": {"GOPROXY=%s GOSUMDB=%s", "GOPROXY=%s GOSUMDB=%s"},
		"doctor.settings.none": {"nothing looks wrong", "没有发现问题"},

		"doctor.modules":         {"modules", "模块"},
		"doctor.modules.fine":    {"go has all that it needs in its cache", "go 需要的全部已在缓存中"},
		"doctor.modules.cached":  {"already in the module cache", "已在模块缓存中"},
		"doctor.modules.own":     {"a module of this project, in %s: go builds it from there and fetches nothing", "本项目的模块，位于 %s：go 直接使用，不会下载"},
		"doctor.modules.asked":   {"not in the module cache: it has to be fetched", "不在模块缓存中，需要下载"},
		"doctor.modules.late":    {"go list did not end within 4 seconds", "go list 在 4 秒内没有结束"},
		"doctor.modules.none":    {"%s lies in no module: there is no go.mod here or above", "%s 不属于任何模块：当前目录及上级都没有 go.mod"},
		"doctor.modules.script":  {"programs of the standard library alone need no go.mod", "只用标准库的程序不需要 go.mod"},
		"doctor.modules.path":    {"that is no module path: %s", "这不是模块路径：%s"},
		"doctor.modules.bad":     {"go refuses, whatever the network does", "与网络无关，go 本身就拒绝"},
		"doctor.modules.other":   {"go stops for another reason: %s", "go 因其他原因停止：%s"},
		"doctor.modules.missing": {"modules missing from the cache: %s", "缓存中缺 %s 个模块"},

		"doctor.fetch":         {"fetching", "下载"},
		"doctor.fetch.fine":    {"the real go command fetched it just now", "刚才用真正的 go 命令下载成功"},
		"doctor.fetch.bad":     {"the real go command fails", "真正的 go 命令下载失败"},
		"doctor.fetch.hung":    {"go was still waiting after %s seconds", "go 等了 %s 秒还没有结果"},
		"doctor.fetch.silent":  {"go got no answer within %s seconds to:", "go 等了 %s 秒，没有收到下面这个请求的回答："},
		"doctor.fetch.stalled": {"the answer began, but had not ended after %s seconds:", "回答已经开始，但 %s 秒后还没有结束："},
		"doctor.fetch.running": {"still downloading after %s seconds, at a speed that one can wait for", "%s 秒后仍在下载，速度正常，等待即可"},
		"doctor.fetch.unknown": {"go fails: %s", "go 失败：%s"},
		"doctor.fetch.scratch": {"not checked: no temporary directory (%s)", "未检查：无法建立临时目录（%s）"},

		"doctor.sums":         {"checksums", "校验和"},
		"doctor.sums.does":    {"where go.sum and a download differ: which of them the checksum database vouches for", "go.sum 与下载内容不一致时，看校验数据库认可哪一个"},
		"doctor.sums.unknown": {"not checked: the checksum database could not be asked", "未检查：问不到校验数据库"},
		"doctor.sums.off":     {"not checked: the checksum database is not asked for %s", "未检查：%s 不经过校验数据库"},
		"doctor.sums.gosum":   {"the checksum database agrees with the download of %s: the line in go.sum is the one that differs", "校验数据库认可下载到的 %s：不一致的是 go.sum 里的那一行"},
		"doctor.sums.cache":   {"the checksum database agrees with go.sum: the copy of %s in the module cache is not what was published", "校验数据库认可 go.sum：模块缓存里的 %s 与发布的内容不符"},
		"doctor.sums.mirror":  {"the checksum database agrees with go.sum: the server sends another %s than was published", "校验数据库认可 go.sum：服务器发来的 %s 与发布的内容不符"},

		"doctor.identity.other":      {"%s says that it is %s", "%s 自称是 %s"},
		"doctor.identity.retracted":  {"%s is withdrawn by its author: %s", "%s 已被作者撤回：%s"},
		"doctor.identity.deprecated": {"%s is given up by its author: %s", "%s 已被作者弃用：%s"},

		"doctor.network":          {"network", "网络"},
		"doctor.network.fine":     {"answer: %s", "有应答：%s"},
		"doctor.network.bad":      {"trouble with %s", "有问题：%s"},
		"doctor.network.unneeded": {"%s did not answer well, but was not needed", "%s 没有正常应答，不过这次用不到"},
		"doctor.named":            {"this server is asked because %s names it", "之所以访问这台服务器，是因为 %s 里写了它"},
		"doctor.network.none":     {"no server is asked", "没有需要访问的服务器"},
	}
})
