package config

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// The problems of every file in testdata/problems are in the file next to it, as they are printed.
func TestGoldenProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/problems/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no testdata", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		l, problems := Parse(filepath.Base(file), data)
		c, more := Merge(l)
		facts := Facts{Role: "worker", Board: "rpi3", Memory: 948 << 20}
		if strings.Contains(file, "server") {
			facts = Facts{Role: "server", Board: "rpi4", Memory: 3800 << 20}
		}
		problems = append(append(problems, more...), Check(c, facts)...)
		var b strings.Builder
		for _, p := range problems {
			b.WriteString(p.String() + "\n")
		}
		golden(t, strings.TrimSuffix(file, ".yaml")+".txt", b.String())
	}
}

// laughs is a billion of them.
func laughs() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [ha, ha]\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d, *a%d]\n", i, i, i-1, i-1)
	}
	return b.String() + "run_cmd: *a29\naddons: {a: {values: {x: *a29}}}\nhostname: a\n"
}

func TestBounds(t *testing.T) {
	big := strings.Repeat("z", 600<<10)
	for name, c := range map[string]struct{ in, want string }{
		"too large":          {"# " + strings.Repeat("x", MaxSize), "more than the 1048576 that are read"},
		"UTF-16":             {"\xff\xfeh\x00", "the file is encoded as UTF-16; save it as UTF-8"},
		"a billion laughs":   {laughs(), "the aliases unfold to more than"},
		"large aliases":      {"x: &x " + big + "\nrun_cmd: [" + strings.Repeat("*x, ", 20) + "]", "the aliases unfold to more than"},
		"a loop":             {"addons: {a: {values: &a {b: *a}}}", "an anchor contains itself"},
		"a merge loop":       {"k3os: &a {<<: *a}", "an anchor contains itself"},
		"deep":               {"addons: {a: {values: " + strings.Repeat("{a: ", 200) + strings.Repeat("}", 202), "nested deeper than 64"},
		"very deep":          {"addons: " + strings.Repeat("[", 500_000), "this is not YAML"},
		"unknown anchor":     {"hostname: *a", "unknown anchor"},
		"a zero byte":        {"hostname: a\x00", "this is not YAML"},
		"not UTF-8":          {"hostname: \xc3(", "save the file as UTF-8 text"},
		"a tab":              {"k3os:\n\ttoken: a", "replace the tab at the start of line 2 by spaces"},
		"a list":             {"- a", "the file is a list, not a map of keys"},
		"a colon":            {"hostname: a: b", "put a text with a colon and a space into quotes"},
		"an unclosed quote":  {"hostname: 'a\nrun_cmd: [x]", "each quote and bracket is closed"},
		"a key that is none": {"hostname: a\nfoo", "not YAML"},
	} {
		t.Run(name, func(t *testing.T) {
			l, problems := Parse("f", []byte(c.in))
			if l == nil || len(problems) == 0 || !strings.Contains(fmt.Sprint(problems), c.want) {
				t.Fatalf("got %v, want %q", problems, c.want)
			}
			fatal := false
			for _, p := range problems {
				fatal = fatal || p.Fatal
			}
			if !fatal {
				t.Errorf("no problem is fatal: %v", problems)
			}
		})
	}
}

func TestAliasesWithinBounds(t *testing.T) {
	c := parse(t, "base: &b {token: t, labels: &l {a: b}}\nk3os: {<<: *b, labels: *l, server_url: &u 'https://s:6443'}\nhostname: &h a\nwrite_files: [&f {path: /a, content: *h}, {<<: *f, path: /b}]\n")
	if c.K3OS.Token != "t" || c.K3OS.Labels["a"] != "b" || len(c.WriteFiles) != 2 || c.WriteFiles[1] != (File{Path: "/b", Content: "a", Permissions: "0644"}) {
		t.Errorf("got %+v", c)
	}
}

// A mistake in one key leaves the others readable, but the file as a whole is not to be imported.
func TestSalvage(t *testing.T) {
	in := "hostname: a\nssh_authorized_keys:\n- ssh-ed25519 AAAA me\nrun_cmd: [a, 'b]\nnetwork:\n  interfaces:\n  - {name: eth0, addresses: [10.0.0.2/24]}\nk3os:\n  labels: {a: b\n  token: x\n"
	l, problems := Parse("f", []byte(in))
	c, _ := Merge(l)
	if len(problems) == 0 || !problems[0].Fatal {
		t.Errorf("problems %v, want a fatal one", problems)
	}
	if c.Hostname != "a" || len(c.SSHAuthorizedKeys) != 1 || len(c.Network.Interfaces) != 1 || len(c.RunCmd) != 0 {
		t.Errorf("got %+v", c)
	}
	if got := c.where["network.interfaces[0].name"].line; got != 7 {
		t.Errorf("the place of a salvaged key is line %d, want 7", got)
	}
}

// When a text cannot be read as a whole, its parts are: the key that opens the door and the network
// outlive a token that is wrong in the same section, a bomb of aliases, an editor that writes
// UTF-16, and a file that is far too long.
func TestSalvageWhatever(t *testing.T) {
	const good = "hostname: a\nssh_authorized_keys:\n- ssh-ed25519 AAAA me\n"
	wifi := "k3os:\n  token: abc\n\tserver_url: x\n  labels: {a: b\n  wifi:\n  - name: home\n    passphrase: correct horse\n"
	wide := func(order binary.AppendByteOrder, text string) string {
		var out []byte
		for _, u := range utf16.Encode([]rune(text)) {
			out = order.AppendUint16(out, u)
		}
		return string(out)
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\naddons: {a: {values: {x: [*d,*d]}}}\n"
	for what, f := range map[string]struct{ text, problem string }{
		"a tab in k3os":    {good + wifi, "replace the tab"},
		"an alias bomb":    {good + bomb + "k3os: {wifi: [{name: home}]}\n", "aliases unfold"},
		"deep":             {good + "addons: {a: {values: {a: " + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}}}\nk3os: {wifi: [{name: home}]}\n", "nested deeper"},
		"very deep":        {good + "k3os: {wifi: [{name: home}]}\nrouter: " + strings.Repeat("[", 100000) + "\n", "not YAML"},
		"PowerShell's >":   {wide(binary.LittleEndian, "\ufeff"+strings.ReplaceAll(good+"k3os: {wifi: [{name: home, pass: ä}]}\n", "\n", "\r\n")), "save it as UTF-8"},
		"UTF-16 backwards": {wide(binary.BigEndian, "\ufeff"+good+"k3os: {wifi: [{name: home}]}\n"), "save it as UTF-8"},
		"without a mark":   {wide(binary.LittleEndian, good+"k3os: {wifi: [{name: home}]}\n"), "save it as UTF-8"},
		"10 MB":            {good + "k3os: {wifi: [{name: home}]}\nrun_cmd:\n" + strings.Repeat("- echo 12345678901234567890\n", 400_000), "more than the 1048576"},
	} {
		l, problems := Parse("f", []byte(f.text))
		if i := slices.IndexFunc(problems, func(p Problem) bool { return p.Fatal }); i < 0 || !strings.Contains(problems[i].String(), f.problem) {
			t.Errorf("%s: %v", what, problems)
		}
		c, _ := Merge(l)
		if c.Hostname != "a" || !slices.Equal(c.SSHAuthorizedKeys, []string{"ssh-ed25519 AAAA me"}) || len(c.K3OS.WiFi) != 1 || c.K3OS.WiFi[0].Name != "home" {
			t.Errorf("%s: %q %q %+v", what, c.Hostname, c.SSHAuthorizedKeys, c.K3OS)
		}
	}
	l, _ := Parse("f", []byte(good+wifi))
	if c, _ := Merge(l); c.where["k3os.wifi[0].passphrase"].line != 10 || c.K3OS.Token != "abc" {
		t.Errorf("line %d, token %q, want 10 and %q", c.where["k3os.wifi[0].passphrase"].line, c.K3OS.Token, "abc")
	}
	// A script that PowerShell wrote is none, and no configuration either.
	if _, problems := ParseAs(UserData, "user-data", []byte(wide(binary.LittleEndian, "\ufeffhostname: a\n"))); len(problems) != 1 || !problems[0].Fatal {
		t.Errorf("user-data in UTF-16: %v", problems)
	}
}

func TestManyProblems(t *testing.T) {
	_, problems := Parse("f", []byte(strings.Repeat("nope: 1\n", 500)))
	if n := len(problems); n != maxProblems+1 || !strings.Contains(problems[n-1].Message, "more problems are not shown") {
		t.Errorf("%d problems, the last is %v", n, problems[n-1])
	}
}

func TestWrongTypesCostNothingElse(t *testing.T) {
	in := "hostname: [a, b]\nssh_authorized_keys: {a: b}\nwrite_files: [x, {path: /a, permissions: rw}, 5]\nrun_cmd: [echo a, echo b: c, [d], null]\nk3os:\n  token: {a: b}\n  labels: [a]\n  sysctls: {a.b: [1], c.d: 2}\n  wifi: text\n  install: {silent: maybe}\n  server_url: https://s:6443\nnetwork: {interfaces: [{addresses: [10.0.0.1, 10.0.0.2/24, bad], mtu: big, mac: zz, gateway: g}]}\nservices: {a: [b], c: {command: x, memory: lots, backoff: soon, restart: sometimes}}\nmonitoring: {enabled: perhaps}\n"
	l, problems := Parse("f", []byte(in))
	c, _ := Merge(l)
	if len(problems) != 23 {
		t.Errorf("%d problems, want 23", len(problems))
		for _, p := range problems {
			t.Log(p)
		}
	}
	for _, p := range problems {
		if p.Severity < Warning || p.Fix == "" || p.Fatal {
			t.Errorf("%v", p)
		}
	}
	if c.K3OS.ServerURL == "" || len(c.RunCmd) != 1 || len(c.WriteFiles) != 1 || c.WriteFiles[0].Permissions != "0644" || c.K3OS.Sysctls["c.d"] != "2" ||
		len(c.Network.Interfaces[0].Addresses) != 1 || c.Services["c"].Restart != "always" || !c.Monitoring.Enabled || c.Hostname != "" {
		t.Errorf("got %+v", c)
	}
}

// Merging is associative: any grouping of the same sequence of sources gives the same value.
func TestMergeIsAssociative(t *testing.T) {
	sources := []string{
		"", "hostname: a", "hostname: null", "k3os: null", "k3os: {token: t, labels: {a: b}}", "k3os: {labels: {c: d}, token: null}", "k3os: {token: xxxxxxxx}",
		"k3os: {install: {silent: true}}", "k3os: {install: null}", "k3os: {install: {debug: yes}}", "services: {a: {command: x}}", "services: {a: {user: u}, b: {command: y}}",
		"services: {a: null}", "services: null", "addons: {x: 1, y: {z: 2}}", "addons: {y: {w: 3}}", "addons: null", "write_files: [{path: /a}]", "write_files: []", "network: {dns: [1.1.1.1]}",
	}
	rng := rand.New(rand.NewSource(1))
	for range 3000 {
		var v []*value
		for range 3 {
			l, _ := Parse("f", []byte(sources[rng.Intn(len(sources))]))
			v = append(v, l.root)
		}
		left := merge(merge(v[0], v[1], root()), v[2], root())
		right := merge(v[0], merge(v[1], v[2], root()), root())
		var a, b Config
		var none list
		a.where, b.where = map[string]place{}, map[string]place{}
		a.fill(left, &none)
		b.fill(right, &none)
		a.where, b.where = nil, nil
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("%+v\n%+v", a, b)
		}
	}
}

func TestMergeLeavesLayersAlone(t *testing.T) {
	a, _ := Parse("a", []byte("k3os: {token: t}\nservices: {a: {command: x}}"))
	b, _ := Parse("b", []byte("k3os: {password: p}\nservices: {b: {command: y}}"))
	first, _ := Merge(a)
	Merge(a, b, nil)
	again, _ := Merge(a)
	if !reflect.DeepEqual(first, again) || !a.Has("k3os.token") || a.Has("k3os.password") || a.Empty() {
		t.Error("a layer changed")
	}
}

// inside reports whether a problem points into the text.
func inside(p Problem, data []byte) bool {
	if p.Line == 0 {
		return p.Col == 0
	}
	lines := bytes.Split(data, []byte("\n"))
	return p.Line <= len(lines) && p.Col >= 1 && p.Col <= utf8.RuneCount(lines[p.Line-1])+1
}

func FuzzParse(f *testing.F) {
	for _, c := range facts {
		f.Add([]byte(c.in))
	}
	for _, c := range blankCases {
		f.Add([]byte(c))
	}
	f.Add([]byte(laughs()))
	f.Add([]byte(exampleText()))
	f.Add([]byte("a\u2028b: c\nhostname: [\u0085"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, problems := Parse("f", data)
		for _, p := range problems {
			if !inside(p, data) {
				t.Errorf("%v is not inside %q", p, data)
			}
		}
		again, _ := Parse("f", data)
		if !reflect.DeepEqual(l, again) {
			t.Errorf("%q is read in two ways", data)
		}
		c, more := Merge(l)
		for _, p := range append(more, Check(c, Facts{Role: "worker"})...) {
			if !inside(p, data) {
				t.Errorf("%v is not inside %q", p, data)
			}
		}
		if out, _, err := Blank(Native, data); err == nil && len(out) != len(data) {
			t.Errorf("blanking %q changes its length", data)
		}
		if len(FindSecrets(Native, data)) > 0 {
			importTwice(t, data)
		}
	})
}

// importTwice: what was imported and blanked, imported again, returns the configuration that was
// kept.
func importTwice(t *testing.T, data []byte) {
	first, err := Import("f", data, nil, []byte("0123456789abcdef"))
	if err != nil || first.Blanked == nil {
		return
	}
	second, err := Import("f", first.Blanked, first.Keep, nil)
	if err != nil {
		t.Fatalf("%q was imported, and not once more: %v", data, err)
	}
	a, _ := Merge(first.Layer)
	b, _ := Merge(second.Layer)
	a.where, b.where = nil, nil
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%q\nkept %q\nblanked %q\nkept then %q", data, first.Keep, first.Blanked, second.Keep)
	}
}

func TestImportTwice(t *testing.T) {
	for _, in := range blankCases {
		importTwice(t, []byte(in))
	}
}

func FuzzCmdline(f *testing.F) {
	for _, c := range cmdlines {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, line string) {
		l, problems := CmdlineLayer(line)
		for _, p := range problems {
			if p.Line != 1 || p.Col < 1 || p.Col > len(line) {
				t.Errorf("%v is not inside %q", p, line)
			}
		}
		c, _ := Merge(l)
		Check(c, Facts{})
	})
}
