package actions_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/actions"
)

// TestAnsible drives the real one: a host that succeeds, one that fails, one that is not
// there; variables stay data; check mode changes nothing.
func TestAnsible(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ansible-playbook"); err != nil {
		t.Skip("ansible-playbook is not installed (Debian: ansible)")
	}
	if out, err := exec.CommandContext(t.Context(), "ansible-doc", "-t", "callback", "ansible.posix.json").CombinedOutput(); err != nil || strings.Contains(string(out), "not found") {
		t.Skip("the JSON callback of Ansible is not installed (Debian: ansible): " + string(out))
	}
	dir, made := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"site.yml": `- hosts: all
  gather_facts: false
  tasks:
    - name: write
      copy: {content: "{{ said }}", dest: "` + made + `/{{ inventory_hostname }}"}
    - name: break
      fail: {msg: "broken by hand"}
      when: inventory_hostname == "bad"
`,
		"hosts": "good ansible_connection=local\nbad ansible_connection=local\ngone ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set := actions.New(actions.Options{Ansible: actions.Ansible{Dirs: []string{dir}, Env: []string{"ANSIBLE_PYTHON_INTERPRETER=/usr/bin/python3"}}})
	s := scope()
	s.Alert.Labels["evil"] = "{{ lookup('pipe', 'touch " + made + "/pwned') }}\n\"'"
	r := request(t, `ansible: {playbook: site.yml, inventory: hosts, limit: good, vars: {said: "{{ .labels.evil }}"}, mode: check}`, s)
	res, err := set.Do(t.Context(), r)
	if entries, _ := os.ReadDir(made); err != nil || len(entries) != 0 || !strings.HasPrefix(res.Summary, "site.yml: 1 hosts, would change 1") {
		t.Errorf("check: %+v %v, made %v", res, err, entries)
	}
	r = request(t, `ansible: {playbook: site.yml, inventory: hosts, vars: {said: "{{ .labels.evil }}"}}`, s)
	res, err = set.Do(t.Context(), r)
	if err == nil || errors.Is(err, actions.ErrUnsure) || errors.Is(err, actions.ErrAgain) || res.Summary != "site.yml: 3 hosts, changed 2, failed 1, unreachable 1" {
		t.Errorf("%+v %v", res, err)
	}
	if text, err := os.ReadFile(filepath.Join(made, "good")); err != nil || string(text) != s.Alert.Labels["evil"] {
		t.Errorf("written %q %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(made, "pwned")); err == nil {
		t.Error("what an alert said was run")
	}
	hosts := res.Data.(map[string]any)["hosts"].(map[string]any)
	if got := fmt.Sprint(hosts["bad"].(map[string]any)["failed"]); got != "[break: broken by hand]" || fmt.Sprint(hosts["gone"].(map[string]any)["unreachable"]) != "1" {
		t.Errorf("hosts %v", hosts)
	}
}

func TestAnsibleIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"site.yml": 0o644, "hosts": 0o644, "loose.yml": 0o666} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("[]"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	set := actions.New(actions.Options{Ansible: actions.Ansible{Dirs: []string{dir}, Program: filepath.Join(dir, "none")}})
	s := scope()
	s.Alert.Labels["evil"] = "all:!@/etc/passwd"
	for action, want := range map[string]string{
		`ansible: {playbook: none.yml, inventory: hosts}`:                              "in none of the directories",
		`ansible: {playbook: loose.yml, inventory: hosts}`:                             "hint: chmod",
		`ansible: {playbook: site.yml, inventory: out}`:                                "leads out",
		`ansible: {playbook: site.yml, inventory: hosts, limit: "{{ .labels.evil }}"}`: "no list of hosts",
		`ansible: {playbook: site.yml, inventory: hosts}`:                              "hint: ansible.program",
	} {
		r := request(t, action, s)
		if _, err := set.Do(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, actions.ErrUnsure) {
			t.Errorf("%s: %v", action, err)
		}
		if _, err := set.Plan(r); (err == nil) != strings.Contains(want, "program") {
			t.Errorf("%s planned: %v", action, err)
		}
	}
	lines, err := planned(set, request(t, `ansible: {playbook: site.yml, inventory: hosts, limit: "web,db-1", tags: [fast], vars: {a: "{{ .labels.evil }}"}, mode: check}`, s))
	if err != nil || !strings.HasSuffix(strings.Split(lines[0], "\n")[0], fmt.Sprintf(`"--limit" "web,db-1" "--extra-vars" "@VARIABLES" "--tags" "fast" "--check" "--diff" "--" %q]`, filepath.Join(dir, "site.yml"))) || len(lines) != 2 {
		t.Errorf("planned %q %v", lines, err)
	}
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	asked := ""
	finding := keepwell.Finding{Code: "mod/not-found", Severity: keepwell.SeverityError}
	set := actions.New(actions.Options{Doctor: func(_ context.Context, target string) (actions.Examination, error) {
		asked = target
		return actions.Examination{Findings: []keepwell.Finding{finding, {Code: "proxy/slow", Severity: keepwell.SeverityWarning}}, Text: "the module is not there"}, nil
	}})
	s := scope()
	s.Alert.Labels["module"] = "example.com/widget@v1.2.0"
	res, err := set.Do(t.Context(), request(t, `doctor: "{{ .labels.module }}"`, s))
	if err != nil || asked != "example.com/widget@v1.2.0" || res.Summary != "example.com/widget@v1.2.0: 2 findings, 1 of them errors" || !strings.Contains(fmt.Sprint(res.Data), "mod/not-found") {
		t.Errorf("%+v %v", res, err)
	}
	if _, err := set.Do(t.Context(), request(t, `doctor: {target: example.com/widget, expect: healthy}`, s)); err == nil {
		t.Error("an error was healthy")
	}
	s.Alert.Labels["module"] = "-x=../etc"
	asked = ""
	if _, err := set.Do(t.Context(), request(t, `doctor: "{{ .labels.module }}"`, s)); err == nil || asked != "" {
		t.Errorf("%q was examined: %v", asked, err)
	}
	if _, err := actions.New(actions.Options{}).Do(t.Context(), request(t, `doctor: example.com/widget`, s)); err == nil {
		t.Error("there was no doctor")
	}
}
