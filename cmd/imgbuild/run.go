package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"imgbuild/builder/guests"
	"imgbuild/builder/image"
	"imgbuild/builder/order"
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
	Summary: "Boot an image in QEMU, its ssh forwarded; build it first where it is missing. The image itself is not changed. With nodes=N there are several, in one network; those after a server are workers that join it.",
	Keys: []line.Key{boardKey, roleKey,
		{Name: "config", Value: "FILE", Doc: "cloud-config: the image is built with it."},
		loginKey,
		{Name: "nodes", Value: "N", Doc: fmt.Sprintf("How many nodes run, at most %d; default 1. Each gets a name of its own (HOSTNAME-1, or node1) and the address 10.77.0.1 and so on.", guests.Most)},
		{Name: "image", Value: "FILE", Doc: "The image; default the newest of the board and role in out/."},
		{Name: "keep", Value: "NAME", Doc: "Keep the node's disk as OUT/NAME.disk, and go on with it the next time. Of several nodes: OUT/NAME-1.disk and so on."},
		{Name: "console", Value: "yes|no", Doc: "yes: the node's console here, and what you type on it; Ctrl-] ends it. Default no: its own lines alone; Ctrl-C ends it."},
		{Name: "out", Value: "DIR", Doc: "Where images are; default out."},
		{Name: "size", Value: "GIB", Doc: "Size of the card the guest sees; default 4."},
		{Name: "memory", Value: "MIB", Doc: "Memory of the guest; default the machine's."},
		{Name: "direct", Value: "yes|no", Doc: "Start the slot's kernel without U-Boot; faster. Default no."},
		k3sKey, lockKey, cacheKey, mirrorKey},
	Examples: []string{"imgbuild run board=rpi4 role=worker", "imgbuild run board=qemu-arm64 role=server memory=2048 direct=yes", "imgbuild run board=qemu-arm64 role=server config=server.yaml keep=server1",
		"imgbuild run board=qemu-arm64 role=server nodes=3 key=default"},
	Run: doRun,
}

func doRun(ctx context.Context, a *line.Args) error {
	r, err := recipe.New(a.Values["board"], a.Values["role"], recipe.Choice{})
	if err != nil {
		return err
	}
	o, err := guestOf(a, r)
	if err != nil {
		return err
	}
	shown, err := a.Bool("console", false)
	if err != nil {
		return err
	}
	nodes, err := number(a, "nodes", 1)
	if err != nil {
		return err
	}
	if nodes > 1 {
		return runNodes(ctx, a, r, o, int(nodes), shown)
	}
	return runOne(ctx, a, r, o, shown)
}

// runOne runs one node on QEMU's user network.
func runOne(ctx context.Context, a *line.Args, r *recipe.Asked, o vm.Options, shown bool) error {
	disk, err := keptDisk(a, "")
	if err != nil {
		return err
	}
	if disk != nil {
		defer disk.Close()
	}
	s := newScreen(os.Stderr)
	file := ""
	if disk == nil || disk.Fresh {
		if file, err = imageToRun(ctx, a, r, s); err != nil {
			return err
		}
	}
	tool.Configure(tool.Settings{CacheDir: a.Values["cache"], Mirror: a.Values["mirror"], Progress: s.Progress})
	dir, err := tool.Scratch("run")
	if err != nil {
		return fault.Wrap(err, fault.Device, "", "making a directory for the guest's disk")
	}
	defer dir.Remove()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	o.Image, o.Dir, o.Private = file, dir.Path, true
	if disk != nil {
		if disk.Fresh {
			if err := disk.Fill(file, o.Size); err != nil {
				return err
			}
		}
		o.Image, o.Private, o.Kept = disk.Name, false, true
	}
	ends := "Ctrl-C"
	var g *vm.VM
	started := make(chan struct{})
	o.Console = vm.NewQuiet(os.Stdout, "", func() {
		<-started
		howToReach(g, r.Board.Name, "Ctrl-C", "\n")
	})
	if shown {
		keys, restore := vm.Keyboard(os.Stdin, leave, stop)
		defer restore()
		o.Console, o.Input, ends = os.Stdout, keys, "Ctrl-]"
	}
	if g, err = vm.Start(ctx, o); err != nil {
		return err
	}
	defer g.Stop()
	close(started)
	s.Done()
	fmt.Fprintf(os.Stderr, "%s runs on %s\r\n", filepath.Base(o.Image), r.Board.Machine)
	howToReach(g, r.Board.Name, ends, "\r\n")
	if err := g.Wait(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// guestOf is the machine that the keys ask for.
func guestOf(a *line.Args, r *recipe.Asked) (o vm.Options, err error) {
	o = vm.Options{Machine: r.Board.Machine, Board: r.Board.Name, Clock: "utc"} // QEMU's machine has a clock, and this host knows the time
	gib, err := number(a, "size", 4)
	if err != nil {
		return o, err
	}
	fallback := int64(0) // the machine's own
	if r.Role.MemoryMB > 1024 {
		fallback = 2048
	}
	memory, err := number(a, "memory", fallback)
	if err != nil {
		return o, err
	}
	if o.Direct, err = a.Bool("direct", false); err != nil {
		return o, err
	}
	if r.Role.Name == "server" {
		o.Ports = []int{apiPort}
	}
	o.Size, o.Memory = gib<<30, int(memory)
	return o, nil
}

// howToReach prints how to log in, the last line first to be read.
func howToReach(g *vm.VM, name, ends, newline string) {
	if api := g.Forward[apiPort]; api != "" {
		fmt.Fprintf(os.Stderr, "once k3s is up: imgbuild kubeconfig 127.0.0.1:%s address=%s name=%s%s", port(g.Forward[22]), api, name, newline)
	}
	fmt.Fprintf(os.Stderr, "ssh rancher@127.0.0.1 -p %s        %s ends it%s", port(g.Forward[22]), ends, newline)
}

// keptDisk is the disk of keep=, with a suffix to its name; nil without it.
func keptDisk(a *line.Args, suffix string) (*vm.KeptDisk, error) {
	name, given := a.Values["keep"]
	if !given {
		return nil, nil
	}
	if name == "" || strings.ContainsAny(name, "/\\") || name[0] == '.' {
		return nil, fault.New(fault.Usage, "give a name such as keep=server1", "keep=%s is not a name", name)
	}
	return vm.Keep(filepath.Join(cmp.Or(a.Values["out"], "out"), name+suffix+".disk"))
}

// imageToRun is the image that is named, else one that is built with config= or key=, else the
// newest one, which is built where there is none.
func imageToRun(ctx context.Context, a *line.Args, r *recipe.Asked, s *screen) (string, error) {
	file, out := a.Values["image"], cmp.Or(a.Values["out"], "out")
	if file != "" && (a.Values["config"] != "" || a.Values["key"] != "") {
		return "", fault.New(fault.Usage, "leave one of them out", "image= names an image that is there, and config= and key= are for one that is built")
	}
	if file == "" && a.Values["config"] == "" && a.Values["key"] == "" {
		newest, err := image.Newest(out, r.Board.Name, r.Role.Name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		file = newest
	}
	if file == "" {
		return buildToRun(ctx, a, out, s)
	}
	im, err := vm.OpenImage(file)
	if err != nil {
		return "", fault.Wrap(err, fault.Input, "give an image that imgbuild has built", "")
	}
	return file, im.Close()
}

// buildToRun builds what run is asked for, without what only a card needs.
func buildToRun(ctx context.Context, a *line.Args, out string, s *screen) (string, error) {
	keys, err := loginKeys(ctx, a)
	if err != nil {
		return "", err
	}
	return buildWith(ctx, a, order.Order{Plan: planOf(a), Config: a.Values["config"], Login: keys, Out: out}, s)
}

// buildWith carries out an order with what else run is given.
func buildWith(ctx context.Context, a *line.Args, o order.Order, s *screen) (string, error) {
	o.K3s, o.Lock = a.Values["k3s"], a.Values["lock"]
	s.hold, s.phases = true, phases(o)
	_, res, err := order.Build(ctx, o, s)
	s.Done()
	s.warnings()
	s.hold, s.phases = false, nil
	if err != nil {
		return "", err
	}
	return res.Image, nil
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
