package scenarios

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"imgbuild/builder/fleet"
	"imgbuild/qemu/fixtures/lan"
	"imgbuild/qemu/vm"
)

// TestCluster boots a server and a worker on one cable whose configurations come from one
// cluster.yaml. The worker's image is the one of TestWorker: its owner has put the node's
// config.yaml on the card.
func TestCluster(t *testing.T) {
	t.Parallel()
	l := newLaptop(t)
	shelf := newShelf(t, l, `defaults: {ssh_authorized_keys: ["`+public+`", "`+l.public+`"], k3os: {token: secret}}
nodes:
  shelf-server: {board: qemu-arm64, role: server, address: 10.9.0.1/24, config: {network: {interfaces: [{mac: '52:54:00:00:01:01'}]}}}
  shelf-worker-2:
    board: rpi4
    role: worker
    address: 10.9.0.2/24
    config:
      network: {interfaces: [{mac: '52:54:00:00:01:02'}]}
      k3os: {labels: {shelf: top, stays: here}}
      memory: {zram: auto}
`)
	serverImage := build(t, string(shelf.Node("shelf-server").Config), "board=qemu-arm64", "role=server", k3s(t, "arm64"))
	workerImage := build(t, cloudConfig("shelf-worker", ""), "board=rpi4", "role=worker", k3s(t, "arm64"))
	card := t.TempDir() + "/card.img"
	duplicate(t, workerImage.Image, card)
	onBoot(t, card, "config.yaml", string(shelf.Node("shelf-worker-2").Config))

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
		for name, s := range map[string]*shell{"shelf-server": on, "shelf-worker-2": at} {
			secrets := shelf.of(t, name)
			left := s.run("sudo cat /boot/config.yaml")
			for what, secret := range secrets {
				if strings.Contains(left, secret) {
					t.Errorf("%s of %s is still on BOOT", what, name)
				}
			}
			if got := s.run("sudo cat /etc/rancher/node/password"); got != secrets["the node password"] {
				t.Errorf("%s has made another node password than the one of the file", name)
			}
			if err := shelf.known(name, s.HostKey); err != nil {
				t.Errorf("ssh would ask whether %s is the right machine: %v", name, err)
			}
		}
		if err := shelf.known("shelf-server", at.HostKey); err == nil {
			t.Error("any host key would do")
		}
		if got := at.run("ps -ef || ps"); strings.Contains(got, shelf.of(t, "shelf-worker-2")["the token"]) {
			t.Error("the token is in a command line")
		}
	}, both...)
	sub(t, "k3s starts again by itself", func(t *testing.T) {
		old := at.k3sPID()
		at.run(fmt.Sprintf("sudo kill -9 %d", old))
		at.until("sudo shelf status -o json || true", "\"restarts\": 1")
		at.until("sudo wget -qO- http://127.0.0.1:10248/healthz", "ok")
		if fresh := at.k3sPID(); fresh == 0 || fresh == old {
			t.Errorf("the process was %d and is %d", old, fresh)
		}
	}, both...)
	sub(t, "kubectl", func(t *testing.T) {
		const get = "KUBECONFIG=/etc/rancher/k3s/k3s.yaml kubectl get nodes"
		if got := on.run(get); !strings.Contains(got, "shelf-server") {
			t.Errorf("as rancher:\n%s", got)
		}
		if out, err := on.try("sudo -u nobody cat /etc/rancher/k3s/k3s.yaml"); err == nil {
			t.Errorf("nobody reads the administrator's access:\n%.300s", out)
		}
	}, both...)
	sub(t, "groups and scores", func(t *testing.T) {
		for _, s := range []*shell{on, at} {
			s.until(fmt.Sprintf("cat /proc/%d/cgroup", s.k3sPID()), "0::/k3s")
			if got := s.run(fmt.Sprintf("sudo cat /proc/%d/oom_score_adj", s.k3sPID())); got != "-999" {
				t.Errorf("%s: k3s has the score %s", s.g.Name, got)
			}
			if !standin {
				continue
			}
			for name, want := range map[string]string{"containerd": "-999 0::/shelf/k3s", "standin-pod": "-997 0::/kubepods/podstandin"} {
				if got := s.run("p=$(pidof " + name + " | awk '{print $1}') && echo $(sudo cat /proc/$p/oom_score_adj) $(cat /proc/$p/cgroup)"); got != want {
					t.Errorf("%s: %s has %q, want %q", s.g.Name, name, got, want)
				}
			}
		}
	}, both...)
	sub(t, "swap", func(t *testing.T) {
		// Half of the memory; k3s has come up with it.
		kib, _ := strconv.ParseInt(at.run("awk '/^MemTotal/ {print $2}' /proc/meminfo"), 10, 64)
		want := fmt.Sprintf("/dev/zram0 %d 100", kib/2/64*64-4) // the header's page does not count
		if got := at.run("awk 'NR > 1 {print $1, $3, $5}' /proc/swaps"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := at.run("sudo shelf status"); !strings.Contains(got, "used on /dev/zram0, priority 100, compressed to") {
			t.Errorf("the status:\n%s", got)
		}
		if got := on.run("cat /proc/swaps | wc -l"); got != "1" {
			t.Errorf("the server, which did not ask for it, has %s lines of swap", got)
		}
	}, both...)
	sub(t, "labels", func(t *testing.T) {
		const labels = "sudo k3s kubectl get --raw /api/v1/nodes"
		if got := on.run(labels); !strings.Contains(got, `"shelf":"top"`) || !strings.Contains(got, `"stays":"here"`) {
			t.Errorf("after the start:\n%s", got)
		}
		at.run("sudo mkdir -p /var/lib/rancher/k3os/config.d && echo 'k3os: {labels: {stays: here}}' | sudo tee /var/lib/rancher/k3os/config.d/90-labels && sudo shelf config reload")
		on.until(labels+" | grep -c '\"shelf\":\"top\"' || true", "0")
		if got := on.run(labels); !strings.Contains(got, `"stays":"here"`) {
			t.Errorf("a label that is still configured is gone:\n%s", got)
		}
	}, both...)
	password := shelf.of(t, "shelf-worker-2")["the node password"]
	sub(t, "the laptop", func(t *testing.T) {
		out, code := l.imgbuild(t, "status", server.Forward[22], worker.Forward[22], "key=accept-new", "-o", "json")
		var rows []fleet.Row
		if err := json.Unmarshal([]byte(out[strings.Index(out, "[\n"):]), &rows); err != nil || code != 0 || len(rows) != 2 {
			t.Fatalf("imgbuild status: code %d, %v: %s", code, err, out)
		}
		for i, want := range []fleet.Row{{Role: "server", Board: "qemu-arm64"}, {Role: "worker", Board: "rpi4"}} {
			if r := rows[i]; r.Role != want.Role || r.Board != want.Board || r.Health != "good" || r.Slot != "a" || r.Up == 0 || r.Free == nil || len(r.Wrong) > 0 {
				t.Errorf("imgbuild status: %+v", r)
			}
		}
		if out, code := l.imgbuild(t, "reboot", worker.Forward[22], "key=accept-new"); code != 0 || !strings.Contains(out, "stopped") {
			t.Errorf("imgbuild reboot: code %d: %s", code, out)
		}
	}, both...)
	worker.see(`U-Boot 20\d\d`)
	worker.up()
	at = worker.login()
	at.until("sudo wget -qO- http://127.0.0.1:10248/healthz", "ok")
	if again := at.run("sudo cat /etc/rancher/node/password"); again != password {
		t.Errorf("the node's password has changed: the server would refuse it: got %v, want %v", again, password)
	}
	if standin {
		at.until("sudo cat /var/log/shelf/k3s.log | tail -50", "k3s agent is up and running")
		// The stand-in leaves a shim and mounts, as real k3s does. They must not keep the
		// node from going down clean.
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
	if standin {
		monthsOff(t, server.Disk, worker.Disk)
	}
}

// monthsOff starts a server and a worker again that were off for more than a year. Their clocks
// begin at the saved time, in which their certificates hold, and k3s starts; then a time server
// answers. Both must be ready without a hand.
func monthsOff(t *testing.T, serverDisk, workerDisk string) {
	a, b, err := vm.NewLink("52:54:00:00:01:01", "52:54:00:00:01:02")
	if err != nil {
		t.Fatal(err)
	}
	const months = 400 * 24 * time.Hour
	clockA, lanA, err := lan.New(months)
	if err != nil {
		t.Fatal(err)
	}
	clockB, lanB, err := lan.New(months)
	if err != nil {
		t.Fatal(err)
	}
	clocks := []*lan.LAN{clockA, clockB}
	for _, c := range clocks {
		c.Silence(true)
	}
	both := start(t, vm.Options{Image: serverDisk, Kept: true, Name: "server", Memory: 2048, Links: []*vm.Link{lanA, a}},
		vm.Options{Image: workerDisk, Kept: true, Name: "worker", Machine: "virt", Links: []*vm.Link{lanB, b}})
	for _, g := range both {
		g.up() // k3s is ready with the old time
	}
	on, at := both[0].login(), both[1].login()
	sub(t, "NTP never came so far", func(t *testing.T) {
		for _, s := range []*shell{on, at} {
			if got := s.run("sudo shelf status || true"); !strings.Contains(got, "not from a server") {
				t.Errorf("%s: the status does not report that the time is unknown:\n%s", s.g.Name, got)
			}
			if got := bootedOf(s); !strings.Contains(got, "own clock") {
				t.Errorf("%s: the report's time is taken for certain: %q", s.g.Name, got)
			}
		}
	}, both...)
	pods := []string{on.run("cat /sys/fs/cgroup/kubepods/*/cgroup.procs"), at.run("cat /sys/fs/cgroup/kubepods/*/cgroup.procs")}
	for _, c := range clocks {
		c.Silence(false)
	}
	sub(t, "400 days later", func(t *testing.T) {
		for i, s := range []*shell{on, at} {
			s.until("sudo cat /var/log/shelf/k3s.log", "standin: clock "+clocks[i].Now().UTC().Format("2006-"))
			s.until("sudo shelf status -o json || true", "\"restarts\": 1")
			s.until("sudo wget -qO- http://127.0.0.1:10248/healthz", "ok")
			if got := bootedOf(s); strings.Contains(got, "own clock") || !strings.HasPrefix(got, clocks[i].Now().UTC().Format("2006-")) {
				t.Errorf("%s: in the report it booted at %q", s.g.Name, got)
			}
		}
		on.until("sudo k3s kubectl get --raw /readyz", "ok")
		on.until("sudo k3s kubectl get nodes | grep -v NotReady", "shelf-worker-2")
		for i, s := range []*shell{on, at} {
			if got := s.run("cat /sys/fs/cgroup/kubepods/*/cgroup.procs"); got != pods[i] {
				t.Errorf("%s: the restart ended the pod: %q, then %q", s.g.Name, pods[i], got)
			}
			s.until("sudo shelf status || true", "the first ends on "+clocks[i].Now().UTC().AddDate(1, 0, 0).Format("2006-01"))
		}
	}, both...)
	off(at, on)
}

// bootedOf is the line of the report on BOOT about when the boot began.
func bootedOf(s *shell) string {
	s.g.t.Helper()
	text := strings.Join(strings.Fields(s.run("sudo cat /boot/report.txt")), " ")
	_, rest, _ := strings.Cut(text, " booted:")
	return strings.TrimSpace(rest[:min(len(rest), 120)])
}
