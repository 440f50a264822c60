package alerts

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/keepwell/keepwell"
)

// Grafana reads the body of Grafana's webhook: Alertmanager's and more. What it has
// more of an alert becomes annotations of the same name where the alert has none:
// dashboardURL, panelURL, silenceURL, imageURL, valueString, and each of values as
// "value.NAME".
func Grafana(r io.Reader, l Limits, each Each) (Group, error) {
	return read(r, l, each, grafanaAlert)
}

type grafanaWire struct {
	wire
	DashboardURL string         `json:"dashboardURL"`
	PanelURL     string         `json:"panelURL"`
	SilenceURL   string         `json:"silenceURL"`
	ImageURL     string         `json:"imageURL"`
	ValueString  string         `json:"valueString"`
	Values       map[string]any `json:"values"` // numbers; null or text where there is no data
}

func grafanaAlert(dec *json.Decoder) (keepwell.Alert, error) {
	var w grafanaWire
	if err := dec.Decode(&w); err != nil {
		return keepwell.Alert{}, err
	}
	a := w.alert("grafana")
	more := map[string]string{
		"dashboardURL": w.DashboardURL, "panelURL": w.PanelURL, "silenceURL": w.SilenceURL, "imageURL": w.ImageURL, "valueString": w.ValueString,
	}
	for name, v := range w.Values {
		switch v := v.(type) {
		case float64:
			more["value."+name] = strconv.FormatFloat(v, 'g', -1, 64)
		case string, bool:
			more["value."+name] = fmt.Sprint(v)
		}
	}
	if a.Annotations == nil {
		a.Annotations = map[string]string{}
	}
	for _, name := range slices.Sorted(maps.Keys(more)) {
		if _, taken := a.Annotations[name]; !taken && more[name] != "" && len(a.Annotations) < keepwell.MaxAlertPairs {
			a.Annotations[name] = more[name]
		}
	}
	return a, nil
}
