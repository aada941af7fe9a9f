package scenarios

import (
	"os"
	"strings"
	"testing"

	"imgbuild/qemu/vm"
)

// TestCluster boots a server and a worker on one cable. The worker's image is the one of TestWorker: its owner has put a config.yaml with
// the server's address on the card.
func TestCluster(t *testing.T) {
	t.Parallel()
	const token = "a-long-random-word"
	net := func(n string) string {
		return "network:\n  interfaces:\n  - {mac: '52:54:00:00:01:0" + n + "', addresses: [10.9.0." + n + "/24]}\n"
	}
	serverImage := build(t, cloudConfig("shelf-server", net("1")+"k3os:\n  token: "+token+"\n"), "board=qemu-arm64", "role=server", k3s(t, "arm64"))
	workerImage := build(t, cloudConfig("shelf-worker", ""), "board=rpi4", "role=worker", k3s(t, "arm64"))
	card := t.TempDir() + "/card.img"
	duplicate(t, workerImage.Image, card)
	onBoot(t, card, "config.yaml", cloudConfig("shelf-worker-2", net("2")+"k3os:\n  server_url: https://10.9.0.1:6443\n  token: "+token+"\n  labels: {shelf: top}\n"))

	a, b, err := vm.NewLink("52:54:00:00:01:01", "52:54:00:00:01:02")
	if err != nil {
		t.Fatal(err)
	}
	_, lanA := testLAN(t) // certificates of one are checked by the clock of the other
	_, lanB := testLAN(t)
	both := boot(t, vm.Options{Image: serverImage.Image, Name: "server", Size: 4 << 30, Memory: 2048, Links: []*vm.Link{lanA, a}},
		vm.Options{Image: card, Name: "worker", Machine: "virt", Size: 4 << 30, Links: []*vm.Link{lanB, b}})
	server, worker := both[0], both[1]
	server.up()
	worker.up()
	on, at := server.login(), worker.login()
	standin := os.Getenv("IMGBUILD_K3S") == ""

	on.until("sudo k3s kubectl get --raw /readyz", "ok")
	nodes := on.until("sudo k3s kubectl get nodes | grep -v NotReady", "shelf-worker-2")
	if !strings.Contains(nodes, "shelf-server") {
		t.Errorf("nodes:\n%s", nodes)
	}
	if standin {
		for _, s := range []*shell{on, at} {
			s.until("sudo cat /var/log/shelf/k3s.log", "standin: all ")
		}
	}
	sub(t, "ports", func(t *testing.T) {
		comparePorts(t, on, "server", !standin)
		comparePorts(t, at, "worker", !standin)
	}, both...)
	sub(t, "secrets", func(t *testing.T) {
		if got := on.run("sudo cat /boot/config.yaml"); strings.Contains(got, token) {
			t.Error("the token still lies on the server's BOOT")
		}
		if got := at.run("sudo cat /boot/config.yaml"); strings.Contains(got, token) {
			t.Error("the token still lies on the worker's BOOT")
		}
		if got := at.run("ps -ef || ps"); strings.Contains(got, token) {
			t.Error("the token stands in a command line")
		}
	}, both...)
	sub(t, "k3s starts again by itself", func(t *testing.T) {
		old := at.run("pidof k3s")
		at.run("sudo kill -9 " + strings.Fields(old)[0])
		at.until("p=$(pidof k3s) && test \"$p\" != '"+old+"' && sudo wget -qO- http://127.0.0.1:10248/healthz", "ok")
	}, both...)
	password := at.run("sudo cat /etc/rancher/node/password")
	at.try("sudo shelf reboot")
	worker.see(`U-Boot 20\d\d`)
	worker.up()
	at = worker.login()
	at.until("sudo wget -qO- http://127.0.0.1:10248/healthz", "ok")
	if again := at.run("sudo cat /etc/rancher/node/password"); again != password {
		t.Error("the node's password has changed: the server would refuse it")
	}
	if standin {
		at.until("sudo cat /var/log/shelf/k3s.log | tail -50", "k3s agent is up and running")
		// The stand-in leaves a shim and mounts behind, as real k3s does. They must not keep the node from going down clean.
		if got := at.run("cat /sys/fs/cgroup/kubepods/podstandin/cgroup.procs"); got == "" {
			t.Error("there is no shim")
		}
	}
	off(at, on)
	for _, g := range both {
		ref(t, "e2fsck", "-fn", dataFS(g.Disk))
		if h := ref(t, "tune2fs", "-l", dataFS(g.Disk)); strings.Contains(h, "needs_recovery") {
			t.Errorf("the data partition of %s was not unmounted", g.Name)
		}
	}
}
