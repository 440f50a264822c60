package playbook

import (
	"regexp"
	"strings"
	"sync"
)

// systems are the kinds that change systems of others through their own protocols.
func systems() []Kind {
	return []Kind{kindKubernetes(), kindRedis(), kindSQL(), kindAnsible(), kindDoctor()}
}

func kindKubernetes() Kind {
	const replicas = 10_000
	return Kind{
		Name: "kubernetes", Short: "object", Check: true, Idempotent: true, check: checkKubernetes, nature: natureOfKubernetes,
		Doc: Title{"restart or scale a workload, cordon or uncordon a node, or look whether a rollout is complete", "重启或伸缩工作负载，禁止或恢复节点调度，或查看滚动更新是否完成"},
		Params: []Param{
			{Name: "do", Type: TypeText, Sink: SinkFixed, Required: true, Enum: []string{"restart", "scale", "cordon", "uncordon", "status", "undo"}, Doc: Title{"what is done; undo takes back what the step did, under undo", "操作；undo 撤销该步骤所做的改动，写在 undo 下"}},
			{Name: "object", Type: TypeText, Sink: SinkValue, Doc: Title{"deployment/NAME, statefulset/NAME, daemonset/NAME or node/NAME", "deployment/名称、statefulset/名称、daemonset/名称 或 node/名称"}},
			{Name: "namespace", Type: TypeText, Sink: SinkValue, Doc: Title{"namespace, one of those that the server's configuration allows", "命名空间，须在服务器配置许可的范围内"}},
			{Name: "replicas", Type: TypeNumber, Sink: SinkFixed, Most: replicas, Doc: Title{"of scale: how many", "scale：副本数"}},
			{Name: "by", Type: TypeText, Sink: SinkFixed, check: checkBy, Doc: Title{"of scale: how many more or fewer, such as \"+2\"", "scale：增减的副本数，例如 \"+2\""}},
			{Name: "min", Type: TypeNumber, Sink: SinkFixed, Most: replicas, Doc: Title{"of scale with by: never fewer (default: 1)", "scale 与 by 同用：下限（默认 1）"}},
			{Name: "max", Type: TypeNumber, Sink: SinkFixed, Most: replicas, Doc: Title{"of scale with by: never more", "scale 与 by 同用：上限"}},
			{Name: "wait", Type: TypeText, Sink: SinkFixed, Enum: []string{"rollout"}, Doc: Title{"rollout: until all of it is available, within the step's timeout", "rollout：等到全部可用，不超过步骤的 timeout"}},
			{Name: "in", Type: TypeText, Sink: SinkFixed, check: checkName, Doc: Title{"cluster of the server's configuration (default: the only one)", "服务器配置中的集群（默认：唯一的一个）"}},
		},
	}
}

var objectForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(deployment|statefulset|daemonset|node)/[a-z0-9{]`)
})

var byForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[+-][1-9][0-9]{0,3}$`) })

func checkBy(s string) *placeFault {
	if !byForm().MatchString(s) {
		return &placeFault{"play.by", []any{cut(s)}}
	}
	return nil
}

// checkKubernetes holds what is done and to what together: the kind of the object is the
// playbook's, only its name may be an alert's.
func checkKubernetes(a Action) *placeFault {
	raw := func(name string) string { return a.Params[name].Text.Raw() }
	do, object := raw("do"), raw("object")
	kind, _, _ := strings.Cut(object, "/")
	switch {
	case !objectForm().MatchString(object):
		return &placeFault{"play.k8s.object", []any{cut(object)}}
	case do != "undo" && (kind == "node") != (do == "cordon" || do == "uncordon"):
		return &placeFault{"play.k8s.fit", []any{do, kind}}
	case (kind == "node") == a.Has("namespace"):
		return &placeFault{"play.k8s.namespace", nil}
	case do == "scale" && (kind == "daemonset" || a.Has("replicas") == a.Has("by")):
		return &placeFault{"play.k8s.scale", nil}
	case do != "scale" && (a.Has("replicas") || a.Has("by")), !a.Has("by") && (a.Has("min") || a.Has("max")):
		return &placeFault{"play.k8s.scale", nil}
	case strings.HasPrefix(raw("by"), "+") && !a.Has("max"):
		return &placeFault{"play.param", []any{"kubernetes", "max"}}
	case a.Has("max") && a.Has("min") && a.Params["min"].Numbers[0] > a.Params["max"].Numbers[0]:
		return &placeFault{"play.k8s.bounds", nil}
	}
	return nil
}

// natureOfKubernetes: marks on the objects keep what is done from being done twice.
func natureOfKubernetes(a Action) Nature {
	return Nature{Reads: a.Params["do"].Text.Raw() == "status", Idempotent: true}
}
