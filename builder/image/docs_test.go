package image

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"imgbuild/builder/recipe"
	"imgbuild/init/contract/config"
)

// The configurations in the documentation are valid: each block of YAML in it, and each
// example, goes through the code of `imgbuild validate FILE board= role=`.
func TestDocumentedConfigurations(t *testing.T) {
	// Placeholders, and the blocks that are for other programs, by their first
	// key.
	fill := strings.NewReplacer("AAAA...", "AAAAC3NzaC1lZDI1NTE5AAAAIIrm8bZbX3kcyvSGUjqqGlKVvPCuPTrVK2hHJKv1yDyN")
	others := []string{"scrape_configs:"}
	block := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
	texts := map[string]string{}
	pages, _ := filepath.Glob("../../docs/*.md")
	for _, page := range append(pages, "../../README.md") {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range block.FindAllStringSubmatchIndex(string(data), -1) {
			text := string(data[at[2]:at[3]])
			if first, _, _ := strings.Cut(text, "\n"); !strings.HasPrefix(text, others[0]) && !strings.Contains(text, "\nnodes:\n") { // package cluster has those
				texts[filepath.Base(page)+": "+first] = text
			}
		}
	}
	examples, _ := filepath.Glob("../../docs/examples/*.yaml")
	services, _ := filepath.Glob("../../docs/examples/storage/*.yaml")
	for _, name := range append(examples, services...) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(name)] = string(data)
	}
	if len(texts) < 13 {
		t.Fatalf("only %d configurations were found", len(texts))
	}
	for name, text := range texts {
		r, err := recipe.New("rpi4", "server", recipe.Choice{})
		if err != nil {
			t.Fatal(err)
		}
		problems, err := Validate("config.yaml", []byte(fill.Replace(text)), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if p.Severity == config.Error || strings.Contains(p.Message, "no such key") {
				t.Errorf("%s: %s", name, p)
			}
		}
	}
}
