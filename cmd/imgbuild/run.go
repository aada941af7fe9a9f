package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"imgbuild/builder/image"
	"imgbuild/builder/recipe"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
	"imgbuild/qemu/tool"
	"imgbuild/qemu/vm"
)

// leave is the key that ends a run, as telnet's: Ctrl-].
const leave = 0x1d

// apiPort is where a server's Kubernetes API listens.
const apiPort = 6443

var run = line.Verb{
	Name:    "run",
	Summary: "Boot an image in QEMU: its console here, its ssh forwarded. The image itself is not changed.",
	Keys: []line.Key{boardKey, roleKey,
		{Name: "image", Value: "FILE", Doc: "The image; default the newest of the board and role in out/."},
		{Name: "out", Value: "DIR", Doc: "Where images are; default out."},
		{Name: "size", Value: "GIB", Doc: "Size of the card the guest sees; default 4."},
		{Name: "memory", Value: "MIB", Doc: "Memory of the guest; default the machine's."},
		{Name: "direct", Value: "yes|no", Doc: "Start the slot's kernel without U-Boot; faster. Default no."},
		cacheKey, mirrorKey},
	Examples: []string{"imgbuild run board=rpi4 role=worker", "imgbuild run board=qemu-arm64 role=server memory=2048 direct=yes"},
	Run:      doRun,
}

func doRun(ctx context.Context, a *line.Args) error {
	r, err := recipe.New(a.Values["board"], a.Values["role"], recipe.Choice{})
	if err != nil {
		return err
	}
	gib, err := number(a, "size", 4)
	if err != nil {
		return err
	}
	fallback := int64(0) // the machine's own
	if r.Role.MemoryMB > 1024 {
		fallback = 2048
	}
	memory, err := number(a, "memory", fallback)
	if err != nil {
		return err
	}
	direct, err := a.Bool("direct", false)
	if err != nil {
		return err
	}
	file := a.Values["image"]
	if file == "" {
		if file, err = image.Newest(cmp.Or(a.Values["out"], "out"), r.Board.Name, r.Role.Name); err != nil {
			return err
		}
	}
	if im, err := vm.OpenImage(file); err != nil {
		return fault.Wrap(err, fault.Input, "give an image that imgbuild has built", "")
	} else if err := im.Close(); err != nil {
		return err
	}
	s := newScreen(os.Stderr)
	tool.Configure(tool.Settings{CacheDir: a.Values["cache"], Mirror: a.Values["mirror"], Progress: s.Progress})
	dir, err := tool.Scratch("run")
	if err != nil {
		return fault.Wrap(err, fault.Device, "", "making a directory for the guest's disk")
	}
	defer dir.Remove()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	keys, restore := vm.Keyboard(os.Stdin, leave, stop)
	defer restore()
	var ports []int
	if r.Role.Name == "server" {
		ports = []int{apiPort}
	}
	g, err := vm.Start(ctx, vm.Options{Image: file, Dir: dir.Path, Private: true, Ports: ports, Machine: r.Board.Machine, Board: r.Board.Name, Direct: direct,
		Size: gib << 30, Memory: int(memory), Console: os.Stdout, Input: keys})
	if err != nil {
		return err
	}
	defer g.Stop()
	s.done()
	fmt.Fprintf(os.Stderr, "%s runs on %s; ssh rancher@127.0.0.1 -p %s; Ctrl-] ends it\r\n", filepath.Base(file), r.Board.Machine, port(g.Forward[22]))
	if api := g.Forward[apiPort]; api != "" {
		fmt.Fprintf(os.Stderr, "once k3s is up: imgbuild kubeconfig 127.0.0.1:%s address=%s name=%s\r\n", port(g.Forward[22]), api, r.Board.Name)
	}
	if err := g.Wait(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

func port(address string) string {
	for i := len(address) - 1; i >= 0; i-- {
		if address[i] == ':' {
			return address[i+1:]
		}
	}
	return address
}

func number(a *line.Args, name string, fallback int64) (int64, error) {
	v, ok := a.Values[name]
	if !ok {
		return fallback, nil
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || n < 1 {
		return 0, fault.New(fault.Usage, "give a whole number, such as "+name+"=4", "%s=%s is not a number", name, v)
	}
	return n, nil
}
