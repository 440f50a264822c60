package msg

import "sync"

// doctorProjectTable holds the words of the doctor's looks at the project's files, the
// caches, and the packages of npm and pip.
var doctorProjectTable = sync.OnceValue(func() map[string]message {
	return map[string]message{
		"doctor.project.does": {"go.mod, go.sum, go.work, vendor, package.json: what is wrong in the files themselves", "go.mod、go.sum、go.work、vendor、package.json：文件本身有没有问题"},
		"doctor.project":      {"project", "项目"},
		"doctor.project.fine": {"its files can be read and fit each other", "项目文件可读，且相互一致"},
		"doctor.project.bad":  {"faults in its files: %s (more below)", "项目文件里有 %s 处问题（见下）"},

		"doctor.project.large":           {"%s is larger than %s MiB and was not read", "%s 超过 %s MiB，没有读取"},
		"doctor.project.utf16":           {"%s:1: written in UTF-16; go reads UTF-8 only", "%s:1：文件是 UTF-16 编码，go 只认 UTF-8"},
		"doctor.project.bom":             {"%s:1: begins with a byte order mark, at which go stops", "%s:1：文件开头有字节序标记（BOM），go 读到这里就会停下"},
		"doctor.project.binary":          {"%s holds zero bytes; this is no text", "%s 里有零字节，不是文本文件"},
		"doctor.project.conflict":        {"%s:%s: a conflict marker of a merge", "%s:%s：合并冲突的标记还在"},
		"doctor.project.no-module":       {"%s has no module line", "%s 里没有 module 行"},
		"doctor.project.use-twice":       {"%s: %s is listed twice", "%s：%s 列了两次"},
		"doctor.project.use-no-mod":      {"%s: %s holds no go.mod", "%s：%s 里没有 go.mod"},
		"doctor.project.use-gone":        {"%s: there is no directory %s", "%s：目录 %s 不存在"},
		"doctor.project.work-go":         {"%s asks for go %s, but %s lists go %s", "%s 要求 go %s，而 %s 写的是 go %s"},
		"doctor.project.not-used":        {"%s is not one of the modules listed in %s", "%s 没有列在 %s 里"},
		"doctor.project.replace-no-mod":  {"%s: %s is replaced by %s, which holds no go.mod", "%s：%s 被替换为 %s，而那里没有 go.mod"},
		"doctor.project.replace-gone":    {"%s: %s is replaced by %s, which does not exist", "%s：%s 被替换为 %s，而这个目录不存在"},
		"doctor.project.toolchain-path":  {"%s asks for %s, which is not in PATH, and GOTOOLCHAIN=%s forbids fetching it", "%s 要求 %s，它不在 PATH 里，而 GOTOOLCHAIN=%s 又不允许下载"},
		"doctor.project.go-line":         {"%s requires go >= %s (running go %s; GOTOOLCHAIN=%s)", "%s 要求 go >= %s（当前运行的是 go %s，GOTOOLCHAIN=%s）"},
		"doctor.project.dependency-go":   {"%s requires go >= %s (running go %s)", "%s 要求 go >= %s（当前运行的是 go %s）"},
		"doctor.project.dependency-line": {"%s requires go >= %s, but %s says go %s; go mod tidy raises it", "%s 要求 go >= %s，而 %s 写的是 go %s；go mod tidy 会把它改高"},
		"doctor.project.short-hash":      {"%s: the hash of %s is cut off or no base64", "%s：%s 的校验和不完整，或不是 base64"},
		"doctor.project.two-hashes":      {"%s: a second, different hash of %s", "%s：%s 出现了第二个不同的校验和"},
		"doctor.project.no-sum":          {"there is no %s, although %s modules are required", "需要 %[2]s 个模块，但没有 %[1]s"},
		"doctor.project.two-locks":       {"lock files of different package managers lie side by side: %s", "同时存在不同包管理器的锁文件：%s"},
		"doctor.project.no-lock":         {"package.json has dependencies, but there is no lock file", "package.json 里有依赖，但没有锁文件"},

		"doctor.modules.damaged": {"in the module cache, but damaged there", "在模块缓存里，但已损坏"},
		"doctor.fetch.spoilt":    {"it can be fetched, but not into your cache", "可以下载，但写不进本机的缓存"},

		"doctor.cache.does":    {"go's directories: permissions, room, damaged files of the modules in question", "go 的缓存目录：权限、空间，以及相关模块的文件是否损坏"},
		"doctor.cache":         {"caches", "缓存"},
		"doctor.cache.fine":    {"writable, with room; files of %s modules are sound", "可写且有空间；已检查 %s 个模块的文件，均完好"},
		"doctor.cache.part":    {"writable, with room; files of the first %s modules are sound", "可写且有空间；已检查前 %s 个模块的文件"},
		"doctor.cache.bad":     {"faults: %s (more below)", "有 %s 处问题（见下）"},
		"doctor.cache.unknown": {"not checked: where they are is not known", "未检查：不知道缓存在哪里"},

		"doctor.cache.nowhere":      {"%s has no place: neither it nor HOME is set", "%s 没有位置可放：它和 HOME 都没有设置"},
		"doctor.cache.missing":      {"%s=%s does not exist, and go does not make it", "%s=%s 不存在，go 也不会自动创建"},
		"doctor.cache.no-directory": {"%s=%s: %s is no directory", "%s=%s：%s 不是目录"},
		"doctor.cache.forbidden":    {"%s=%s: no right to write to %s of %s: %s", "%s=%s：无权写入 %s（属主 %s）：%s"},
		"doctor.cache.space":        {"%s=%s: %s left on this file system", "%s=%s：所在文件系统只剩 %s"},
		"doctor.cache.inodes":       {"%s=%s: %s inodes left on this file system", "%s=%s：所在文件系统只剩 %s 个 inode"},
		"doctor.cache.empty":        {"%s is empty: %q", "%s 是空文件：%q"},
		"doctor.cache.not-mod":      {"%s is no go.mod; it begins with %q", "%s 不是 go.mod，开头是 %q"},
		"doctor.cache.no-module":    {"%s has no module line; it begins with %q", "%s 里没有 module 行，开头是 %q"},
		"doctor.cache.other-module": {"%s is the go.mod of another module; it begins with %q", "%s 是另一个模块的 go.mod，开头是 %q"},
		"doctor.cache.other-mod":    {"%s does not have the hash of go.sum\n  go.sum: %s\n  file:   %s", "%s 的校验和与 go.sum 不符\n  go.sum：%s\n  文件：  %s"},
		"doctor.cache.info":         {"%s is no answer about a version; go will ask again; it begins with %q", "%s 不是版本信息，go 会重新查询；开头是 %q"},
		"doctor.cache.zip":          {"%s is no whole zip file (%s)", "%s 不是完整的 zip 文件（%s）"},
		"doctor.cache.ziphash":      {"%s is damaged: it holds %q, the zip and go.sum say %s", "%s 已损坏：内容是 %q，而 zip 和 go.sum 都是 %s"},
		"doctor.cache.zip-content":  {"%s is damaged: it has the hash %s, go.sum says %s", "%s 已损坏：实际校验和是 %s，go.sum 记录的是 %s"},
		"doctor.cache.other-zip":    {"%s has the hash %s, go.sum says %s", "%s 的校验和是 %s，go.sum 记录的是 %s"},
		"doctor.cache.sumdb":        {"%s is no note of the checksum database; it begins with %q", "%s 不是校验数据库的记录，开头是 %q"},
		"doctor.cache.lookup":       {"%s is no answer of the checksum database; it begins with %q", "%s 不是校验数据库的应答，开头是 %q"},
	}
})
