package sources

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
)

// A file that a card lost is not a change: the node keeps what it had, and reports it, until the
// file is whole or gone.
func TestHollow(t *testing.T) {
	files := map[string]string{
		"config.yaml":    "hostname: node1\nssh_authorized_keys: [a]\n",
		"user-data":      "#cloud-config\nhostname: node1\n",
		"network-config": "version: 2\nethernets: {eth0: {addresses: [10.0.0.2/24]}}\n",
		"config.d/a.yml": "hostname: node1\n",
	}
	for name, text := range files {
		for _, hollow := range []string{"", "\x00", strings.Repeat("\x00", 4096), " \r\n\t\n", "\ufeff", "\n\x00\n"} {
			n := newNode(t)
			n.put(name, text)
			n.run()
			stored := func() string {
				data, _ := os.ReadFile(n.stored(name))
				return string(data)
			}
			before := stored()
			n.put(name, hollow)
			for range 2 { // at every boot
				problems, err := n.Run()
				if err != nil || len(problems) != 1 || !strings.Contains(problems[0].String(), "damaged") || problems[0].File != name {
					t.Errorf("%s %q: %v %v", name, hollow, problems, err)
				}
				if stored() != before {
					t.Errorf("%s %q: the node has %q", name, hollow, stored())
				}
			}
			n.put(name, text)
			if problems, err := n.Run(); err != nil || len(problems) != 0 || stored() != before {
				t.Errorf("%s %q: whole again: %v %v %q", name, hollow, problems, err, stored())
			}
		}
	}
}

// Comments alone are a wish; so is an empty file where nothing was before, and an empty meta-data.
func TestEmptyIsAWish(t *testing.T) {
	n := newNode(t)
	n.put("config.yaml", "")
	n.put("meta-data", "instance-id: i\nlocal-hostname: a\n")
	n.put("config.d/a.yaml", "hostname: node1\n")
	n.run()
	n.put("meta-data", "")
	n.run()
	n.put("config.d/a.yaml", "# hostname: node1\n")
	problems, err := n.Run()
	if err != nil || len(problems) != 1 || !strings.Contains(problems[0].String(), "delete the file") || problems[0].Severity == config.Error {
		t.Errorf("%v %v", problems, err)
	}
	for _, name := range []string{"config.d/a.yaml", "meta-data"} {
		if data, _ := os.ReadFile(n.stored(name)); strings.Contains(string(data), "hostname: node1\n") && !strings.HasPrefix(string(data), "#") || strings.Contains(string(data), "local-hostname") {
			t.Errorf("%s is still %q", name, data)
		}
	}
	n.run() // it is reported once
	n.put("config.yaml", "hostname: b\n")
	n.put("user-data", "hostname: c\n")
	n.run()
	if err := os.Remove(filepath.Join(n.Boot, "user-data")); err != nil {
		t.Fatal(err)
	}
	n.run()
	if _, err := os.Stat(n.stored("user-data")); err == nil {
		t.Error("a user-data that was deleted is still in force")
	}
}

func TestMisnamed(t *testing.T) {
	n := newNode(t)
	for _, name := range []string{"user-data.txt", "config.yaml.txt", "config.yml", "Network-Config.txt", "meta-data.yaml", "config.d/a.yaml.txt", "config.d/b.txt"} {
		n.put(name, "hostname: a\n")
	}
	n.put("config.txt", "arm_64bit=1\n")
	n.put("config.d/c.yaml", "hostname: c\n")
	problems, err := n.Run()
	got := ""
	for _, p := range problems {
		to, _, _ := strings.Cut(strings.TrimPrefix(p.Fix, "rename it to "), ";")
		got += fmt.Sprintf("%s -> %s\n", p.File, to)
	}
	const want = "Network-Config.txt -> network-config\nconfig.yaml.txt -> config.yaml\nconfig.yml -> config.yaml\nmeta-data.yaml -> meta-data\nuser-data.txt -> user-data\nconfig.d/a.yaml.txt -> config.d/a.yaml\nconfig.d/b.txt -> config.d/b.yaml\n"
	if err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
}
