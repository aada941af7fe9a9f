package serve

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/storage/nfs"
)

// Where the kernel's NFS server shows its clients, and whether the time in which they take back
// their locks is over.
const (
	nfsClients = "/proc/fs/nfsd/clients"
	nfsGrace   = "/proc/fs/nfsd/v4_end_grace"
)

// peersFile keeps the clients of the NFS server, with the data. nfsdcld has them too, by names that
// only it can read.
const peersFile = "nfs-clients.json"

// graceOver reports whether the NFS server serves new locks and opens; true while it does not run.
func (s *Server) graceOver() bool {
	if st, ok := s.Super.State(nfsd); !ok || !st.Ready {
		return true
	}
	text, err := os.ReadFile(nfsGrace)
	return err != nil || strings.TrimSpace(string(text)) != "N"
}

// Awaited are the clients that the NFS server waits for: they were there before it was started and
// have not come back to take back their locks. Until then, at most for storage.nfs.grace, nobody
// can open a file by NFS.
func (s *Server) Awaited() []nfs.Peer {
	if s.graceOver() {
		return nil
	}
	now, err := nfs.Clients(os.DirFS(nfsClients))
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return nfs.Away(s.peers, now)
}

// keepPeers notes who the clients are. It writes only when one came or went.
func (s *Server) keepPeers() {
	if !s.graceOver() {
		return
	}
	now, err := nfs.Clients(os.DirFS(nfsClients))
	if err != nil {
		return
	}
	s.mu.Lock()
	same := slices.EqualFunc(now, s.peers, func(a, b nfs.Peer) bool { return a.Name == b.Name })
	s.peers = now
	state := s.state
	s.mu.Unlock()
	if same || state == "" {
		return
	}
	data, err := json.Marshal(now)
	if err == nil {
		err = atomicfile.Write(filepath.Join(state, peersFile), append(data, '\n'), 0o600)
	}
	if err != nil {
		s.Say("the clients of the NFS server are not noted: %v", err)
	}
}

// loadPeers reads who they were before the boot. A file that cannot be read costs a line of the
// status and nothing else.
func (s *Server) loadPeers(state string) {
	data, err := os.ReadFile(filepath.Join(state, peersFile))
	var list []nfs.Peer
	if err != nil || json.Unmarshal(data, &list) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peers == nil {
		s.peers = list
	}
}
