package daemon_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/state"
	"github.com/keepwell/keepwell/internal/state/statetest"
)

// TestUndated: the mapping of docs/serve.md tells no time. A repeat is one all the same, the
// end ends the incident, and what fires after that is new; of several in one body, too.
func TestUndated(t *testing.T) {
	t.Parallel()
	statetest.Each(t, func(t *testing.T, o state.Options) {
		d, base := started(t, o, "hooks:\n  generic:\n    zabbix:\n      alerts: body.events\n"+
			"      status: 'item.value == \"0\" ? \"resolved\" : \"firing\"'\n      labels: '{\"alertname\": item.trigger, \"instance\": item.host}'\n"+
			"    other:\n      alerts: body.events\n      labels: '{\"alertname\": item.trigger, \"instance\": item.host}'\n")
		send := func(hook, receipt string, values ...string) {
			t.Helper()
			events := make([]string, len(values))
			for i, v := range values {
				host, value, _ := strings.Cut(v, "=")
				events[i] = fmt.Sprintf(`{"trigger":"NginxDown","host":%q,"value":%q}`, host, value)
			}
			status, text := post(t, base+"/hooks/generic/"+hook, `{"events":[`+strings.Join(events, ",")+`]}`)
			if status != 202 || strings.TrimSpace(text) != receipt {
				t.Errorf("%s %v: %d %s, want %s", hook, values, status, text, receipt)
			}
		}
		holds := func(open, resolved int) {
			t.Helper()
			until(t, fmt.Sprintf("%d open, %d resolved", open, resolved), func() bool {
				got := map[state.IncidentState]int{}
				all, err := d.State().Incidents(t.Context(), state.IncidentFilter{}, state.Page{})
				for _, i := range all {
					got[i.State]++
				}
				return err == nil && got[state.IncidentOpen] == open && got[state.IncidentResolved] == resolved
			})
		}
		send("zabbix", `{"new":1,"repeated":0}`, "web-1=1")
		holds(1, 0)
		send("zabbix", `{"new":0,"repeated":1}`, "web-1=1")
		send("zabbix", `{"new":1,"repeated":0}`, "web-1=0")
		holds(0, 1)
		send("zabbix", `{"new":0,"repeated":1}`, "web-1=0") // the sender tries again
		send("zabbix", `{"new":1,"repeated":0}`, "web-1=1")
		holds(1, 1)
		send("zabbix", `{"new":2,"repeated":1}`, "web-1=1", "web-1=0", "web-1=1")
		holds(1, 1)                                        // it flapped, and fires
		send("other", `{"new":1,"repeated":0}`, "web-1=1") // another sender's: its own
		send("zabbix", `{"new":1,"repeated":0}`, "web-1=0")
		send("zabbix", `{"new":2,"repeated":0}`, "web-2=1", "web-2=0")
		holds(1, 2)
	})
}
