package playbook

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

func kindAnsible() Kind {
	return Kind{
		Name: "ansible", Short: "playbook", Check: true, nature: natureOfAnsible,
		Doc: Title{"run a playbook of Ansible from the allowed directories", "运行许可目录中的 Ansible playbook"},
		Params: []Param{
			{Name: "playbook", Type: TypeText, Sink: SinkFixed, Required: true, check: checkScript, Doc: Title{"file below an allowed directory", "许可目录下的文件"}},
			{Name: "inventory", Type: TypeText, Sink: SinkFixed, Required: true, check: checkScript, Doc: Title{"file below an allowed directory", "许可目录下的文件"}},
			{Name: "limit", Type: TypeText, Sink: SinkValue, check: checkLimit, Doc: Title{"hosts or groups, separated by commas; names only", "主机或组，用逗号分隔；只能是名称"}},
			{Name: "vars", Type: TypePairs, Sink: SinkJSON, check: checkVarName, Doc: Title{"variables; their values are never read as templates", "变量；取值绝不会作为模板解析"}},
			{Name: "tags", Type: TypeTexts, Sink: SinkFixed, check: checkName, Doc: Title{"tags", "标签"}},
			{Name: "mode", Type: TypeText, Sink: SinkFixed, Enum: []string{"apply", "check"}, Doc: Title{"check: tell what would change, and change nothing (default: apply)", "check：只报告会有哪些改动，不做改动（默认 apply）"}},
		},
	}
}

var limitForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:-]*(,[A-Za-z0-9_][A-Za-z0-9_.:-]*)*$`)
})

// HostList tells whether a text is a list of hosts or groups, without patterns and
// without the groups that every inventory has. Ansible parts names by colons, too.
func HostList(s string) bool {
	const longest = 1024
	if len(s) > longest || !limitForm().MatchString(s) || strings.Contains(s, "::") {
		return false
	}
	names := strings.FieldsFunc(s, func(c rune) bool { return c == ',' || c == ':' })
	return !slices.ContainsFunc(names, func(name string) bool { return name == "all" || name == "ungrouped" })
}

func checkLimit(s string) *placeFault {
	if !HostList(s) {
		return &placeFault{"play.limit", []any{cut(s)}}
	}
	return nil
}

// checkVarName refuses those that say how Ansible connects and what it runs.
func checkVarName(s string) *placeFault {
	if !varName().MatchString(s) || strings.HasPrefix(strings.ToLower(s), "ansible_") {
		return &placeFault{"play.varname", []any{cut(s)}}
	}
	return nil
}

func natureOfAnsible(a Action) Nature {
	check := a.Params["mode"].Text.Raw() == "check"
	return Nature{Reads: check, Idempotent: check}
}

func kindDoctor() Kind {
	return Kind{
		Name: "doctor", Short: "target", Check: true, Idempotent: true,
		Doc: Title{"examine why a module cannot be had, as keepwell doctor does", "检查模块为何无法获取，与 keepwell doctor 相同"},
		Params: []Param{
			{Name: "target", Type: TypeText, Sink: SinkValue, Required: true, check: checkTarget, Doc: Title{"module, with or without a version", "模块，可带版本"}},
			{Name: "expect", Type: TypeText, Sink: SinkFixed, Enum: []string{"any", "healthy"}, Doc: Title{"healthy: fail where an error is found (default: any)", "healthy：发现错误即失败（默认 any）"}},
		},
	}
}

var targetForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~/+-]*(@[A-Za-z0-9][A-Za-z0-9._+-]*)?$`)
})

// ModuleTarget tells whether a text looks like a module, with or without a version.
func ModuleTarget(s string) bool {
	const longest = 512
	return len(s) <= longest && targetForm().MatchString(s) && !strings.Contains(s, "..")
}

func checkTarget(s string) *placeFault {
	if !ModuleTarget(s) {
		return &placeFault{"play.target", []any{cut(s)}}
	}
	return nil
}
