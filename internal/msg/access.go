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
	}
})
