package turns

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
)

// Port is where a server answers, see images/server.yaml.
const Port = "6450"

// Path is where a server keeps its state.
const Path = "/var/lib/shelf/upgrade/turns.json"

// route is the one address of the service.
const route = "/v1/turn"

// maxRequest bounds a request in bytes.
const maxRequest = 8 << 10

// Server keeps the state of a cluster and answers its nodes.
type Server struct {
	data   string // k3s' data directory
	path   string
	synced func() bool // the clock was set by a time server
	now    func() time.Time
	say    func(format string, a ...any)

	mu    sync.Mutex
	state State
	began time.Time
}

// NewServer reads the state at path. data is k3s' data directory, whose certificates are read again
// with every connection: k3s renews them.
func NewServer(data, path string, synced func() bool, now func() time.Time, say func(format string, a ...any)) (*Server, error) {
	s := &Server{data: data, path: path, synced: synced, now: now, say: say, began: now()}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &s.state)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(err, fault.Device, "remove the file; versions that were stopped are tried again then", "who may upgrade, %s", path)
	}
	s.state.Begin(s.began)
	return s, nil
}

// TLS is how it listens: as the API server of its cluster, for nodes of the cluster alone.
func (s *Server) TLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		dir := filepath.Join(s.data, "server", "tls")
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "serving-kube-apiserver.crt"), filepath.Join(dir, "serving-kube-apiserver.key"))
		if err != nil {
			return nil, fmt.Errorf("k3s' serving certificate: %w", err)
		}
		nodes, err := pool(filepath.Join(dir, "client-ca.crt"))
		if err != nil {
			return nil, err
		}
		return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: nodes}, nil
	}}
}

func pool(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("k3s' certificate authority: %w", err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("k3s' certificate authority %s holds no certificate", file)
	}
	return p, nil
}

// HTTP is the server for a listener of TLS.
func (s *Server) HTTP() *http.Server {
	return &http.Server{Handler: s, ReadTimeout: 20 * time.Second, WriteTimeout: 20 * time.Second, IdleTimeout: 20 * time.Second, MaxHeaderBytes: 16 << 10}
}

// userPrefix is in front of a node's name in its kubelet's certificate, nodesGroup is in it.
const (
	userPrefix = "system:node:"
	nodesGroup = "system:nodes"
)

// nodeOf is the name of the node whose certificate a connection has shown; empty for none.
func nodeOf(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return ""
	}
	subject := r.TLS.PeerCertificates[0].Subject
	name, ok := strings.CutPrefix(subject.CommonName, userPrefix)
	if !ok || len(name) > 253 || !slices.Contains(subject.Organization, nodesGroup) {
		return ""
	}
	return name
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	node := nodeOf(r)
	switch {
	case node == "":
		http.Error(w, "this is for nodes of the cluster", http.StatusForbidden)
		return
	case r.URL.Path != route:
		http.NotFound(w, r)
		return
	case r.Method != http.MethodPost:
		http.Error(w, "POST", http.StatusMethodNotAllowed)
		return
	case !s.synced():
		http.Error(w, "the time of this server comes from no time server", http.StatusServiceUnavailable)
		return
	}
	q, err := read(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a, err := s.answer(node, q)
	if err != nil {
		s.say("%v", err)
		http.Error(w, "the state cannot be kept", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a) // a node that is gone asks again
}

// read reads a request and checks its bounds.
func read(r io.Reader) (q Request, err error) {
	text, err := io.ReadAll(io.LimitReader(r, maxRequest+1))
	if err != nil {
		return q, err
	}
	if len(text) > maxRequest {
		return q, fmt.Errorf("a request of more than %d bytes", maxRequest)
	}
	if err := json.Unmarshal(text, &q); err != nil {
		return q, err
	}
	known := []string{Look, Take, Renew, Committed, RolledBack, Released}
	if !slices.Contains(known, q.Do) || q.Do != Look && q.Version == "" || q.Deadline < 0 || q.At < 0 {
		return q, fmt.Errorf("%q is no request, or lacks its version", q.Do)
	}
	if q.Do == RolledBack && !slices.Contains([]string{Open, Own, External}, q.Blame) {
		return q, fmt.Errorf("a rollback with the blame %q", q.Blame)
	}
	for _, word := range []*string{&q.Role, &q.Running, &q.Wants, &q.Version, &q.Reason} {
		*word = (*word)[:min(len(*word), 300)]
	}
	return q, nil
}

// answer handles a request, and keeps what it changes before it is answered.
func (s *Server) answer(node string, q Request) (Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := s.state.clone()
	if err != nil {
		return Answer{}, err
	}
	a, changed := next.Handle(node, q, s.now().UTC().Round(0), s.began)
	if changed {
		if err := next.save(s.path); err != nil {
			return Answer{}, err
		}
	}
	s.state = *next
	if q.Do != Look {
		s.say("%s: %s %s: granted %v %s", node, q.Do, q.Version, a.Granted, a.Wait)
	}
	return a, nil
}

func (s *State) clone() (*State, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	c := &State{}
	return c, json.Unmarshal(text, c)
}

func (s *State) save(path string) error {
	text, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(path, append(text, '\n'), 0o600)
}

// Resume lets nodes upgrade to what was stopped.
func (s *Server) Resume() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := s.state.clone()
	if err != nil {
		return nil, err
	}
	versions := next.Resume()
	if len(versions) > 0 {
		if err := next.save(s.path); err != nil {
			return nil, err
		}
	}
	s.state = *next
	return versions, nil
}

// State is a copy of what is known.
func (s *Server) State() (*State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.clone()
}
