package support

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/mask"

	"gopkg.in/yaml.v3"
)

// canaries are secrets in every place of a configuration that can hold one.
const canaries = `
hostname: shelf-one
k3os:
  password: 'canary-password-1'
  token: canary-token-2
  wifi: [{name: home, passphrase: canary-wifi-3}]
  environment: {HTTP_PROXY: 'http://user:canary-proxy-4@proxy:3128', MY_SECRET: canary-env-5, LANG: C.UTF-8}
  k3s_args: [server, --agent-token=canary-arg-6, '--datastore-endpoint=postgres://k3s:canary-db-7@db/k3s', --token, canary-flag-8]
network:
  wifi: [{name: two, passphrase: canary-wifi-9}]
write_files:
- {path: /root/.smb, permissions: '0600', content: "username=me\npassword=canary-file-10\n"}
- {path: /etc/motd, permissions: '0644', content: hello}
run_cmd: ['curl -H "Authorization: Bearer canary-bearer-11" https://x', 'login --password canary-cmd-12']
services:
  weather: {command: [/bin/true], environment: {API_KEY: canary-service-13, PLAIN: canary-plain-15, TZ: Europe/Berlin}}
addons:
  grafana:
    version: 1.2.3
    repo: https://charts
    values: {adminPassword: canary-chart-16, smtp: {pass: canary-chart-17}, keys: [canary-chart-18, {a: canary-chart-19}], replicas: 3, env: [{name: X_TOKEN, value: plain}]}
    objects: |
      apiVersion: v1
      kind: Secret # canary-comment
      metadata: {name: mine}
      stringData: {a: canary-object-20}
      data:
        b: Y2FuYXJ5LW9iamVjdC0yMQ==
      ---
      kind: ConfigMap
      metadata: {name: open}
      data: {token: canary-object-22, color: blue}
backup: {to: 'sftp://me:canary-backup-14@nas/shelf'}
`

func TestMasked(t *testing.T) {
	l, _ := config.Parse("config.yaml", []byte(canaries))
	c, _ := config.Merge(l)
	n, err := Masked(c)
	if err != nil {
		t.Fatal(err)
	}
	out, err := yaml.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "canary-") {
			t.Errorf("%s", line)
		}
	}
	for _, want := range []string{"hostname: shelf-one", "name: home", "LANG: C.UTF-8", "path: /root/.smb", "(36 bytes)", "@db/k3s", "@nas/shelf", "TZ: Europe/Berlin", "replicas: 3", "version: 1.2.3", "color: blue", "name: mine", "kind: ConfigMap"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is gone:\n%s", want, out)
		}
	}
	if c.K3OS.Token != "canary-token-2" {
		t.Errorf("the configuration itself was changed: got %q, want %q", c.K3OS.Token, "canary-token-2")
	}
}

// The output of a node, with secrets as they turn up in it.
const said = `2026-01-01T00:00:00.000Z joining with canary-token-2 at https://m:6443
token is Y2FuYXJ5LXRva2VuLTI= in base64, canary%2Dtoken-2 is left
wpa: psk="canary-wifi-3" ssid="home"
mount: user=me,pass file password=canary-file-10 failed, and canary-file-10 alone
K10aa55aa55aa55aa55aa55aa55::server:canary-k3s-20
Authorization: Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJpc3MiOiJjYW5hcnkifQ.c2ln
-----BEGIN OPENSSH PRIVATE KEY-----
canary-pem-21
-----END OPENSSH PRIVATE KEY-----
rancher:$6$salt1234$canary.crypt.22/abc:1000
{"password": "canary-json-23", "user": "x"}
fetching https://me:canary-url-24@host/x
the password of the user is wrong; --token-file /etc/token is fine
export RESTIC_PASSWORD=canary-shell-25
AGE-SECRET-KEY-1CANARYCANARYCANARY
    client-key-data: LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFWS0tLS0tCmNhbmFyeQ==
data LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQpjYW5hcnk= alone
helm: setting canary-chart-17 and canary-chart-19, Secret mine with canary-object-20, weather has canary-plain-15
`

func TestScrub(t *testing.T) {
	s := mask.New(append(Values("config.yaml", []byte(canaries)), "", "abc", "xxxxxxxx"))
	out := string(s.Text([]byte(said)))
	for _, canary := range []string{"canary-", "canary.", "Y2FuYXJ5", "CANARYCANARY", "LS0tLS1", "eyJhbG", "K10aa"} {
		for line := range strings.Lines(out) {
			if strings.Contains(line, canary) && !strings.Contains(line, "is left") {
				t.Errorf("%q in: %s", canary, line)
			}
		}
	}
	for _, want := range []string{"joining with ******** at https://m:6443", `ssid="home"`, "the password of the user is wrong", "--token-file /etc/token is fine", "me:********@host", `"user": "x"`} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is gone:\n%s", want, out)
		}
	}
	if again := string(s.Text([]byte(out))); again != out {
		t.Errorf("a second time changes it:\n%s", again)
	}
}

func TestBundle(t *testing.T) {
	var b bytes.Buffer
	s := mask.New(Values("config.yaml", []byte(canaries)))
	err := Write(&b, "shelf-support", time.Unix(1e9, 5), s, []Member{
		{"said.txt", func() ([]byte, error) { return []byte(said), nil }},
		{"none.txt", func() ([]byte, error) { return nil, errors.New("no file for canary-token-2") }},
		{"half.txt", func() ([]byte, error) { return []byte("half"), errors.New("only half") }},
		{"long.txt", func() ([]byte, error) { return bytes.Repeat([]byte("0123456789abcde\n"), limit/8), nil }},
	})
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got[h.Name] = string(text)
		if h.Mode != 0o600 {
			t.Errorf("%s has mode %o, want 0o600", h.Name, h.Mode)
		}
	}
	if len(got) != 4 || got["shelf-support/half.txt"] != "half" || !strings.Contains(got["shelf-support/errors.txt"], "none.txt: no file for ********") ||
		len(got["shelf-support/long.txt"]) > limit+100 || strings.Contains(got["shelf-support/said.txt"], "canary-t") && !strings.Contains(got["shelf-support/said.txt"], "%2Dtoken") {
		t.Errorf("%.300v", got)
	}
}
