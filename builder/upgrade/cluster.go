package upgrade

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"imgbuild/builder/remote"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

// drainLimit is how long pods have to leave a node, in seconds.
const drainLimit = 120

// cluster asks a server's kubectl, over ssh.
type cluster struct {
	hosts []string // servers, in the order in which they are asked
	login remote.Options
}

// kubectl runs it on the first server that can be logged in to, but not on avoid unless there is no
// other one.
func (c *cluster) kubectl(ctx context.Context, avoid string, words ...string) ([]byte, error) {
	command := "sudo k3s kubectl"
	for _, w := range words {
		command += " " + terminal.Quote(w)
	}
	var last error
	for _, pass := range []bool{false, true} {
		for _, host := range c.hosts {
			if (host == avoid) != pass {
				continue
			}
			n, err := remote.Dial(ctx, host, c.login)
			if err != nil {
				last = err
				continue
			}
			out, err := n.Output(ctx, command, nil)
			n.Close()
			if fault.Code(err) != int(fault.Network) {
				return out, err
			}
			last = err
		}
	}
	return nil, last
}

// members returns all nodes of the cluster.
func (c *cluster) members(ctx context.Context) ([]Member, error) {
	out, err := c.kubectl(ctx, "", "get", "nodes", "-o", "json")
	if err != nil {
		return nil, fault.Wrap(err, fault.Unhealthy, "", "asking the cluster for its nodes")
	}
	return parseMembers(out)
}

func parseMembers(text []byte) ([]Member, error) {
	var list struct {
		Items []struct {
			Metadata struct {
				Name   string
				Labels map[string]string
			}
			Spec   struct{ Unschedulable bool }
			Status struct {
				Conditions []struct{ Type, Status string }
			}
		}
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fault.New(fault.Unhealthy, "look at k3s on the server, or go on with drain=no", "kubectl returns no list of nodes: %w", err)
	}
	members := []Member{}
	for _, n := range list.Items {
		m := Member{Name: n.Metadata.Name, Cordoned: n.Spec.Unschedulable}
		_, m.Server = n.Metadata.Labels["node-role.kubernetes.io/control-plane"]
		for _, c := range n.Status.Conditions {
			m.Ready = m.Ready || c.Type == "Ready" && c.Status == "True"
		}
		members = append(members, m)
	}
	return members, nil
}

// drain moves the pods away from a node.
func (c *cluster) drain(ctx context.Context, host, name string) error {
	_, err := c.kubectl(ctx, host, "drain", name, "--ignore-daemonsets", "--delete-emptydir-data", fmt.Sprintf("--timeout=%ds", drainLimit))
	if err == nil {
		return nil
	}
	return fault.New(fault.Unhealthy, "move that pod, or go on with drain=no", "%s cannot be drained: %s", name, blocking(err.Error()))
}

// blocking picks the lines of kubectl that name pods, or returns the whole text.
func blocking(text string) string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if strings.Contains(line, "pod") && strings.Contains(line, "error") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	if len(lines) == 0 {
		return strings.Join(strings.Fields(text), " ")
	}
	return strings.Join(lines[:min(len(lines), 5)], "; ")
}

func (c *cluster) uncordon(ctx context.Context, host, name string) error {
	_, err := c.kubectl(ctx, host, "uncordon", name)
	return fault.Wrap(err, fault.Unhealthy, "run `kubectl uncordon "+name+"`", "%s is cordoned still", host)
}
