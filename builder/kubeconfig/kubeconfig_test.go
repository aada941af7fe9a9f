package kubeconfig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"imgbuild/init/contract/fault"
)

// pki is a certificate with its key, made once: the tests check what is taken, not the signer.
var pki = sync.OnceValue(func() (e Entry) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		panic(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		panic(err)
	}
	e.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	e.Cert, e.Key = e.CA, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})
	return e
})

// server is the file as k3s writes it.
var server = fmt.Sprintf(`apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: %s
    server: https://127.0.0.1:6443
  name: default
contexts:
- context:
    cluster: default
    user: default
  name: default
current-context: default
kind: Config
preferences: {}
users:
- name: default
  user:
    client-certificate-data: %s
    client-key-data: %s
`, base64.StdEncoding.EncodeToString(pki().CA), base64.StdEncoding.EncodeToString(pki().Cert), base64.StdEncoding.EncodeToString(pki().Key))

// rewritten is server's access under another address and name.
func rewritten(t *testing.T, address, name string) []byte {
	t.Helper()
	e, passed, err := Read([]byte(server))
	if err != nil || len(passed) > 0 {
		t.Fatalf("%v, passed over %q", err, passed)
	}
	if err := e.At(address); err != nil {
		t.Fatal(err)
	}
	text, err := e.Marshal(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRead(t *testing.T) {
	e, passed, err := Read([]byte(server))
	if err != nil || len(passed) != 0 {
		t.Fatalf("got %v, passed over %q, want neither", err, passed)
	}
	if want := pki(); e.Server != "https://127.0.0.1:6443" || string(e.CA) != string(want.CA) || string(e.Cert) != string(want.Cert) || string(e.Key) != string(want.Key) {
		t.Errorf("got %+v, want the server's own", e)
	}
	if got, want := e.ends(), time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC); !got.Equal(want) {
		t.Errorf("it ends %v, want %v", got, want)
	}
	for address, want := range map[string]string{"shelf-1": "https://shelf-1:6443", "fd00::1": "https://[fd00::1]:6443", "127.0.0.1:50443": "https://127.0.0.1:50443", "[fd00::1]:7443": "https://[fd00::1]:7443", "a/b": "", "": "", "me@host": ""} {
		e := *e
		if err := e.At(address); (err != nil) != (want == "") || err == nil && e.Server != want {
			t.Errorf("at %q: got %s %v, want %q", address, e.Server, err, want)
		}
	}
	again, passed, err := Read(rewritten(t, "shelf-1", "shelf-1"))
	if err != nil || len(passed) != 0 || again.Server != "https://shelf-1:6443" || string(again.Key) != string(e.Key) {
		t.Errorf("what is written is not what is read: %+v %q %v", again, passed, err)
	}
	for name, bad := range map[string]string{"empty": "", "text": "a", "a pod": "kind: Pod", "nothing": "kind: Config",
		"no URL":         strings.Replace(server, "https://127.0.0.1:6443", "nowhere", 1),
		"http":           strings.Replace(server, "https://", "http://", 1),
		"a path":         strings.Replace(server, ":6443", ":6443/proxy", 1),
		"two clusters":   strings.Replace(server, "  name: default\ncontexts", "  name: default\n- {}\ncontexts", 1),
		"no key":         strings.Replace(server, "client-key-data", "client-key", 1),
		"not base64":     strings.Replace(server, "client-key-data: ", "client-key-data: '%'", 1),
		"no PEM":         strings.Replace(server, base64.StdEncoding.EncodeToString(pki().Key), "S0VZ", 1),
		"no certificate": strings.ReplaceAll(server, base64.StdEncoding.EncodeToString(pki().CA), base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"))),
	} {
		if e, _, err := Read([]byte(bad)); err == nil || fault.Code(err) != int(fault.Input) {
			t.Errorf("%s: got %+v %v, want a fault of kind Input", name, e, err)
		}
	}
}

// An entry that would make kubectl run a program, read a file, use a proxy or believe any server
// does not get into the user's file.
func TestHostileServer(t *testing.T) {
	hostile := strings.NewReplacer(
		"    server:", "    insecure-skip-tls-verify: true\n    proxy-url: http://evil\n    tls-server-name: evil\n    certificate-authority: /etc/passwd\n    server:",
		"    client-key-data:", "    exec: {command: sh, args: [-c, 'touch /tmp/x']}\n    auth-provider: {name: evil}\n    tokenFile: /home/me/.ssh/id_rsa\n    token: t\n    username: u\n    as: root\n    client-key: /home/me/key\n    client-key-data:",
		"    user: default\n", "    user: default\n    namespace: evil\n    extensions: []\n",
		"preferences: {}", "preferences: {colors: true}\nextensions: []",
	).Replace(server)
	e, passed, err := Read([]byte(hostile))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"clusters.certificate-authority", "clusters.insecure-skip-tls-verify", "clusters.proxy-url", "clusters.tls-server-name", "contexts.extensions", "contexts.namespace",
		"extensions", "preferences", "users.as", "users.auth-provider", "users.client-key", "users.exec", "users.token", "users.tokenFile", "users.username"}
	if !slices.Equal(passed, want) {
		t.Errorf("passed over\n%q, want\n%q", passed, want)
	}
	clean, err := e.Marshal("x")
	if err != nil {
		t.Fatal(err)
	}
	into, err := Merge([]byte("kind: Config\n"), clean)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"evil", "exec", "token", "insecure", "/etc", "/home", "proxy", "colors"} {
		if strings.Contains(string(into), word) {
			t.Errorf("%q got through:\n%s", word, into)
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
	fresh := rewritten(t, "10.0.0.1", "shelf-1")
	for range 2 { // and again: nothing is there twice
		got, err := Merge([]byte(mine), fresh)
		if err != nil {
			t.Fatal(err)
		}
		mine = string(got)
	}
	for _, part := range []string{"# my clusters", "colors: true", "https://work:6443", "https://10.0.0.1:6443", "current-context: shelf-1", "client-key-data: "} {
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
		if e, _, err := Read([]byte(a)); err == nil {
			if _, err := e.Marshal(b); err != nil {
				t.Errorf("what was read cannot be written: %v", err)
			}
		}
	})
}
