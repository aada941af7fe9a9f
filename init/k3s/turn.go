package k3s

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"

	"imgbuild/init/base/turn"
	"imgbuild/init/contract/config"
)

// turns is the lease (coordination.k8s.io/v1) that a server holds while it restarts k3s by itself.
const turns = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"

const (
	turnName  = "shelf-restart"
	turnLimit = 15 * time.Minute // a holder that is gone for longer has lost it
)

// lease is the part of the object that matters here.
type lease struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Metadata   leaseMeta `json:"metadata"`
	Spec       leaseSpec `json:"spec"`
}

type leaseMeta struct {
	Name            string `json:"name"`
	Namespace       string `json:"namespace"`
	ResourceVersion string `json:"resourceVersion,omitempty"`
}

type leaseSpec struct {
	Holder   string `json:"holderIdentity"`
	Seconds  int    `json:"leaseDurationSeconds"`
	Acquired string `json:"acquireTime,omitempty"`
	Renewed  string `json:"renewTime,omitempty"`
}

// microTime is how Kubernetes writes the times of a lease.
const microTime = "2006-01-02T15:04:05.000000Z07:00"

// cluster asks the API of the node's own server as the administrator.
type cluster struct {
	client *http.Client
	base   string // https://127.0.0.1:6443
}

// administrators give the ways to the API, in the order in which they are tried: the server's own,
// and the one that its kubelet uses, which leads to other servers where this one runs none
// (--disable-apiserver) or listens elsewhere (--bind-address).
func administrators(cfg *config.Config) ([]cluster, error) {
	c, err := adminClient(filepath.Join(dataDir(cfg), "server", "tls"))
	if err != nil {
		return nil, err
	}
	list := []cluster{{c, "https://127.0.0.1:" + flag(cfg, "https-listen-port", "", "6443")}}
	if kubelet, err := kubeletOf(dataDir(cfg)); err == nil && kubelet.base != list[0].base {
		list = append(list, cluster{c, kubelet.base})
	}
	return list, nil
}

// takeTurn asks for the turn to restart, by the first way on which somebody answers.
func takeTurn(ctx context.Context, cfg *config.Config, node string, now time.Time) (mine bool, err error) {
	list, err := administrators(cfg)
	for _, c := range list {
		if mine, err = c.take(ctx, node, now); err == nil {
			return mine, nil
		}
	}
	return false, err
}

// giveTurnBack is its opposite.
func giveTurnBack(ctx context.Context, cfg *config.Config, node string) error {
	list, err := administrators(cfg)
	for _, c := range list {
		if err = c.giveBack(ctx, node); err == nil {
			return nil
		}
	}
	return err
}

// errStatus is an answer of the API other than yes.
type errStatus struct {
	code int
	text string
}

func (e errStatus) Error() string {
	return fmt.Sprintf("the API server answers %d: %s", e.code, e.text)
}

// do sends in, and reads the answer into out; either may be nil.
func (c cluster) do(ctx context.Context, method, path, kind string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", kind)
	resp, err := c.client.Do(req)
	if err != nil {
		return fmt.Errorf("the API server does not answer: %w", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case resp.StatusCode/100 != 2:
		return errStatus{resp.StatusCode, string(bytes.TrimSpace(data[:min(len(data), 200)]))}
	case err != nil || out == nil:
		return err
	}
	return json.Unmarshal(data, out)
}

// take asks for the turn to restart and reports whether the node has it now: of several servers
// only one does at a time.
func (c cluster) take(ctx context.Context, node string, now time.Time) (bool, error) {
	var have lease
	err := c.do(ctx, http.MethodGet, turns+"/"+turnName, "", nil, &have)
	var status errStatus
	fresh := errors.As(err, &status) && status.code == http.StatusNotFound
	if err != nil && !fresh {
		return false, err
	}
	if !fresh && have.held(now) && have.Spec.Holder != node {
		return false, nil
	}
	stamp := now.UTC().Format(microTime)
	want := lease{"coordination.k8s.io/v1", "Lease", leaseMeta{turnName, "kube-system", have.Metadata.ResourceVersion},
		leaseSpec{node, int(turnLimit.Seconds()), stamp, stamp}}
	method, path := http.MethodPut, turns+"/"+turnName
	if fresh {
		method, path = http.MethodPost, turns
	}
	err = c.do(ctx, method, path, "application/json", want, nil)
	if errors.As(err, &status) && status.code == http.StatusConflict {
		return false, nil // another one was faster
	}
	return err == nil, err
}

// held reports whether somebody holds the turn. One that was taken in the future was taken with a
// wrong clock.
func (l lease) held(now time.Time) bool {
	at, err := time.Parse(time.RFC3339Nano, l.Spec.Renewed)
	length := time.Duration(l.Spec.Seconds) * time.Second
	return err == nil && l.Spec.Holder != "" && now.Before(at.Add(length)) && turn.Credible(at, now, length)
}

// giveBack ends the node's turn.
func (c cluster) giveBack(ctx context.Context, node string) error {
	var have lease
	if err := c.do(ctx, http.MethodGet, turns+"/"+turnName, "", nil, &have); err != nil || have.Spec.Holder != node {
		return err
	}
	have.APIVersion, have.Kind, have.Spec.Holder = "coordination.k8s.io/v1", "Lease", ""
	return c.do(ctx, http.MethodPut, turns+"/"+turnName, "application/json", have, nil)
}
