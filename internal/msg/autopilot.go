package msg

import "sync"

// autopilotTable holds the engine's reasons: why something was decided, done or handed to
// a person. They are kept as keys with arguments ([Reason]). A key that was ever written
// stays here: journals hold it for years. It is built when first asked for.
var autopilotTable = sync.OnceValue(func() map[string]message {
	return map[string]message{
		"reason.and":  {"; ", "；"},
		"reason.said": {"%s", "%s"},

		// What brought a decision about, and its sum.
		"why.trigger.opened": {"the incident was opened", "事件新开"},
		"why.trigger.joined": {"more alerts came", "又来了新的告警"},
		"why.trigger.goeson": {"the incident goes on", "事件仍在持续"},
		"why.decided.none":   {"%s: no playbook is in force", "%s：没有启用的剧本"},
		"why.decided":        {"%s: %d to run, %d to observe, %d later, %d not", "%s：执行 %d 个，观察 %d 个，暂缓 %d 个，不执行 %d 个"},
		"why.passed":         {"%s; %s on %s, %s", "%s；%s，对象 %s，%s"},

		// What holds a playbook back.
		"why.notfor":          {"it is for %s", "只适用于 %s"},
		"why.label":           {"the label %s is not one of: %s", "标签 %s 的值不在其中：%s"},
		"why.condition.false": {"condition does not hold: %s", "条件不成立：%s"},
		"why.severity":        {"priority %s is not %s", "优先级 %s 不满足 %s"},
		"why.notdone":         {"what it verifies was not done", "要验证的步骤没有执行"},
		"why.muted":           {"muted by %s (%s): %s", "已被 %s 静默（%s）：%s"},
		"why.muted.all":       {"muted by %s: %s", "已被 %s 静默：%s"},
		"why.window":          {"outside its windows", "不在允许的时间窗口内"},
		"why.maintenance":     {"the maintenance window %q is open for %s", "处于维护窗口 %q（时长 %s）"},
		"why.ran":             {"it ran for this incident", "本次事件中已执行过"},
		"why.unfinished":      {"run %d is unfinished", "运行 %d 尚未结束"},
		"why.breaker.open":    {"the breaker %q is open until %s: %s", "熔断器 %q 断开至 %s：%s"},
		"why.breaker.half":    {"the breaker %q is half open and a run tries", "熔断器 %q 处于半开状态，已有一次运行在试探"},
		"why.cooling":         {"cooling down until %s: %s", "冷却至 %s：%s"},
		"why.maxruns":         {"%d {run|runs} within %s, and %d are allowed", "%[2]s 内已执行 %[1]d 次，上限 %[3]d 次"},
		"why.maxruns.all":     {"%d {run|runs} of all playbooks within an hour, and %d are allowed", "一小时内全部剧本共执行 %d 次，上限 %d 次"},
		"why.concurrency":     {"%d {run is|runs are} unfinished, and %d are allowed at once", "%d 次运行尚未结束，同时最多 %d 次"},
		"why.blast":           {"%d {asset was|assets were} touched within %s, and %d are allowed", "%[2]s 内已触及 %[1]d 个对象，上限 %[3]d 个"},

		// Runs and their steps.
		"why.run":                 {"run %d", "运行 %d"},
		"why.would":               {"would have run", "本会执行"},
		"why.observed":            {"observed only", "仅观察"},
		"why.counted":             {"counted as ineffective", "已计为无效"},
		"why.refired":             {"run %d succeeded and the fault is there again", "运行 %d 成功，但故障再次出现"},
		"why.alldone":             {"all steps are done", "全部步骤已完成"},
		"why.verifying":           {"to see whether it helped", "等待验证效果"},
		"why.noincident":          {"there is no incident to look at", "没有可查看的事件"},
		"why.fires":               {"the incident's alerts still fire", "事件的告警仍在触发"},
		"why.fires.count":         {"%d of the incident's alerts still fire", "事件的 %d 条告警仍在触发"},
		"why.check.input":         {"the check's input: %s", "验证的输入：%s"},
		"why.check.failed":        {"the check %s: %s", "验证 %s：%s"},
		"why.check.content":       {"the check %s is content", "验证 %s 已通过"},
		"why.futile":              {"it did not help: %s", "没有效果：%s"},
		"why.undoes":              {"undoes run %d: %s", "撤销运行 %d：%s"},
		"why.undo.failed":         {"undoing failed: %s", "撤销失败：%s"},
		"why.aftermath.failed":    {"what follows a failure failed: %s", "失败后的处理也失败了：%s"},
		"why.run.failed":          {"run %d failed: %s", "运行 %d 失败：%s"},
		"why.run.ended":           {"the run has ended", "运行已结束"},
		"why.condition":           {"its condition: %s", "步骤条件：%s"},
		"why.input":               {"its input: %s", "步骤输入：%s"},
		"why.step.failed":         {"step %s failed", "步骤 %s 失败"},
		"why.step.failed.because": {"step %s failed: %s", "步骤 %s 失败：%s"},
		"why.interrupted":         {"interrupted between its intent and its result", "在记录意图之后、得到结果之前中断"},
		"why.interrupted.again":   {"interrupted; it may be made again", "已中断，可以重做"},
		"why.unsure":              {"whether the effect was made cannot be told", "无法判断操作是否已生效"},
		"why.unsure.because":      {"whether the effect was made cannot be told: %s", "无法判断操作是否已生效：%s"},
		"why.probe.failed":        {"%s; its probe: %s", "%s；探查结果：%s"},
		"why.probe.made":          {"its probe found the effect made", "探查确认操作已生效"},
		"why.probe.notmade":       {"its probe found the effect not made", "探查确认操作未生效"},
		"why.maybe":               {"step %s (%s) may have been made: %s", "步骤 %s（%s）可能已生效：%s"},
		"why.settled.made":        {"settled by hand, it was made: %s", "人工确认已生效：%s"},
		"why.settled.notmade":     {"settled by hand, it was not made: %s", "人工确认未生效：%s"},
		"why.word":                {"%s", "%s"},
		"why.ended":               {"%s: %s", "%s：%s"},
		"why.ended.because":       {"%s: %s: %s", "%s：%s：%s"},
		"why.ended.word":          {"%s: %s", "%s：%s"},
		"why.step.done":           {"done", "完成"},
		"why.step.didfail":        {"failed", "失败"},
		"why.step.skipped":        {"skipped", "已跳过"},
		"why.step.unknown":        {"unknown", "结果未知"},
		"why.run.done":            {"done", "完成"},
		"why.run.didfail":         {"failed", "失败"},
		"why.run.cancelled":       {"cancelled", "已取消"},
		"why.run.human":           {"handed to a person", "已交给人工处理"},

		// Breakers.
		"why.breaker.opened": {"opened %q: %s", "断开熔断器 %q：%s"},
		"why.breaker.closed": {"closed %q: a run succeeded", "闭合熔断器 %q：一次运行成功"},
		"why.breaker.byhand": {"closed %q by hand: %s", "手动闭合熔断器 %q：%s"},
		"why.breaker.after":  {"the breaker %q opened after %d failed and %d ineffective runs: %s", "熔断器 %q 在 %d 次失败、%d 次无效运行后断开：%s"},

		// Approvals.
		"why.approval.waits":      {"for an approval", "等待审批"},
		"why.approval.granted":    {"granted", "已批准"},
		"why.approval.refused":    {"refused", "已拒绝"},
		"why.approval.denied":     {"the approval was refused", "审批被拒绝"},
		"why.approval.expired":    {"nobody answered the approval in time", "审批超时，无人答复"},
		"why.approval.unanswered": {"nobody answered the approval in time: %s", "审批超时，无人答复：%s"},

		// Incidents.
		"why.resolved":        {"the incident is resolved", "事件已恢复"},
		"why.resolved.alerts": {"all its alerts are resolved", "全部告警均已恢复"},
		"why.reminded":        {"people were told that it goes on", "已通知事件仍在持续"},
		"why.stillfiring":     {"still firing after %s", "已持续触发 %s"},
		"why.acknowledged":    {"taken: %s", "已认领：%s"},
		"why.taken":           {"taken", "已认领"},
		"why.closed":          {"closed by hand: %s", "人工关闭：%s"},
		"why.reopened":        {"an alert fires again after it was closed by hand", "人工关闭后告警再次触发"},

		// Playbooks.
		"why.mode":         {"%s: %s: %s", "%s：%s：%s"},
		"why.mode.active":  {"acts", "自动执行"},
		"why.mode.observe": {"observes", "仅观察"},
		"why.mode.off":     {"off", "停用"},
		"why.inforce":      {"in force", "已启用"},
		"why.hold":         {"new: observed for %s before it acts", "新版本：先观察 %s 再自动执行"},
		"why.hold.over":    {"its hold is over", "观察期结束"},
		"why.gone":         {"its file is gone", "其文件已不存在"},

		// The server.
		"why.retained": {"older than the configuration keeps", "超过配置的保留时间"},
		"why.body":     {"the body for /hooks/%s was refused (%d): %s", "/hooks/%s 的请求正文被拒绝（%d）：%s"},
		"why.leftout":  {"%d {alert was|alerts were} left out by the sender (truncatedAlerts), %d cannot be used", "发送方截去了 %d 条告警（truncatedAlerts），另有 %d 条无法使用"},

		// Back-tests.
		"why.back.breaker":     {"%d {run|runs} did not help; open until %s", "%d 次运行没有效果，断开至 %s"},
		"why.back.toomuch":     {"the alerts of this time lead to too many decisions; take a shorter time", "该时间范围内的告警会产生过多判断，请缩短范围"},
		"why.back.running":     {"the run before would not have ended", "上一次运行届时尚未结束"},
		"why.back.cooldown":    {"%s after the run before", "距上一次运行 %s"},
		"why.back.concurrency": {"%d {run|runs} at once, and %d are allowed", "同时有 %d 次运行，上限 %d 次"},
	}
})
