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
	}
})
