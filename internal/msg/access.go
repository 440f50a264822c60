package msg

import "sync"

// accessTable holds what people are told at the server's door. It is built when first
// asked for.
var accessTable = sync.OnceValue(func() map[string]message {
	return map[string]message{
		"access.unauthenticated":      {"nobody is logged in", "尚未登录"},
		"hint.access.unauthenticated": {"log in, or send a token: Authorization: Bearer kw_…", "请登录，或发送令牌：Authorization: Bearer kw_…"},
		"access.scope":                {"the token is not for this: it lacks the scope %s", "该令牌不可用于此处：缺少范围 %s"},
		"hint.access.scope":           {"make a token with that scope", "请创建带有该范围的令牌"},
		"access.role":                 {"this takes the role %s", "此操作需要角色 %s"},
		"hint.access.role":            {"ask an admin", "请联系管理员"},
		"access.crosssite":            {"refused: another site had the browser send this", "已拒绝：该请求由其他网站让浏览器发出"},
		"hint.access.crosssite":       {"open keepwell itself and do it there; behind a proxy that changes the Host, set its origin in the configuration", "请在 keepwell 页面内操作；若前面的代理改写了 Host，请在配置中填写其来源地址"},
		"access.unavailable":          {"who asks cannot be told right now", "暂时无法确认请求者身份"},
		"hint.access.unavailable":     {"try again in a few seconds; the log tells why", "请几秒后重试；原因见日志"},

		"people.failed":        {"changing who may use the server: %v", "修改用户或令牌：%v"},
		"people.hint":          {"%s (hint: %s)", "%s（提示：%s）"},
		"people.none":          {"there is no such user or token", "没有该用户或令牌"},
		"people.taken":         {"the name is taken; keepwell serve user list shows who is there", "名称已被占用；keepwell serve user list 列出已有用户"},
		"people.gone":          {"it was revoked already", "此前已撤销"},
		"people.tokens":        {"%s has as many tokens as there may be; revoke some", "%s 的令牌数已达上限，请先撤销一些"},
		"people.role":          {"a role is viewer, operator or admin, not %q", "角色为 viewer、operator 或 admin，不能是 %q"},
		"people.nothing":       {"say what to change: --role, --disabled or --password", "请指明要修改的内容：--role、--disabled 或 --password"},
		"people.token":         {"a token needs --user and --scope (api, hooks, mod), and --days that are not negative", "创建令牌需要 --user 和 --scope（api、hooks、mod），--days 不能为负"},
		"people.id":            {"%q is no number of a token; keepwell serve token list shows them", "%q 不是令牌编号；keepwell serve token list 会列出编号"},
		"people.added":         {"%s was added as %s", "已新增 %s，角色 %s"},
		"people.changed":       {"%s was changed (%s); all sessions ended", "已修改 %s（%s），所有会话均已结束"},
		"people.disabled":      {"disabled", "已禁用"},
		"people.revoked":       {"revoked", "已撤销"},
		"people.token.added":   {"The token %d (%s), which is shown this once:", "令牌 %d（%s），仅显示这一次："},
		"people.token.revoked": {"revoked: token %d", "已撤销令牌 %d"},
		"people.unread":        {"reading the password: %v", "读取密码：%v"},
		"people.type":          {"Password: ", "密码："},
		"people.again":         {"Once more: ", "再输入一次："},
		"people.differ":        {"the two passwords differ", "两次输入的密码不一致"},
		"people.empty":         {"standard input holds no password", "标准输入中没有密码"},
	}
})
