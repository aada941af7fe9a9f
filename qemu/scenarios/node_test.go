package scenarios

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/crypto/ssh"

	"imgbuild/qemu/vm"
)

// secrets that the node of TestNode is given, in every place that takes one, and some that it
// prints.
const nodeSecrets = `k3os:
  password: canary-password-1
  wifi: [{name: nowhere, passphrase: canary-wifi-3}]
  environment: {MY_TOKEN: canary-env-4}
write_files:
- {path: /root/.smb, permissions: '0600', content: "username=me\npassword=canary-file-5\n"}
services:
  ticker: {command: 'while :; do echo tick canary-file-5 $PLAIN; sleep 1; done', environment: {PLAIN: canary-plain-6}}
  broken: {command: [/bin/false], backoff: 2m}
`

// nodeStatus is the part of the status that the test reads.
type nodeStatus struct {
	Hostname, Slot, Version, Health string
	LastEnd                         string `json:"last_end"`
	Why                             []string
	Services                        []struct {
		Name, Phase string
		Ready, Bad  bool
		Starts      int
	}
	Network []struct {
		Name      string
		Addresses []string
	}
	Disks []struct {
		Path       string
		Size, Free uint64
	}
	Clock  struct{ Synced bool }
	Record struct{ Active string }
}

// TestNode is everything that shelf shows and does on one node, over ssh, from the laptop and over
// its socket, and what the node reports to a Prometheus.
func TestNode(t *testing.T) {
	t.Parallel()
	identity, line := keyFile(t)
	im := build(t, cloudConfig("shelf-node", "- "+line+"\n"+nodeSecrets), "board=qemu-arm64", "role=worker", "k3s=none")
	_, card := testLAN(t)
	g := boot(t, vm.Options{Image: im.Image, Name: "node", Size: 4 << 30, Links: []*vm.Link{card}, Ports: []int{9100}})[0]
	g.up()
	s := g.login()
	code := func(command string) string { return s.each(command)[command] }

	sub(t, "status", func(t *testing.T) {
		s.until("shelf services -o json", `"broken"`)
		s.until("shelf services | grep broken", "failed")
		text := code("shelf status")
		for _, want := range []string{"7\n", "shelf-node, worker on", "bad: broken: ", im.Version + " in slot a", "eth0: 10.0.2.15/24 by dhcp", "/ ", "written to vda", "time ", "ticker           ready"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing:\n%s", want, text)
			}
		}
		st := statusOf(t, s, "shelf status -o json")
		if st.Hostname != "shelf-node" || st.Slot != "a" || st.Version != im.Version || st.Health != "bad" || len(st.Disks) == 0 || st.Disks[0].Size < 2<<30 || st.Record.Active != "a" {
			t.Errorf("%+v", st)
		}
	}, g)
	sub(t, "orders", func(t *testing.T) {
		// rancher is in the group shelf: no sudo. Others may look and no more.
		const nobody = "sudo -u nobody shelf "
		for order, got := range s.each(nobody+"stop broken", nobody+"reboot", nobody+"logs ticker", nobody+"dmesg") {
			if !strings.HasPrefix(got, "2\n") || !strings.Contains(got, "only root and the group shelf") {
				t.Errorf("%s: %s", order, got)
			}
		}
		if got := code(nobody + "status"); !strings.HasPrefix(got, "7\n") {
			t.Errorf("nobody may not ask: %s", got)
		}
		if got := code("shelf stop broken"); !strings.HasPrefix(got, "0\n") || !strings.Contains(got, "stopped") {
			t.Errorf("stop: %s", got)
		}
		if got := code("shelf status"); !strings.HasPrefix(got, "0\n") {
			t.Errorf("without the broken service the node is not well: %s", got)
		}
		if got := code("shelf start broken"); !strings.HasPrefix(got, "7\n") || !strings.Contains(got, "failed") {
			t.Errorf("start: %s", got)
		}
		s.run("shelf stop broken")
		if got := s.run("shelf restart ticker -o json"); !strings.Contains(got, `"starts": 2`) || !strings.Contains(got, `"ready": true`) {
			t.Errorf("restart: %s", got)
		}
		for command, got := range s.each("shelf start nothing", "shelf nonsense", "shelf logs nothing") {
			if !strings.HasPrefix(got, "2\n") {
				t.Errorf("%s: %s", command, got)
			}
		}
	}, g)
	sub(t, "what it shows", func(t *testing.T) {
		// By default the kernel drops lines that come fast.
		for _, step := range []string{"preinit", "layout", "config", "network", "services"} {
			if got := s.run("shelf dmesg"); !strings.Contains(got, "shelf: step "+step+" ok") {
				t.Errorf("the kernel's log has no line about the step %s:\n%s", step, got)
			}
		}
		// Lines come while we wait: the first is from before, the last from after.
		if got := strings.Split(s.run("shelf logs ticker -f -n 1 | head -n 3"), "\n"); len(got) != 3 || got[0] >= got[2] || !strings.Contains(got[2], "tick") {
			t.Errorf("logs -f: %q", got)
		}
		var names []string
		if err := json.Unmarshal([]byte(s.run("shelf logs -o json")), &names); err != nil || !slices.Contains(names, "sshd") || !slices.Contains(names, "commands") {
			t.Errorf("logs: %v %v", names, err)
		}
		wants := map[string]string{
			"shelf logs ticker -n 2 -o json": `"text":"tick`, "shelf dmesg": "Linux version", "shelf dmesg -o json": `"seconds":0,"text":"`, "shelf top": "ticker", "shelf top -o json": `"name": "sshd"`,
			"shelf network": "gateway  10.0.2.2", "shelf network -o json": `"10.9.8.2/24"`, "shelf report": "ShelfOS boot report", "shelf report -o json": `"report": "ShelfOS`, "shelf version -o json": `"slot": "a"`,
			"sudo shelf config": "hostname: shelf-node", "sudo shelf config -o json": `"hostname": "shelf-node"`, "sudo shelf config secrets=yes": "canary-wifi-3", "k3os --version": "k3os version " + im.Version,
			"sudo k3os config --dump": "hostname: shelf-node", "bash -lic 'COMP_WORDS=(shelf stat) COMP_CWORD=1; _shelf; echo $COMPREPLY' 2>/dev/null": "status", "shelf help restart": "shelf restart NAME",
		}
		for command, got := range s.each(slices.Sorted(maps.Keys(wants))...) {
			if !strings.HasPrefix(got, "0\n") || !strings.Contains(got, wants[command]) {
				t.Errorf("%s does not contain %q:\n%.1500s", command, wants[command], got)
			}
		}
		if got := s.run("sudo shelf config; sudo shelf config -o json; sudo k3os config --dump-json"); strings.Contains(got, "canary-") {
			t.Errorf("config shows secrets:\n%s", got)
		}
		if got := code("shelf config"); strings.HasPrefix(got, "0\n") {
			t.Errorf("the configuration is for everybody: %s", got)
		}
		if got := code("k3os upgrade"); !strings.HasPrefix(got, "2\n") || !strings.Contains(got, "shelf upgrade") {
			t.Errorf("k3os upgrade: %s", got)
		}
	}, g)
	sub(t, "hardening", func(t *testing.T) {
		s.until("shelf services | grep node-exporter", "ready")
		hardened(t, s, true, "canary-")
	}, g)
	sub(t, "metrics", func(t *testing.T) {
		f := scrape(t, g.Forward[9100])
		for name, labels := range map[string][]string{
			"shelf_info": {"version", im.Version, "slot", "a", "role", "worker", "board", "qemu-arm64"}, "shelf_service_ready": {"service", "ticker"}, "shelf_service_failures_total": {"service", "broken"},
			"shelf_disk_written_bytes_total": {"device", "vda"}, "shelf_clock_synced": nil, "shelf_image_lock_age_seconds": nil, "shelf_init_resident_bytes": nil, "shelf_boot_attempts_left": nil, "shelf_service_memory_bytes": {"service", "sshd"},
			"node_cpu_seconds_total": {"mode", "idle"}, "node_filesystem_avail_bytes": {"mountpoint", "/"}, "node_filesystem_size_bytes": {"mountpoint", "/"}, "node_filesystem_files": {"mountpoint", "/"}, "node_filesystem_files_free": {"mountpoint", "/"}, "node_filesystem_readonly": {"mountpoint", "/"}, "node_time_seconds": nil, "node_load1": nil, "node_memory_MemAvailable_bytes": nil,
			"node_memory_MemTotal_bytes": nil, "node_network_receive_bytes_total": {"device", "eth0"}, "node_textfile_mtime_seconds": nil, "shelf_disk_read_only": {"mountpoint", "/"}, "node_uname_info": nil, "node_disk_written_bytes_total": {"device", "vda"},
		} {
			if !hasMetric(f, name, labels) {
				t.Errorf("no %s %v among %d families", name, labels, len(f))
			}
		}
		// The machine has no sensors: what is not known is not reported.
		for _, name := range []string{"shelf_temperature_celsius", "shelf_throttled", "shelf_undervoltage", "shelf_disk_wear_percent", "shelf_backup_age_seconds", "node_textfile_scrape_error_total"} {
			if f[name] != nil {
				t.Errorf("%s is reported: %v, want nil", name, f[name])
			}
		}
		const get = "wget -q -T 5 -O /dev/null http://"
		for command, got := range s.each(get+"10.0.2.15:9100/metrics", get+"10.9.8.2:9100/metrics", get+"127.0.0.1:9100/metrics") {
			if works := strings.Contains(command, "10.0.2.15"); strings.HasPrefix(got, "0\n") != works {
				t.Errorf("%s: %s", command, got)
			}
		}
		if got := s.run("ps -o user,args | grep prometheus-node | grep -v grep; cat /sys/fs/cgroup/shelf/node-exporter/memory.max"); !strings.HasPrefix(got, "promethe") || !strings.HasSuffix(got, "\n67108864") {
			t.Errorf("node-exporter: %s", got)
		}
		// It moves when it is ordered to, and ends.
		s.run("sudo mkdir -p /var/lib/rancher/k3os/config.d && echo 'monitoring: {listen: eth1}' | sudo tee /var/lib/rancher/k3os/config.d/90-monitoring && sudo shelf config reload")
		s.until("wget -q -T 5 -O - http://10.9.8.2:9100/metrics | grep shelf_info", "shelf_info")
		if _, err := s.try("wget -q -T 5 -O /dev/null http://10.0.2.15:9100/metrics"); err == nil {
			t.Error("it still serves the address it was taken from")
		}
		s.run("echo 'monitoring: {enabled: false}' | sudo tee /var/lib/rancher/k3os/config.d/90-monitoring && sudo shelf config reload")
		s.until("pidof prometheus-node-exporter || echo gone", "gone") // the reset below takes this away again
	}, g)
	sub(t, "support", func(t *testing.T) {
		ctx, stop := context.WithTimeout(g.ctx, patience)
		defer stop()
		out, err := s.Run(ctx, "sudo shelf support -")
		if err != nil {
			t.Fatal(err)
		}
		files := untar(t, []byte(out))
		for name, want := range map[string]string{"status.json": `"hostname": "shelf-node"`, "status.txt": "shelf-node", "config.yaml": "hostname: shelf-node", "dmesg.txt": "Linux version", "logs/ticker.log": "tick ******** ********",
			"logs/sshd.log": "rancher", "report.txt": "ShelfOS", "metrics.txt": "shelf_info", "processes.txt": "sshd", "proc/mounts": "/usr squashfs"} {
			if !strings.Contains(files[name], want) {
				t.Errorf("%s does not hold %q: %.300q", name, want, files[name])
			}
		}
		for name, text := range files {
			if i := strings.Index(text, "canary-"); i >= 0 {
				t.Errorf("%s holds a secret: %.100q", name, text[max(0, i-40):])
			}
			if regexp.MustCompile(`\$[0-9y]+\$`).MatchString(text) {
				t.Errorf("%s holds the hash of a password", name)
			}
		}
	}, g)
	sub(t, "from the laptop", func(t *testing.T) {
		program, err := command()
		if err != nil {
			t.Fatal(err)
		}
		home := t.TempDir()
		var stdin io.Reader
		node := func(words ...string) (string, int) {
			cmd := exec.CommandContext(t.Context(), program, append([]string{"node", g.Forward[22]}, append(words, "key=accept-new", "identity="+identity)...)...)
			cmd.Env = append(os.Environ(), "HOME="+home, "SSH_AUTH_SOCK=")
			cmd.Dir = home
			cmd.Stdin = stdin
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			err := cmd.Run()
			if cmd.ProcessState == nil {
				t.Fatal(err)
			}
			return out.String() + errs.String(), cmd.ProcessState.ExitCode()
		}
		if out, code := node("status"); code != 0 || !strings.Contains(out, "shelf-node, worker on") {
			t.Errorf("status: %d\n%s", code, out)
		}
		stdin = strings.NewReader("hostname: another\n")
		if out, code := node("config", "check", "-o", "json"); code != 0 || !strings.Contains(out, `"another"`) {
			t.Errorf("config check: %d\n%s", code, out)
		}
		stdin = nil
		if out, code := node("start", "broken"); code != 7 || !strings.Contains(out, "failed") {
			t.Errorf("start broken: %d\n%s", code, out)
		}
		if out, code := node("support", "out=it.tar.gz"); code != 0 {
			t.Errorf("support: %d\n%s", code, out)
		} else if data, err := os.ReadFile(filepath.Join(home, "it.tar.gz")); err != nil || untar(t, data)["status.json"] == "" {
			t.Errorf("support: %v", err)
		}
	}, g)

	kept := "cat /etc/machine-id; hostname; sudo cat /var/lib/rancher/k3os/ssh/ssh_host_ed25519_key.pub; sudo sha256sum /k3os/config/system.yaml"
	before := s.run(kept)
	s.run("touch /home/rancher/mine && sudo touch /opt/mine /usr/local/mine && sudo mkdir -p /var/lib/rancher/k3s/server/db && sudo touch /var/lib/rancher/k3s/server/db/state.db")
	if got := code("shelf reset </dev/null"); !strings.HasPrefix(got, "2\n") {
		t.Errorf("reset does not ask: %s", got)
	}
	s.try("shelf reset yes=yes")
	g.up()
	s = g.login()
	sub(t, "reset", func(t *testing.T) {
		if !strings.Contains(g.Output(), "shelf: the data are reset; configuration and identity are kept") {
			t.Error("the console does not show the reset")
		}
		if after := s.run(kept); after != before {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
		for _, path := range []string{"/home/rancher/mine", "/opt/mine", "/usr/local/mine", "/var/lib/rancher/k3s/server"} {
			if _, err := s.try("ls " + path); err == nil {
				t.Errorf("%s is still there", path)
			}
		}
		s.until("shelf services | grep ticker", "ready") // the configuration acts
		if out, err := s.try("ls /k3os/config/reset"); err == nil {
			t.Errorf("the order stays: %s", out)
		}
		s.until("shelf services | grep node-exporter", "ready")
		if f := scrape(t, g.Forward[9100]); !hasMetric(f, "shelf_info", []string{"slot", "a"}) {
			t.Error("no metrics after the reset")
		}
	}, g)
	if full { // a boot more
		sub(t, "an error of the file system", func(t *testing.T) {
			s.run("sudo sh -c 'echo on purpose > /sys/fs/ext4/vda4/trigger_fs_error'")
			if got := code("shelf status"); !strings.HasPrefix(got, "7\n") || !strings.Contains(got, "/ takes no more writes") {
				t.Errorf("status: %s", got)
			}
			s.until("cat /run/shelf/metrics/shelf.prom", `shelf_disk_read_only{mountpoint="/"} 1`)
			t.Log(s.run("grep ' / ' /proc/mounts"))
		}, g)
		s.try("sudo shelf reboot")
		g.up()
		s = g.login() // not in the part above, with whose end it would go
		if got := code("shelf status"); strings.Contains(got, "takes no more writes") {
			t.Errorf("the boot has not repaired it: %s", got)
		}
	}
	s.off()
	sub(t, "after the reset", func(t *testing.T) { ref(t, "e2fsck", "-fn", dataFS(g.Disk)) }, g)
}

// each runs commands one after the other in one session and returns for each its exit code, a line
// end and what it printed.
func (s *shell) each(commands ...string) map[string]string {
	s.g.t.Helper()
	const mark = "=== next ==="
	script := ""
	for _, c := range commands {
		script += "{ " + c + "; } >/tmp/out 2>&1 </dev/null; code=$?; echo; echo '" + mark + "'; echo $code; cat /tmp/out\n"
	}
	parts := strings.Split(s.run(script), "\n"+mark+"\n")
	if len(parts) != len(commands)+1 {
		s.g.t.Fatalf("%d commands, %d answers", len(commands), len(parts)-1)
	}
	all := map[string]string{}
	for i, c := range commands {
		all[c] = parts[i+1]
	}
	return all
}

// statusOf decodes what a command prints, whatever its exit code.
func statusOf(t *testing.T, s *shell, command string) (st nodeStatus) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.until("("+command+") 2>/dev/null || true", `"version": `)), &st); err != nil {
		t.Errorf("%s: %v", command, err)
	}
	return st
}

// keyFile makes a key that may log in as well, as OpenSSH keeps it, for the public command; line is
// its authorized_keys'.
func keyFile(t *testing.T) (file, line string) {
	t.Helper()
	private, signer := makeKey(t)
	file = filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(file, private, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// scrape reads a node's metrics as Prometheus does.
func scrape(t *testing.T, address string) map[string]*dto.MetricFamily {
	t.Helper()
	end := time.Now().Add(patience)
	for {
		f, err := scrapeOnce(address)
		if err == nil {
			return f
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond) // the address is forwarded before anybody listens
	}
}

func scrapeOnce(address string) (map[string]*dto.MetricFamily, error) {
	r, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the exporter answers %s", r.Status)
	}
	p := expfmt.NewTextParser(model.LegacyValidation)
	return p.TextToMetricFamilies(r.Body)
}

// hasMetric reports whether a metric with these labels, name and value in turn, is there.
func hasMetric(f map[string]*dto.MetricFamily, name string, labels []string) bool {
	for _, m := range f[name].GetMetric() {
		have := map[string]string{}
		for _, l := range m.GetLabel() {
			have[l.GetName()] = l.GetValue()
		}
		fits := true
		for i := 0; i+1 < len(labels); i += 2 {
			fits = fits && have[labels[i]] == labels[i+1]
		}
		if fits {
			return true
		}
	}
	return false
}

// untar returns the files of a bundle without the name of its directory.
func untar(t *testing.T, data []byte) map[string]string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(h.Name, "/")
		files[name] = string(text)
	}
}
