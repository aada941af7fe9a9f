package config

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Default is the configuration of a node that has none: the defaults of the key table.
func Default() *Config {
	c := &Config{}
	fillDefaults(reflect.ValueOf(c).Elem(), root())
	return c
}

// fillDefaults sets the defaults of the keys in section k that is held by s.
func fillDefaults(s reflect.Value, k *Key) {
	for _, c := range k.children {
		f := field(s, c.name)
		switch {
		case c.Type == Section:
			fillDefaults(f, c)
		case c.Default != "":
			setValue(f, c.defaultValue(), c)
		}
	}
}

// defaultValue decodes the row's default with the decoder that reads files. A plain word needs no
// parser, which makes every start faster.
func (k *Key) defaultValue() *value {
	if !strings.ContainsAny(k.Default, "[{'\"") {
		text, _ := canonical(k, k.Default)
		return &value{kind: scalar, text: text}
	}
	docs, err := readYAML([]byte(k.Default), 1)
	if err != nil || len(docs) != 1 {
		panic("config: the default of " + k.Path + " is not YAML")
	}
	return (&decoder{}).value(docs[0].Content[0], k, k.Path)
}

// fill copies a merged value into c and notes where everything is.
func (c *Config) fill(v *value, found *list) {
	if v == nil || v.kind != mapping {
		return
	}
	c.note(v, v.at, "", found)
	setValue(reflect.ValueOf(c).Elem(), v, root())
	for name, s := range c.Services { // an empty section confines too
		if _, s.Confined.on = c.where[join(join("services", name), "confined")]; s.Confined.on {
			c.Services[name] = s
		}
	}
}

// note records the places of v and of all below it: a text's own, for the rest that of the key. It
// reports secrets that were moved off their source and are nowhere available.
func (c *Config) note(v *value, key place, path string, found *list) {
	switch v.kind {
	case scalar:
		c.where[path] = v.at
	case moved:
		c.where[path] = v.at
		found.add(v.at, Warning, path, "write the value again", "the value was moved to the node's data, and is not there")
	default:
		c.where[path] = key
	}
	for i, item := range v.items {
		c.note(item, item.at, index(path, i), found)
	}
	for _, e := range v.entries {
		c.note(e.v, e.at, join(path, e.name), found)
	}
}

// Place returns where a value is, "config.yaml:12", by its path with indexes; "" if that is not
// known.
func (c *Config) Place(path string) string {
	at, ok := c.where[path]
	if !ok || at.file == "" || at.line == 0 {
		return ""
	}
	return at.file + ":" + strconv.Itoa(at.line)
}

// setValue stores a decoded value of key k into a field of the matching Go type. The decoder has
// enforced the shapes.
func setValue(f reflect.Value, v *value, k *Key) {
	if v.kind == null || v.kind == moved {
		return // erased or not available: the default stays
	}
	switch k.Type {
	case Section:
		for _, e := range v.entries {
			if child := k.find(e.name); child != nil {
				setValue(field(f, child.name), e.v, child)
			}
		}
	case Items:
		out := reflect.MakeSlice(f.Type(), len(v.items), len(v.items))
		for i, item := range v.items {
			setSection(out.Index(i), item, k)
		}
		f.Set(out)
	case Named:
		out := reflect.MakeMap(f.Type())
		for _, e := range v.entries {
			if e.v.kind == mapping {
				s := reflect.New(f.Type().Elem()).Elem()
				setSection(s, e.v, k)
				out.SetMapIndex(reflect.ValueOf(e.name), s)
			}
		}
		f.Set(out)
	case TextMap:
		out := map[string]string{}
		for _, e := range v.entries {
			if e.v.kind != moved {
				out[e.name] = e.v.text
			}
		}
		f.Set(reflect.ValueOf(out))
	case Texts:
		out := make([]string, 0, len(v.items))
		for _, item := range v.items {
			out = append(out, item.text)
		}
		f.Set(reflect.ValueOf(out))
	case Free:
		if m, ok := v.free().(map[string]any); ok {
			f.Set(reflect.ValueOf(m))
		}
	case Bool:
		if f.Kind() == reflect.String { // one that also can be unset
			f.SetString(v.text)
			return
		}
		f.SetBool(v.text == "true")
	default:
		setScalar(f, v.text)
	}
}

func setScalar(f reflect.Value, t string) {
	switch f.Interface().(type) {
	case string:
		f.SetString(t)
	case time.Duration:
		d, _ := time.ParseDuration(t)
		f.SetInt(int64(d))
	case int, int64:
		i, _ := strconv.ParseInt(t, 10, 64)
		f.SetInt(i)
	}
}

// setSection fills one item of a list or one named section, defaults first.
func setSection(s reflect.Value, v *value, k *Key) {
	fillDefaults(s, k)
	if i, ok := s.Addr().Interface().(*Interface); ok && v.get("dhcp") == nil {
		a := v.get("addresses")
		i.DHCP = a == nil || len(a.items) == 0
	}
	section := *k
	section.Type = Section
	setValue(s, v, &section)
	if w, ok := s.Addr().Interface().(*WiFi); ok {
		w.refuse(v)
	}
	if v, ok := s.Addr().Interface().(*VLAN); ok && v.Name == "" && v.Parent != "" {
		v.Name = v.Parent + "." + strconv.Itoa(v.ID)
	}
}

// field finds the field of struct s that has the yaml name.
func field(s reflect.Value, name string) reflect.Value {
	for i := 0; i < s.NumField(); i++ {
		if tag, _, _ := strings.Cut(s.Type().Field(i).Tag.Get("yaml"), ","); tag == name {
			return s.Field(i)
		}
	}
	panic("config: " + s.Type().Name() + " has no field for " + name)
}

// free returns a free-form value as YAML 1.2 understands it.
func (v *value) free() any {
	switch v.kind {
	case scalar:
		switch v.tag {
		case "!!bool", "!!int", "!!float":
			var out any
			n := yaml.Node{Kind: yaml.ScalarNode, Tag: v.tag, Value: v.text}
			if n.Decode(&out) != nil {
				return v.text
			}
			if f, ok := out.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
				return v.text
			}
			return out
		}
		return v.text
	case seq:
		out := make([]any, 0, len(v.items))
		for _, item := range v.items {
			out = append(out, item.free())
		}
		return out
	case mapping:
		out := map[string]any{}
		for _, e := range v.entries {
			out[e.name] = e.v.free()
		}
		return out
	}
	return nil
}

// settle brings what was accepted in several forms to one.
func (c *Config) settle() {
	c.takeConnman()
}
