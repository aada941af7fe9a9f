package config

import (
	"bytes"
	"strings"
	"testing"
)

func TestForBoot(t *testing.T) {
	const text = "hostname: a\nk3os:\n  token: \"a-secret-of-mine\"\nrun_cmd:\n- |\n  echo a\n  echo b\n"
	image := WithSpace([]byte(text))
	if len(image) != 4096 || !bytes.HasPrefix(image, []byte(text)) || bytes.Count(image, []byte("\n")) != strings.Count(text, "\n")+1 {
		t.Fatalf("%d bytes: %.300q", len(image), image)
	}
	if again := WithSpace(image); len(again) != 8192 {
		t.Errorf("a text of 4096 bytes has %d, want 8192", len(again))
	}
	if utf16 := []byte("\xff\xfeh\x00:\x00"); !bytes.Equal(WithSpace(utf16), utf16) {
		t.Error("a text in UTF-16 is lengthened")
	}
	for _, c := range []struct {
		text string
		size int
		want string // empty: it does not fit
	}{
		{text, len(text), strings.Replace(text, "a-secret-of-mine", "xxxxxxxxxxxxxxxx", 1)},
		{text, len(text) - 1, ""},
		{"hostname: a\n", 13, "hostname: a\n\n"},
		{"hostname: a\n", 14, "hostname: a\n#\n"},
		{"hostname: a\n", 16, "hostname: a\n#  \n"},
		{"hostname: a", 11, "hostname: a"},
		{"hostname: a", 12, "hostname: a\n"},
		{"hostname: a", 13, "hostname: a\n\n"},
		{"hostname: a\n# mine\n", 21, "hostname: a\n# mine\n#\n"},
		{string(WithSpace([]byte("hostname: a\n"))), 20, "hostname: a\n#      \n"}, // taken off BOOT and given back
		{"hostname: a\n#   \n", 12, "hostname: a\n"},
		{"#\n", 2, "#\n"},
		{"", 3, "\n#\n"},
		{"k3os: {token: abc}\n", 100, ""}, // too short a secret to be blanked in place
	} {
		got, err := ForBoot([]byte(c.text), c.size)
		if string(got) != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q in %d: %q %v, want %q", c.text, c.size, got, err, c.want)
		}
	}
}

func FuzzForBoot(f *testing.F) {
	f.Add([]byte("hostname: a\nk3os: {token: abcdefgh}\n"), 100)
	f.Add([]byte("run_cmd:\n- |+\n  a\n\n\n"), 30)
	f.Fuzz(func(t *testing.T, text []byte, size int) {
		if size < 0 || size > 1<<16 {
			return
		}
		got, err := ForBoot(text, size)
		if err != nil {
			return
		}
		if len(got) != size {
			t.Errorf("%d bytes, want %d", len(got), size)
		}
		if again, err := ForBoot(got, size); err != nil || len(again) != size {
			t.Errorf("a second time: %v: got %v, want %v", err, len(again), size)
		}
	})
}
