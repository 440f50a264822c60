package msg

import "sync"

// mendMovedTable holds the words of mends that put another module in the place of one,
// and of marks. It is built when first asked for.
var mendMovedTable = sync.OnceValue(func() map[string]message {
	return map[string]message{
		"mend.move":        {"take %[2]s %[3]s in the place of %[1]s, in requirements and imports", "把 %s 换成 %s %s，依赖声明和 import 一并修改"},
		"mend.require":     {"require %s no longer, but %s %s; imports stay", "不再依赖 %s，改为依赖 %s %s；import 不变"},
		"mend.version":     {"require %s at %s", "把 %s 的版本改为 %s"},
		"mend.rename":      {"rename this project's module %s to %s%s", "把本项目的模块 %s 改名为 %s%s"},
		"mend.keep-vendor": {"keep a copy of all dependencies, %s with them, in vendor while they can be had (go mod vendor)", "趁还能下载，把所有依赖（包括 %s）保存到 vendor 目录（go mod vendor）"},
		"mend.keep-fork":   {"replace %s by a fork of yours", "用你自己的 fork 替换 %s"},
		"mend.keep-bundle": {"keep %s and all else that is needed in one file", "把 %s 和其余依赖一起存进一个文件"},

		"mend.package":      {"take %[2]s %[3]s in the place of %[1]s, in the list of packages and its lock file", "把 %s 换成 %s %s，依赖列表和锁文件一并修改"},
		"mend.registry":     {"fetch %s from %s", "从 %[2]s 获取 %[1]s"},
		"mend.npm-lock":     {"fetch from the registry in force what the lock file fetches from %s: %s", "锁文件里指向 %s 的下载地址改为当前使用的源：%s"},
		"mend.note.code":    {"the code still names it: %s", "代码里仍在引用它：%s"},
		"mend.note.modules": {"run npm install afterwards: node_modules is left as it is", "之后请运行 npm install：node_modules 保持原样"},
		"mend.note.hashes":  {"checksums of the old package are taken out, for there are no others yet: %s; while other lines have some, pip install refuses the file until pip-compile --generate-hashes, or pip hash, has made them", "旧包的校验和已去掉，新的还没有：%s；只要其他行还有校验和，在用 pip-compile --generate-hashes 或 pip hash 生成之前，pip install 会拒绝该文件"},
		"mend.note.hashed":  {"the checksum is that of the file that pip has fetched here; other systems may need that of another: pip-compile --generate-hashes writes all: %s", "校验和取自 pip 在这里下载的文件，其他系统可能需要另一个文件的校验和；pip-compile --generate-hashes 可写出全部：%s"},
		"mend.note.relock":  {"%s is of the packages before; make it anew: %s", "%s 仍是之前的包，请重新生成：%s"},
		"mend.note.index":   {"whoever may publish on either index can offer a package of this name (dependency confusion)", "两个源上能发布包的人都可以提供同名的包（依赖混淆风险）"},
		"mend.note.untried": {"whether pip can fetch it could not be tried here: %s", "无法在这里试 pip 能否下载：%s"},

		"mend.note.sources":   {"import specs that change: %s; Go files: %s; nothing else in these changes", "会修改的 import：%s 处；Go 文件：%s 个；文件其余部分不变"},
		"mend.note.generated": {"written by a program, which may write the old path again: %s", "由程序生成，再次生成时可能写回旧路径：%s"},
		"mend.note.mentions":  {"not Go, left as they are, but they name the old path: %s", "不是 Go 文件，保持原样，但其中提到了旧路径：%s"},
		"mend.note.left":      {"left as they are (links, or not readable as Go): %s", "保持原样（链接，或无法解析的 Go 文件）：%s"},
		"mend.note.builds":    {"tried aside: go build ./... passes with it", "已在别处试过：改后 go build ./... 能通过"},
		"mend.note.broken":    {"tried aside: go build ./... does NOT pass with it: %s", "已在别处试过：改后 go build ./... 不能通过：%s"},
		"mend.note.unknown":   {"whether it builds could not be tried in time", "来不及试编译"},

		"mend.mark":       {"nothing can be done here: mark %s as abandoned in keepwell.marks.yaml, for everybody's later commands", "这里无法修复：在 keepwell.marks.yaml 里把 %s 记为已废弃，之后的命令都会提示"},
		"marks.none":      {"No marks. keepwell marks add NAME --why ... would write %s", "没有记录。keepwell marks add NAME --why ... 会写入 %s"},
		"marks.head":      {"%s: %d {mark|marks}", "%s：%d 条记录"},
		"marks.abandoned": {"%s is marked as abandoned since %s: %s", "%s 自 %s 起记为已废弃：%s"},
		"marks.accepted":  {"%s is accepted as it is since %s: %s", "%s 自 %s 起按现状接受：%s"},
		"marks.by":        {" (says %s)", "（记录人：%s）"},
		"marks.instead":   {"; in its place: %s", "；可改用 %s"},
		"marks.owner":     {"; who could do something: %s", "；能处理的人：%s"},
		"marks.until":     {"; to be looked at again on %s", "；%s 再看"},
		"marks.over":      {"; it was to be looked at again on %s, which has come", "；原定 %s 再看，现已到期"},
		"marks.done":      {"Done. To take it back: keepwell marks --undo=%d", "已完成。撤销：keepwell marks --undo=%d"},
		"work.problem.marked": {
			"%s", "%s",
		},
		"err.marks":       {"marks: %s", "记录：%s"},
		"hint.marks":      {"the format is in docs/marks.md; mend that line, or move the file away", "格式见 docs/marks.md；请修正那一行，或移走该文件"},
		"hint.marks.none": {"keepwell marks lists them; a mark of one version is named with it: NAME@VERSION", "用 keepwell marks 查看；针对某个版本的记录要写成 NAME@VERSION"},
		"hint.marks.add":  {"--why is needed; dates look like 2027-06-01; --state is abandoned or accepted", "--why 必填；日期形如 2027-06-01；--state 为 abandoned 或 accepted"},

		"doctor.fix.or":      {"or: %s [%s]", "或者：%s [%s]"},
		"doctor.fix.cannot":  {"%s cannot be changed to %s here: %s", "无法把这里的 %s 改为 %s：%s"},
		"doctor.fix.unnamed": {"Nothing in this project asks for %s; nothing to change here.", "这个项目没有用到 %s，无需修改。"},
		"doctor.fix.asked":   {"named by --to", "由 --to 指定"},
		"doctor.fix.cut":     {"… and %d more {line|lines} in %d {file|files}; --json shows all", "……还有 %d 行，共涉及 %d 个文件，用 --json 查看全部"},
		"err.doctor.to":      {"--to belongs to --fix and one MODULE; %q is no module path with a version that is complete", "--to 要和 --fix 以及一个 MODULE 一起用；%q 不是完整的模块路径和版本"},
		"hint.doctor.to":     {"for example: keepwell doctor example.com/old --fix --to example.com/new@v1.2.0", "例如：keepwell doctor example.com/old --fix --to example.com/new@v1.2.0"},
	}
})
