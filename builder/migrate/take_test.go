package migrate

import (
	"strings"
	"testing"
)

func TestElsewhere(t *testing.T) {
	t.Parallel()
	base := server(t)
	for name := range base {
		if strings.HasPrefix(name, k3s) {
			delete(base, name)
		}
	}
	for name, c := range map[string]struct {
		more  files
		warns []string
	}{
		"all of it":   {files{strings.TrimSuffix(k3s, "/"): "-> /mnt/usb/k3s"}, []string{"/var/lib/rancher/k3s is a link to /mnt/usb/k3s", "no datastore of k3s"}},
		"the volumes": {files{k3s + "storage": "-> /mnt/usb/storage", k3s + "server/db/state.db": "rows"}, []string{"/var/lib/rancher/k3s/storage is a link to /mnt/usb/storage"}},
		"another dir": {nil, []string{"no datastore of k3s"}},
	} {
		r, err := run(t, Options{Source: fileSystem(t, "K3OS_STATE", with(base, c.more)), Mode: Full})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range c.warns {
			if !strings.Contains(strings.Join(r.Warnings, "\n"), want) {
				t.Errorf("%s: %q is not among %q", name, want, r.Warnings)
			}
		}
	}
}
