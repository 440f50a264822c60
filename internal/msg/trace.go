package msg

import "sync"

// traceTable holds the words of `keepwell trace` and `keepwell versions`. It is built
// when first asked for.
var traceTable = sync.OnceValue(func() map[string]message {
	return map[string]message{
		"trace.one":         {"trace takes one module, got %d", "trace 只接受一个模块，给了 %d 个"},
		"trace.failed":      {"tracing the download: %v", "跟踪下载过程：%v"},
		"hint.trace.failed": {"the system's directory for temporary files must be writable", "系统的临时目录要可写"},
		"trace.query":       {"tracing one download: %s stands for several versions", "跟踪一次下载：%s 对应多个版本"},
		"hint.trace.query":  {"name one version, a branch, a tag, a commit or latest; keepwell versions %s lists them", "请指定一个版本、分支、标签、提交或 latest；keepwell versions %s 可列出版本"},
		"trace.har":         {"writing the HAR file %s: %v", "写 HAR 文件 %s：%v"},
		"trace.har.special": {"writing the HAR file %s: it is no regular file", "写 HAR 文件 %s：它不是普通文件"},
		"hint.trace.har":    {"name a file in a directory that you may write to", "请指定可写目录下的一个文件"},
		"trace.har.written": {"HAR written to %s", "HAR 已写入 %s"},
		"trace.progress":    {"%s of the zip fetched…", "zip 已下载 %s……"},
		"trace.progress.of": {"%s of %s of the zip fetched…", "zip 已下载 %s / %s……"},

		"trace.legend": {"%s in all; d DNS  t TCP  s TLS  ░ waiting  █ data  ▒ command", "共 %s；d DNS  t TCP  s TLS  ░ 等待  █ 数据  ▒ 命令"},

		// Requests.
		"trace.kind.info":      {".info", ".info"},
		"trace.kind.mod":       {".mod", ".mod"},
		"trace.kind.zip":       {".zip", ".zip"},
		"trace.kind.list":      {"list", "list"},
		"trace.kind.latest":    {"@latest", "@latest"},
		"trace.kind.discovery": {"go-get", "go-get"},
		"trace.kind.vcs":       {"git", "git"},
		"trace.kind.supported": {"sumdb?", "sumdb?"},
		"trace.kind.lookup":    {"lookup", "lookup"},
		"trace.kind.tile":      {"tile", "tile"},
		"trace.tiles":          {"%d {tile|tiles}", "%d tile"},
		"trace.noanswer":       {"no answer", "没有应答"},
		"trace.said":           {"the server says: %s", "服务器说：%s"},
		"trace.knock":          {"asked without a login, only to see that it answers; git comes next", "不带账号问一次，只看它是否应答；下面由 git 来取"},
		"trace.redirect":       {"sent on to %s", "转到 %s"},
		"trace.again":          {"%s: over https go asks once more, with what GOAUTH gives", "%s：https 上 go 会带着 GOAUTH 的凭据再问一次"},
		"trace.twice":          {"×2: over https go repeats every 4xx once, with what GOAUTH gives", "×2：https 上遇到 4xx，go 都会带着 GOAUTH 的凭据再问一次"},
		"trace.stops":          {"%s is neither 404 nor 410: behind a comma go asks no other server", "%s 不是 404 或 410：逗号之后 go 不再问别的服务器"},
		"trace.supported":      {"%s: this one does not speak for the checksum database; go asks elsewhere", "%s：它不代答校验和数据库，go 改问别处"},

		"trace.falls.not-found": {"%s: go goes on to the next entry", "%s：go 接着问下一项"},
		"trace.falls.any":       {"%s: the entry ends with |, so any failure goes on to the next", "%s：这一项以 | 结尾，任何失败都会接着问下一项"},
		"trace.falls.discovery": {"%s: no repository was found; go goes on to the next entry", "%s：没有找到仓库，go 接着问下一项"},

		// What came.
		"trace.label.zip":     {"zip", "zip"},
		"trace.label.mod":     {"go.mod", "go.mod"},
		"trace.label.sum":     {"checksum", "校验和"},
		"trace.label.version": {"version", "版本"},
		"trace.local":         {"git on the clone, %d {command|commands}", "git 对本地克隆执行了 %d 条命令"},
		"trace.hashing":       {"h1 of the zip and go.mod", "计算 zip 和 go.mod 的 h1"},
		"trace.zip":           {"%s, %s", "%s，%s"},
		"trace.sum.proved":    {"%s vouches for both: record %d of a signed tree of %d, proved with %d {tile|tiles}", "%s 为二者作证：签名的树里第 %d 条（共 %d 条），用 %d 个 tile 证明"},
		"trace.sum.same":      {"the same as in go.sum; the database is not asked", "与 go.sum 一致；不问校验和数据库"},
		"trace.sum.wrong":     {"go.sum says otherwise: %s", "与 go.sum 不符：%s"},

		// Why this version.
		"trace.chosen.newest":   {"%s, the newest release that is not retracted, since none was named", "%s：没有指定版本，取未撤回的最新正式版"},
		"trace.chosen.query":    {"%s is what %s stands for", "%[2]s 对应 %[1]s"},
		"trace.chosen.replaced": {"go.mod here replaces it by %s, so that go would not fetch it", "这里的 go.mod 用 %s 替换了它，go 不会下载它"},
		"trace.chosen.mvs":      {"%s, the highest that anything in this project requires (MVS)", "%s：本项目所有依赖所要求的最高版本（MVS）"},
		"trace.chosen.other":    {"%s as asked for; this project uses %s, the highest that anything requires", "按要求取 %s；本项目用的是 %s，即各处所要求的最高版本"},
		"trace.chosen.want":     {"%s wanted by %s", "%s ← %s"},
		"trace.chosen.more":     {"and %d more", "另有 %d 个"},

		// Whether GOPROXY took effect.
		"trace.goproxy.served":   {"GOPROXY took effect: %s delivered it, %s.", "GOPROXY 生效：由 %s 提供，%s。"},
		"trace.goproxy.direct":   {"GOPROXY took effect, but no proxy delivered it: it came straight from its repository, %s.", "GOPROXY 生效，但不是代理提供的：直接取自代码仓库，%s。"},
		"trace.goproxy.private":  {"GOPROXY had no say: it goes past all proxies, by %s.", "GOPROXY 没有起作用：绕过所有代理，%s。"},
		"trace.goproxy.off":      {"GOPROXY took effect: it forbids every download.", "GOPROXY 生效：它禁止一切下载。"},
		"trace.goproxy.failed":   {"GOPROXY took effect (%s), but nobody on the way delivered the module.", "GOPROXY 生效（%s），但一路上没有谁提供这个模块。"},
		"trace.goproxy.refused":  {"GOPROXY took effect: %s delivered it, but go refuses what came.", "GOPROXY 生效：由 %s 提供，但 go 拒绝收下的内容。"},
		"trace.goproxy.problem":  {"GOPROXY cannot be read, so go asks nobody.", "GOPROXY 写法有误，go 不会向任何服务器请求。"},
		"versions.one":           {"versions takes one module or package, got %d", "versions 只接受一个模块或包，给了 %d 个"},
		"versions.failed":        {"listing versions: %v", "列出版本：%v"},
		"hint.versions.module":   {"write a module or package path, npm:NAME, or pypi:NAME", "请写模块或包路径、npm:名字，或 pypi:名字"},
		"versions.timeout":       {"listing versions: not done after %v", "列出版本：%v 内没有完成"},
		"hint.versions.timeout":  {"allow more with --timeout; keepwell probe HOST shows where the time goes", "可用 --timeout 放宽；keepwell probe HOST 能看出时间花在哪里"},
		"versions.package":       {"the module that holds the package %s", "包 %s 所在的模块"},
		"versions.deprecated":    {"deprecated: %s", "已弃用：%s"},
		"versions.source":        {"%s: %d {version|versions}", "%s：%d 个版本"},
		"versions.untagged":      {"%s: no tagged version", "%s：没有打过版本标签"},
		"versions.nothing":       {"%s: nothing. %s", "%s：没有。%s"},
		"versions.passed":        {"%s: never asked for this module, which is private", "%s：该模块是私有的，go 不会问它"},
		"versions.none":          {"No source has a version of it.", "没有一个来源有它的版本。"},
		"versions.head.version":  {"version", "版本"},
		"versions.head.date":     {"date", "日期"},
		"versions.more":          {"… and %d older {one|ones} (--all)", "……另有 %d 个更早的版本（--all）"},
		"versions.used":          {"used here", "本项目在用"},
		"versions.retractednpm":  {"deprecated", "已弃用"},
		"versions.retractedpypi": {"yanked", "已撤下（yanked）"},
		"versions.empty":         {"%s: it has no version", "%s：一个版本也没有"},
		"versions.retracted":     {"retracted", "已撤回"},
		"versions.registry":      {"which registry to ask for %s packages is not known: %v", "不知道该向哪个源查询 %s 包：%v"},
		"hint.versions.registry": {"name it: --registry URL, or set it in .npmrc or pip.conf", "请用 --registry URL 指定，或写在 .npmrc、pip.conf 里"},
		"versions.name":          {"%q is no name of a package", "%q 不是包名"},

		"trace.note.vendor":   {"GOFLAGS has -mod=vendor: a build here takes the vendor directory and asks nobody.", "GOFLAGS 里有 -mod=vendor：在这里构建只用 vendor 目录，不会联网。"},
		"trace.note.shadowed": {"The user file says %s, but the environment's variable is in force.", "用户文件里写的是 %s，但环境变量优先。"},
		"trace.note.cached":   {"The module cache has this version already: go itself would ask nobody.", "模块缓存里已有这个版本：go 自己不会再联网。"},
	}
})
