package msg

import "sync"

// systemsTable holds what can be wrong with the actions on systems of others.
var systemsTable = sync.OnceValue(func() map[string]message {
	return map[string]message{
		"play.by":            {"%q is no change of a number, such as \"+2\" or \"-1\"", "%q 不是数量的增减，应如 \"+2\" 或 \"-1\""},
		"play.k8s.object":    {"%q is no object: write deployment/NAME, statefulset/NAME, daemonset/NAME or node/NAME; only the name may be data of an alert", "%q 不是对象：应写 deployment/名称、statefulset/名称、daemonset/名称 或 node/名称；只有名称可以是告警数据"},
		"play.k8s.fit":       {"%s is not done to a %s: nodes are cordoned and uncordoned, workloads restarted, scaled and looked at", "不能对 %[2]s 执行 %[1]s：节点用 cordon 和 uncordon，工作负载用 restart、scale 和 status"},
		"play.k8s.namespace": {"a workload needs its namespace, a node has none", "工作负载必须写明 namespace，节点则没有"},
		"play.k8s.scale":     {"scale takes a deployment or statefulset with either replicas or by; min and max go with by", "scale 用于 deployment 或 statefulset，并且只写 replicas 或 by 之一；min 和 max 与 by 同用"},
		"play.k8s.bounds":    {"min is more than max", "min 大于 max"},
		"play.redis.form":    {"redis takes either command (with args, field, expect) or evict (with ttl, per_second, most)", "redis 只能写 command（可带 args、field、expect）或 evict（可带 ttl、per_second、most）之一"},
		"play.redis.name":    {"%q is no name of a command, such as UNLINK or \"MEMORY PURGE\"; what it works on stands in args", "%q 不是命令名，应如 UNLINK 或 \"MEMORY PURGE\"；操作对象写在 args 中"},
		"play.redis.write":   {"%s is not known to change nothing: say allow: write", "不能确定 %s 只读：请写 allow: write"},
		"play.redis.pattern": {"%q would mean nearly every key: at least three characters must stand for themselves", "%q 几乎匹配所有键：其中至少要有三个普通字符"},
		"play.redis.ttl":     {"%q is no condition on the time that keys have left: any, none, \"< 1h\" or \"> 1h\"", "%q 不是对剩余时间的条件：可写 any、none、\"< 1h\" 或 \"> 1h\""},
		"play.redis.field":   {"expect on INFO needs field: the line that holds the number", "对 INFO 使用 expect 时需要 field：数值所在的行"},
		"play.sql.write":     {"this statement is not known to change nothing: say allow: write", "不能确定该语句只读：请写 allow: write"},
		"play.sql.one":       {"query takes one statement without a semicolon; values stand in args and are written $1, $2, …", "query 只写一条语句，不带分号；取值写在 args 中，语句里写 $1、$2……"},
		"play.limit":         {"%q is no list of hosts or groups", "%q 不是主机或组的列表"},
		"play.target":        {"%q is no module, such as example.com/widget@v1.2.0", "%q 不是模块，应如 example.com/widget@v1.2.0"},
	}
})
