package turns

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"time"

	"imgbuild/init/contract/fault"
)

// Socket is where root on the server asks and resumes.
const Socket = "/run/shelf/upgrade-turns"

// Local serves the socket: who may connect is decided by its mode.
func (s *Server) Local() http.Handler {
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, v any, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(v) // who asked may be gone
	}
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) {
		state, err := s.State()
		reply(w, state, err)
	})
	mux.HandleFunc("POST /resume", func(w http.ResponseWriter, _ *http.Request) {
		versions, err := s.Resume()
		reply(w, versions, err)
	})
	return mux
}

// AskState returns what the server on this node knows.
func AskState(ctx context.Context) (*State, error) {
	s := &State{}
	return s, AskLocal(ctx, Socket, http.MethodGet, "/state", s)
}

// AskResume has the server on this node go on with versions that were stopped, and returns them.
func AskResume(ctx context.Context) ([]string, error) {
	versions := []string{}
	err := AskLocal(ctx, Socket, http.MethodPost, "/resume", &versions)
	return versions, err
}

// AskLocal asks the process on this server that serves the socket.
func AskLocal(ctx context.Context, socket, method, path string, out any) error {
	c := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://shelf"+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return fault.Wrap(err, fault.Usage, "run it on the first server of the cluster, where upgrade.auto is on", "this node does not keep whose turn it is")
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fault.New(fault.Unhealthy, "look at `shelf logs upgrade-turns`", "it answers %d", resp.StatusCode)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}
