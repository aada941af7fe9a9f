package turns

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imgbuild/init/contract/fault"
)

// authority signs certificates as one of k3s' authorities does.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	text []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// sign makes a certificate and its key, as files have them.
func (a *authority) sign(t *testing.T, name, group string, usage x509.ExtKeyUsage, left time.Duration) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(left),
		ExtKeyUsage: []x509.ExtKeyUsage{usage}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if group != "" {
		template.Subject.Organization = []string{group}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, k.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func (a *authority) pair(t *testing.T, name, group string, usage x509.ExtKeyUsage, left time.Duration) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(a.sign(t, name, group, usage, left))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// rig is a server of a cluster, with its certificates where k3s has them.
type rig struct {
	t                *testing.T
	servers, clients *authority
	data, path       string
	synced           bool
	now              time.Time
	*Server
	host string
	stop func()
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, servers: newAuthority(t, "k3s-server-ca"), clients: newAuthority(t, "k3s-client-ca"), synced: true, now: began.Add(24 * time.Hour)}
	dir := t.TempDir()
	r.data, r.path = filepath.Join(dir, "k3s"), filepath.Join(dir, "shelf", "turns.json")
	r.put("client-ca.crt", r.clients.text)
	r.certify(r.servers, serverName)
	r.start()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *rig) put(name string, text []byte) {
	r.t.Helper()
	path := filepath.Join(r.data, "server", "tls", name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, text, 0o600)); err != nil {
		r.t.Fatal(err)
	}
}

// certify hands the server another certificate.
func (r *rig) certify(by *authority, name string) {
	r.t.Helper()
	cert, key := by.sign(r.t, name, "", x509.ExtKeyUsageServerAuth, time.Hour)
	r.put("serving-kube-apiserver.crt", cert)
	r.put("serving-kube-apiserver.key", key)
}

func (r *rig) start() {
	r.t.Helper()
	s, err := NewServer(r.data, r.path, func() bool { return r.synced }, func() time.Time { return r.now }, r.t.Logf)
	if err != nil {
		r.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	h := s.HTTP()
	h.ErrorLog = nil
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(tls.NewListener(l, s.TLS())) }()
	r.Server, r.host, r.stop = s, l.Addr().String(), func() {
		h.Close()
		<-ended
	}
}

func (r *rig) node(name string) *Client {
	return NewClient(r.host, r.clients.pair(r.t, userPrefix+name, nodesGroup, x509.ExtKeyUsageClientAuth, time.Hour), r.servers.pool())
}

// Nodes take turns over HTTPS; what was given survives a restart of the server; new certificates of
// k3s are taken without one.
func TestServe(t *testing.T) {
	r := newRig(t)
	w1, w2 := r.node("w1"), r.node("w2")
	send := func(c *Client, q Request) Answer {
		t.Helper()
		a, err := c.Send(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	send(w1, Request{Do: Look, Role: "worker", Running: "v1", Wants: "v2"})
	r.now = r.now.Add(Settle)
	if a := send(w1, take("worker", "v2")); !a.Granted || !a.Until.Equal(r.now.Add(300*time.Second+Extra)) {
		t.Fatalf("got %+v", a)
	}
	if a := send(w2, take("worker", "v2")); a.Granted {
		t.Fatalf("two at a time: %+v", a)
	}
	r.stop()
	r.start()
	w1, w2 = r.node("w1"), r.node("w2")
	if a := send(w2, take("worker", "v2")); a.Granted || !strings.Contains(a.Wait, "w1") {
		t.Errorf("after a restart: %+v", a)
	}
	r.certify(r.servers, serverName)
	if a := send(w1, Request{Do: RolledBack, Role: "worker", Running: "v1", Version: "v2", Blame: Own, Reason: "unhealthy: k3s", At: 1}); a.Stopped["v2"] == "" {
		t.Errorf("got %+v", a)
	}
	r.stop()
	r.start()
	if a := send(r.node("w2"), take("worker", "v2")); a.Granted || !strings.Contains(a.Stopped["v2"], "unhealthy: k3s") {
		t.Errorf("after another restart: %+v", a)
	}
	if list, err := r.Resume(); err != nil || fmt.Sprint(list) != "[v2]" {
		t.Errorf("resumed %v, %v", list, err)
	}
	if a := send(r.node("w2"), take("worker", "v2")); !a.Granted {
		t.Errorf("after the resume: %+v", a)
	}
	if s, err := r.State(); err != nil || s.Lease == nil || s.Lease.Node != "w2" || len(s.Nodes) != 2 {
		t.Errorf("got %+v, %v", s, err)
	}
}

// Only nodes of the cluster are answered, and nodes listen to none but its servers.
func TestStrangers(t *testing.T) {
	r := newRig(t)
	strange := newAuthority(t, "k3s-client-ca")
	const client = x509.ExtKeyUsageClientAuth
	look := Request{Do: Look, Role: "worker", Running: "v1"}
	for name, c := range map[string]*Client{
		"of another cluster":    NewClient(r.host, strange.pair(t, userPrefix+"w1", nodesGroup, client, time.Hour), r.servers.pool()),
		"without a certificate": NewClient(r.host, tls.Certificate{}, r.servers.pool()),
		"an administrator":      NewClient(r.host, r.clients.pair(t, "system:admin", "system:masters", client, time.Hour), r.servers.pool()),
		"in another group":      NewClient(r.host, r.clients.pair(t, userPrefix+"w1", "system:masters", client, time.Hour), r.servers.pool()),
		"without a name":        NewClient(r.host, r.clients.pair(t, userPrefix, nodesGroup, client, time.Hour), r.servers.pool()),
		"expired":               NewClient(r.host, r.clients.pair(t, userPrefix+"w1", nodesGroup, client, -time.Hour), r.servers.pool()),
		"a server's":            NewClient(r.host, r.servers.pair(t, userPrefix+"w1", nodesGroup, client, time.Hour), r.servers.pool()),
		"of the wrong use":      NewClient(r.host, r.clients.pair(t, userPrefix+"w1", nodesGroup, x509.ExtKeyUsageServerAuth, time.Hour), r.servers.pool()),
	} {
		if a, err := c.Send(t.Context(), look); fault.Code(err) != int(fault.Network) {
			t.Errorf("a node %s: got %+v, %v", name, a, err)
		}
	}
	if s, _ := r.State(); len(s.Nodes) != 0 {
		t.Errorf("it has answered %v, want length 0", s.Nodes)
	}
	for name, certify := range map[string]func(){
		"of another cluster": func() { r.certify(newAuthority(t, "k3s-server-ca"), serverName) },
		"an agent's kubelet": func() { r.certify(r.servers, "w2") },
	} {
		certify()
		if a, err := r.node("w1").Send(t.Context(), look); fault.Code(err) != int(fault.Network) {
			t.Errorf("a server %s: got %+v, %v", name, a, err)
		}
	}
	r.certify(r.servers, serverName)
	if _, err := r.node("w1").Send(t.Context(), look); err != nil {
		t.Error(err)
	}
}

// What is no request is refused, and changes nothing.
func TestRequests(t *testing.T) {
	r := newRig(t)
	post := func(method, path, body string) int {
		t.Helper()
		q := httptest.NewRequest(method, path, strings.NewReader(body))
		cert := &x509.Certificate{Subject: pkix.Name{CommonName: userPrefix + "w1", Organization: []string{nodesGroup}}}
		q.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
		w := httptest.NewRecorder()
		r.ServeHTTP(w, q)
		return w.Code
	}
	const good = `{"do":"look","role":"worker","running":"v1"}`
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", route, good, http.StatusOK},
		{"GET", route, "", http.StatusMethodNotAllowed},
		{"POST", "/", good, http.StatusNotFound},
		{"POST", route, "{", http.StatusBadRequest},
		{"POST", route, `{"do":"stop"}`, http.StatusBadRequest},
		{"POST", route, `{"do":"take","role":"worker"}`, http.StatusBadRequest},
		{"POST", route, `{"do":"take","version":"v2","deadline":-1}`, http.StatusBadRequest},
		{"POST", route, `{"do":"rolled back","version":"v2","blame":"fate"}`, http.StatusBadRequest},
		{"POST", route, good + strings.Repeat(" ", maxRequest), http.StatusBadRequest},
	} {
		if got := post(c.method, c.path, c.body); got != c.want {
			t.Errorf("%s %s %.60q: got %d, want %d", c.method, c.path, c.body, got, c.want)
		}
	}
	r.synced = false
	if got := post("POST", route, good); got != http.StatusServiceUnavailable {
		t.Errorf("with a clock that nobody confirmed: %d", got)
	}
	r.synced = true
	// What cannot be kept is not answered with a yes.
	if err := errors.Join(os.RemoveAll(filepath.Dir(r.path)), os.WriteFile(filepath.Dir(r.path), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(Settle)
	if got := post("POST", route, `{"do":"take","role":"server","running":"v1","version":"v2","deadline":300}`); got != http.StatusInternalServerError {
		t.Errorf("without a disk: %d", got)
	}
	if s, _ := r.State(); s.Lease != nil {
		t.Errorf("given all the same: %+v, want nil", s.Lease)
	}
	if err := errors.Join(os.Remove(filepath.Dir(r.path)), os.MkdirAll(filepath.Dir(r.path), 0o700), os.WriteFile(r.path, []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := NewServer(r.data, r.path, nil, time.Now, t.Logf); fault.Code(err) != int(fault.Device) {
		t.Errorf("a damaged state: %v, want code %v", err, int(fault.Device))
	}
}

// Root on the server asks and resumes over a socket.
func TestLocal(t *testing.T) {
	r := newRig(t)
	r.answer("w1", Request{Do: RolledBack, Role: "worker", Running: "v1", Version: "v2", Blame: Own, At: 1})
	dir, err := os.MkdirTemp("", "turns") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	var state State
	if err := AskLocal(t.Context(), socket, http.MethodGet, "/state", &state); fault.Code(err) != int(fault.Usage) {
		t.Errorf("nobody is there: %v, want code %v", err, int(fault.Usage))
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: r.Local()}
	go h.Serve(l)
	defer h.Close()
	if err := AskLocal(t.Context(), socket, http.MethodGet, "/state", &state); err != nil || state.Versions["v2"].Stopped == "" {
		t.Errorf("got %+v, %v", state, err)
	}
	var resumed []string
	if err := AskLocal(t.Context(), socket, http.MethodPost, "/resume", &resumed); err != nil || fmt.Sprint(resumed) != "[v2]" {
		t.Errorf("got %v, %v", resumed, err)
	}
	if err := AskLocal(t.Context(), socket, http.MethodGet, "/resume", &resumed); fault.Code(err) != int(fault.Unhealthy) {
		t.Errorf("a look resumes: %v, want code %v", err, int(fault.Unhealthy))
	}
}

// Whatever comes as a request, read gives an error or something within its bounds.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"do":"take","role":"worker","version":"v2","deadline":300}`))
	f.Add([]byte(`{"do":"rolled back","version":"v2","blame":"own","at":-1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := read(io.Reader(bytes.NewReader(data)))
		if err == nil && (len(q.Reason) > 300 || len(q.Version) > 300 || q.Deadline < 0 || q.Do != Look && q.Version == "") {
			t.Errorf("%+v", q)
		}
	})
}
