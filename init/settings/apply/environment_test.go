package apply

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// pamReads returns the environment that pam_env.so of Debian 13 makes of /etc/environment in a
// session.
func (m Machine) pamReads(t *testing.T) map[string]string {
	t.Helper()
	service := "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_env.so\nsession required pam_exec.so /bin/bash -c [exec env -0 >/run/session]\n"
	if err := m.write("/etc/pam.d/reader", service, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := m.write("/etc/security/pam_env.conf", "# as Debian has it: comments only\n", 0o644); err != nil {
		t.Fatal(err)
	}
	m.ask(t, "pamtester", "reader", User, "open_session")
	text, err := os.ReadFile(m.path("/run/session"))
	if err != nil {
		t.Fatal(err)
	}
	return variables(string(text))
}

// shellReads returns the environment that Debian 13's bash makes of the file for shells.
func (m Machine) shellReads(t *testing.T) map[string]string {
	t.Helper()
	return variables(m.ask(t, "bash", "-c", ". "+shellEnvironment+"; exec env -0"))
}

func variables(text string) map[string]string {
	out := map[string]string{}
	for _, v := range strings.Split(text, "\x00") {
		if name, value, ok := strings.Cut(v, "="); ok {
			out[name] = value
		}
	}
	return out
}

// A login gets what is configured, whatever signs are in it and whatever is before
// it in the file, and nothing in it is run.
func TestEnvironmentReaders(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	values := []string{"", "plain", "a b", " a ", "a ", "\ta", "#a", "a#b", "a #b", `a"b`, `"a"`, `"a`, `a"`, "'a'", `a\`, `a\\`, `a\\b`, `a\nb`, "$(touch /tmp/never)", "`id`", "$HOME", "${HOME}", "@{HOME}", "%h", "a;b", "&", "\u00fc", `'"'"'`,
		"http://u:p#w@h:3128", "-n", "~", "*", "=", "a=b", "=a", "export A=b", "\x01", "\x7f", "\x1b[31m", "\u00a0a", "a\u3000", "\xff", strings.Repeat("x", 899), strings.Repeat("x", 900), strings.Repeat("x", 1010), strings.Repeat("x", 1100), strings.Repeat("x", 20000), strings.Repeat("\u00fc", 500)}
	letters := []rune(" #\"'\\$%=`;&|<>(){}*?!~@^ab12\t\u00e4\u20ac\U0001f600")
	for i := range 400 {
		from := letters
		if i%4 == 0 {
			from = letters[:8]
		}
		var b strings.Builder
		for range 1 + r.IntN(14) {
			b.WriteRune(from[r.IntN(len(from))])
		}
		values = append(values, b.String())
	}
	r.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
	kept := 0
	for at := 0; at < len(values); at += 50 {
		env := map[string]string{}
		for i, v := range values[at:min(at+50, len(values))] {
			env[fmt.Sprintf("V%03d", at+i)] = v
		}
		m := here(t)
		if err := m.write(pamEnvironment, "IMAGE=own\n", 0o644); err != nil {
			t.Fatal(err)
		}
		if err := m.Environment(env); err != nil {
			t.Fatal(err)
		}
		pam, shell := m.pamReads(t), m.shellReads(t)
		for name, want := range env {
			if got, there := shell[name]; !there || got != want {
				t.Errorf("a shell reads %.80q of %.80q", got, want)
			}
			got, there := pam[name]
			if there != plainForPAM(want) || there && got != want {
				t.Errorf("PAM reads %.80q (%v) of %.80q", got, there, want)
			}
			if there {
				kept++
			}
		}
		if pam["IMAGE"] != "own" {
			t.Errorf("the image's own variable is %q, want %q", pam["IMAGE"], "own")
		}
		for _, path := range []string{pamEnvironment, shellEnvironment} {
			if st, err := os.Stat(m.path(path)); err != nil || st.Mode().Perm() != 0o640 {
				t.Errorf("%s: %v %v", path, st.Mode(), err)
			}
		}
	}
	if kept < len(values)/5 {
		t.Errorf("PAM is given %d of %d values", kept, len(values))
	}
	for _, bad := range []string{"a\nB=c", "a\rb", "\x00"} {
		m := here(t)
		if err := m.Environment(map[string]string{"A": bad, "OK": "yes"}); err == nil {
			t.Errorf("%q is taken", bad)
		}
		if pam := m.pamReads(t); pam["A"] != "" || pam["B"] != "" || pam["OK"] != "yes" {
			t.Errorf("%q: PAM reads %v", bad, pam)
		}
	}
	m := here(t)
	if err := m.Environment(map[string]string{"A;touch x": "b", "1A": "c", "": "d", "OK": "yes"}); err == nil {
		t.Error("names that are none are taken")
	}
	if got := m.shellReads(t)["OK"]; got != "yes" {
		t.Errorf("OK is %q", got)
	}
}
