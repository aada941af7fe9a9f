package k3s

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"imgbuild/init/contract/config"
)

// parse reads a configuration that must have no problem but notes, as a server's.
func parse(t *testing.T, name, text string) *config.Config {
	t.Helper()
	l, problems := config.Parse(name, []byte(text))
	c, more := config.Merge(l)
	for _, p := range append(append(problems, more...), config.Check(c, config.Facts{Role: "server"})...) {
		if p.Severity != config.Note {
			t.Errorf("%v, want Severity %v", p, config.Note)
		}
	}
	return c
}

const login = "ssh_authorized_keys: ['github:someone']\n"

func TestAddons(t *testing.T) {
	c := parse(t, "f.yaml", login+`addons:
  traefik:
    values: {ports: {web: {hostPort: 80}}, names: ["yes", "010"], on: true}
  cert-manager:
    repo: https://charts.jetstack.io
    version: v1.16.2
    values: {crds: {enabled: true}}
  other:
    chart: oci://ghcr.io/someone/chart
    version: 1.10
    namespace: kube-system
  coredns:
    objects: |
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: coredns-custom, namespace: kube-system}
      data: {lan.server: "lan:53 {\n}\n"}
      ---
      apiVersion: v1
      kind: Namespace
      metadata: {name: x}
  servicelb: {enabled: false}
`)
	files, err := Addons(c)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range files {
		got[f.Path] = string(f.Data)
	}
	want := map[string]string{
		"shelf-cert-manager.yaml": `# Written by shelf from addons.cert-manager of cloud-config.
apiVersion: helm.cattle.io/v1
kind: HelmChart
metadata:
  name: cert-manager
  namespace: kube-system
spec:
  repo: https://charts.jetstack.io
  chart: cert-manager
  version: v1.16.2
  targetNamespace: cert-manager
  createNamespace: true
  valuesContent: |
    crds:
        enabled: true
`,
		"shelf-coredns.yaml": `# Written by shelf from addons.coredns of cloud-config.
apiVersion: v1
kind: ConfigMap
metadata: {name: coredns-custom, namespace: kube-system}
data: {lan.server: "lan:53 {\n}\n"}
---
apiVersion: v1
kind: Namespace
metadata: {name: x}
`,
		"shelf-other.yaml": `# Written by shelf from addons.other of cloud-config.
apiVersion: helm.cattle.io/v1
kind: HelmChart
metadata:
  name: other
  namespace: kube-system
spec:
  chart: oci://ghcr.io/someone/chart
  version: "1.10"
  targetNamespace: kube-system
`,
		"shelf-traefik.yaml": `# Written by shelf from addons.traefik of cloud-config.
apiVersion: helm.cattle.io/v1
kind: HelmChartConfig
metadata:
  name: traefik
  namespace: kube-system
spec:
  valuesContent: |
    names:
        - "yes"
        - "010"
    "on": true
    ports:
        web:
            hostPort: 80
`,
	}
	if !reflect.DeepEqual(got, want) {
		for name := range want {
			if got[name] != want[name] {
				t.Errorf("%s:\n%s", name, got[name])
			}
		}
		t.Errorf("%d files", len(got))
	}
	if got := disabled(c, t.TempDir()); !reflect.DeepEqual(got, []string{"servicelb"}) {
		t.Errorf("disabled: %q", got)
	}
}

// One add-on with a mistake costs only itself, and what it had installed stays.
func TestAddonsWithMistake(t *testing.T) {
	c := &config.Config{Addons: map[string]config.Addon{
		"bad":   {Enabled: true, Repo: "https://a.b"},
		"worse": {Enabled: true, Objects: "{"},
		"good":  {Enabled: true, Repo: "https://a.b", Version: "1"},
	}}
	files, err := Addons(c)
	if len(files) != 1 || files[0].Path != "shelf-good.yaml" || err == nil || !strings.Contains(err.Error(), "the add-on bad is not installed: it has no version; correct addons.bad") {
		t.Error(files, err)
	}
	dir := t.TempDir()
	for _, name := range []string{"shelf-bad.yaml", "shelf-good.yaml", "shelf-gone.yaml", "mine.yaml", "shelf-note.txt", "traefik.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := disabled(c, dir); !reflect.DeepEqual(got, []string{"shelf-gone"}) {
		t.Errorf("disabled: %q", got)
	}
}

// k3s takes the list of the command line instead of that of the files.
func TestDisable(t *testing.T) {
	c := &config.Config{}
	files, err := Files(c, Extra{"disable", []string{"servicelb", "shelf-gone"}})
	if err != nil || !strings.HasSuffix(string(files[1].Data), "disable+:\n    - servicelb\n    - shelf-gone\n") {
		t.Errorf("%s, %v", files[1].Data, err)
	}
	if got := strings.Join(Command("k3s", Server, c, Extra{"disable", []string{"servicelb"}}), " "); got != "k3s server" {
		t.Error(got)
	}
	for _, args := range [][]string{{"server", "--disable=traefik"}, {"--disable", "traefik"}} {
		c.K3OS.K3sArgs = args
		if files, err := Files(c, Extra{"disable", []string{"servicelb"}}); err != nil || strings.Contains(string(files[1].Data), "disable") {
			t.Errorf("%s, %v", files[1].Data, err)
		}
		if got := strings.Join(Command("k3s", Server, c, Extra{"disable", []string{"servicelb"}}), " "); !strings.HasSuffix(got, "traefik --disable=servicelb") {
			t.Error(got)
		}
	}
}

// The examples in docs are read by the node's own code, and what it makes of them is YAML as k3s'
// Helm controller needs it.
func TestExamples(t *testing.T) {
	paths, err := filepath.Glob("../../docs/examples/*.yaml")
	if err != nil || len(paths) < 8 {
		t.Fatalf("%d examples, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(text, []byte("# ")) || !bytes.Contains(text, []byte("Not run here")) {
				t.Error("it does not state that it was not run here")
			}
			c := parse(t, path, login+string(text))
			files, err := Addons(c)
			if err != nil || len(files) == 0 || len(files) != len(c.Addons) {
				t.Fatalf("%d files of %d add-ons: %v", len(files), len(c.Addons), err)
			}
			for _, f := range files {
				checkManifest(t, f)
			}
		})
	}
}

func checkManifest(t *testing.T, f File) {
	t.Helper()
	d := yaml.NewDecoder(bytes.NewReader(f.Data))
	for n := 0; ; n++ {
		var o struct {
			APIVersion string `yaml:"apiVersion"`
			Kind       string
			Metadata   struct{ Name, Namespace string }
			Spec       struct {
				Repo, Chart, Version string
				TargetNamespace      string `yaml:"targetNamespace"`
				ValuesContent        string `yaml:"valuesContent"`
			}
		}
		if err := d.Decode(&o); err != nil {
			if n == 0 || err.Error() != "EOF" {
				t.Errorf("%s: %v", f.Path, err)
			}
			return
		}
		if o.APIVersion == "" || o.Kind == "" || o.Metadata.Name == "" {
			t.Errorf("%s: object %d has no apiVersion, kind or name", f.Path, n)
		}
		if o.APIVersion != "helm.cattle.io/v1" {
			continue
		}
		var values map[string]any
		if err := yaml.Unmarshal([]byte(o.Spec.ValuesContent), &values); err != nil || len(values) == 0 {
			t.Errorf("%s: its values: %v", f.Path, err)
		}
		if o.Metadata.Namespace != "kube-system" || o.Kind == "HelmChart" && (o.Spec.Chart == "" || o.Spec.Version == "" || o.Spec.TargetNamespace == "") {
			t.Errorf("%s: %+v", f.Path, o)
		}
	}
}
