package config

import "testing"

// A text in the place of some sections is the key that they are mostly written for.
func TestShortSection(t *testing.T) {
	for text, want := range map[string]RouterUplink{
		"router: {uplink: eth1}":                        {Interface: "eth1"},
		"router: {uplink: {interface: eth1, ssh: yes}}": {Interface: "eth1", SSH: true},
		"router: {uplink: null}":                        {Interface: "wlan0"},
	} {
		l, problems := Parse("a.yaml", []byte(text))
		if len(problems) > 0 {
			t.Errorf("%s: %v, want no problems", text, problems)
		}
		if c, _ := Merge(l); c.Router.Uplink != want {
			t.Errorf("%s: got %+v, want %+v", text, c.Router.Uplink, want)
		}
	}
	if _, problems := Parse("a.yaml", []byte("router: {uplink: [eth1]}")); len(problems) != 1 || problems[0].Severity != Error {
		t.Errorf("a list gives %v, want one error", problems)
	}
}
