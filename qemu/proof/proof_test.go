package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

const table = "# Proof\n\n| demand | what | proof | commit | result |\n|---|---|---|---|---|\n" +
	"| 1 | a | `qemu/proof.TestUpdate` `qemu/proof.TestCheck` | abc | passed; seen on virt |\n" +
	"| 2 | b (FULL) | `qemu/proof.TestCheck` | abc | passed |\n" +
	"| 3 | c | `qemu/proof.TestAbsent` | abc | passed |\n" +
	"| 4 | d | tried | abc | not possible, because there is none |\n" +
	"| 5 | e | `make nothing` | abc | 2.5 |\n" +
	"| 6 | f | by eye | abc | passed |\n" +
	"| 7 | g | `qemu/proof.TestCheck` | abc | maybe |\n" +
	"| 8 | h | `qemu/nowhere.TestCheck` | abc | passed |"

func TestCheck(t *testing.T) {
	t.Chdir("../..") // the top folder, from which rows name packages
	problems, tests, err := check(rows(table), []byte("proof:\n"))
	if err != nil || tests != 4 {
		t.Errorf("got %d tests, %v; want 4", tests, err)
	}
	want := []string{"line 11: the result", "line 7: qemu/proof has no TestAbsent", "line 9: the Makefile has no target nothing", "line 10: the row names neither", "line 12: qemu/nowhere.TestCheck: no such package"}
	if len(problems) != len(want) {
		t.Errorf("got %q, want %d problems", problems, len(want))
	}
	for _, w := range want {
		if !strings.Contains(strings.Join(problems, "\n"), w) {
			t.Errorf("got %q, want one that begins with %q", problems, w)
		}
	}
}

func TestUpdate(t *testing.T) {
	ended := results{}
	ended.add([]byte(`{"Action":"pass","Package":"imgbuild/qemu/proof","Test":"TestUpdate"}
{"Action":"fail","Package":"imgbuild/qemu/proof","Test":"TestUpdate/part"}
not JSON
{"Action":"fail","Package":"imgbuild/qemu/proof","Test":"TestCheck"}`))
	got, n := update(table, rows(table), ended, "def", false)
	line := func(i int) string { return strings.Split(got, "\n")[i-1] }
	if n != 2 || line(5) != "| 1 | a | `qemu/proof.TestUpdate` `qemu/proof.TestCheck` | def | failed: qemu/proof.TestCheck; seen on virt |" {
		t.Errorf("got %d rows, the first %q", n, line(5))
	}
	for i, text := range strings.Split(table, "\n") {
		if i+1 != 5 && i+1 != 11 && line(i+1) != text {
			t.Errorf("line %d: got %q, want it as it was: %q", i+1, line(i+1), text)
		}
	}
	ended[test{"qemu/proof", "TestCheck"}] = "pass"
	if got, _ := update(table, rows(table), ended, "def", true); !strings.Contains(got, "| def | passed; seen on virt |") || !strings.Contains(got, "| 2 | b (FULL) | `qemu/proof.TestCheck` | def | passed |") {
		t.Errorf("got %s", got)
	}
}

func TestWith(t *testing.T) {
	for _, c := range []struct{ was, result, want string }{
		{"passed", "passed", "passed"},
		{"passed; seen on virt", "passed", "passed; seen on virt"},
		{"passed: seed 1, 200 good", "passed", "passed: seed 1, 200 good"},
		{"passed, as root", "failed: a.TestB", "failed: a.TestB, as root"},
		{"failed: a.TestB; seen on virt", "passed", "passed; seen on virt"},
		{"failed: a.TestB", "passed", "passed"},
		{"2.494, median of 5", "passed", "2.494, median of 5"},
		{"2.494, median of 5", "failed: a.TestB", "failed: a.TestB; 2.494, median of 5"},
	} {
		r := row{1, []string{"1", "a", "`a.TestB`", "abc", c.was}}
		if got, want := r.with("def", c.result), "| 1 | a | `a.TestB` | def | "+c.want+" |"; got != want {
			t.Errorf("%q, %q: got %q, want %q", c.was, c.result, got, want)
		}
	}
}

// The commit of a run is dirty when another file than the table was changed.
func TestHead(t *testing.T) {
	t.Chdir(t.TempDir())
	git := func(args ...string) {
		t.Helper()
		args = append([]string{"-c", "user.name=a", "-c", "user.email=a@localhost"}, args...)
		if out, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("table", "a")
	write("code", "a")
	git("init", "-q")
	git("add", ".")
	git("commit", "-q", "-m", "first")
	for _, c := range []struct {
		change string
		dirty  bool
	}{{"", false}, {"table", false}, {"code", true}} {
		if c.change != "" {
			write(c.change, "b")
		}
		got, err := head("table")
		if err != nil || strings.HasSuffix(got, "-dirty") != c.dirty || len(got) < 7 {
			t.Errorf("with another %q: got %q, %v, want dirty %v", c.change, got, err, c.dirty)
		}
	}
}

// The project's own table names tests that exist.
func TestTable(t *testing.T) {
	t.Chdir("../..")
	if err := run("docs/PROOF.md", nil); err != nil {
		t.Error(err)
	}
}
