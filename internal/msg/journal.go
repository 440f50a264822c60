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

		// What a verification finds, also at the API and on pages.
		"journal.proof.beyond":      {"a checkpoint stands for an entry beyond the end, %d: entries were removed", "检查点对应的记录超出日志末尾（第 %d 条）：有记录被删除"},
		"journal.proof.untrusted":   {"a checkpoint is signed with a key that is not trusted, %s", "检查点由不受信任的密钥签名：%s"},
		"journal.proof.signature":   {"the signature of a checkpoint does not hold", "检查点的签名无效"},
		"journal.proof.retired":     {"a checkpoint is signed with a key that signs no more, %s", "检查点由已停用的密钥签名：%s"},
		"journal.proof.unannounced": {"the key %s is said to be announced here, and is not", "密钥 %s 登记为在此条公布，但此条没有公布它"},
		"journal.proof.missing":     {"entries %d to %d are missing", "缺少第 %d 至 %d 条记录"},
		"journal.proof.changed":     {"the entry is not what was written, or the one before it", "本条或前一条记录不是当初写入的内容"},
		"journal.proof.unsigned":    {"the entry is not the one that was signed", "本条记录不是当初签名的那一条"},
		"journal.proof.columns":     {"the entry is found under other words than it holds", "本条记录的索引字段与其内容不一致"},
		"journal.proof.gone":        {"the entries up to here are gone, and no trusted checkpoint stands for them", "到此为止的记录已不存在，且没有可信的检查点为其作证"},
		"journal.proof.headsigned":  {"the end of the chain is not the one that was signed", "链的末端不是当初签名的那一个"},
		"journal.proof.end":         {"the last entry is %d, the chain ends at %d: entries were removed or changed", "最后一条记录是第 %d 条，而链的末端是第 %d 条：有记录被删除或更改"},
	}
})
