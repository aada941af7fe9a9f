package kubeconfig

import (
	"strings"
	"testing"
)

const server = `apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority-data: Q0E=
    server: https://127.0.0.1:6443
  name: default
contexts:
- context:
    cluster: default
    user: default
  name: default
current-context: default
users:
- name: default
  user:
    client-certificate-data: Q0VSVA==
    client-key-data: S0VZ
`

func TestRewrite(t *testing.T) {
	got, err := Rewrite([]byte(server), "shelf-1", "shelf-1")
	want := strings.ReplaceAll(strings.ReplaceAll(server, "127.0.0.1", "shelf-1"), "default", "shelf-1")
	want = strings.ReplaceAll(strings.ReplaceAll(want, "\n    ", "\n      "), "\n  name: shelf-1\n", "\n    name: shelf-1\n")
	want = strings.ReplaceAll(want, "\n  user:\n", "\n    user:\n")
	want = strings.ReplaceAll(want, "\n- ", "\n  - ")
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	if got, err := Rewrite([]byte(strings.Replace(server, "6443", "7443", 1)), "fd00::1", "x"); err != nil || !strings.Contains(string(got), "server: https://[fd00::1]:7443\n") {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := Rewrite([]byte(server), "127.0.0.1:50443", "x"); err != nil || !strings.Contains(string(got), "server: https://127.0.0.1:50443\n") {
		t.Errorf("%s, %v", got, err)
	}
	if address, ca, err := Cluster([]byte(server)); err != nil || address != "127.0.0.1:6443" || string(ca) != "CA" {
		t.Error(address, string(ca), err)
	}
	for _, bad := range []string{"", "a", "kind: Pod", "kind: Config", strings.Replace(server, "https://127.0.0.1:6443", "nowhere", 1), strings.Replace(server, "  name: default\ncontexts", "  name: default\n- {}\ncontexts", 1)} {
		if got, err := Rewrite([]byte(bad), "h", "n"); err == nil {
			t.Errorf("%q gives %s", bad, got)
		}
	}
}

func TestMerge(t *testing.T) {
	mine := `# my clusters
apiVersion: v1
kind: Config
preferences: {colors: true}
clusters:
- {name: work, cluster: {server: "https://work:6443"}}
- {name: shelf-1, cluster: {server: "https://old:6443"}}
contexts: []
users: null
current-context: work
`
	fresh, err := Rewrite([]byte(server), "10.0.0.1", "shelf-1")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // and again: nothing is there twice
		got, err := Merge([]byte(mine), fresh)
		if err != nil {
			t.Fatal(err)
		}
		mine = string(got)
	}
	for _, part := range []string{"# my clusters", "colors: true", "https://work:6443", "https://10.0.0.1:6443", "current-context: shelf-1", "client-key-data: S0VZ"} {
		if strings.Count(mine, part) != 1 {
			t.Errorf("%q is there %d times in\n%s", part, strings.Count(mine, part), mine)
		}
	}
	if strings.Contains(mine, "old:6443") {
		t.Error("the old entry of the name is still there")
	}
	if got, err := Merge([]byte(" \n"), fresh); err != nil || string(got) != string(fresh) {
		t.Error(string(got), err)
	}
	if _, err := Merge([]byte("- a"), fresh); err == nil {
		t.Error("a list is a kubeconfig")
	}
}

func FuzzMerge(f *testing.F) {
	f.Add(server, server)
	f.Add("", " ")
	f.Add("kind: Config\nclusters: {}", server)
	f.Add("kind: Config\nusers: &a [*a]", "kind: Config\ncontexts: [1, {name: [x]}]")
	f.Fuzz(func(t *testing.T, a, b string) {
		if got, err := Merge([]byte(a), []byte(b)); err == nil && len(got) > 0 {
			if _, err := Merge(got, nil); err == nil {
				t.Error("nothing is merged")
			}
		}
		_, _ = Rewrite([]byte(a), "h", "n")
	})
}
