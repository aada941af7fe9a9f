package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// secretOf is the password of a token: k3s writes K10HASH::USER:PASSWORD, people write PASSWORD (docs.k3s.io/cli/token). hash is
// of the server's root certificate, empty if the token has none.
func secretOf(token string) (password, hash string) {
	if rest, ok := strings.CutPrefix(token, "K10"); ok {
		if h, creds, ok := strings.Cut(rest, "::"); ok {
			_, pw, _ := strings.Cut(creds, ":")
			return pw, h
		}
	}
	return token, ""
}

// token is the configured one: given itself or in a file. Empty if there is none.
func (n *node) token() (string, error) {
	if t := n.get("token"); t != "" {
		return t, nil
	}
	file := n.get("token-file")
	if file == "" {
		return "", nil
	}
	data, err := os.ReadFile(n.root + file)
	return strings.TrimSpace(string(data)), err
}

// serverToken is the configured one, else the one of an earlier start, else a new one; it is left where k3s leaves it.
func (n *node) serverToken(ca *pair) (password string, err error) {
	t, err := n.token()
	if err != nil {
		return "", err
	}
	if t == "" {
		old, err := os.ReadFile(n.path("server/token"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		t = strings.TrimSpace(string(old))
	}
	if t == "" {
		t = random()
	}
	password, _ = secretOf(t)
	full := "K10" + hashOf(ca.certPEM) + "::server:" + password + "\n"
	if err := writeFile(n.path("server/token"), []byte(full), 0o600); err != nil {
		return "", err
	}
	return password, writeFile(n.path("server/node-token"), []byte(full), 0o600)
}

func hashOf(pem []byte) string {
	h := sha256.Sum256(pem)
	return hex.EncodeToString(h[:])
}

// api is the server's state.
type api struct {
	n        *node
	certs    certificates
	password string

	mu    sync.Mutex
	ready bool
	seen  map[string]time.Time // node -> last heartbeat
}

func (n *node) server(ctx context.Context) error {
	certs, err := n.certificates()
	if err != nil {
		return err
	}
	password, err := n.serverToken(certs.serverCA)
	if err != nil {
		return err
	}
	own, err := n.nodePassword()
	if err != nil {
		return err
	}
	a := &api{n: n, certs: certs, password: password, seen: map[string]time.Time{}}
	roots := x509.NewCertPool()
	roots.AddCert(certs.clientCA.cert)
	serving, err := tls.X509KeyPair(certs.api.certPEM, certs.api.keyPEM)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", n.api)
	if err != nil {
		return err
	}
	n.api = l.Addr().String()
	defer l.Close()
	if err := n.kubeconfig(certs); err != nil {
		return err
	}
	s := &http.Server{Handler: a.routes(), TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{serving}, ClientCAs: roots, ClientAuth: tls.VerifyClientCertIfGiven,
	}}
	failed := make(chan error, 1)
	go func() { failed <- s.ServeTLS(l, "", "") }()
	if err := a.register(n.name(), own); err != nil {
		return err
	}
	say("info", "k3s is up and running")
	if err := notify("READY=1"); err != nil {
		return err
	}
	// Readiness of the service is not readiness of the API: real k3s takes seconds more.
	beat := time.NewTicker(10 * time.Second)
	defer beat.Stop()
	up := time.After(n.pause)
	for {
		select {
		case <-up:
			a.mu.Lock()
			a.ready = true
			a.mu.Unlock()
		case <-beat.C:
			if err := a.register(n.name(), own); err != nil {
				return err
			}
		case err := <-failed:
			return err
		case <-ctx.Done():
			return s.Close()
		}
	}
}

func (a *api) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "pong") })
	mux.HandleFunc("GET /cacerts", func(w http.ResponseWriter, _ *http.Request) { w.Write(a.certs.serverCA.certPEM) })
	mux.HandleFunc("GET /v1-k3s/config", a.join)
	mux.HandleFunc("GET /readyz", a.admin(func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if !a.ready {
			http.Error(w, "[-]poststarthook/rbac/bootstrap-roles failed", http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, "ok")
	}))
	mux.HandleFunc("GET /api/v1/nodes", a.admin(a.nodes))
	return mux
}

// admin lets nobody in without a certificate of the client root: real k3s answers 401 too.
func (a *api) admin(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

// join is what an agent asks first: the token's password, and its own, which must stay the same for a name.
func (a *api) join(w http.ResponseWriter, r *http.Request) {
	_, password, _ := r.BasicAuth()
	if subtle.ConstantTimeCompare([]byte(password), []byte(a.password)) != 1 {
		http.Error(w, "not authorized", http.StatusUnauthorized)
		return
	}
	name := r.Header.Get("k3s-Node-Name")
	if name == "" || strings.ContainsAny(name, "/.\x00") {
		http.Error(w, "node name not set", http.StatusBadRequest)
		return
	}
	if err := a.register(name, r.Header.Get("k3s-Node-Password")); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	json.NewEncoder(w).Encode(map[string]string{"ClusterDomain": "cluster.local"})
}

// register notes a node; its password is kept on disk like k3s' node-password secrets.
func (a *api) register(name, password string) error {
	file := a.n.path("server/cred/nodes/" + name)
	old, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := writeFile(file, []byte(hashOf([]byte(password))), 0o600); err != nil {
			return err
		}
	case err != nil:
		return err
	case string(old) != hashOf([]byte(password)):
		return fmt.Errorf("Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match server node-passwd entry for %s", name)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen[name] = time.Now()
	return nil
}

// nodes lists them in the API's shape, as far as kubectl below reads it.
func (a *api) nodes(w http.ResponseWriter, _ *http.Request) {
	known, err := os.ReadDir(a.n.path("server/cred/nodes"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	list := nodeList{Kind: "NodeList"}
	for _, k := range known {
		var item nodeItem
		item.Metadata.Name = k.Name()
		ready := time.Since(a.seen[k.Name()]) < 40*time.Second
		item.Status.Conditions = []condition{{"Ready", map[bool]string{true: "True", false: "Unknown"}[ready]}}
		list.Items = append(list.Items, item)
	}
	json.NewEncoder(w).Encode(list)
}

type nodeList struct {
	Kind  string     `json:"kind"`
	Items []nodeItem `json:"items"`
}

type nodeItem struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Status struct {
		Conditions []condition `json:"conditions"`
	} `json:"status"`
}

type condition struct {
	Type   string `json:"type"`
	Status string `json:"status"`
}

// kubeconfig writes the administrator's access where k3s does.
func (n *node) kubeconfig(c certificates) error {
	mode := int64(0o600)
	if m := n.get("write-kubeconfig-mode"); m != "" {
		var err error
		if mode, err = strconv.ParseInt(m, 8, 32); err != nil {
			return fmt.Errorf("write-kubeconfig-mode: %w", err)
		}
	}
	_, port, err := net.SplitHostPort(n.api)
	if err != nil {
		return err
	}
	b64 := base64.StdEncoding.EncodeToString
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority-data: %s
    server: https://127.0.0.1:%s
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
    client-certificate-data: %s
    client-key-data: %s
`, b64(c.serverCA.certPEM), port, b64(c.admin.certPEM), b64(c.admin.keyPEM))
	return writeFile(n.root+"/etc/rancher/k3s/k3s.yaml", []byte(text), fs.FileMode(mode))
}
