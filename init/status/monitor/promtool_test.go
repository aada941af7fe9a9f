package monitor

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"imgbuild/qemu/tool"

	"gopkg.in/yaml.v3"
)

// promtool runs Prometheus' own checker of rules, expressions and metrics.
func promtool(t *testing.T, stdin []byte, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool.Path(t, "promtool"), args...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Prometheus loads the alerts; each fires on a node that has it, after its time, and is silent on
// those that have not.
func TestAlertsInPrometheus(t *testing.T) {
	const rules, cases = docs + "monitoring/alerts.yaml", "testdata/alerts_test.yaml"
	if out, err := promtool(t, nil, "check", "rules", "--lint-fatal", rules); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := promtool(t, nil, "test", "rules", cases); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	var file struct {
		Groups []struct{ Rules []struct{ Alert string } }
	}
	var tests struct {
		Tests []struct {
			Input []struct{ Series string } `yaml:"input_series"`
			Tests []struct {
				Name   string `yaml:"alertname"`
				Alerts []struct {
					Labels map[string]string `yaml:"exp_labels"`
				} `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	for path, v := range map[string]any{rules: &file, cases: &tests} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(text, v); err != nil {
			t.Fatal(path, err)
		}
	}
	fires := map[string]bool{}
	for _, c := range tests.Tests {
		good := false
		for _, in := range c.Input {
			good = good || strings.Contains(in.Series, `instance="good"`)
		}
		for _, a := range c.Tests {
			fires[a.Name] = fires[a.Name] || good && len(a.Alerts) == 1 && a.Alerts[0].Labels["instance"] == "bad"
		}
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if !fires[r.Alert] {
				t.Errorf("%s has no case in %s that shows it on a bad node next to a good one", r.Alert, cases)
			}
		}
	}
}

// Every expression of the dashboard is one to Prometheus.
func TestDashboardInPrometheus(t *testing.T) {
	text, err := os.ReadFile(docs + "monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	// One file of rules for all of them: the tool is started once. Grafana puts its variables in
	// before it asks.
	type rule struct{ Record, Expr string }
	var rules []rule
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			rules = append(rules, rule{"panel:" + regexp.MustCompile(`\W`).ReplaceAllString(p.Title, "_") + ":" + string(rune('a'+len(rules)%26)), strings.ReplaceAll(target.Expr, "$node", ".+")})
		}
	}
	file := map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}}
	path := t.TempDir() + "/rules.yaml"
	if text, err = yaml.Marshal(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := promtool(t, nil, "check", "rules", path); err != nil || len(rules) < 20 {
		t.Errorf("%d expressions: %v\n%s", len(rules), err, out)
	}
	// The checker finds mistakes.
	text = bytes.Replace(text, []byte("[5m]"), []byte("[5 parrots]"), 1)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := promtool(t, nil, "check", "rules", path); err == nil {
		t.Errorf("a wrong expression passes:\n%s", out)
	}
}

// Prometheus' own linter accepts what is reported: names, units, types, help.
func TestMetricsInPrometheus(t *testing.T) {
	for name, s := range map[string]Sample{"everything": everything(), "hardly anything": {}} {
		if out, err := promtool(t, Render(s, noon), "check", "metrics"); err != nil || out != "" {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	if out, err := promtool(t, []byte("# TYPE shelf_age_days counter\nshelf_age_days 1\n"), "check", "metrics"); err == nil {
		t.Errorf("a bad name passes: %s", out)
	}
}
