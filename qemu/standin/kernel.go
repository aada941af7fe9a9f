package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	cgroups  = "/sys/fs/cgroup"
	shimName = "containerd-shim-runc-v2"
	sandbox  = "/run/k3s/containerd/io.containerd.grpc.v1.cri/sandboxes/standin/shm"
)

// delegate makes a control group beside ours, hands it controllers and takes it away again, as the kubelet makes kubepods.
func delegate(controllers []string) error {
	return inGroup(filepath.Join(cgroups, "standin-probe"), controllers, func(dir string) error { return os.Remove(dir) })
}

func inGroup(dir string, controllers []string, then func(dir string) error) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, c := range controllers {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0); err != nil {
			return errors.Join(fmt.Errorf("handing on %s: %w", c, err), then(dir))
		}
	}
	return then(dir)
}

// likeK3s does to the node what k3s does before it is ready: switches of the kernel, a pod with its shim, a sandbox mount and a
// network namespace bound to a file. All of that stays when k3s ends, and somebody else has to clear it away.
func (n *node) likeK3s() error {
	for name, value := range map[string]string{"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "1"} {
		if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(sandbox, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("shm", sandbox, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, "size=1m"); err != nil {
		return fmt.Errorf("mounting %s: %w", sandbox, err)
	}
	netns := "/run/netns/cni-standin"
	if err := writeFile(netns, nil, 0o444); err == nil {
		if err := syscall.Mount("/proc/self/ns/net", netns, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("binding %s: %w", netns, err)
		}
	}
	if err := writeFile("/var/log/pods/kube-system_standin_0/standin/0.log", []byte("hello\n"), 0o640); err != nil {
		return err
	}
	return startShim(n.role)
}

// startShim leaves a child in a group of its own below kubepods, unless an earlier run's is still there.
func startShim(role string) error {
	pods := filepath.Join(cgroups, "kubepods")
	return inGroup(pods, []string{"cpu", "cpuset", "memory", "pids"}, func(string) error {
		pod := filepath.Join(pods, "podstandin")
		if err := os.Mkdir(pod, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if procs, err := os.ReadFile(filepath.Join(pod, "cgroup.procs")); err == nil && strings.TrimSpace(string(procs)) != "" {
			say("info", "the pod of an earlier run is still there")
			return nil
		}
		group, err := os.Open(pod)
		if err != nil {
			return err
		}
		defer group.Close()
		self, err := os.Executable()
		if err != nil {
			return err
		}
		cmd := exec.Command(self)
		cmd.Args = []string{shimName, "-namespace", "k8s.io", "-id", "standin-" + role}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: int(group.Fd())}
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("starting the shim: %w", err)
		}
		return cmd.Process.Release()
	})
}

// shim does nothing and does not go away by itself. A worker's ends when it is asked to, as most pods do; a server's does not listen, and
// somebody has to kill its group.
func shim() {
	os.WriteFile("/proc/self/comm", []byte("containerd-shim"), 0) // the name by which ps and pidof know it; the kernel took the file's
	signal.Ignore(syscall.SIGHUP)
	if strings.HasSuffix(strings.Join(os.Args, " "), "-server") {
		signal.Ignore(syscall.SIGTERM)
	}
	for {
		time.Sleep(time.Hour) // an empty select would be a deadlock to Go, and end us
	}
}
