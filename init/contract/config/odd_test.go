package config

import (
	"strings"
	"testing"
)

// A change that YAML, an editor or a web page made to a text that was meant literally is reported,
// where it is.
func TestOddTexts(t *testing.T) {
	for text, want := range map[string]string{
		"hostname: a\nk3os:\n  token: !abc12345\n":                        "f.yaml:3:10: warning: k3os.token: a leading ! is a mark of YAML's",
		"hostname: a\nk3os:\n  token: &abc12345\n":                        "f.yaml:3:10: warning: k3os.token: a leading & is a mark of YAML's",
		"hostname: a\nk3os:\n  token: *abc12345\n":                        "f.yaml:3:3: error: this is not YAML: unknown anchor referenced; put a text that begins with *",
		"hostname: a\nk3os:\n  token: @abc12345\n":                        "f.yaml:3:3: error: this is not YAML: found character that cannot start any token; put a text that begins with *, @",
		"hostname: a\nk3os:\n  token: %abc12345\n":                        "f.yaml:3:3: error: this is not YAML: found character that cannot start any token; put a text that begins with *, @",
		"hostname: a\n# \xe4\n":                                           "f.yaml:2:1: error: this is not YAML: incomplete UTF-8 octet sequence; save the file as UTF-8",
		"hostname: a\nrun_cmd:\n- echo \x00\n":                            "f.yaml:3:1: error: this is not YAML: control characters are not allowed; take the characters out of this line",
		"k3os:\n  token: \u2018abcdefgh\u2019\n":                          "f.yaml:2:10: warning: k3os.token: the curved quotes are part of the value",
		"hostname: \u201ca\u201d\n":                                       "f.yaml:1:11: warning: hostname: the curved quotes are part of the value",
		"k3os:\n\u00a0\u00a0token: abcdefgh\n":                            "replace the odd spaces in it, which only look like spaces, by plain ones",
		"k3os: {wifi: [{name: a}]}\nhostname: b\nk3os: {token: abcdef}\n": "f.yaml:3:1: warning: k3os: the section is there twice; both are read",
	} {
		_, problems := Parse("f.yaml", []byte(text))
		if len(problems) != 1 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%q: %v, want %s", text, problems, want)
		}
	}
	for _, text := range []string{"k3os: {token: 'it''s', labels: {a: \u00e9\u201d}}", "k3os: {token: !!str 123}", "x: &a b\nhostname: *a\n", "hostname: '\u201ca\u201d'"} {
		_, problems := Parse("f.yaml", []byte(strings.TrimPrefix(text, "x: &a b\n")))
		for _, p := range problems {
			if strings.Contains(p.Message, "mark of YAML") || strings.Contains(p.Message, "curved") {
				t.Errorf("%q: %v", text, p)
			}
		}
	}
	c := parse(t, "k3os: {labels: {a: b}, token: one-token, wifi: [{name: a}]}\nnetwork: {dns: [1.1.1.1]}\nk3os: {token: two-token}\nnetwork: {search: [lan]}\n")
	if c.K3OS.Token != "two-token" || len(c.K3OS.WiFi) != 1 || c.K3OS.Labels["a"] != "b" || len(c.Network.DNS) != 1 || len(c.Network.Search) != 1 {
		t.Errorf("%+v", c)
	}
	// The secrets of both are taken off BOOT, and found again.
	twice := "k3os: {token: geheim-42}\nk3os: {password: geheim-43}\n"
	in, err := Import("config.yaml", []byte(twice), nil, []byte("0123456789abcdef"))
	if err != nil || strings.Contains(string(in.Blanked), "geheim") {
		t.Errorf("%v\n%s", err, in.Blanked)
	}
	again, err := Import("config.yaml", in.Blanked, in.Keep, []byte("0123456789abcdef"))
	if c, _ := Merge(again.Layer); err != nil || c.K3OS.Token != "geheim-42" || !Hashed(c.K3OS.Password) {
		t.Errorf("%v\n%s", err, again.Keep)
	}
}
