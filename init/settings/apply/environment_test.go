package apply

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// pamReads is pam_env's reading of /etc/environment (Linux-PAM, _parse_env_file): # ends a line,
// white space at the ends is lost, quotes around the value are taken off.
func pamReads(text string) map[string]string {
	out := map[string]string{}
	text = strings.ReplaceAll(text, "\\\n", "")
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimPrefix(strings.TrimSpace(line), "export ")
		name, value, ok := strings.Cut(line, "=")
		if !ok || value == "" {
			continue
		}
		if value[0] == '"' || value[0] == '\'' {
			value = strings.Trim(value, `"'`)
		}
		out[name] = value
	}
	return out
}

// shellReads sources the file in a real shell.
func shellReads(t *testing.T, path, name string) string {
	t.Helper()
	out, err := exec.Command("/bin/sh", "-c", `. "$1"; eval "printf '%s.' \"\${$2-UNSET}\""`, "sh", path, name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(out), ".")
}

// A login gets what is configured, whatever signs are in it, and nothing in it is
// run.
func TestEnvironmentReaders(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	values := []string{"", "plain", "a b", " a ", "#a", "a#b", `a"b`, `"a"`, "'a'", `a\`, `a\\b`, "$(touch /tmp/never)", "`id`", "$HOME", "a;b", "&", "ü", `'"'"'`, "http://u:p#w@h:3128", "-n", "~", "*", strings.Repeat("x", 2000)}
	for range 60 {
		var b strings.Builder
		for range 1 + r.IntN(12) {
			b.WriteByte(byte(' ' + r.IntN(95)))
		}
		values = append(values, b.String())
	}
	for _, v := range values {
		m := Machine{Root: t.TempDir(), UID: os.Getuid(), GID: os.Getgid()}
		if err := os.MkdirAll(m.Root+"/etc", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := m.Environment(map[string]string{"A": v, "LAST": "end"}); err != nil {
			t.Fatal(err)
		}
		if got := shellReads(t, m.path(shellEnvironment), "A"); got != v {
			t.Errorf("a shell reads %q of %q", got, v)
		}
		if got := shellReads(t, m.path(shellEnvironment), "LAST"); got != "end" {
			t.Errorf("%q costs the next one", v)
		}
		text, err := os.ReadFile(m.path(pamEnvironment))
		if err != nil {
			t.Fatal(err)
		}
		got, there := pamReads(string(text))["A"]
		if there != plainForPAM(v) || there && got != v || pamReads(string(text))["LAST"] != "end" {
			t.Errorf("PAM reads %q of %q", got, v)
		}
		for _, path := range []string{pamEnvironment, shellEnvironment} {
			if st, err := os.Stat(m.path(path)); err != nil || st.Mode().Perm() != 0o640 {
				t.Errorf("%s: %v %v", path, st.Mode(), err)
			}
		}
	}
	m := Machine{Root: t.TempDir(), UID: os.Getuid(), GID: os.Getgid()}
	if err := os.MkdirAll(m.Root+"/etc", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := m.Environment(map[string]string{"A;touch x": "b", "1A": "c", "": "d", "OK": "yes"}); err == nil {
		t.Error("names that are none are taken")
	}
	if got := shellReads(t, m.path(shellEnvironment), "OK"); got != "yes" {
		t.Errorf("OK is %q", got)
	}
}
