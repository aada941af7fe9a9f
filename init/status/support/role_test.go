package support

import (
	"strings"
	"testing"

	"imgbuild/init/contract/config"

	"gopkg.in/yaml.v3"
)

// A worker's configuration shows no defaults of a server's keys, but what somebody wrote; a
// server's shows them.
func TestOfRole(t *testing.T) {
	for _, c := range []struct {
		text, want string
		shown      bool
	}{
		{"shelf: {role: worker}\n", "backup", false},
		{"shelf: {role: server}\n", "keep: 7", true},
		{"shelf: {role: worker}\nbackup: {keep: 9}\n", "keep: 9", true},
		{"shelf: {role: worker}\nbackup: {to: 'sftp://a@b/c'}\n", "to: sftp://a@b/c", true},
	} {
		layer, _ := config.Parse("a", []byte(c.text))
		merged, _ := config.Merge(layer)
		n, err := Masked(merged)
		if err != nil {
			t.Fatal(err)
		}
		OfRole(n, merged.Shelf.Role)
		out, err := yaml.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(out), c.want); got != c.shown {
			t.Errorf("%q: %q is shown: got %v, want %v\n%s", c.text, c.want, got, c.shown, out)
		}
	}
}
