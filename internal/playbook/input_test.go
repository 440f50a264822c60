package playbook_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/playbook"
)

// TestInputKeepsSecretsApart: data that looks like a reference is still data after the
// input was written down and read again.
func TestInputKeepsSecretsApart(t *testing.T) {
	t.Parallel()
	p := must(t, "trigger: x\nactions:\n  - run_script: {script: a, args: ['{{ .asset }}'], env: {A: '{{ .asset }}:${secret:TOKEN}'}}\n  - wait: 90s\n  - run_script: {script: a, args: ['{{ .labels.none }}']}\n")
	s := playbook.Scope{Asset: "${secret:OTHER}", Priority: keepwell.P0, Run: 7}
	in, err := p.Steps[0].Action.Fill(s)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var again playbook.Input
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	env := again.Params["env"].Pairs[0].Text
	got, err := env.Open(func(name string) (string, error) {
		if name != "TOKEN" {
			t.Errorf("asked for %s", name)
		}
		return "REAL", nil
	})
	if got != "${secret:OTHER}:REAL" || err != nil || again.Params["args"].Texts[0] != "${secret:OTHER}" || again.About.Run != 7 {
		t.Errorf("%q %v %s", got, err, text)
	}
	if wait, err := p.Steps[1].Action.Fill(s); err != nil || wait.Params["for"].Text.String() != "1m30s" {
		t.Errorf("%v %v", wait, err)
	}
	if _, err := p.Steps[2].Action.Fill(s); !errors.Is(err, playbook.ErrMissing) {
		t.Errorf("missing data: %v", err)
	}
}
