package msg

import "sync"

// shareTable holds the words of buckets that replicas of the proxy share. It is built
// when first asked for.
var shareTable = sync.OnceValue(func() map[string]message {
	return map[string]message{
		"s3.quota":        {"--s3-quota takes a number with K, M, G or T, not %q", "--s3-quota 的格式是数字加 K、M、G 或 T，不是 %q"},
		"s3.address":      {"%s is no address of a bucket: %v", "%s 不是存储桶地址：%v"},
		"hint.s3.address": {"write it as https://s3.example.org/BUCKET/PREFIX?region=NAME&addressing=path", "请写成 https://s3.example.org/BUCKET/PREFIX?region=NAME&addressing=path"},
		"s3.login":        {"--s3 has a login in the URL of %s: %v", "--s3 的 URL（%s）里带有登录信息：%v"},
		"hint.s3.login": {
			"a command line can be read by others: put the keys into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
			"命令行可能被他人看到：请把密钥放进环境变量 AWS_ACCESS_KEY_ID 和 AWS_SECRET_ACCESS_KEY",
		},
		"s3.nocredentials": {"there are no keys for the bucket %s: %v", "没有存储桶 %s 的访问密钥：%v"},
		"hint.s3.nocredentials": {
			"set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write ~/.aws/credentials (AWS_PROFILE picks the section); ?credentials=iam takes the machine's role",
			"请设置 AWS_ACCESS_KEY_ID 和 AWS_SECRET_ACCESS_KEY，或写入 ~/.aws/credentials（用 AWS_PROFILE 选择配置段）；在 URL 后加 ?credentials=iam 可使用本机角色",
		},
		"s3.credentials":      {"the server of %s does not accept the keys: %v", "%s 的服务器不接受访问密钥：%v"},
		"hint.s3.credentials": {"compare AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY with those of the bucket; keys for a time (AWS_SESSION_TOKEN) may have expired", "请核对 AWS_ACCESS_KEY_ID 和 AWS_SECRET_ACCESS_KEY；临时密钥（AWS_SESSION_TOKEN）可能已过期"},
		"s3.denied":           {"the keys may not use %s: %v", "访问密钥无权使用 %s：%v"},
		"hint.s3.denied":      {"the keys need GetObject, PutObject, DeleteObject and ListBucket there", "密钥需要该存储桶的 GetObject、PutObject、DeleteObject 和 ListBucket 权限"},
		"s3.nobucket":         {"there is no bucket %s: %v", "存储桶 %s 不存在：%v"},
		"hint.s3.nobucket":    {"create it first: keepwell creates no buckets", "请先创建存储桶：keepwell 不会自动创建"},
		"s3.region":           {"the bucket %s lies in another region: %v", "存储桶 %s 位于其他区域：%v"},
		"hint.s3.region":      {"add ?region=NAME to the URL of --s3", "请在 --s3 的 URL 后加上 ?region=NAME"},
		"s3.unconditional":    {"the server of %s cannot tell replicas who is first: %v", "%s 的服务器无法判定哪个副本先写入：%v"},
		"hint.s3.unconditional": {
			"take a server with conditional writes (If-None-Match, If-Match); --s3-unconditional goes without, and two replicas may fetch the same file then",
			"请使用支持条件写入（If-None-Match、If-Match）的服务器；--s3-unconditional 可以不用它，但多个副本可能重复下载同一文件",
		},
		"s3.scrubbed": {
			"of these, in %s: files held to their sums: %d (%d MiB); rotten: %d, missing: %d",
			"其中 %s 里已校验文件 %d 个（%d MiB）；损坏 %d 个，丢失 %d 个",
		},
		"s3.mended":     {"  what was rotten or missing there was replaced from here", "  损坏和丢失的已用本地文件替换"},
		"s3.scrub":      {"checking the bucket: %v", "校验存储桶：%v"},
		"hint.s3.scrub": {"try again when the object store answers", "请在对象存储恢复后重试"},
		"s3.sharing":    {"keepwell: filling %s: %d of %d {file|files}", "keepwell：正在填充 %s：%d/%d 个文件"},
		"s3.shared":     {"%s has %d of these files", "%s 中已有其中 %d 个文件"},
		"s3.unshared":   {"filling %s: %v", "填充 %s：%v"},
		"s3.unimported": {"%d {file is|files are} here, but could not be put into the bucket", "有 %d 个文件已存入本地，但未能写入存储桶"},
		"warm.s3proxy":  {"--proxy and --s3 exclude each other: the running proxy fills its own bucket", "--proxy 和 --s3 不能同时使用：正在运行的代理会填充它自己的存储桶"},
		"s3.other":      {"the bucket %s cannot be used: %v", "存储桶 %s 无法使用：%v"},
		"hint.s3.other": {"try the bucket with another program and the same keys", "请用其他程序和同样的密钥访问该存储桶试试"},
	}
})
