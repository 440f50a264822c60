package msg

import "sync"

// bundleTable holds the words of `keepwell bundle` and `keepwell warm`.
var bundleTable = sync.OnceValue(func() map[string]message {
	return map[string]message{
		"bundle.nothing":          {"there is no project here, and none was named", "这里没有项目，也没有指定项目"},
		"hint.bundle.nothing":     {"name go.mod, go.sum or go.work files", "请指定 go.mod、go.sum 或 go.work 文件"},
		"bundle.read":             {"reading the project: %v", "读取项目：%v"},
		"hint.bundle.off":         {"name the servers: --upstream https://goproxy.example.org,direct", "请明确指定服务器：--upstream https://goproxy.example.org,direct"},
		"bundle.progress":         {"keepwell: %d files, %.1f MiB so far", "keepwell：已取得 %d 个文件，%.1f MiB"},
		"bundle.notoolchain":      {"--toolchain: %s names no toolchain", "--toolchain：%s 没有写明工具链"},
		"hint.bundle.notoolchain": {"name a go.mod or go.work with a go or toolchain line", "请指定带有 go 或 toolchain 行的 go.mod 或 go.work"},
		"bundle.platform":         {"--toolchain takes GOOS/GOARCH, as in linux/amd64, not %q", "--toolchain 的格式是 GOOS/GOARCH，例如 linux/amd64，不是 %q"},
		"bundle.fetch":            {"fetching modules: %v", "获取模块：%v"},
		"hint.bundle.fetch":       {"what came is kept: the same command goes on from there; --upstream names other servers", "已取得的内容会保留，重新运行即可继续；--upstream 可以换用其他服务器"},
		"bundle.nofile":           {"-o FILE is missing: where to write the bundle", "缺少 -o FILE：打包文件写到哪里"},
		"bundle.nosums":           {"keepwell: GOSUMDB is off: the bundle holds no proofs of a checksum database", "keepwell：GOSUMDB 已关闭：打包文件中没有校验数据库的证明"},
		"bundle.unknown":          {"keepwell: %s does not know %s: go takes it only with a go.sum or GONOSUMDB", "keepwell：%s 中没有 %s：只有写进 go.sum 或 GONOSUMDB 后 go 才会接受"},
		"bundle.prove":            {"asking the checksum database for proofs: %v", "向校验数据库索取证明：%v"},
		"hint.bundle.prove":       {"nothing was written; try again when the database can be reached", "没有写入任何文件；请在校验数据库可以访问时重试"},
		"bundle.write":            {"writing %s: %v", "写入 %s：%v"},
		"hint.bundle.write":       {"the directory must exist, be writable and have room", "目录必须存在、可写并有足够空间"},
		"bundle.written":          {"keepwell: wrote %s: %d modules with code, %d files", "keepwell：已写入 %s：%d 个模块的代码，共 %d 个文件"},
		"bundle.listen":           {"--listen %s: a bundle is served to this machine only (127.0.0.1)", "--listen %s：打包文件只对本机提供服务（127.0.0.1）"},
		"bundle.open":             {"opening the bundle %s: %v", "打开打包文件 %s：%v"},
		"hint.bundle.open":        {"take a file that `keepwell bundle create` wrote, and compare its checksum with the original's", "请使用 `keepwell bundle create` 生成的文件，并与原文件核对校验和"},
		"bundle.serving":          {"keepwell serves %s (%d modules); use these settings:", "keepwell 正在提供 %s（%d 个模块），请使用以下设置："},
		"bundle.sumsoff":          {"keepwell: GOSUMDB is off here: only go.sum holds the modules to what they were", "keepwell：这里的 GOSUMDB 已关闭：只有 go.sum 能保证模块内容不变"},
		"bundle.othersums":        {"keepwell: the bundle has no proofs of %s: go needs a complete go.sum", "keepwell：打包文件中没有 %s 的证明：需要完整的 go.sum"},
		"bundle.warm":             {"keepwell: %d modules with code, %d files, %.1f MiB are at hand", "keepwell：已备好 %d 个模块的代码，共 %d 个文件，%.1f MiB"},
	}
})
