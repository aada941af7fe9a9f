package k3s

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v2"

	"imgbuild/init/contract/config"
)

// k3sReads returns the flags that k3s makes of a configuration file: it reads YAML with yaml.v2,
// whose rules are those of YAML 1.1, into yaml.MapSlice, and prints each value with %v (its package
// configfilearg).
func k3sReads(t *testing.T, text []byte) (flags []string) {
	t.Helper()
	var m yaml.MapSlice
	if err := yaml.Unmarshal(text, &m); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for _, item := range m {
		list, ok := item.Value.([]any)
		if !ok {
			list = []any{item.Value}
		}
		for _, v := range list {
			flags = append(flags, fmt.Sprintf("--%v=%v", item.Key, v))
		}
	}
	return flags
}

// k3s gets labels, taints, server and extra values as the configuration has them, whatever they
// look like to YAML, and no flag more.
func TestK3sReads(t *testing.T) {
	if got := k3sReads(t, []byte("a: yes\nb: [0o10, 1_0]\n")); !slices.Equal(got, []string{"--a=true", "--b=8", "--b=10"}) {
		t.Fatalf("the reader gives %q", got)
	}
	r := rand.New(rand.NewPCG(9, 13))
	values := []string{"yes", "on", "y", "n", "~", "null", "010", "0x1f", "1e3", "1_000", "12:30:45", ".inf", "2026-11-30", "=", "<<", "a", "", "a.b-c_d", "true", "-", "0b1", "+1"}
	letters := []rune("ab019 -.:_/=#'\"\\{}[]&*!|>%@`,?~\t\n\u00e4")
	text := func() string {
		if r.IntN(3) == 0 {
			return values[r.IntN(len(values))]
		}
		var b strings.Builder
		for range r.IntN(14) {
			b.WriteRune(letters[r.IntN(len(letters))])
		}
		return b.String()
	}
	labels := 0
	for range 2000 {
		c := &config.Config{}
		c.K3OS.Labels = map[string]string{"a": values[r.IntN(len(values))], "b" + text(): text()}
		c.K3OS.Taints = []string{"k=" + text() + ":NoSchedule", text()}
		c.K3OS.ServerURL, c.K3OS.Token = "https://"+text(), "secret"
		extra := []Extra{{"kubelet-arg", []string{text(), "x=" + text()}}, {"disable", []string{text()}}}
		if r.IntN(4) == 0 {
			c.K3OS.ServerURL = ""
		}
		files, err := Files(c, extra...)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for name, value := range c.UsableLabels() {
			labels++
			want = append(want, "--node-label+="+name+"="+value)
		}
		slices.Sort(want)
		for _, taint := range c.UsableTaints() {
			want = append(want, "--node-taint+="+taint)
		}
		for _, x := range extra {
			for _, v := range x.Values {
				want = append(want, "--"+x.Flag+"+="+v)
			}
		}
		if c.K3OS.ServerURL != "" {
			want = append(want, "--server="+c.K3OS.ServerURL)
		}
		want = append(want, "--token-file="+TokenPath)
		got := k3sReads(t, files[1].Data)
		slices.SortStableFunc(got, func(a, b string) int { // labels are sorted by name
			if strings.HasPrefix(a, "--node-label+=") && strings.HasPrefix(b, "--node-label+=") {
				return strings.Compare(a, b)
			}
			return 0
		})
		if !slices.Equal(got, want) {
			t.Errorf("k3s reads\n%q, want\n%q of\n%s", got, want, files[1].Data)
		}
	}
	if labels < 1000 {
		t.Errorf("only %d labels were usable", labels)
	}
}

// The values of a chart come out of the manifest as they went in, for the reader of Kubernetes,
// which is yaml.v2's as well.
func TestManifestReads(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 14))
	letters := []rune("ab019 -.:_/=#'\"\\{}[]&*!|>%@`,?~\t\n\u00e4")
	words := []string{"yes", "off", "010", "1e3", "~", "", "12:30", "---", "...", "- a", "a: b", "# c", " lead", "trail ", "\nx", "x\n", "x\n\n", "\t"}
	for range 500 {
		values := map[string]any{}
		for i := range 1 + r.IntN(5) {
			v := words[r.IntN(len(words))]
			if r.IntN(2) == 0 {
				var b strings.Builder
				for range r.IntN(20) {
					b.WriteRune(letters[r.IntN(len(letters))])
				}
				v = b.String()
			}
			values[fmt.Sprint("k", i)] = v
		}
		c := &config.Config{Addons: map[string]config.Addon{"app": {Enabled: true, Repo: "https://example.org", Chart: "app", Version: "1.0", Values: values}}}
		files, err := Addons(c)
		if err != nil || len(files) != 1 {
			t.Fatalf("%d files: %v, want 1", len(files), err)
		}
		var object struct {
			Spec struct {
				Version, Repo string
				Content       string `yaml:"valuesContent"`
			}
		}
		if err := yaml.Unmarshal(files[0].Data, &object); err != nil {
			t.Fatalf("%v in\n%s", err, files[0].Data)
		}
		got := map[string]any{}
		if err := yaml.Unmarshal([]byte(object.Spec.Content), &got); err != nil {
			t.Fatalf("%v in\n%s", err, object.Spec.Content)
		}
		if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", values) || object.Spec.Version != "1.0" {
			t.Errorf("got %#v, want %#v of\n%s", got, values, files[0].Data)
		}
	}
}
