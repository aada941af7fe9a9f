package scenarios

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/bootstate"
	"imgbuild/init/contract/bundle"
	"imgbuild/qemu/vm"
)

// TestUpgradeNode is what shelf does about upgrades on one node: keys, a bundle on standard input
// and one in a file, what is refused, commit, and the ways back by hand. The slots differ in k3s.
// FULL: four boots.
func TestUpgradeNode(t *testing.T) {
	if !full {
		return
	}
	t.Parallel()
	program, err := command()
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "key")
	imgbuild := func(words ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), program, words...).CombinedOutput(); err != nil {
			t.Fatalf("imgbuild %q: %v\n%s", words, err, out)
		}
	}
	imgbuild("keygen", "key="+key, "passphrase=no")
	config := cloudConfig("shelf-node", "")
	v1 := build(t, config, "board=qemu-arm64", "role=worker", "k3s=none", "sign=none")
	v2 := build(t, config, "board=qemu-arm64", "role=worker", k3s(t, "arm64"), "sign=none")
	imgbuild("bundle", v2.Image, "from="+v1.Image, "sign="+key, "floor=3")
	data, err := os.ReadFile(strings.TrimSuffix(v2.Image, ".img") + bundle.Suffix)
	if err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}

	_, card := testLAN(t)
	g := boot(t, vm.Options{Image: v1.Image, Name: "node", Size: 4 << 30, Links: []*vm.Link{card}})[0]
	g.up()
	s := g.login()
	pipe := func(command string, input []byte) (string, error) {
		t.Helper()
		ctx, stop := context.WithTimeout(t.Context(), 2*patience)
		defer stop()
		return s.RunInput(ctx, "{ "+command+"; } 2>&1; echo code $?; cat >/dev/null", input) // what a refusal leaves is read as well
	}
	expect := func(got string, err error, want ...string) {
		t.Helper()
		for _, w := range want {
			if err != nil || !strings.Contains(got, w) {
				t.Errorf("got %v %q, want %q", err, got, w)
			}
		}
	}
	run := func(command string, want ...string) {
		t.Helper()
		got, err := pipe(command, nil)
		expect(got, err, want...)
	}
	type upgrade struct {
		State, Version, Reason, Blame, Source string
		Before                                []string
		Floor                                 int64
	}
	state := func() (u upgrade) {
		t.Helper()
		var st struct{ Upgrade *upgrade }
		if err := json.Unmarshal([]byte(s.run("sudo shelf status -o json || true")), &st); err != nil {
			t.Fatal(err)
		}
		if st.Upgrade != nil {
			u = *st.Upgrade
		}
		return u
	}

	// Nobody is trusted until a person allows it.
	run("shelf history", "no upgrade of this node is known", "code 0")
	run("sudo shelf key list", "no key is trusted", "code 0")
	got, err := pipe("sudo shelf upgrade -", data)
	expect(got, err, "no key is trusted on this machine", "shelf key add", "code 5")
	got, err = pipe("cat >/tmp/key.pub; sudo shelf key add /tmp/key.pub", public)
	expect(got, err, "are taken from now on", "code 0")
	run("sudo shelf key add /tmp/key.pub", "trusted already", "code 0")
	run("shelf upgrade -", "use sudo", "code 2")
	run("sudo shelf upgrade /nowhere", "code 3")
	run("sudo shelf rollback", "no system to go back to", "code 2")
	run("sudo shelf commit", "not under trial", "code 2")

	// A manifest that nobody has signed: the slot stays as it is.
	bad := bytes.Clone(data)
	bad[bundle.HeaderSize+40] ^= 1
	before := s.run("sudo head -c 4M /dev/vda3 | sha256sum")
	got, err = pipe("sudo shelf upgrade -", bad)
	expect(got, err, "code 5")
	if after := s.run("sudo head -c 4M /dev/vda3 | sha256sum"); after != before {
		t.Error("a bundle that was refused has changed the slot")
	}

	// Written and armed, then taken back.
	got, err = pipe("sudo shelf upgrade - reboot=no", data)
	expect(got, err, v2.Version+" is in slot b", "the next boot tries it", "read back 100 %", "made from the running system", "code 0")
	if u := state(); u.State != "armed" || u.Version != v2.Version || u.Source != "stdin" || len(u.Before) == 0 {
		t.Errorf("the status is %+v", u)
	}
	run("sudo shelf rollback", "is taken back", "code 0")
	if u := state(); u.State != "withdrawn" {
		t.Errorf("the status is %+v", u)
	}

	// From a file, without writing the slot once more; the node reboots into it and commits it.
	got, err = pipe("cat >v2.upgrade", data)
	expect(got, err, "code 0")
	got, err = pipe("sudo shelf upgrade v2.upgrade", nil)
	expect(got, err, "already, whole: nothing is written", "reboots into it now", "code 0")
	g.see(`shelf: booting slot b`)
	g.up()
	s = g.login()
	s.until("shelf status || true", "committed on")
	if u := state(); u.State != "committed" || u.Reason != "its checks passed" || u.Floor != 3 || u.Source != "file" {
		t.Errorf("the status is %+v", u)
	}
	run("sudo shelf upgrade v2.upgrade", "runs already", "code 0")
	run("shelf history", v2.Version+", from "+v1.Version+", slot b, by file: committed", "security floor: 3", "code 0")
	run("sudo cat /boot/report.txt | tr -d '\\r\\n'", "is committed")

	// Back by hand: the same bundle is not taken again but by force.
	run("sudo shelf rollback", "yields to the system in slot a", "code 0")
	g.see(`shelf: booting slot a`)
	g.up()
	s = g.login()
	if got := s.run("sudo shelf status -o json || true"); !strings.Contains(got, v1.Version) {
		t.Errorf("after the rollback: %.500s", got)
	}
	run("sudo shelf upgrade v2.upgrade", "was rolled back here", "force=yes", "code 7")
	run("sudo shelf upgrade v2.upgrade force=yes reboot=no", "the next boot tries it", "code 0")
	run("sudo shelf rollback", "is taken back", "code 0")
	s.off()
	if r := records(t, g.Disk); r.Active != bootstate.A || r.Trial != "" {
		t.Errorf("the boot record is %+v", r)
	}
}
