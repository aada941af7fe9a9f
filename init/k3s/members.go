package k3s

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"imgbuild/init/contract/config"
)

// Member is a node of the cluster, as the API of this server knows it.
type Member struct {
	Name    string `json:"name"`
	Version string `json:"version"` // of its kubelet: k3s'
	Server  bool   `json:"server"`
	Etcd    bool   `json:"etcd"` // it holds a part of etcd
}

// Members asks the API of this server, which must be up, for the nodes of the cluster.
func Members(ctx context.Context, cfg *config.Config) ([]Member, error) {
	list, err := administrators(cfg)
	for _, c := range list {
		var all []Member
		if all, err = c.members(ctx); err == nil {
			return all, nil
		}
	}
	return nil, err
}

func (c cluster) members(ctx context.Context) ([]Member, error) {
	var all []Member
	for next := ""; ; {
		var list struct {
			Metadata struct {
				Continue string `json:"continue"`
			} `json:"metadata"`
			Items []struct {
				Metadata struct {
					Name   string            `json:"name"`
					Labels map[string]string `json:"labels"`
				} `json:"metadata"`
				Status struct {
					NodeInfo struct {
						KubeletVersion string `json:"kubeletVersion"`
					} `json:"nodeInfo"`
				} `json:"status"`
			} `json:"items"`
		}
		// Some of a cluster's nodes at a time: each carries the list of its images.
		path := "/api/v1/nodes?limit=20"
		if next != "" {
			path += "&continue=" + url.QueryEscape(next)
		}
		if err := c.do(ctx, http.MethodGet, path, "", nil, &list); err != nil {
			return nil, err
		}
		for _, i := range list.Items {
			m := Member{Name: i.Metadata.Name, Version: i.Status.NodeInfo.KubeletVersion}
			for label := range i.Metadata.Labels {
				role, ok := strings.CutPrefix(label, "node-role.kubernetes.io/")
				m.Server = m.Server || ok && (role == "control-plane" || role == "master")
				m.Etcd = m.Etcd || ok && role == "etcd"
			}
			all = append(all, m)
		}
		if next = list.Metadata.Continue; next == "" {
			return all, nil
		}
	}
}
