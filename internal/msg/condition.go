package msg

// conditionTable are the words for expressions, mappings and fingerprints that are wrong.
func conditionTable() map[string]message {
	return map[string]message{
		"condition.place":      {"line %d, column %d: %s", "第 %d 行第 %d 列：%s"},
		"condition.line":       {"line %d: %s", "第 %d 行：%s"},
		"condition.long":       {"the expression has %d {byte|bytes}, more than %d", "表达式有 %d 字节，超过上限 %d"},
		"condition.empty":      {"the expression is empty", "表达式为空"},
		"condition.syntax":     {"this cannot be read as an expression: %s", "无法解析这个表达式：%s"},
		"condition.undeclared": {"there is no %s here", "这里没有 %s 这个名字"},
		"condition.overload":   {"%s does not apply to %s", "%s 不能用于 %s"},
		"condition.quoted":     {"a priority is compared with a text; write P1, not \"P1\"", "优先级不能与文本比较，请写 P1，不要写成 \"P1\""},
		"condition.type":       {"the expression must be of type %s; it is %s", "表达式的类型应为 %s，实际是 %s"},
		"condition.cost":       {"the expression may cost more than %d steps, or ran out of time", "表达式的开销可能超过 %d 步，或者超时了"},
		"condition.pattern":    {"the pattern of matches() must be written out here", "matches() 的正则表达式必须直接写在这里"},
		"condition.input":      {"what the expression reads is too large: %s", "表达式读取的数据过大：%s"},
		"condition.value":      {"the expression yields what cannot be used: %s", "表达式的结果无法使用：%s"},
		"condition.absent":     {"what the expression reads is not there: %s (has(…) asks first)", "表达式读取的内容不存在：%s（可先用 has(…) 判断）"},
		"condition.failed":     {"the expression failed: %s", "表达式求值失败：%s"},
		"condition.other":      {"the expression is not accepted: %s", "表达式不被接受：%s"},

		"mapping.unknown":  {"%q is no key of a mapping", "映射中没有 %q 这个键"},
		"mapping.lacks":    {"the mapping lacks %q", "映射缺少 %q"},
		"mapping.twice":    {"%q stands twice", "%q 出现了两次"},
		"mapping.name":     {"a mapping's name is of a-z, 0-9 and hyphens, and not that of a built-in format", "映射的名字只能用 a-z、0-9 和连字符，且不能与内置格式重名"},
		"mapping.document": {"a mapping is a YAML mapping of names to expressions", "映射应是从名字到表达式的 YAML 映射"},

		"classify.document":      {"the file is a YAML list of fingerprints", "文件应是由指纹组成的 YAML 列表"},
		"classify.yaml":          {"this is no YAML: %s", "这不是合法的 YAML：%s"},
		"classify.key.near":      {"unknown key %q; did you mean %q?", "未知的键 %q；是否想写 %q？"},
		"classify.key.twice":     {"%q stands here a second time (first in line %d)", "%q 重复出现（第一次在第 %d 行）"},
		"classify.key":           {"%q is no key here; there are %s", "这里没有 %q 这个键，可用的有：%s"},
		"classify.shape.mapping": {"%s must be a mapping", "%s 应为映射"},
		"classify.shape.list":    {"%s must be a list with something in it", "%s 应为非空列表"},
		"classify.shape.text":    {"%s must be a text", "%s 应为文本"},
		"classify.lacks":         {"the fingerprint lacks %q", "指纹缺少 %q"},
		"classify.value":         {"%[1]s", "这个值不对：%[1]s"},
		"classify.twice":         {"the code %s stands twice; first in %s", "代码 %s 重复，先前在 %s 中已有"},
		"classify.rule":          {"a rule needs alerts, labels, words, codes or when", "规则至少要有 alerts、labels、words、codes、when 之一"},
		"classify.regexp":        {"%q is no regular expression: %s", "%q 不是合法的正则表达式：%s"},
		"classify.words":         {"%q is too short to be told from other words", "%q 太短，无法与其他词区分"},
		"classify.bilingual":     {"%s needs both en and zh", "%s 需要同时写 en 和 zh"},
		"classify.example":       {"the example is classified as %s, not as %s", "这个例子被归类为 %s，而不是 %s"},
		"classify.near":          {"the near miss is classified as %s", "这个反例被归类为 %s"},
		"classify.examples":      {"%d {example|examples} and %d near {miss|misses}; 3 and 2 are the least", "有 %d 个例子和 %d 个反例，至少要有 3 个和 2 个"},
	}
}
