package config

import (
	"strings"
	"testing"
)

func TestCheckAddons(t *testing.T) {
	for in, want := range map[string]string{
		"{cert-manager: {repo: 'https://charts.jetstack.io', version: v1.16.2, values: {a: 1}}}":      "",
		"{cert-manager: {repo: 'https://charts.jetstack.io'}}":                                        "the add-on has no version, it is not installed",
		"{x: {chart: 'oci://ghcr.io/a/b', version: 1.2.3}}":                                           "",
		"{x: {chart: 'ftp://a/b', version: 1}}":                                                       "is not the address of a chart",
		"{x: {chart: b, version: 1}}":                                                                 `no source is given for the chart "b"`,
		"{x: {repo: charts, version: 1}}":                                                             "is not the address of a Helm repository",
		"{traefik: {values: {logs: {}}}}":                                                             "",
		"{traefik: {enabled: false}}":                                                                 "",
		"{traefik: {version: 1, values: {a: 1}}}":                                                     "the version is not used",
		"{traefik: {repo: 'https://a.b', version: 1}}":                                                "k3s brings traefik itself",
		"{coredns: {values: {a: 1}}}":                                                                 "only traefik is a chart",
		"{coredns: {objects: '{apiVersion: v1, kind: ConfigMap, metadata: {name: coredns-custom}}'}}": "",
		"{coredns: {objects: '{kind: ConfigMap}'}}":                                                   "has no apiVersion, kind or name",
		"{coredns: {objects: '{'}}":                                                                   "did not find expected node content",
		"{x: {values: {a: 1}}}":                                                                       "no chart to give them to",
		"{x: {}}":                                                                                     "neither a chart nor objects",
		"{X_y: {objects: ''}}":                                                                        "is not the name of an add-on",
		"{x: {enabled: false}}":                                                                       "",
		"{x: {repo: 'https://a.b', version: 1, namespace: 'a b'}}":                                    "is not a namespace",
	} {
		c := parse(t, "ssh_authorized_keys: ["+goodKey+"]\naddons: "+in)
		var got []string
		for _, p := range Check(c, Facts{Role: "server"}) {
			got = append(got, p.String())
		}
		if text := strings.Join(got, "\n"); (want == "") != (text == "") || !strings.Contains(text, want) {
			t.Errorf("%s:\n got %s\nwant %s", in, text, want)
		}
	}
}

// A server that joins others needs a token, and begins no cluster.
func TestCheckFurtherServer(t *testing.T) {
	const key = "ssh_authorized_keys: [" + goodKey + "]\n"
	for in, want := range map[string]string{
		"k3os: {server_url: 'https://a:6443'}":                                                         "does not join another one without its token; missing: k3os.token",
		"k3os: {server_url: 'https://a:6443', token: long-enough}":                                     "",
		"k3os: {server_url: 'https://a:6443', token: long-enough, k3s_args: [server, --cluster-init]}": "does not start a cluster",
		"k3os: {token: long-enough, k3s_args: [server, --cluster-init]}":                               "",
	} {
		var got []string
		for _, p := range Check(parse(t, key+in), Facts{Role: "server"}) {
			got = append(got, p.String())
		}
		if text := strings.Join(got, "\n"); (want == "") != (text == "") || !strings.Contains(text, want) {
			t.Errorf("%s:\n got %s\nwant %s", in, text, want)
		}
	}
}

// The objects of an add-on may be Secrets: errors about them hold nothing of their text.
func TestObjectsHoldNoSecrets(t *testing.T) {
	for _, objects := range []string{"kind: C4N4RYzz", "{apiVersion: v1, kind: Secret, metadata: C4N4RYzz}", "{apiVersion: v1, kind: Secret, metadata: {name: [C4N4RYzz]}}", "{apiVersion: [C4N4RYzz], kind: a}",
		"a: *C4N4RYzz", "a: %C4N4RYzz", "C4N4RYzz", "- C4N4RYzz", "a: !C4N4RYzz b", "!!int C4N4RYzz", "a: b: C4N4RYzz", "'C4N4RYzz", "<<: C4N4RYzz", "{apiVersion: v1, kind: a, metadata: {name: b, <<: C4N4RYzz}}"} {
		if _, err := (Addon{Objects: objects}).Documents(); err == nil || strings.Contains(err.Error(), "C4N4") {
			t.Errorf("%s: %v", objects, err)
		}
	}
}

func FuzzDocuments(f *testing.F) {
	for _, s := range []string{"{apiVersion: v1, kind: a, metadata: {name: b}}", "a: *b", "---\n---\n", "&a [*a]", "<<: {a: b}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := (Addon{Objects: text}).Documents(); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}
