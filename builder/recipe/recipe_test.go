package recipe

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imgbuild/boards"
	"imgbuild/builder/blockcache"
	"imgbuild/init/contract/fault"
)

func asks(t *testing.T, board, role string, c Choice) *Asked {
	t.Helper()
	a, err := New(board, role, c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func made(t *testing.T, board, role string) *Locked {
	t.Helper()
	l, miss, err := asks(t, board, role, Choice{}).TakeLock("")
	if err != nil || l == nil {
		t.Fatalf("%s %s has no lock: %v, %v", board, role, miss, err)
	}
	return l
}

// decided is a recipe without k3s, changed before its hash is made.
func decided(t *testing.T, board, role string, change func(*ready)) *Ready {
	t.Helper()
	r := ready{locked: made(t, board, role).locked, K3s: K3s{Source: NoK3s}}
	change(&r)
	all, err := newReady(r, false)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func asItIs(*ready) {}

// One slot serves every board of a family and every role of the slot; what reaches the slot changes
// its version.
func TestVersion(t *testing.T) {
	first := decided(t, "rpi4", "worker", asItIs).Version()
	if date := made(t, "rpi4", "worker").Lock.Date; !strings.HasPrefix(first, date+"-") || len(first) != 17 {
		t.Errorf("got the version %s, want %s-XXXXXXXX", first, date)
	}
	for _, pair := range [][2]string{{"rpi4", "server"}, {"rpi3", "worker"}, {"rpi4", "worker"}} {
		if got := decided(t, pair[0], pair[1], asItIs).Version(); got != first {
			t.Errorf("%v: got the version %s, want %s", pair, got, first)
		}
	}
	changes := map[string]func(*ready){
		"board family": func(r *ready) { r.locked = made(t, "qemu-arm64", "worker").locked },
		"init":         func(r *ready) { r.Init = "other" },
		"shelf":        func(r *ready) { r.Shelf = "other" },
		"overlays":     func(r *ready) { r.Data = "other" },
		"packages":     func(r *ready) { r.Extra = []string{"containerd"} },
		"k3s":          func(r *ready) { r.K3s = K3s{Source: Embedded, SHA256: "x"} },
		"role's slot":  func(r *ready) { r.Roles = []string{"worker"} },
	}
	for what, change := range changes {
		if got := decided(t, "rpi4", "worker", change).Version(); got == first {
			t.Errorf("another %s leaves the version %s as it is", what, got)
		}
	}
	where := func(r *ready) { r.K3s.File, r.K3s.Warning = "/somewhere", "text" }
	if got := decided(t, "rpi4", "worker", where).Version(); got != first {
		t.Errorf("the place of a file on the host changes the version: got %s, want %s", got, first)
	}
}

// The matrix of the main job: server on rpi4 and qemu-arm64, worker on all but rpi-zero2w.
func TestMatrix(t *testing.T) {
	want := map[string]string{"rpi4": "server worker router", "qemu-arm64": "server worker router", "rpi3": "worker router", "odroid-xu4": "worker", "qemu-arm": "worker", "rpi-zero2w": "router"}
	for _, board := range boards.Names() {
		var got []string
		for _, role := range []string{"server", "worker", "router"} {
			_, err := New(board, role, Choice{})
			if err == nil {
				got = append(got, role)
			} else if fault.Code(err) != 2 || !strings.Contains(err.Error(), board) {
				t.Errorf("%s %s: %v", board, role, err)
			}
		}
		if strings.Join(got, " ") != want[board] {
			t.Errorf("%s takes %v, not %s", board, got, want[board])
		}
	}
}

func TestTakeLock(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	r := made(t, "rpi4", "worker")
	file := filepath.Join(dir, "a.lock")
	if err := WriteLock(file, r.Lock); err != nil {
		t.Fatal(err)
	}
	if l, miss, err := asks(t, "rpi3", "worker", Choice{}).TakeLock(file); err != nil || l == nil {
		t.Errorf("a lock of the family is refused: %v %v", miss, err)
	}
	if l, _, err := asks(t, "qemu-arm", "worker", Choice{}).TakeLock(file); fault.Code(err) != 3 || l != nil {
		t.Errorf("a lock for another architecture is taken: %v", err)
	}
	extra := asks(t, "rpi4", "worker", Choice{Packages: []string{"containerd"}})
	if l, miss, err := extra.TakeLock(""); err != nil || l != nil || miss.Why == "" {
		t.Errorf("the embedded lock serves other packages: %v, %v", miss, err)
	}
	if l, _, err := extra.TakeLock(file); fault.Code(err) != 3 || l != nil {
		t.Errorf("a strict lock serves other packages: %v", err)
	}
	// ./imgbuild.lock goes before the embedded one.
	local := *r.Lock
	local.Date = "20200101"
	if err := WriteLock(LocalLock, &local); err != nil {
		t.Fatal(err)
	}
	if got := made(t, "rpi4", "worker").Lock.Date; got != "20200101" {
		t.Errorf("got the lock of %s, want that of 20200101", got)
	}
	const why = "./imgbuild.lock is not used: it is for arm64, not armhf"
	if got := made(t, "qemu-arm", "worker").Passed(); got != why {
		t.Errorf("a ./imgbuild.lock for another architecture: got %q, want %q", got, why)
	}
	if err := os.WriteFile(LocalLock, []byte("rubbish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, _, err := asks(t, "rpi4", "worker", Choice{}).TakeLock(""); fault.Code(err) != 3 || l != nil {
		t.Errorf("a broken ./imgbuild.lock is passed over in silence: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".lock-*")); err != nil || left != nil {
		t.Errorf("half-written locks stay: %v %v, want nil", left, err)
	}
}

func TestK3s(t *testing.T) {
	l := made(t, "rpi4", "worker")
	cache, err := blockcache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	decide := func(option string) (K3s, error) {
		r, err := l.Decide(t.Context(), option, Carried{}, cache, nil)
		if err != nil {
			return K3s{}, err
		}
		return r.K3s, nil
	}
	file := filepath.Join(t.TempDir(), "k3s")
	if err := os.WriteFile(file, program(elf.EM_AARCH64, elf.ELFCLASS64, elf.ET_EXEC, "k3s version v1.35.0+k3s1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if k, err := decide(file); err != nil || k.Source != Embedded || k.Size != 1<<20+88 || !strings.HasPrefix(k.Version, "file-") {
		t.Errorf("a file gives %+v: %v", k, err)
	}
	if k, err := decide(FirstBoot); err != nil || k.Source != FirstBoot || k.Version != K3sDefault || len(k.SHA256) != 64 {
		t.Errorf("firstboot gives %+v: %v", k, err)
	}
	if k, err := decide(NoK3s); err != nil || k != (K3s{Source: NoK3s}) {
		t.Errorf("none gives %+v: %v", k, err)
	}
	for option, code := range map[string]int{"v9.9.9-k3s1": 2, "./nope": 3} {
		if k, err := decide(option); fault.Code(err) != code {
			t.Errorf("k3s=%s: got %+v %v, want code %d", option, k, err, code)
		}
	}
	for _, v := range K3sVersions() {
		for _, arch := range []string{"amd64", "arm64", "armhf"} {
			k, err := pinned(nil, Official(), v, arch)
			if err != nil || len(k.SHA256) != 64 || !strings.Contains(k.URL, "%2B") || strings.Contains(k.URL, "+") {
				t.Errorf("%s %s: %+v %v", v, arch, k, err)
			}
		}
	}
}

// A plan names the source that a build would try, and asks nobody.
func TestPlan(t *testing.T) {
	l := made(t, "rpi4", "worker")
	for option, want := range map[string]string{"": "embedded if it is available, else firstboot", "auto": "embedded if it is available, else firstboot", FirstBoot: FirstBoot, NoK3s: NoK3s, K3sDefault: Embedded} {
		p, err := l.Plan(option, Carried{Init: "p"})
		if err != nil || p.K3s.Source != want || p.Init != "p" || (p.K3s.SHA256 == "") != (option == NoK3s) {
			t.Errorf("k3s=%s: got %+v, %v, want the source %q", option, p, err, want)
		}
	}
	if p, err := l.Plan("v9.9.9+k3s1", Carried{}); fault.Code(err) != int(fault.Usage) {
		t.Errorf("got %+v, %v, want a fault of kind Usage", p, err)
	}
}

// program is the least of an ELF file with a text far from its start.
func program(machine elf.Machine, class elf.Class, kind elf.Type, says string) []byte {
	var b bytes.Buffer
	ident := [16]byte{0x7f, 'E', 'L', 'F', byte(class), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)}
	if class == elf.ELFCLASS64 {
		binary.Write(&b, binary.LittleEndian, elf.Header64{Ident: ident, Type: uint16(kind), Machine: uint16(machine), Version: 1, Ehsize: 64, Phentsize: 56, Shentsize: 64})
	} else {
		binary.Write(&b, binary.LittleEndian, elf.Header32{Ident: ident, Type: uint16(kind), Machine: uint16(machine), Version: 1, Ehsize: 52, Phentsize: 32, Shentsize: 40})
	}
	b.Write(make([]byte, 1<<20-b.Len()))
	b.Write(make([]byte, 64))
	copy(b.Bytes()[b.Len()-80:], says) // across the border of two reads
	b.Write(make([]byte, 24))
	return b.Bytes()
}

// A file that is not a k3s for the board is refused before anything is built with it.
func TestK3sFile(t *testing.T) {
	const says = "k3s version v1.35.0+k3s1"
	for name, c := range map[string]struct {
		data []byte
		arch string
		ok   bool
	}{
		"k3s for arm64":         {program(elf.EM_AARCH64, elf.ELFCLASS64, elf.ET_EXEC, says), "arm64", true},
		"k3s for armhf":         {program(elf.EM_ARM, elf.ELFCLASS32, elf.ET_EXEC, says), "armhf", true},
		"relocatable":           {program(elf.EM_ARM, elf.ELFCLASS32, elf.ET_DYN, "github.com/k3s-io/k3s/cmd"), "armhf", true},
		"for a PC":              {program(elf.EM_X86_64, elf.ELFCLASS64, elf.ET_EXEC, says), "arm64", false},
		"64 bits for 32":        {program(elf.EM_AARCH64, elf.ELFCLASS64, elf.ET_EXEC, says), "armhf", false},
		"something else":        {program(elf.EM_AARCH64, elf.ELFCLASS64, elf.ET_EXEC, "busybox"), "arm64", false},
		"an object":             {program(elf.EM_AARCH64, elf.ELFCLASS64, elf.ET_REL, says), "arm64", false},
		"a README":              {[]byte("# k3s v1.35.0+k3s1\nLightweight Kubernetes\n"), "arm64", false},
		"empty":                 {nil, "arm64", false},
		"a damaged header only": {program(elf.EM_AARCH64, elf.ELFCLASS64, elf.ET_EXEC, says)[:40], "arm64", false},
	} {
		file := filepath.Join(t.TempDir(), "k3s")
		if err := os.WriteFile(file, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := K3sFile(file, c.arch)
		if c.ok && (err != nil || k.Size != int64(len(c.data)) || k.SHA256 != fmt.Sprintf("%x", sha256.Sum256(c.data))) {
			t.Errorf("%s: got %+v %v, want the file", name, k, err)
		}
		if !c.ok && fault.Code(err) != int(fault.Input) {
			t.Errorf("%s: got %+v %v, want a fault of kind Input", name, k, err)
		}
	}
}

func TestWithout(t *testing.T) {
	all := len(asks(t, "rpi4", "worker", Choice{}).Request().Suites)
	if got := len(asks(t, "rpi4", "worker", Choice{Without: []string{"trixie-security"}}).Request().Suites); got != all-1 {
		t.Errorf("got %d suites, want %d", got, all-1)
	}
	if _, err := New("rpi4", "worker", Choice{Without: []string{"trixie"}}); fault.Code(err) != 2 {
		t.Errorf("the main suite can be left out: %v, want code 2", err)
	}
}

// A download that is refused, wrong, cut or silent is an error of kind Network with its reason,
// never an interrupt.
func TestGetK3s(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/good", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("binary")) })
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Write([]byte("bin"))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	var seen int64
	d, err := getK3s(t.Context(), http.DefaultClient, server.URL+"/good", true, false, func(done, _ int64) { seen = done })
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if data, err := io.ReadAll(d); err != nil || string(data) != "binary" || seen != 6 {
		t.Errorf("%q, %v, progress %d, want %q and 6", data, err, seen, "binary")
	}
	if _, err := getK3s(t.Context(), http.DefaultClient, server.URL+"/absent", true, false, nil); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("absent: %v", err)
	}
	if _, err := getK3s(t.Context(), http.DefaultClient, "http://127.0.0.1:1/k3s", true, false, nil); err == nil {
		t.Error("a refused connection is not an error")
	}
	cut, err := getK3s(t.Context(), http.DefaultClient, server.URL+"/cut", true, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer cut.close()
	if _, err := io.ReadAll(cut); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a cut download: %v", err)
	}
	silent, err := getK3s(t.Context(), http.DefaultClient, server.URL+"/good", true, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.close()
	silent.cancel(errors.New("the server was silent"))
	if err := silent.reason(context.Canceled); errors.Is(err, context.Canceled) || fault.Code(err) == int(fault.Interrupted) {
		t.Errorf("silence counts as an interrupt: %v", err)
	}
}

// A slot is refused only by a machine that can run none of its roles.
func TestMinMemory(t *testing.T) {
	worker, server := made(t, "rpi4", "worker"), made(t, "rpi4", "server")
	if got := worker.MinMemory(); got != int64(worker.Role.MemoryMB)<<20 || got != server.MinMemory() || got == 0 {
		t.Errorf("%d and %d bytes, a worker needs %d MiB", got, server.MinMemory(), worker.Role.MemoryMB)
	}
}

// The checks that a slot promises are part of its version, for every role that it has.
func TestHealth(t *testing.T) {
	r := made(t, "rpi4", "worker")
	all := r.Health()
	worker, server := all["worker"], all["server"]
	if len(all) != 2 || !slices.Contains(worker.Checks, "kubelet") || slices.Contains(worker.Checks, "api") || !slices.Contains(server.Checks, "api") || !slices.Contains(server.Checks, "sshd") || worker.Deadline < 60 {
		t.Errorf("got %+v", all)
	}
	if got := r.HealthyWhen(); len(got) != len(worker.Checks) {
		t.Errorf("%d lines for %d checks: %q", len(got), len(worker.Checks), got)
	}
}
