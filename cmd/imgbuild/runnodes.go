package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"imgbuild/builder/guests"
	"imgbuild/builder/image"
	"imgbuild/builder/order"
	"imgbuild/builder/recipe"
	"imgbuild/builder/sshkey"
	"imgbuild/builder/token"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/userfile"
	"imgbuild/qemu/tool"
	"imgbuild/qemu/vm"
)

// runNodes runs several nodes in one network. o is the machine of the first of them.
func runNodes(ctx context.Context, a *line.Args, r *recipe.Asked, o vm.Options, count int, shown bool) error {
	switch {
	case count > guests.Most:
		return fault.New(fault.Usage, fmt.Sprintf("give a number up to %d", guests.Most), "nodes=%d are too many", count)
	case a.Values["image"] != "":
		return fault.New(fault.Usage, "leave one of them out", "image= is one node's, and nodes= are built, each with its address")
	case shown:
		return fault.New(fault.Usage, "leave one of them out", "console=yes is for one node")
	}
	p, err := planOfNodes(ctx, a, r, count)
	if err != nil {
		return err
	}
	nodes, err := p.Nodes()
	if err != nil {
		return err
	}
	dir, err := tool.Scratch("run")
	if err != nil {
		return fault.Wrap(err, fault.Device, "", "making a directory for the guests' disks")
	}
	defer dir.Remove()
	s := newScreen(os.Stderr)
	options := make([]vm.Options, count)
	disks, err := keptDisks(a, count)
	for _, d := range disks {
		defer d.Close()
	}
	if err != nil {
		return err
	}
	for i, n := range nodes {
		g := o
		g.Name, g.Dir = n.Name, dir.Path
		if i > 0 && n.Role != nodes[0].Role { // a worker, of a server
			g.Ports = nil
			if a.Values["memory"] == "" {
				g.Memory = 0
			}
		}
		if disks != nil && !disks[i].Fresh {
			g.Image, g.Kept = disks[i].Name, true
			options[i] = g
			continue
		}
		if g.Image, err = imageOfNode(ctx, a, p, n, dir.Path, s); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
		g.Private = true
		if disks != nil {
			if err := disks[i].Fill(g.Image, g.Size); err != nil {
				return err
			}
			g.Image, g.Private, g.Kept = disks[i].Name, false, true
		}
		options[i] = g
	}
	tool.Configure(tool.Settings{CacheDir: a.Values["cache"], Mirror: a.Values["mirror"], Progress: s.Progress})
	return startNodes(ctx, r, nodes, options, s)
}

// planOfNodes reads what all nodes have: the configuration, or else keys.
func planOfNodes(ctx context.Context, a *line.Args, r *recipe.Asked, count int) (p guests.Plan, err error) {
	p = guests.Plan{Role: r.Role.Name, Count: count, K3s: r.Slot.K3s && a.Values["k3s"] != recipe.NoK3s, Name: "the configuration", Token: token.New()}
	if file := a.Values["config"]; file != "" {
		if a.Values["key"] != "" {
			return p, fault.New(fault.Usage, "put the key under ssh_authorized_keys of the configuration", "key= is for nodes without config=")
		}
		p.Name = file
		if p.Base, err = userfile.Read("config", file); err != nil {
			return p, err
		}
		_, err = image.CheckConfig(file, r, false, nil, image.Source{Name: file, Data: p.Base})
		return p, err
	}
	keys, err := loginKeys(ctx, a)
	if err == nil && keys != nil {
		p.Base, err = image.KeyConfig(r.Role.Name, sshkey.Lines(keys))
	}
	return p, err
}

// keptDisks are the disks of keep=, all of them there or none; nil without it.
func keptDisks(a *line.Args, count int) (list []*vm.KeptDisk, err error) {
	fresh := 0
	for i := range count {
		d, err := keptDisk(a, fmt.Sprintf("-%d", i+1))
		if err != nil || d == nil {
			return list, err
		}
		list = append(list, d)
		if d.Fresh {
			fresh++
		}
	}
	if fresh > 0 && fresh < count {
		return list, fault.New(fault.Input, "give another name, or remove the disks that are there", "of the %d disks of keep=%s only %d are there", count, a.Values["keep"], count-fresh)
	}
	return list, nil
}

// imageOfNode builds the image of a node.
func imageOfNode(ctx context.Context, a *line.Args, p guests.Plan, n guests.Node, dir string, s *screen) (string, error) {
	file, err := p.Write(n, dir)
	if err != nil {
		return "", err
	}
	o := order.Order{Plan: planOf(a), Config: file, Out: cmp.Or(a.Values["out"], "out")}
	o.Role = n.Role
	return buildWith(ctx, a, o, s)
}

// startNodes starts all nodes and waits for their end. How to log in is printed when all run, and
// again for each that is up.
func startNodes(ctx context.Context, r *recipe.Asked, nodes []guests.Node, options []vm.Options, s *screen) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	width := 0
	for _, n := range nodes {
		width = max(width, len(n.Name))
	}
	var hub vm.Hub
	var mu sync.Mutex // of what is printed
	running := make([]*vm.VM, len(nodes))
	started := make(chan struct{})
	reach := func(i int) {
		if api := running[i].Forward[apiPort]; api != "" {
			fmt.Fprintf(os.Stderr, "once k3s is up: imgbuild kubeconfig 127.0.0.1:%s address=%s name=%s\n", port(running[i].Forward[22]), api, nodes[i].Name)
		}
		fmt.Fprintf(os.Stderr, "%-*s  %-10s  ssh rancher@127.0.0.1 -p %-13s Ctrl-C ends all\n", width, nodes[i].Name, nodes[i].Address, port(running[i].Forward[22]))
	}
	for i, n := range nodes {
		end, err := hub.Plug(n.MAC)
		if err != nil {
			return fault.Wrap(err, fault.Device, "", "the network between the nodes")
		}
		options[i].Links = []*vm.Link{end}
		options[i].Console = vm.NewQuiet(os.Stdout, fmt.Sprintf("%-*s  ", width, n.Name), func() {
			select {
			case <-started:
			case <-ctx.Done():
				return
			}
			mu.Lock()
			defer mu.Unlock()
			reach(i)
		})
		if running[i], err = vm.Start(ctx, options[i]); err != nil {
			stop()
			return err
		}
		defer running[i].Stop()
	}
	s.Done()
	fmt.Fprintf(os.Stderr, "%d nodes run on %s, in the network 10.77.0.0/24\n", len(nodes), r.Board.Machine)
	for i := range nodes {
		reach(i)
	}
	close(started)
	ends := make(chan error, len(nodes))
	for i, g := range running {
		go func() {
			err := g.Wait(ctx)
			if err == nil {
				mu.Lock()
				fmt.Fprintf(os.Stderr, "%s is off\n", nodes[i].Name)
				mu.Unlock()
			}
			ends <- err
		}()
	}
	for range nodes {
		if err := <-ends; err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return nil
}
