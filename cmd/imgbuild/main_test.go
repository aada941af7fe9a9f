package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"
)

// silence sends what a verb prints to a file and returns that.
func silence(t *testing.T) func() string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stdout
	os.Stdout = f
	t.Cleanup(func() { os.Stdout = old; f.Close() })
	return func() string {
		data, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
}

func TestRefusals(t *testing.T) {
	silence(t)
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("hostname: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const archive = "mirror=http://127.0.0.1:1/debian"
	for _, c := range []struct {
		words string
		code  int
		says  string
	}{
		{"boad=rpi4 role=worker", 2, "did you mean board?"},
		{"board=rpi44 role=worker", 2, "did you mean rpi4?"},
		{"board=rpi5 role=worker", 2, "the Raspberry Pi 5 is not supported yet"},
		{"board=rpi4 role=workr", 2, "did you mean worker?"},
		{"role=worker", 2, "no board is given"},
		{"board=rpi3 role=server", 2, "1 GB"},
		{"board=rpi-zero2w role=worker", 2, "512 MB"},
		{"board=rpi4 board=rpi3 role=worker", 2, "given twice"},
		{"biuld board=rpi4", 2, "did you mean build?"},
		{"--board rpi4", 2, "key=value"},
		{"build extra board=rpi4", 2, "has what board= would be for"},
		{"boards output=yaml", 2, `no output "yaml"`},
		{"board=rpi4 role=worker k3s=v0.0.1 cache=" + dir + " " + archive, 4, "127.0.0.1"},
		{"board=rpi4 role=worker cache=" + dir + " mirror=nonsense", 2, "mirror="},
		{"board=rpi4 role=worker cache=" + dir + " " + archive, 4, "127.0.0.1"},
		{"board=rpi4 role=worker lock=/nope cache=" + dir + " " + archive, 3, "/nope"},
		{"board=rpi4 role=worker lock=" + bad + " cache=" + dir + " " + archive, 3, "line 1"},
		{"board=rpi4 role=worker config=/nope cache=" + dir + " " + archive, 3, "/nope"},
		{"board=rpi4 role=worker config=" + bad + " cache=" + dir + " " + archive, 3, "bad.yaml:1"},
		{"plan board=rpi4 role=worker without=trixie cache=" + dir + " " + archive, 2, "trixie-security"},
		{"validate", 2, "validate FILE"},
		{"validate /nope", 3, "/nope"},
		{"validate " + bad, 3, "errors"},
		{"board=rpi4 role=worker out=" + bad + " cache=" + dir + " " + archive, 6, "out=DIR"},
		{"flash", 2, "an image and a disk"},
		{"flash /nope", 3, "/nope"},
		{"flash " + bad + " /dev/null", 3, "not an image"},
		{"flash http://127.0.0.1:1/x.img /dev/null", 2, "sha256="},
		{"flash http://127.0.0.1:1/x.img /dev/null sha256=00", 4, "refuses connections"},
		{"board=odroid-xu4 role=worker blobs=skipped cache=" + dir + " " + archive, 3, "skipped/"},
		{"run board=rpi4 role=worker out=" + dir + " cache=" + dir + " " + archive, 4, "127.0.0.1"},
		{"run board=rpi4 role=worker image=x.img key=none out=" + dir, 2, "leave one of them out"},
		{"run board=rpi4 role=worker keep=../x out=" + dir, 2, "is not a name"},
		{"run board=rpi4 role=worker size=x", 2, "size"},
		{"run board=rpi4 role=worker nodes=x", 2, "nodes"},
		{"run board=rpi4 role=worker nodes=17", 2, "up to 16"},
		{"run board=rpi4 role=worker nodes=2 image=x.img", 2, "leave one of them out"},
		{"run board=rpi4 role=worker nodes=2 console=yes", 2, "for one node"},
		{"run board=rpi4 role=worker nodes=2 config=" + bad + " out=" + dir, 3, "bad.yaml:1"},
		{"run board=rpi4 role=server nodes=2 key=none config=" + bad + " out=" + dir, 2, "ssh_authorized_keys"},
		{"run board=rpi4 role=server nodes=2 key=none out=" + dir + " cache=" + dir + " " + archive, 4, "node1: "},
		{"help nope", 2, "verb"},
		{"migrate", 2, "migrate /dev/sdb"},
		{"migrate card.img mode=fresh", 2, "out="},
		{"migrate card.img out=x.tar", 2, "mode=fresh"},
		{"migrate card.img out=x.tar mode=full k3s=1.22", 2, "v1.22.2+k3s1"},
		{"migrate /nope out=" + dir + "/x.tar mode=full", 3, "/nope"},
		{"migrate " + bad + " out=" + dir + "/x.tar mode=full", 3, "too small"},
		{"board=rpi4 role=server import=/nope cache=" + dir + " " + archive, 3, "/nope"},
		{"board=rpi4 role=server restore=" + bad + " cache=" + dir + " " + archive, 3, "not a node archive"},
		{"board=rpi4 role=server images=/nope.tar cache=" + dir + " " + archive, 3, "/nope.tar"},
		{"board=rpi4 role=server k3s=none images=/nope.tar cache=" + dir + " " + archive, 2, "k3s=none leaves it out"},
		{"board=rpi4 role=server import=a restore=b cache=" + dir + " " + archive, 2, "do not go together"},
	} {
		err := dispatch(context.Background(), strings.Fields(c.words))
		if got := fault.Code(err); got != c.code {
			t.Errorf("%s: exit code %d, want %d: %v", c.words, got, c.code, err)
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v does not contain %q", c.words, err, c.says)
		}
		if err != nil && strings.Count(err.Error(), "\n") > 3 {
			t.Errorf("%s: the error is not a sentence: %v", c.words, err)
		}
	}
}

func TestData(t *testing.T) {
	printed := silence(t)
	for _, words := range []string{"boards", "roles output=json", "help", "help build", "run board=rpi4 --help", "-h", "--version", "version", "schema",
		"plan board=odroid-xu4 role=worker mirror=http://127.0.0.1:1/debian cache=" + t.TempDir(),
		"plan board=rpi4 role=worker k3s=v1.99.9+k3s1 mirror=http://127.0.0.1:1/debian cache=" + t.TempDir()} {
		if err := dispatch(context.Background(), strings.Fields(words)); err != nil {
			t.Errorf("%s: %v", words, err)
		}
	}
	for _, want := range []string{"odroid-xu4", `"services"`, "key=value", "Examples:", "memory=MIB", "imgbuild ", "$schema", "linux-image-armmp-lpae", "p2 slot A", "k3s v1.99.9+k3s1 embedded, with the sum that its release publishes",
		"boot blobs in sectors 1 to 2014: never written by a node", "EEPROM of the bootloader: never written by a node"} {
		if !strings.Contains(printed(), want) {
			t.Errorf("nothing printed %q", want)
		}
	}
}

// Problems of a file are reported under the path that was given, in the order of its lines,
// and as data.
func TestValidate(t *testing.T) {
	printed := silence(t)
	file := filepath.Join(t.TempDir(), "node.yaml")
	if err := os.WriteFile(file, []byte("hostnam: a\nk3os:\n  server_url: server.lan\n  labels: [a]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{{"validate", file}, {"validate", file, "output=json"}} {
		if err := dispatch(context.Background(), words); fault.Code(err) != int(fault.Input) {
			t.Fatalf("%v: %v, want code %v", words, err, int(fault.Input))
		}
	}
	text, data, _ := strings.Cut(printed(), "[\n")
	last := 0
	for _, line := range []string{":1:1: error: hostnam: ", ":3:15: error: k3os.server_url: ", ":4:11: error: k3os.labels: ", "warning: ssh_authorized_keys: "} {
		if line[0] == ':' {
			line = file + line
		}
		at := strings.Index(text, line)
		if at < last {
			t.Errorf("%q is missing or too early in\n%s", line, text)
		}
		last = at
	}
	if !strings.Contains(data, `"severity": "warning"`) || !strings.Contains(data, `"file": "`+file+`"`) {
		t.Errorf("the JSON is\n%s", data)
	}
}

// A node takes an empty file for a damaged one, so it is an error here.
func TestValidateEmpty(t *testing.T) {
	printed := silence(t)
	file := filepath.Join(t.TempDir(), "node.yaml")
	for text, want := range map[string]fault.Kind{"": fault.Input, "\n \n": fault.Input, "\x00\x00": fault.Input, "# no settings\n": 0} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, words := range [][]string{{"validate", file}, {"validate", file, "board=rpi4", "role=worker", "lenient=yes"}} {
			if err := dispatch(context.Background(), words); fault.Code(err) != int(want) {
				t.Errorf("%q %v: got code %d %v, want %d", text, words, fault.Code(err), err, want)
			}
		}
	}
	if text := printed(); !strings.Contains(text, file+": error: the file is empty") {
		t.Errorf("got no error with the file's name in\n%s", text)
	}
}

// A key that does not exist ends validate, a build and an apply with exit code 3 before anything is
// fetched; lenient=yes is the node's view.
func TestUnknownKey(t *testing.T) {
	printed := silence(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "node.yaml")
	if err := os.WriteFile(file, []byte("ssh_authorized_keys: [github:a]\nk3os: {lables: {a: b}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const build = "board=rpi4 role=worker mirror=http://127.0.0.1:1/debian"
	for words, want := range map[string]int{
		"validate " + file:                  3,
		"validate " + file + " output=json": 3,
		build + " out=" + dir + "/out cache=" + dir + "/cache config=" + file:              3,
		"apply 127.0.0.1:1 config=" + file:                                                 3,
		"validate lenient=yes " + file:                                                     0,
		build + " out=" + dir + "/out2 cache=" + dir + "/cache lenient=yes config=" + file: 4, // it goes on to the archive
		"validate lenient=maybe " + file:                                                   2,
	} {
		err := dispatch(context.Background(), strings.Fields(words))
		if got := fault.Code(err); got != want {
			t.Errorf("%s: got exit code %d, want %d: %v", words, got, want, err)
		}
		if want == 3 && strings.HasPrefix(words, "board") && !strings.Contains(err.Error(), "did you mean k3os.labels?") {
			t.Errorf("%s: %v", words, err)
		}
	}
	if n := strings.Count(printed(), file+": ok\n"); n != 1 {
		t.Errorf("got %d lines with ok, want 1 (lenient=yes):\n%s", n, printed())
	}
	if left, _ := filepath.Glob(dir + "/cache/*/*"); len(left) > 0 {
		t.Errorf("work was begun: %v", left)
	}
}

// Completions, as bash itself gives them.
func TestCompletion(t *testing.T) {
	script := program().Bash() + `
ask() { COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=(); _imgbuild 2>/dev/null; echo "${COMPREPLY[*]}"; }
ask imgbuild kub; ask imgbuild run boa; ask imgbuild run board = rpi4; ask imgbuild migrate mode = ""; ask imgbuild k3s = fir; ask imgbuild help mig`
	out, err := exec.Command("bash", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if want := "kubeconfig\nboard=\nrpi4\nfresh full\nfirstboot\nmigrate\n"; string(out) != want {
		t.Errorf("completed are\n%swant\n%s", out, want)
	}
}

func TestInterrupted(t *testing.T) {
	silence(t)
	ctx, stop := context.WithCancel(context.Background())
	stop()
	out := t.TempDir()
	err := dispatch(ctx, []string{"board=rpi4", "role=worker", "cache=" + t.TempDir(), "out=" + out, "mirror=http://127.0.0.1:1/debian"})
	if !errors.Is(err, context.Canceled) || fault.Code(err) != int(fault.Interrupted) {
		t.Fatalf("%v is code %d", err, fault.Code(err))
	}
	if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
		t.Fatalf("something is left: %v %v", left, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"board=rpi4 role=worker", "help build", "-h", "a=b c=d a=e", "validate a=b.yaml ./x=y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		a, err := program().Parse(strings.Fields(line))
		if err != nil && fault.Code(err) != int(fault.Usage) {
			t.Fatalf("%q: %v is not a usage error", line, err)
		}
		if err == nil && a.Verb == nil && len(a.Values) > 0 && len(a.Operands) == 0 && !strings.Contains(line, "help") {
			t.Fatalf("%q: keys without a verb", line)
		}
	})
}
