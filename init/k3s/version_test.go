package k3s

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/k3sstep"
	"imgbuild/init/contract/manifest"
)

// starting is the preparation of a node with its data in dir.
func starting(dir, role, version string) (*preparation, *config.Config) {
	cfg := &config.Config{K3OS: config.K3OS{K3sArgs: []string{"--data-dir=" + dir}}}
	p := &preparation{Node: Node{Role: role, Manifest: &manifest.K3s{Version: version}, Say: func(string, ...any) {}},
		tokens: Tokens{filepath.Join(dir, "part/99.yaml"), filepath.Join(dir, "note")}}
	return p, cfg
}

// Every start notes its version, and one that must not be is refused before k3s sees the data.
func TestJudgeAtStart(t *testing.T) {
	dir := t.TempDir()
	start := func(version string) error {
		p, cfg := starting(dir, Server, version)
		_, err := p.judge(t.Context(), cfg, "/nowhere")
		return err
	}
	reason := func(err error) k3sstep.Reason {
		var r *k3sstep.Refusal
		if errors.As(err, &r) {
			return r.Reason
		}
		return 0
	}
	_, cfg := starting(dir, Server, "")
	if err := start("v1.33.0+k3s1"); err != nil || Ran(cfg) != "v1.33.0+k3s1" {
		t.Fatalf("an empty server: %v, noted %q", err, Ran(cfg))
	}
	if err := start("v1.36.0+k3s1"); err != nil {
		t.Fatalf("still without data: %v", err)
	}
	put(t, filepath.Join(dir, "server/db/state.db"), "x")
	for _, c := range []struct {
		version string
		want    k3sstep.Reason
	}{{"v1.38.0+k3s1", k3sstep.Skip}, {"v1.35.9+k3s1", k3sstep.Backward}} {
		if err := start(c.version); reason(err) != c.want || Ran(cfg) != "v1.36.0+k3s1" {
			t.Errorf("%s: got %v, want reason %d; noted %q", c.version, err, c.want, Ran(cfg))
		}
	}
	if err := start("v1.37.0+k3s1"); err != nil || Ran(cfg) != "v1.37.0+k3s1" {
		t.Errorf("one step: %v, noted %q", err, Ran(cfg))
	}
	if err := start("file-12345678"); err != nil || Ran(cfg) != "file-12345678" {
		t.Errorf("a binary of the user's that prints nothing: %v, noted %q", err, Ran(cfg))
	}
}

// A binary of the user's is asked for its version, once; another binary is asked again.
func TestVersionOfFile(t *testing.T) {
	dir := t.TempDir()
	binary, asked := filepath.Join(dir, "k3s"), filepath.Join(dir, "asked")
	p, _ := starting(dir, Server, "file-12345678")
	for _, c := range []struct{ sum, prints, want string }{
		{"", "v1.35.0+k3s1", "v1.35.0+k3s1"},
		{"", "v1.35.1+k3s1", "v1.35.1+k3s1"}, // without a sum nobody knows whether it is the same
		{"aa11", "v1.35.2+k3s1", "v1.35.2+k3s1"},
		{"aa11", "v1.35.3+k3s1", "v1.35.2+k3s1"},
		{"bb22", "v1.35.3+k3s1", "v1.35.3+k3s1"},
		{"cc33", "nothing", "file-12345678"},
		{"bb22", "nothing", "v1.35.3+k3s1"},
	} {
		put(t, binary, "#!/bin/sh\necho k3s version "+c.prints+" '(standin)'\necho go version go1.26\n")
		if err := chmod(binary); err != nil {
			t.Fatal(err)
		}
		p.Manifest.SHA256 = c.sum
		if got := p.versionOf(t.Context(), binary, asked); got != c.want {
			t.Errorf("sum %q, a binary that prints %s: got %q, want %q", c.sum, c.prints, got, c.want)
		}
	}
}

// An agent asks its server before it runs another k3s than before.
func TestAgentAsksServer(t *testing.T) {
	dir := t.TempDir()
	ca, key := pki(t, filepath.Join(dir, "tls"))
	asked := 0
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.URL.Path != "/version" || len(r.TLS.PeerCertificates) == 0 {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"major":"1","minor":"35","gitVersion":"v1.35.0+k3s1"}`)
	}))
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(3), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, ca, &serverKey.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	api.TLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: serverKey}}}
	api.StartTLS()
	defer api.Close()
	start := func(version string) error {
		p, cfg := starting(dir, Worker, version)
		cfg.K3OS.ServerURL = api.URL
		_, err := p.judge(t.Context(), cfg, "/nowhere")
		return err
	}
	if err := start("v1.35.1+k3s1"); err != nil || asked != 0 {
		t.Errorf("before it has joined nobody can be asked: %v, asked %d times, want 0", err, asked)
	}
	tls := filepath.Join(dir, "tls")
	put(t, filepath.Join(dir, "agent/kubelet.kubeconfig"), fmt.Sprintf("clusters: [{cluster: {server: 'https://127.0.0.1:1', certificate-authority: %s}}]\nusers: [{user: {client-certificate: %s, client-key: %s}}]\n",
		tls+"/server-ca.crt", tls+"/client-admin.crt", tls+"/client-admin.key"))
	if err := start("v1.35.1+k3s1"); err != nil || asked != 0 {
		t.Errorf("the same k3s needs no question: %v, asked %d times, want 0", err, asked)
	}
	var r *k3sstep.Refusal
	if err := start("v1.36.0+k3s1"); !errors.As(err, &r) || r.Reason != k3sstep.Ahead {
		t.Errorf("newer than the server: got %v", err)
	}
	if err := start("v1.34.0+k3s1"); err != nil {
		t.Errorf("older than the server: %v", err)
	}
	api.Close()
	if err := start("v1.36.0+k3s1"); err != nil {
		t.Errorf("a server that is away does not keep its agent from starting: %v", err)
	}
}
