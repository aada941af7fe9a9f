package config

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated files")

// golden compares got with a file, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || string(want) != got {
		t.Errorf("%s is stale (%v): run go generate ./init/contract/config\n%s", file, err, firstDifference(string(want), got))
	}
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range y {
		if i >= len(x) || x[i] != y[i] {
			return fmt.Sprintf("line %d is now %q", i+1, y[i])
		}
	}
	return "it is longer than it should be"
}

func TestReferenceIsFresh(t *testing.T) { golden(t, "../../../docs/config.md", Reference()) }

// Every row can be read, has what it must, and its default and example are good.
func TestTable(t *testing.T) {
	for _, k := range Table() {
		if k.Doc == "" || !strings.HasSuffix(k.Doc, ".") || k.Phase == "" || k.Path != strings.ToLower(k.Path) {
			t.Errorf("%s lacks a sentence or a phase, or is not in small letters", k.Path)
		}
		if len(k.children) == 0 && k.Example == "" {
			t.Errorf("%s has no example", k.Path)
		}
		if (k.Type == Section || k.Type == Items || k.Type == Named) != (len(k.children) > 0) {
			t.Errorf("%s is a %s and has %d keys below it", k.Path, k.Type, len(k.children))
		}
		for _, text := range []string{k.Default, k.Example} {
			if text == "" {
				continue
			}
			docs, err := readYAML([]byte(text), 1)
			if err != nil || len(docs) != 1 {
				t.Errorf("%s: %q is not YAML: %v: got %v, want 1", k.Path, text, err, len(docs))
				continue
			}
			d := &decoder{}
			if v := d.value(docs[0].Content[0], k, k.Path); v == nil || len(d.found.problems) > 0 {
				t.Errorf("%s: %q gives %v", k.Path, text, d.found.problems)
			}
		}
	}
}

// The table and the Config type have the same keys.
func TestTableAndConfig(t *testing.T) {
	var walk func(r reflect.Type, k *Key)
	walk = func(r reflect.Type, k *Key) {
		names := map[string]bool{}
		for i := range r.NumField() {
			if tag, _, _ := strings.Cut(r.Field(i).Tag.Get("yaml"), ","); tag != "" {
				names[tag] = true
				if c := k.find(tag); c == nil || c.name != tag {
					t.Errorf("the field %s.%s has no row", r.Name(), tag)
				}
			}
		}
		for _, c := range k.children {
			if !names[c.name] {
				t.Errorf("the row %s has no field", c.Path)
				continue
			}
			f := field(reflect.New(r).Elem(), c.name).Type()
			switch c.Type {
			case Section:
				walk(f, c)
			case Items, Named:
				walk(f.Elem(), c)
			}
		}
	}
	walk(reflect.TypeOf(Config{}), root())
}

func TestExample(t *testing.T) {
	l, problems := Parse("example.yaml", []byte(exampleText()))
	c, more := Merge(l)
	if problems = append(problems, more...); len(problems) > 0 {
		t.Errorf("%v in\n%s", problems, exampleText())
	}
	for _, p := range Check(c, Facts{Role: "server"}) {
		if p.Severity == Error {
			t.Error(p)
		}
	}
}

// Every spelling that k3OS made of a name leads to its row: camel, snake and joined, each also
// without s and es, the camel form in any case, and ours with dashes.
func TestSpellings(t *testing.T) {
	for _, k := range Table() {
		parent := root()
		if i := strings.LastIndexByte(k.Path, '.'); i >= 0 {
			for _, p := range Table() {
				if p.Path == k.Path[:i] {
					parent = p
				}
			}
		}
		camel := regexp.MustCompile(`_(.)`).ReplaceAllStringFunc(k.name, func(m string) string { return strings.ToUpper(m[1:]) })
		for _, s := range []string{k.name, camel, strings.ToUpper(camel), strings.ReplaceAll(k.name, "_", ""), strings.ReplaceAll(k.name, "_", "-")} {
			forms := []string{s}
			if strings.HasSuffix(s, "s") && len(s) > 3 {
				forms = append(forms, s[:len(s)-1])
			}
			if strings.HasSuffix(s, "es") && len(s) > 4 {
				forms = append(forms, s[:len(s)-2])
			}
			for _, f := range forms {
				if parent.find(f) != k {
					t.Errorf("%q is not %s", f, k.Path)
				}
			}
		}
	}
}

func TestNearest(t *testing.T) {
	for in, want := range map[string]string{
		"hostnam": "hostname", "ssh_keys": "", "token": "k3os.token", "ssh_authorised_keys": "ssh_authorized_keys", "k30s": "k3os",
		"labels": "k3os.labels", "write_file_": "write_files", "zzzz": "", "": "",
	} {
		if got := nearest(root(), in); got != want {
			t.Errorf("nearest %q is %q, want %q", in, got, want)
		}
	}
}

// The schema accepts the example and refuses what is not a key; a validator of the few words it
// uses is enough to see it.
func TestSchema(t *testing.T) {
	var schema object
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	var example any
	docs, _ := readYAML([]byte(exampleText()), 1)
	example = (&decoder{}).free(docs[0].Content[0], "").free()
	if why := validate(schema, example, ""); why != "" {
		t.Errorf("got %q, want %q", why, "")
	}
	for _, bad := range []object{{"foo": 1}, {"k3os": object{"nope": 1}}, {"write_files": []any{"a"}}, {"shelf": object{"role": "boss"}},
		{"network": object{"interfaces": []any{object{"mac": "zz"}}}}, {"k3os": "x"}} {
		if validate(schema, bad, "") == "" {
			t.Errorf("%v is accepted", bad)
		}
	}
}

func validate(s object, v any, path string) string {
	if any, ok := s["anyOf"].([]any); ok {
		why := ""
		for _, a := range any {
			if why = validate(a.(object), v, path); why == "" {
				return ""
			}
		}
		return why
	}
	if enum, ok := s["enum"].([]any); ok {
		for _, e := range enum {
			if e == v {
				return ""
			}
		}
		return fmt.Sprintf("%s: %v is none of %v", path, v, enum)
	}
	kind := map[reflect.Kind]string{reflect.String: "string", reflect.Bool: "boolean", reflect.Map: "object", reflect.Slice: "array",
		reflect.Int: "number", reflect.Float64: "number", reflect.Invalid: "null"}[reflect.ValueOf(v).Kind()]
	if want := fmt.Sprint(s["type"]); !strings.Contains(want, kind) && !(kind == "number" && strings.Contains(want, "integer")) {
		return fmt.Sprintf("%s: %v is not %s", path, v, want)
	}
	switch v := v.(type) {
	case string:
		if p, ok := s["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(v) {
			return fmt.Sprintf("%s: %q does not match %s", path, v, p)
		}
	case []any:
		for i, x := range v {
			if items, ok := s["items"].(object); ok {
				if why := validate(items, x, index(path, i)); why != "" {
					return why
				}
			}
		}
	case object:
		properties, _ := s["properties"].(object)
		for name, x := range v {
			sub, ok := properties[name].(object)
			if !ok {
				if sub, ok = s["additionalProperties"].(object); !ok && s["additionalProperties"] == false {
					return path + ": no key " + name
				}
			}
			if sub != nil {
				if why := validate(sub, x, join(path, name)); why != "" {
					return why
				}
			}
		}
	}
	return ""
}
