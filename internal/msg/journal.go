package msg

import "sync"

// journalTable holds the words of `keepwell serve journal`.
var journalTable = sync.OnceValue(func() map[string]message {
	return map[string]message{
		"serve.journal.key":     {"journal.keys: %.80q is no public key (hint: 64 hexadecimal digits, as keepwell serve journal keys shows)", "journal.keys：%.80q 不是公钥（提示：64 位十六进制数，可用 keepwell serve journal keys 查看）"},
		"journal.key":           {"--key: %.80q is no public key (hint: 64 hexadecimal digits, as keepwell serve journal keys shows)", "--key：%.80q 不是公钥（提示：64 位十六进制数，可用 keepwell serve journal keys 查看）"},
		"journal.failed":        {"%v", "%v"},
		"journal.good":          {"the journal holds: entries %d to %d; %d {checkpoint|checkpoints}, signed up to entry %d", "日志校验通过：第 %d 至 %d 条记录；%d 个检查点，已签名至第 %d 条"},
		"journal.empty":         {"the journal holds no entry", "日志中没有记录"},
		"journal.bad":           {"the journal does not hold: %d {problem|problems}", "日志校验未通过：%d 个问题"},
		"journal.problem":       {"  entry %d: %s", "  第 %d 条：%s"},
		"journal.keyline":       {"  %s  %-9s  %d {signature|signatures}, last at entry %d  %s", "  %s  %-9s  %d 个签名，最后在第 %d 条  %s"},
		"journal.trust":         {"%d {key is|keys are} trusted on first use, as the journal itself says (hint: --key pins those that you know)", "%d 个密钥仅凭日志自身的记载被信任（首次使用即信任）（提示：用 --key 固定您已知的公钥）"},
		"journal.unsigned":      {"no signature was looked for: no key is known", "没有已知的密钥，未校验签名"},
		"journal.none":          {"no key is written down yet: a node does so when it starts", "尚未登记密钥：节点启动时会登记"},
		"journal.retired":       {"retired %s", "已停用 %s"},
		"journal.rotated":       {"the next start of this node signs with the new key; the one before vouches for it. Its public key:", "本节点下次启动时改用新密钥签名，并由原密钥为其背书。新公钥："},
		"journal.trusted.pin":   {"pinned", "已固定"},
		"journal.trusted.vouch": {"vouched", "已背书"},
		"journal.trusted.first": {"first use", "首次使用"},
		"journal.trusted.not":   {"untrusted", "不信任"},
	}
})
