package config

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// texts decodes a list of texts. A single scalar is a list of one, as in k3OS; where k3OS made one
// useless item of what is plainly several, it is taken apart and that is reported.
func (d *decoder) texts(n *yaml.Node, k *Key, path string) *value {
	out := &value{kind: seq, at: d.at(n)}
	switch n.Kind {
	case yaml.ScalarNode:
		t, ok := d.text(n, path)
		if !ok {
			return nil
		}
		if k.Form == Shell {
			out.items = d.textItems(n, "sh", "-c", t)
			return out
		}
		parts, why := split(k.Form, t)
		if why != "" {
			d.found.add(d.at(n), Warning, path, "write a list, one to a line with - in front", "%s", why)
		}
		out.items = d.textItems(n, d.sound(n, k, path, parts)...)
		return out
	case yaml.SequenceNode:
		for i, item := range n.Content {
			here := index(path, i)
			at := d.at(item)
			item, leave := d.enter(item)
			if item == nil {
				return nil
			}
			d.textItem(out, item, at, k, here, i)
			leave()
		}
		return out
	}
	return d.mismatch(n, k, path)
}

func (d *decoder) textItems(n *yaml.Node, texts ...string) []*value {
	var out []*value
	for _, t := range texts {
		out = append(out, &value{kind: scalar, at: d.at(n), text: t})
	}
	return out
}

func (d *decoder) textItem(out *value, item *yaml.Node, at place, k *Key, here string, i int) {
	switch {
	case isNull(item):
		d.found.add(at, Warning, here, "remove the empty item", "this item is empty; it is left out")
	case item.Kind == yaml.MappingNode && len(item.Content) == 2:
		d.found.add(at, Error, here, "put the whole item into quotes",
			"this must be a text, but the colon and space in it make it a map; it is left out")
	case item.Kind != yaml.ScalarNode:
		d.found.add(at, Error, here, "put the item into quotes", "this must be a text, not %s; it is left out", describe(item))
	default:
		t, ok := d.text(item, here)
		if !ok {
			return
		}
		parts, why := []string{t}, ""
		role, _, _ := strings.Cut(t, " ")
		if k.Form == Keys || k.Form == Hosts || k.Form == Address || k.Form == Own || k.Form == Words && i == 0 && (role == "server" || role == "agent") {
			parts, why = split(k.Form, t)
		}
		if why != "" {
			d.found.add(at, Warning, here, "write each as a separate item", "%s", why)
		}
		out.items = append(out.items, d.textItems(item, d.sound(item, k, here, parts)...)...)
	}
}

// sound leaves out the parts that have not the form of k, and reports them.
func (d *decoder) sound(n *yaml.Node, k *Key, path string, parts []string) []string {
	if k.Form != Address && k.Form != Own {
		return parts
	}
	var out []string
	for _, p := range parts {
		fixed, why := netForm(k.Form, p)
		if why != "" {
			d.found.add(d.at(n), Error, path, fixValue(k, p), "%s; it is left out", why)
			continue
		}
		out = append(out, fixed)
	}
	return out
}

// split takes a text apart that is plainly a list. why is empty when there was nothing to take
// apart.
func split(f Form, t string) (parts []string, why string) {
	switch f {
	case Keys:
		parts = splitKeys(t)
		why = fmt.Sprintf("%d keys are in one text; each is read on its own", len(parts))
	case Hosts, Address, Own:
		parts = strings.FieldsFunc(t, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
		why = "several are in one text; each is read on its own"
	case Words:
		words, err := shellWords(t)
		if err != nil {
			return []string{t}, err.Error() + "; it stays one argument"
		}
		parts, why = words, "one text is split into its words"
	default:
		return []string{t}, ""
	}
	if len(parts) < 2 {
		why = ""
	}
	return parts, why
}

// keyStart finds where a public key, or a place of keys, begins inside a longer text.
var keyStart = pattern{text: `(?:^|\s)(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp\d+|sk-(?:ssh|ecdsa)-\S+@openssh\.com)\s+AAAA|(?:^|\s)(?:github|gitlab|launchpad):\S|(?:^|\s)https?://`}

// splitKeys separates public keys that are on lines of one text, or that YAML folded into one
// line. Options in front of a key stay with it where lines are kept.
func splitKeys(t string) []string {
	var out []string
	for _, line := range strings.FieldsFunc(t, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		starts := keyStart.compiled().FindAllStringIndex(line, -1)
		from := 0
		for _, s := range starts[min(1, len(starts)):] {
			out = append(out, strings.TrimSpace(line[from:s[0]]))
			from = s[0]
		}
		out = append(out, strings.TrimSpace(line[from:]))
	}
	return out
}

// shellWords splits at blanks outside quotes; a backslash takes the next character as it is.
// Nothing is expanded.
func shellWords(t string) ([]string, error) {
	var out []string
	var word strings.Builder
	open, quote := false, rune(0)
	runes := []rune(t)
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case r == '\\' && quote != '\'' && i+1 < len(runes):
			i++
			word.WriteRune(runes[i])
			open = true
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, open = r, true
		case strings.ContainsRune(" \t\r\n", r):
			if open {
				out = append(out, word.String())
				word.Reset()
				open = false
			}
		default:
			word.WriteRune(r)
			open = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote %c is not closed", quote)
	}
	if open {
		out = append(out, word.String())
	}
	return out, nil
}
