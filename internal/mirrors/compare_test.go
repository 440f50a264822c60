package mirrors

import (
	"testing"

	"github.com/keepwell/keepwell/internal/observe"
)

// TestCompare: "y" is up to date, "n" behind, "-" not compared.
func TestCompare(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		def  string // what the default tells; "" nothing
		told []string
		want string
	}{
		"two":                       {"", []string{"v1.1.0", "v1.0.0"}, "yn"},
		"two agree":                 {"", []string{"v1.1.0", "v1.1.0"}, "yy"},
		"three, one ahead":          {"", []string{"v9.0.0", "v1.1.0", "v1.0.0"}, "yyn"},
		"three, the default ahead":  {"v1.2.0", []string{"v1.1.0", "v1.1.0"}, "nny"},
		"three, the default behind": {"v1.0.0", []string{"v1.1.0", "v1.1.0"}, "yyn"},
		"one":                       {"", []string{"v1.1.0"}, "-"},
		"one and the default":       {"v1.2.0", []string{"v1.1.0"}, "ny"},
		"silent ones":               {"", []string{"v1.1.0", "", "v1.1.0"}, "y-y"},
	} {
		if row.def != "" {
			row.told = append(row.told, row.def)
		}
		list := make([]Measured, len(row.told))
		for i, v := range row.told {
			list[i] = Measured{Mirror: Mirror{Ecosystem: Go}, first: true, Protocol: yes("x"), Newest: map[string]string{}}
			if v != "" {
				list[i].Newest["example.com/a"] = v
			}
		}
		if row.def != "" {
			list[len(list)-1].Origin = FromDefault
		}
		compare(list)
		got := ""
		for _, m := range list {
			switch m.Fresh.State {
			case observe.Yes:
				got += "y"
			case observe.No:
				got += "n"
			default:
				got += "-"
			}
		}
		if got != row.want {
			t.Errorf("%s: %s, want %s", name, got, row.want)
		}
	}
	wrong := Measured{Mirror: Mirror{Ecosystem: Go}, first: true, Protocol: no("x"), Newest: map[string]string{"example.com/a": "v9.0.0"}}
	right := Measured{Mirror: Mirror{Ecosystem: Go}, first: true, Protocol: yes("x"), Newest: map[string]string{"example.com/a": "v1.0.0"}}
	list := []Measured{wrong, right, right}
	compare(list)
	if list[1].Fresh.State != observe.Yes {
		t.Errorf("a liar is believed: %+v", list[1].Fresh)
	}
}
