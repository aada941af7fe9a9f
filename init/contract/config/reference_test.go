package config

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:generate go test -run TestReferenceIsFresh|TestGoldenProblems -update .

//go:embed reference.md
var introduction string

// Reference returns docs/config.md: how a configuration is read, and every key of the table.
func Reference() string {
	var b strings.Builder
	b.WriteString(introduction)
	fmt.Fprintf(&b, "\n## Keys\n\nA key marked *planned* is read and checked, and nothing acts on it yet. *Free form* means that its shape is\nnot decided and not checked. *Secret* values are moved off the boot partition. \"When\" is the step that uses the key:\n%s, %s, %s or %s.\n",
		AtBuild, AtBoot, AtNetwork, AtRun)
	var top []*Key
	for _, k := range root().children {
		if len(k.children) == 0 && k.Type != Free {
			top = append(top, k)
		}
	}
	b.WriteString("\n### At the top level\n\n")
	rowsOf(&b, top)
	for _, k := range root().children {
		if len(k.children) == 0 && k.Type != Free {
			continue
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s", k.Path, k.Doc)
		if len(k.Roles) > 0 {
			b.WriteString(" " + onlyOn(k.Roles))
		}
		switch {
		case k.Type == Free:
			b.WriteString(" Free form, planned.")
		case k.Type == Items:
			b.WriteString(" A list; each item is a section with the keys below.")
		case k.Type == Named:
			b.WriteString(" Each name you choose is a section with the keys below, for example `" + k.name + ".weather." + k.children[0].name + "`.")
			if k.Planned {
				b.WriteString(" Planned.")
			}
		}
		b.WriteString("\n")
		if len(k.children) > 0 {
			b.WriteString("\n")
			rowsOf(&b, descendants(k))
		}
	}
	b.WriteString("\n## A file with every key\n\nThis file is made of the examples of the table; it shows the form of every key and is not a sensible configuration.\n\n```yaml\n")
	b.WriteString(exampleText())
	b.WriteString("```\n")
	return b.String()
}

// onlyOn returns on which roles a key has an effect.
func onlyOn(roles []string) string {
	text := "Only on a " + strings.Join(roles, " or ")
	if last := roles[len(roles)-1]; last == "storage" {
		text += " node"
	}
	return text + "."
}

func descendants(k *Key) []*Key {
	var out []*Key
	for _, c := range k.children {
		out = append(append(out, c), descendants(c)...)
	}
	return out
}

func rowsOf(b *strings.Builder, keys []*Key) {
	b.WriteString("| key | type | when | meaning |\n|---|---|---|---|\n")
	for _, k := range keys {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", k.Path, k.Type, k.Phase, cell(k))
	}
}

// cell is the last column: the sentence, then the rest of the row.
func cell(k *Key) string {
	parts := []string{k.Doc}
	if words := wordList(k.Values); words != "" {
		parts = append(parts, "One of "+words+".")
	}
	if k.Default != "" {
		parts = append(parts, "Default: `"+strings.Trim(k.Default, "'")+"`.")
	}
	if k.Unset != "" {
		parts = append(parts, "Without it: "+k.Unset+".")
	}
	if len(k.Roles) > 0 {
		parts = append(parts, onlyOn(k.Roles))
	}
	if len(k.Aliases) > 0 {
		parts = append(parts, "Also written `"+strings.Join(k.Aliases, "`, `")+"`.")
	}
	if k.Secret {
		parts = append(parts, "*Secret.*")
	}
	if k.Planned {
		parts = append(parts, "*Planned.*")
	}
	return strings.ReplaceAll(strings.Join(parts, " "), "|", "\\|")
}

// exampleText returns a configuration with the example of every key.
func exampleText() string {
	var b strings.Builder
	for _, k := range root().children {
		k.example(&b, "")
	}
	return b.String()
}

func (k *Key) example(b *strings.Builder, indent string) {
	if len(k.children) == 0 {
		fmt.Fprintf(b, "%s%s: %s\n", indent, k.name, k.Example)
		return
	}
	fmt.Fprintf(b, "%s%s:\n", indent, k.name)
	indent += "  "
	if k.Type == Named {
		fmt.Fprintf(b, "%sweather:\n", indent)
		indent += "  "
	}
	var item strings.Builder
	for _, c := range k.children {
		if k.Path == "services.ready" && c.name != "tcp" && c.name != "timeout" {
			continue // they exclude each other
		}
		if k.Type == Items {
			c.example(&item, indent+"  ")
			continue
		}
		c.example(b, indent)
	}
	if k.Type == Items {
		b.WriteString(indent + "- " + strings.TrimPrefix(item.String(), indent+"  "))
	}
}
