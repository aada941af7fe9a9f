package debian

import (
	"reflect"
	"testing"
)

func TestScriptEffects(t *testing.T) {
	script := func(s string) map[string][]byte {
		return map[string][]byte{"postinst": []byte("#!/bin/sh\nset -e\n" + s), "postrm": []byte("rm -rf /x\nchown a b\n")}
	}
	got := ScriptEffects(script("# chown in a comment\n  adduser --system \\\n   --group   prometheus\necho install x\nif true; then\n\tchmod 0750 /var/x\nfi\n" +
		"update-alternatives --install /usr/bin/awk\nsystemctl restart x\necho 1 2>/dev/null\nprintf x > \"$F\"\n"))
	want := []string{"postinst: adduser --system --group prometheus", "postinst: chmod 0750 /var/x",
		"postinst: update-alternatives --install /usr/bin/awk", "postinst: printf x > \"$F\""}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%q", got)
	}
	base := ScriptsHash(script("chown a b\n"))
	if len(base) != scriptsHashLen {
		t.Fatalf("%v, want length %v", base, scriptsHashLen)
	}
	if ScriptsHash(script("# new comment\n   chown  a b\nsystemctl reload y\n")) != base {
		t.Error("what has no effect changes the hash")
	}
	if ScriptsHash(script("chown a c\n")) == base {
		t.Error("another owner does not change the hash")
	}
	if h := ScriptsHash(script("")); h != "" {
		t.Error("no effects, but", h)
	}
}
