package qemu

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The version is the newest tag, or that with the commits since; a lightweight tag counts, a tag of
// another kind does not, and the length of a commit's name does not depend on git's settings.
func TestVersionOfTags(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "MAKEFLAGS=", "MAKELEVEL=",
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	is := func(want string) {
		t.Helper()
		for _, length := range []string{"5", "40"} {
			run("git", "config", "core.abbrev", length)
			if got := run("make", "-s", "version"); !regexp.MustCompile("^" + want + "$").MatchString(got) {
				t.Errorf("got the version %q, want %s", got, want)
			}
		}
	}
	write("Makefile", string(makefile))
	write(".gitignore", "bin\n")
	if got := run("make", "-s", "version"); got != "unknown" {
		t.Errorf("without git: got the version %q, want unknown", got)
	}
	run("git", "init", "-q")
	run("git", "add", ".")
	run("git", "commit", "-q", "-m", "one")
	is("[0-9a-f]{12}")
	run("git", "tag", "v1.2.0")
	is("v1[.]2[.]0")
	run("git", "tag", "vacation")
	run("git", "commit", "-q", "--allow-empty", "-m", "two")
	is("v1[.]2[.]0-1-g[0-9a-f]{12}")
	run("git", "tag", "-a", "-m", "three", "v1.3.0-rc1")
	is("v1[.]3[.]0-rc1")
	write("Makefile", string(makefile)+"# changed\n")
	is("v1[.]3[.]0-rc1-dirty")
}
