package config

import (
	"strings"
	"testing"
)

// A key that does not exist is a warning for the node and an error for the laptop, at every depth;
// nothing else changes its severity.
func TestStrict(t *testing.T) {
	many := strings.Builder{}
	for range maxProblems {
		many.WriteString("ssh_authorized_keys: []\n") // each a key that is there twice
	}
	for text, want := range map[string]Severity{
		"hostname: a\n":            Note,
		"hostnam: a\n":             Error,
		"k3os: {lables: {a: b}}\n": Error,
		"network: {interfaces: [{name: eth0, adresses: [x]}]}": Error,
		"services: {a: {command: [a], comand: [b]}}":           Error,
		"hostname: a\nhostname: b\n":                           Warning,
		"hostname: [a, b]\n":                                   Error,
		many.String() + "hostname: a\n":                        Warning,
		many.String() + "hostname: a\nhostnam: a\n":            Error,
		many.String() + "hostnam: a\n":                         Error,
	} {
		_, problems := Parse("f.yaml", []byte(text))
		lenient, _ := Worst(problems)
		strict, _ := Worst(Strict(problems))
		if strict != want {
			t.Errorf("%.60q: got %v, want %v: %v", text, strict, want, problems)
		}
		if strings.Contains(text, "hostnam:") && lenient != Warning {
			t.Errorf("%.60q: the node's severity is %v, want %v", text, lenient, Warning)
		}
	}
}
