package config

import (
	"encoding/json"
	"strings"
)

// Schema returns the JSON Schema (draft 2020-12) of a configuration, for editors. It knows the
// canonical spelling of every key and the forms of values that are read without a note; the node
// reads more than that.
func Schema() []byte {
	s := root().schema()
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "cloud-config of ShelfOS"
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic("config: the key table does not encode: " + err.Error())
	}
	return append(out, '\n')
}

type object = map[string]any

// anyScalar is what is read as a text.
var anyScalar = []string{"string", "number", "boolean"}

func (k *Key) schema() object {
	s := k.shape()
	if k.Doc != "" {
		s["description"] = strings.TrimSpace(k.Doc)
	}
	if k.Default != "" {
		s["default"] = k.sample(k.Default)
	}
	if k.Example != "" && !k.Secret {
		s["examples"] = []any{k.sample(k.Example)}
	}
	if k.Secret {
		s["writeOnly"] = true
	}
	return s
}

// sample decodes YAML from the table to what JSON shows.
func (k *Key) sample(text string) any {
	docs, err := readYAML([]byte(text), 1)
	if err != nil || len(docs) != 1 {
		panic("config: " + k.Path + " has a sample that is not YAML")
	}
	v := (&decoder{}).value(docs[0].Content[0], k, k.Path)
	switch k.Type {
	case Bool, Int:
		v = &value{kind: scalar, text: v.text, tag: map[Type]string{Bool: "!!bool", Int: "!!int"}[k.Type]}
	case Text:
		return strings.Trim(strings.TrimSpace(text), `'"`)
	}
	return v.free()
}

// shape returns the part of the schema that follows from the type. Every key may be null, which
// erases it.
func (k *Key) shape() object {
	switch k.Type {
	case Section:
		if k.Short != "" {
			return object{"anyOf": []any{k.properties("object", "null"), object{"type": "string"}}}
		}
		return k.properties("object", "null")
	case Named:
		return object{"type": []string{"object", "null"}, "additionalProperties": k.properties("object", "null")}
	case Items:
		return object{"type": []string{"array", "null"}, "items": k.properties("object")}
	case TextMap:
		return object{"type": []string{"object", "null"}, "additionalProperties": object{"type": append([]string{"null"}, anyScalar...)}}
	case Texts:
		return object{"anyOf": []any{object{"type": append([]string{"null"}, anyScalar...)}, object{"type": "array", "items": object{"type": anyScalar}}}}
	case Bool:
		return object{"anyOf": []any{object{"type": []string{"boolean", "null"}}, object{"enum": boolWords()}}}
	case Int:
		return object{"type": []string{"integer", "string", "null"}, "pattern": `^[+-]?[0-9]+$`}
	case Free:
		return object{"type": []string{"object", "null"}}
	}
	if len(k.Values) > 0 {
		values := []any{nil}
		for _, v := range k.Values {
			values = append(values, v)
		}
		return object{"enum": values}
	}
	s := object{"type": append([]string{"null"}, anyScalar...)}
	if p := formPattern(k.Form); p != "" {
		s["pattern"] = p
	}
	return s
}

// boolWords are the other ways to write true and false; to most editors' YAML they are texts.
func boolWords() (out []any) {
	for _, w := range []string{"true", "false", "yes", "no", "on", "off", "y", "n"} {
		out = append(out, w, strings.ToUpper(w))
		if len(w) > 1 {
			out = append(out, strings.ToUpper(w[:1])+w[1:])
		}
	}
	return append(out, "1", "0", 1, 0)
}

func (k *Key) properties(types ...string) object {
	all := object{}
	for _, c := range k.children {
		all[c.name] = c.schema()
	}
	s := object{"type": types, "properties": all, "additionalProperties": false}
	if len(types) == 1 {
		s["type"] = types[0]
	}
	return s
}

// formPattern returns the forms of texts as regular expressions of ECMA 262.
func formPattern(f Form) string {
	return map[Form]string{
		Mode:     `^(0o)?[0-7]{1,5}$`,
		Duration: `^([0-9]+|([0-9.]+(h|m|s|ms))+)$`,
		Size:     `^[0-9]+ ?[KMGTkmgt]?[iI]?[bB]?$`,
		AutoSize: `^([Aa]uto|[Oo]ff|[Nn]o|[Ff]alse|[0-9]+ ?[KMGTkmgt]?[iI]?[bB]?)$`,
		Country:  `^[A-Za-z]{2}$`,
		MAC:      `^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}$`,
	}[f]
}
