package qemu

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestMakeHandsOn has a shell read the words that make gives to imgbuild and to the tests: each
// value is one word, whatever is in it, and make's own variables are not handed on.
func TestMakeHandsOn(t *testing.T) {
	// words are the arguments and the environment that a line of a recipe leads to.
	words := func(target, program string, given ...string) (args, env []string) {
		t.Helper()
		// With -n make runs nothing, and with -o bin/imgbuild counts as made.
		cmd := exec.CommandContext(t.Context(), "make", append([]string{"-s", "-n", "-o", "bin/imgbuild", "-C", "..", target}, given...)...)
		cmd.Env = append(cmd.Environ(), "MAKEFLAGS=", "MAKELEVEL=")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("make %s: %v", target, err)
		}
		for line := range strings.Lines(string(out)) {
			at := strings.Index(line, program)
			if at < 0 {
				continue
			}
			script := line[:at] + `sh -c 'env -0; printf "%s\0" ARGS "$@"' sh` + line[at+len(program):]
			got, err := exec.CommandContext(t.Context(), "env", "-i", "PATH=/usr/bin:/bin", "sh", "-c", script).Output()
			if err != nil {
				t.Fatalf("%s: %v", script, err)
			}
			all := strings.Split(strings.TrimSuffix(string(got), "\x00"), "\x00")
			end := slices.Index(all, "ARGS")
			return all[end+1:], all[:end]
		}
		t.Fatalf("make %s does not run %s:\n%s", target, program, out)
		return nil, nil
	}
	args, _ := words("image", "bin/imgbuild", "board=rpi4", "config=my config.yaml", "hostname=it's $$HOME", "GO=go", "PREFIX=/x")
	slices.Sort(args)
	if want := []string{"board=rpi4", "build", "config=my config.yaml", "hostname=it's $HOME"}; !slices.Equal(args, want) {
		t.Errorf("make image: got %q, want %q", args, want)
	}
	_, env := words("test", "go test", "mirror=http://mirror.invalid/a b", "cache=/some where", "k3s=/a k3s")
	for _, want := range []string{"IMGBUILD_MIRROR=http://mirror.invalid/a b", "IMGBUILD_CACHE=/some where", "IMGBUILD_K3S=/a k3s"} {
		if !slices.Contains(env, want) {
			t.Errorf("make test: the environment has no %q: %q", want, env)
		}
	}
}
