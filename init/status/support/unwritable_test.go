package support

import (
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/yamltext"
)

// A file whose text begins with a tab or a line break, which yaml.v3 cannot write, hides no secret
// from the mask and changes nothing in what is shown.
func TestUnwritableTexts(t *testing.T) {
	for _, text := range []string{"\tone\ntwo", "\none\ntwo", "\n"} {
		c := &config.Config{RunCmd: []string{text}}
		c.K3OS.Token = "K10canary-token-1"
		c.K3OS.Environment = map[string]string{"MY_TOKEN": "canary-env-2"}
		list := InConfig(c)
		for _, want := range []string{"K10canary-token-1", "canary-env-2"} {
			if !slices.Contains(list, want) {
				t.Errorf("%q: %q is not among the secrets %q", text, want, list)
			}
		}
		n, err := Masked(c)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		data, err := yamltext.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		var got config.Config
		if err := yaml.Unmarshal(data, &got); err != nil || len(got.RunCmd) != 1 || got.RunCmd[0] != text || strings.Contains(string(data), "canary") {
			t.Errorf("%q: %v, %q in\n%s", text, err, got.RunCmd, data)
		}
	}
}
