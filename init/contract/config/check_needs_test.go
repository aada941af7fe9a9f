package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestNeeds(t *testing.T) {
	for name, c := range map[string]struct{ needs, want string }{
		"fine":            {"a: [sshd, b], b: [c, k3s], c: []", ""},
		"itself":          {"a: [a]", "services.a.needs[0]: the service needs itself"},
		"unknown":         {"a: [nobody]", `services.a.needs[0]: there is no service "nobody"`},
		"off":             {"a: [off]", `services.a.needs[0]: the service "off" is switched off`},
		"circle":          {"b: [a], a: [c], c: [b]", "services.a.needs: services need each other in a circle: a -> c -> b -> a"},
		"two circles":     {"a: [b], b: [a, c], c: [d], d: [c]", "services.a.needs: services need each other in a circle: a -> b -> a|services.c.needs: services need each other in a circle: c -> d -> c"},
		"a name of us":    {"sshd: []", "services.sshd: the system has a service or a log of that name"},
		"a log of ours":   {"crash: []", "services.crash: the system has a service or a log of that name"},
		"a login of ours": {"getty-tty1: []", "services.getty-tty1: the system has a service or a log of that name"},
	} {
		text := "services:\n  \"off\": {command: [/bin/true], enabled: false}\n"
		for _, part := range strings.Split(c.needs, "], ") {
			unit, needs, _ := strings.Cut(part, ": ")
			text += fmt.Sprintf("  %s: {command: [/bin/true], needs: %s]}\n", unit, strings.TrimSuffix(needs, "]"))
		}
		if got := needsProblems(t, text); got != c.want {
			t.Errorf("%s:\n%s\ngot  %s\nwant %s", name, text, got, c.want)
		}
	}
	// Many ways and no circle: none is walked twice.
	text := "services:\n"
	for i := range 60 {
		var all []string
		for j := range i {
			all = append(all, fmt.Sprint("s", j))
		}
		text += fmt.Sprintf("  s%d: {command: [/bin/true], needs: [%s]}\n", i, strings.Join(all, ", "))
	}
	if got := needsProblems(t, text); got != "" {
		t.Error(got)
	}
}

// needsProblems returns the problems of services, without places.
func needsProblems(t *testing.T, text string) string {
	t.Helper()
	layer, problems := Parse("config.yaml", []byte(text))
	cfg, more := Merge(layer)
	var list []string
	for _, p := range append(append(problems, more...), Check(cfg, Facts{})...) {
		if strings.HasPrefix(p.Key, "services") {
			list = append(list, p.Key+": "+p.Message)
		}
	}
	return strings.Join(list, "|")
}
