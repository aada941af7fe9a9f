package k3s

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"imgbuild/init/base/cgroup"
	"imgbuild/init/contract/checks"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/status/health"
	"imgbuild/init/supervise"
)

// pki makes what k3s makes below server/tls: an authority and an administrator's certificate.
func pki(t *testing.T, dir string) (ca *x509.Certificate, key *ecdsa.PrivateKey) {
	t.Helper()
	issue := func(tmpl *x509.Certificate, parent *x509.Certificate, pub *ecdsa.PublicKey, signer *ecdsa.PrivateKey) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, signer)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "k3s-server-ca"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	ca = issue(root, root, &key.PublicKey, key)
	adminKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	admin := issue(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "system:admin"}, NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, ca, &adminKey.PublicKey, key)
	der, err := x509.MarshalECPrivateKey(adminKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"server-ca.crt":    {Type: "CERTIFICATE", Bytes: ca.Raw},
		"client-admin.crt": {Type: "CERTIFICATE", Bytes: admin.Raw},
		"client-admin.key": {Type: "EC PRIVATE KEY", Bytes: der},
	} {
		put(t, filepath.Join(dir, name), string(pem.EncodeToMemory(block)))
	}
	return ca, key
}

func TestProbeServer(t *testing.T) {
	data := t.TempDir()
	cfg := &config.Config{K3OS: config.K3OS{K3sArgs: []string{"server", "--data-dir=" + data}}}
	if err := Probe(t.Context(), cfg, Server); err == nil || !strings.Contains(err.Error(), "has not made its certificates yet") {
		t.Errorf("got %v", err)
	}
	ca, key := pki(t, filepath.Join(data, "server/tls"))
	body, code := "[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/x failed: reason withheld\nreadyz check failed\n", 500
	var user string
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			code = 404
		}
		user = r.TLS.PeerCertificates[0].Subject.CommonName
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
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
	api.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: serverKey}}}
	api.StartTLS()
	defer api.Close()
	u, _ := url.Parse(api.URL)
	cfg.K3OS.K3sArgs = append(cfg.K3OS.K3sArgs, "--https-listen-port", u.Port())
	if err := Probe(t.Context(), cfg, Server); err == nil || err.Error() != "the API server answers 500 Internal Server Error: etcd, poststarthook/x" {
		t.Errorf("got %v", err)
	}
	body, code = "ok", 200
	kubelet := http.StatusServiceUnavailable
	health := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(kubelet) }))
	defer health.Close()
	ask := func() error { return probe(t.Context(), cfg, Server, health.URL+"/healthz") }
	if err := ask(); err == nil || err.Error() != "the kubelet answers 503 Service Unavailable" || user != "system:admin" {
		t.Errorf("a server is good before its kubelet is: %v as %q", err, user)
	}
	cfg.K3OS.K3sArgs = append(cfg.K3OS.K3sArgs, "--disable-agent")
	if err := ask(); err != nil {
		t.Errorf("a server without a kubelet: %v", err)
	}
	cfg.K3OS.K3sArgs = cfg.K3OS.K3sArgs[:len(cfg.K3OS.K3sArgs)-1]
	kubelet = http.StatusOK
	if err := ask(); err != nil {
		t.Error(err)
	}
	if err := probe(t.Context(), &config.Config{}, Worker, health.URL); err != nil {
		t.Error(err)
	}
	// A stranger on the port is not believed.
	pki(t, filepath.Join(data, "server/tls"))
	if err := Probe(t.Context(), cfg, Server); err == nil {
		t.Error("a server with another authority was believed")
	}
}

func TestUnit(t *testing.T) {
	m := &manifest.K3s{Version: "v1.35.0+k3s1", Source: "embedded"}
	cfg := &config.Config{}
	n := Node{Config: func() *config.Config { return cfg }, Manifest: m, Role: Worker, Hostname: "h"}
	u, _, err := Unit(n)
	if err != nil {
		t.Fatal(err)
	}
	var waiting *supervise.Waiting
	if err := u.Prepare(t.Context(), nil); !errors.As(err, &waiting) || !strings.HasPrefix(waiting.What, "server_url and token are missing: ") {
		t.Errorf("got %v", err)
	}
	if _, _, err := u.Arguments(); err == nil {
		t.Error("started unprepared")
	}
	// The supervisor accepts it, and shows what is missing.
	s := supervise.New(supervise.Options{RunDir: t.TempDir()})
	if err := s.Add(u); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for st, _ := s.State(Name); st.String() != "k3s: waiting: server_url and token are missing: set k3os.server_url and k3os.token in BOOT/config.yaml"; st, _ = s.State(Name) {
		if ctx.Err() != nil {
			t.Fatalf("state %s", st)
		}
		time.Sleep(time.Millisecond)
	}
	st, _ := s.State(Name)
	v := health.Judge([]string{checks.K3s, checks.Kubelet}, health.Facts{Units: []supervise.State{st}})
	if v.State != health.Waiting || len(v.Why) != 1 || !strings.Contains(v.Why[0], "server_url and token are missing") {
		t.Errorf("health: got %+v", v)
	}
	for role, want := range map[string][]string{Worker: {checks.Kubelet}, Server: {checks.Kubelet, checks.API}} {
		var got []string
		for _, probe := range Probes(n.Config, role) {
			got = append(got, probe.Check)
			if err := probe.Ask(ctx); err == nil {
				t.Errorf("a %s without k3s answers its probe %s", role, probe.Check)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("probes of a %s: got %q, want %q", role, got, want)
		}
	}
	if err := s.Stop(ctx); err != nil {
		t.Error(err) // never started: nothing to finish, no pods to look for
	}
	n.Role = "storage"
	if _, _, err := Unit(n); err == nil {
		t.Error("a role without k3s got a unit")
	}
	n.Role, n.Manifest = Server, &manifest.K3s{Source: "none"}
	if _, _, err := Unit(n); err == nil {
		t.Error("an image without k3s got a unit")
	}
}

// fakePods is a kubepods group made of files; a signal edits them.
type fakePods struct {
	mu      sync.Mutex
	dir     string
	alive   map[int]string // pid -> comm
	deaf    map[int]bool
	signals []int
}

func (f *fakePods) write(t *testing.T) {
	var list string
	for pid, name := range f.alive {
		list += strconv.Itoa(pid) + "\n"
		put(t, filepath.Join(f.dir, "proc", strconv.Itoa(pid), "comm"), name+"\n")
	}
	put(t, filepath.Join(f.dir, "kubepods/pod1/cgroup.procs"), list)
}

func TestStopPods(t *testing.T) {
	f := &fakePods{dir: t.TempDir(), alive: map[int]string{10: "pause", 11: "nginx", 12: "sh"}, deaf: map[int]bool{12: true}}
	for _, g := range []string{"kubepods", "kubepods/pod1", "k3s"} {
		put(t, filepath.Join(f.dir, g, "cgroup.procs"), "")
		put(t, filepath.Join(f.dir, g, "cgroup.kill"), "")
		put(t, filepath.Join(f.dir, g, "cgroup.events"), "populated 0\n")
	}
	put(t, filepath.Join(f.dir, "cgroup.controllers"), "cpu\n")
	put(t, filepath.Join(f.dir, "cgroup.procs"), "")
	put(t, filepath.Join(f.dir, "cgroup.subtree_control"), "")
	put(t, filepath.Join(f.dir, "shelf/cgroup.subtree_control"), "")
	tree, err := cgroup.Open(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	f.write(t)
	put(t, filepath.Join(f.dir, "proc/self/mountinfo"), `20 1 0:20 / / rw - ext4 /dev/x rw
30 20 0:30 / /run/netns/cni-1 rw - nsfs nsfs rw
31 20 0:31 / /run/k3s/containerd/a/rootfs rw - overlay overlay rw
32 20 0:32 / /var/lib/kubelet/pods/1/volumes/my\040vol rw - tmpfs tmpfs rw
33 32 0:33 / /var/lib/kubelet/pods/1/volumes/my\040vol/in rw - tmpfs tmpfs rw
34 20 0:34 / /var/lib/kubeletX rw - tmpfs tmpfs rw
`)
	var unmounted []string
	p := pods{
		kubepods: tree.Group("kubepods"), rest: []*cgroup.Group{tree.Group("k3s"), tree.Group("shelf/k3s")},
		proc: filepath.Join(f.dir, "proc"), grace: 300 * time.Millisecond,
		signal: func(pid int, sig syscall.Signal) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.signals = append(f.signals, pid)
			if sig != syscall.SIGTERM {
				t.Errorf("signal %v, want %v", sig, syscall.SIGTERM)
			}
			if !f.deaf[pid] {
				delete(f.alive, pid)
				f.write(t)
			}
		},
		unmount: func(path string) error { unmounted = append(unmounted, path); return nil },
	}
	if err := p.stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Each once, the sandbox not at all; the deaf one is the group kill's.
	if !reflect.DeepEqual(f.signals, []int{11, 12}) {
		t.Errorf("signalled %v", f.signals)
	}
	for _, g := range []string{"kubepods", "k3s"} {
		if got, _ := os.ReadFile(filepath.Join(f.dir, g, "cgroup.kill")); string(got) != "1" {
			t.Errorf("%s was not killed: %q", g, got)
		}
	}
	want := []string{"/var/lib/kubelet/pods/1/volumes/my vol/in", "/var/lib/kubelet/pods/1/volumes/my vol", "/run/k3s/containerd/a/rootfs", "/run/netns/cni-1"}
	if !reflect.DeepEqual(unmounted, want) {
		t.Errorf("unmounted %q", unmounted)
	}
}
