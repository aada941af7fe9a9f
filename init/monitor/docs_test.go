package monitor

import (
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

var update = flag.Bool("update", false, "write the table of docs/monitoring.md")

const docs = "../../docs/"

// node are the metrics of node-exporter that alerts and dashboard use; a boot test sees that the exporter serves them.
var node = []string{"node_cpu_seconds_total", "node_filesystem_avail_bytes", "node_filesystem_files", "node_filesystem_files_free", "node_filesystem_readonly",
	"node_filesystem_size_bytes", "node_load1", "node_memory_MemAvailable_bytes",
	"node_memory_MemTotal_bytes", "node_network_receive_bytes_total", "node_textfile_mtime_seconds", "node_time_seconds"}

// used checks every metric in an expression.
func used(t *testing.T, where, expr string) {
	t.Helper()
	names := regexp.MustCompile(`\b(?:shelf|node)_[a-zA-Z0-9_]+`).FindAllString(expr, -1)
	if len(names) == 0 && !strings.HasPrefix(expr, "up{") {
		t.Errorf("%s: no metric in %q", where, expr)
	}
	for _, name := range names {
		if !slices.Contains(Metrics(), name) && !slices.Contains(node, name) {
			t.Errorf("%s: nobody exports %s", where, name)
		}
	}
	if strings.Count(expr, "(") != strings.Count(expr, ")") || strings.Count(expr, "{") != strings.Count(expr, "}") || strings.Count(expr, `"`)%2 != 0 {
		t.Errorf("%s: %q does not close what it opens", where, expr)
	}
}

func TestAlerts(t *testing.T) {
	text, err := os.ReadFile(docs + "monitoring/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	dec := yaml.NewDecoder(strings.NewReader(string(text)))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			used(t, r.Alert, r.Expr)
			if r.Alert == "" || seen[r.Alert] || r.Annotations["summary"] == "" || r.Annotations["action"] == "" || !slices.Contains([]string{"info", "warning", "critical"}, r.Labels["severity"]) {
				t.Errorf("%+v", r)
			}
			seen[r.Alert] = true
		}
	}
	if len(seen) < 10 {
		t.Errorf("only %d alerts", len(seen))
	}
}

func TestDashboard(t *testing.T) {
	text, err := os.ReadFile(docs + "monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Title  string
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%+v", p)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			used(t, p.Title, target.Expr)
		}
	}
	if d.Title == "" || len(ids) < 10 {
		t.Errorf("%q with %d panels", d.Title, len(ids))
	}
}

// docs/monitoring.md names every metric with the help that the file itself gives.
func TestDocsAreFresh(t *testing.T) {
	var b strings.Builder
	for _, m := range table {
		b.WriteString("| `" + m.name + "` | " + m.help + " |\n")
	}
	text, err := os.ReadFile(docs + "monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), "|---|---|\n")
	_, tail, ok2 := strings.Cut(rest, "\nAbsent where")
	if !ok || !ok2 {
		t.Fatal("docs/monitoring.md has no table of metrics")
	}
	want := head + "|---|---|\n" + b.String() + "\nAbsent where" + tail
	if *update {
		if err := os.WriteFile(docs+"monitoring.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Error("docs/monitoring.md is not fresh; say: go test ./init/monitor -run TestDocsAreFresh -update")
	}
}
