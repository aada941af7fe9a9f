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

const docs = "../../../docs/"

// node are the metrics of node-exporter that alerts and dashboard use; a boot test sees that the
// exporter serves them.
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
		if !slices.Contains(metricNames(), name) && !slices.Contains(node, name) {
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

// The requirements of Grafana's documentation for a dashboard's JSON (classic model): the fields
// that it must have, their types, ids that are unique, a grid of 24 columns in which nothing
// overlaps, sources and variables that exist. Grafana itself was not asked.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile(docs + "monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	type source struct{ Type, UID string }
	var d struct {
		UID, Title, Timezone, Refresh string
		Tags                          []string
		SchemaVersion, Version        int
		Editable                      bool
		Time                          struct{ From, To string }
		Templating                    struct {
			List []struct {
				Name, Type, Label, Query string
				Datasource               *source
				Refresh                  int
				IncludeAll, Multi        bool
			}
		}
		Panels []struct {
			ID          int
			Title, Type string
			Datasource  source
			GridPos     struct{ H, W, X, Y int }
			FieldConfig struct {
				Defaults  struct{ Unit string }
				Overrides []any
			}
			Targets []struct {
				RefID, Expr, LegendFormat, Format string
				Datasource                        source
				Instant                           bool
			}
		}
	}
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		t.Fatal(err)
	}
	if n := len(d.UID); n < 8 || n > 40 || d.Title == "" || d.SchemaVersion < 36 || d.Time.From == "" || d.Time.To != "now" {
		t.Errorf("%q %q, schema %d, %v", d.UID, d.Title, d.SchemaVersion, d.Time)
	}
	prometheus := source{"prometheus", "${datasource}"}
	variables := map[string]bool{}
	for _, v := range d.Templating.List {
		variables[v.Name] = true
		if !slices.Contains([]string{"query", "datasource"}, v.Type) || v.Query == "" || v.Type == "query" && (v.Datasource == nil || *v.Datasource != prometheus || v.Refresh < 1 || v.Refresh > 2) {
			t.Errorf("variable %+v", v)
		}
		if v.Type == "query" {
			used(t, v.Name, v.Query)
		}
	}
	ids, cells := map[int]bool{}, map[[2]int]int{}
	for _, p := range d.Panels {
		g := p.GridPos
		if ids[p.ID] || p.ID < 1 || p.Title == "" || len(p.Targets) == 0 || g.H < 1 || g.W < 1 || g.X < 0 || g.Y < 0 || g.X+g.W > 24 || p.Datasource != prometheus ||
			!slices.Contains([]string{"table", "timeseries"}, p.Type) || !slices.Contains([]string{"none", "percentunit", "percent", "bytes", "celsius", "s", "Bps"}, p.FieldConfig.Defaults.Unit) {
			t.Errorf("%+v", p)
		}
		ids[p.ID] = true
		for x := range g.W {
			for y := range g.H {
				at := [2]int{g.X + x, g.Y + y}
				if other := cells[at]; other != 0 {
					t.Fatalf("panels %d and %d overlap, want 0", other, p.ID)
				}
				cells[at] = p.ID
			}
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			used(t, p.Title, target.Expr)
			if target.RefID == "" || refs[target.RefID] || target.Datasource != prometheus || p.Type == "table" && (!target.Instant || target.Format != "table") {
				t.Errorf("%s: %+v", p.Title, target)
			}
			refs[target.RefID] = true
			for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(target.Expr, -1) {
				if !variables[m[1]] {
					t.Errorf("%s: there is no variable %s", p.Title, m[1])
				}
			}
		}
	}
	if len(ids) < 10 {
		t.Errorf("%d panels", len(ids))
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
		t.Error("docs/monitoring.md is not fresh; run: go test ./init/status/monitor -run TestDocsAreFresh -update")
	}
}
