package config

import (
	"strings"
	"testing"
)

func TestZram(t *testing.T) {
	for _, c := range []struct {
		text   string
		memory int64
		want   int64 // -1: an error
	}{
		{"", 1 << 30, 0},
		{"memory: {zram: off}", 1 << 30, 0},
		{"memory: {zram: no}", 1 << 30, 0},
		{"memory: {zram: false}", 1 << 30, 0},
		{"memory: {zram: 0}", 1 << 30, 0},
		{"memory: {zram: auto}", 906 << 20, 453 << 20},
		{"memory: {zram: AUTO}", 512 << 20, 256 << 20},
		{"memory: {zram: auto}", 1 << 30, 512 << 20},
		{"memory: {zram: auto}", 4 << 30, 512 << 20},
		{"memory: {zram: auto}", 0, -1},
		{"memory: {zram: 256M}", 1 << 30, 256 << 20},
		{"memory: {zram: 256M}", 0, 256 << 20},
		{"memory: {zram: 100000001}", 1 << 30, 100000001 / 65536 * 65536},
		{"memory: {zram: 2G}", 1 << 30, 2 << 30},
		{"memory: {zram: 3G}", 1 << 30, -1},
		{"memory: {zram: 1}", 1 << 30, -1},
	} {
		l, problems := Parse("f.yaml", []byte(c.text))
		if len(problems) > 0 {
			t.Errorf("%s: %v", c.text, problems)
		}
		cfg, _ := Merge(l)
		got, err := cfg.Memory.ZramBytes(c.memory)
		if err != nil {
			got = -1
		}
		if got != c.want {
			t.Errorf("%s with %d MiB of memory: got %d (%v), want %d", c.text, c.memory>>20, got, err, c.want)
		}
	}
}

// TestSwapRefused: every way to ask for swap on a card or disk is an error with the reason and the
// way out.
func TestSwapRefused(t *testing.T) {
	const key = "ssh_authorized_keys: [github:a]\n"
	for _, c := range []struct {
		format Format
		text   string
		refuse bool
	}{
		{Native, key + "memory: {swap: 1G}", true},
		{Native, key + "memory: {swap: true}", true},
		{Native, key + "memory: {swap: off}", false},
		{Native, key + "memory: {swap: 0}", false},
		{Native, key + "boot_cmd: ['swapon /swapfile']", true},
		{Native, key + "run_cmd: ['sudo mkswap /dev/sda2']", true},
		{Native, key + "run_cmd: ['swapon /dev/zram1', 'swapoff /swapfile']", false},
		{UserData, "#cloud-config\nswap: {filename: /swapfile, size: 1073741824}\n", true},
		{UserData, "#cloud-config\nswap: {filename: /swapfile, size: auto}\n", true},
		{UserData, "#cloud-config\nswap: {size: 0}\n", false},
	} {
		l, problems := ParseAs(c.format, "f.yaml", []byte(c.text))
		cfg, merged := Merge(l)
		refused := false
		for _, p := range append(append(problems, merged...), Check(cfg, Facts{Role: "worker", Memory: 1 << 30})...) {
			if strings.Contains(p.Message, "swap") && p.Severity == Error {
				refused = true
				if p.Message != noSwap || p.Fix != useZram {
					t.Errorf("%s: %v, want Message %v and Fix %v", c.text, p, noSwap, useZram)
				}
			}
		}
		if refused != c.refuse {
			t.Errorf("%q: refused %v, want %v", c.text, refused, c.refuse)
		}
	}
}

// TestZramOfABoard: before a node boots only the least memory of its board is known; what does not
// fit into that is a warning.
func TestZramOfABoard(t *testing.T) {
	for _, c := range []struct {
		zram string
		f    Facts
		want string // the severity; empty: nothing is said
	}{
		{"4G", Facts{Role: "worker", Least: 1 << 30}, "warning"},
		{"2G", Facts{Role: "worker", Least: 1 << 30}, ""},
		{"4G", Facts{Role: "worker", Least: 1 << 30, Memory: 4 << 30}, ""},
		{"4G", Facts{Role: "worker", Least: 1 << 30, Memory: 1 << 30}, "error"},
		{"4G", Facts{Role: "worker"}, ""},
		{"auto", Facts{Role: "worker", Least: 1 << 30}, ""},
		{"1", Facts{Role: "worker", Least: 1 << 30}, "error"},
	} {
		l, _ := Parse("f.yaml", []byte("memory: {zram: "+c.zram+"}"))
		cfg, _ := Merge(l)
		got := ""
		for _, p := range Check(cfg, c.f) {
			if p.Key == "memory.zram" {
				got += p.Severity.String()
			}
		}
		if got != c.want {
			t.Errorf("%s with %+v: got %q, want %q", c.zram, c.f, got, c.want)
		}
	}
}
