package msg

import "sync"

// explainProbeTable holds the words of `keepwell explain --probe`.
var explainProbeTable = sync.OnceValue(func() map[string]message {
	return map[string]message{
		"explain.probe.nobody": {"--probe: the text names no server that could answer the open question", "--probe：文本里没有能回答这个疑问的服务器"},
		"explain.probe.never":  {"--probe: %s is never asked", "--probe：从不访问 %s"},
		"explain.probe.kept":   {"--probe: %s was not asked, since no setting here names it; to ask: keepwell probe %s", "--probe：没有访问 %s，因为这里的设置都没有提到它；要访问请运行：keepwell probe %s"},
		"explain.probe.ask":    {"No setting here names %s. Ask it now? [y/N]", "这里的设置都没有提到 %s。现在访问它吗？[y/N]"},
	}
})
