package msg

import "sync"

// mendTable holds the words of what `keepwell doctor --fix` does. It is built when first
// asked for.
var mendTable = sync.OnceValue(func() map[string]message {
	return map[string]message{
		"doctor.fix.plan":    {"What can be done:", "可以这样修复："},
		"doctor.fix.mend":    {"%s (%s) [%s]", "%s（%s）[%s]"},
		"doctor.fix.more":    {"… and %d more {change|changes} of this kind; --json shows all", "……还有 %d 处同类改动，用 --json 查看全部"},
		"doctor.fix.done":    {"Done: %s. To take it back: keepwell doctor --undo=%d", "已完成：%s。撤销：keepwell doctor --undo=%d"},
		"doctor.fix.failed":  {"Not done, everything is as it was: %s: %s", "没有做成，一切恢复原样：%s：%s"},
		"doctor.fix.needs":   {"Needs approval: %s. To agree: %s", "需要确认：%s。同意请执行：%s"},
		"doctor.fix.nothing": {"Nothing here that keepwell can mend by itself; the ways to mend it are above.", "这里没有 keepwell 能自行修复的；解决办法见上文。"},
		"doctor.fix.again":   {"Looked again:", "再检查一遍："},
		"doctor.fix.gone":    {"%s is gone.", "%s 已消失。"},
		"doctor.fix.stays":   {"%s is still there. To take the change back: keepwell doctor --undo=%d", "%s 仍然存在。撤销该改动：keepwell doctor --undo=%d"},
		"doctor.fix.undo":    {"To take everything back: keepwell doctor --undo", "全部撤销：keepwell doctor --undo"},

		"doctor.watch.begin": {"Watching; what changes is told below. Ctrl-C ends it.", "持续检查中，有变化会在下面显示。按 Ctrl-C 结束。"},
		"doctor.watch.new":   {"new: %s, %s", "新出现：%s，%s"},

		"doctor.bundle.written":  {"Written: %s, which holds", "已写入 %s，其中有"},
		"doctor.bundle.look":     {"Secrets are masked. Look through it before you give it away.", "其中的密码、token 已经隐去。交给别人之前请先看一遍。"},
		"doctor.bundle.report":   {"what was found", "诊断结果"},
		"doctor.bundle.env":      {"the settings with their places", "各项设置及其来源"},
		"doctor.bundle.goenv":    {"go env", "go env"},
		"doctor.bundle.probes":   {"what the servers on the way answered", "途中各服务器的应答"},
		"doctor.bundle.versions": {"versions of the tools", "各工具的版本"},
		"doctor.bundle.go":       {"the project's go.mod", "项目的 go.mod"},
		"doctor.bundle.journal":  {"keepwell's own changes: names and hashes, no contents", "keepwell 自己的改动记录：只有名字和哈希，没有内容"},

		"err.doctor.interval": {"--interval %v is less than a second", "--interval %v 不到 1 秒"},
		"err.doctor.exists":   {"%s is there already, and is left as it is", "%s 已经存在，不会覆盖"},
		"hint.doctor.exists":  {"name another file", "请换一个文件名"},
		"err.doctor.bundle":   {"writing %s: %v", "写入 %s：%v"},
		"err.doctor.alone":    {"--fix, --undo, --history, --watch and --bundle stand alone", "--fix、--undo、--history、--watch、--bundle 每次只能用一个"},
		"err.doctor.plain":    {"--dry-run, --yes and --consent belong to --fix", "--dry-run、--yes、--consent 要和 --fix 一起用"},

		"mend.setting":        {"set %s to %s", "把 %s 改为 %s"},
		"mend.private":        {"name %s as private in GOPRIVATE", "在 GOPRIVATE 里声明 %s 是私有的"},
		"mend.tidy":           {"let go complete go.mod and go.sum (go mod tidy)", "让 go 补全 go.mod 和 go.sum（go mod tidy）"},
		"mend.go-sum":         {"take the %s broken lines out of go.sum and let go complete it", "去掉 go.sum 里 %s 行坏数据，并让 go 补全"},
		"mend.go-mod":         {"mend go.mod: %s", "修正 go.mod：%s"},
		"mend.cache-files":    {"remove the damaged files of this version from the cache; go fetches them anew: %s", "从缓存中删除这个版本损坏的文件，go 会重新下载：%s"},
		"mend.cache-unpacked": {"remove an unpacked module that is not what its archive holds; go unpacks it anew: %s", "删除与压缩包不一致的已解压模块，go 会重新解压：%s"},
		"mend.permission":     {"give yourself back the right to work in %s", "恢复你对 %s 的读写权限"},
		"mend.owner":          {"%s belongs to somebody else: make it yours", "%s 属于别的用户：改回归自己所有"},
		"mend.safe-directory": {"tell git to trust %s, if you know who writes there", "如果清楚是谁在写 %s，就让 git 信任它"},
		"mend.vendor":         {"make the vendor directory anew (go mod vendor)", "重新生成 vendor 目录（go mod vendor）"},
		"mend.work-drop":      {"take what is not there off go.work: %s", "从 go.work 里去掉不存在的目录：%s"},
		"mend.work-use":       {"add this module to go.work: %s", "把当前模块加入 go.work：%s"},
		"mend.npm-cache":      {"let npm check its cache and drop what is damaged", "让 npm 检查缓存并清除损坏的内容"},
		"mend.install":        {"install what is missing here: %s", "安装缺少的工具：%s"},
		"mend.mirror":         {"fetch through the public mirror %s, which answers: GOPROXY=%s", "改用有应答的公共镜像 %s：GOPROXY=%s"},
	}
})
