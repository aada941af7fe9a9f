package config

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"imgbuild/init/contract/mask"
)

// hidden are the secrets of a configuration that has one in every place for it. Each is made of
// words that are nowhere else.
var hidden = []string{"Zq7tokenish", "hunter2zz", "wif1passZZ", "envS3cretZZ", "proxyPWzz", "argT0kenZZ", "urlT0kenZZ"}

var whole = strings.ReplaceAll(`hostname: node-1
ssh_authorized_keys:
- ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIrm8bZbX3kcyvSGUjqqGlKVvPCuPTrVK2hHJKv1yDyN me@laptop
k3os:
  token: Zq7tokenish
  password: "hunter2zz"
  server_url: https://me:urlT0kenZZ@m:6443
  wifi:
  - name: home
    passphrase: wif1passZZ
  environment:
    K3S_TOKEN: envS3cretZZ
    HTTPS_PROXY: http://me:proxyPWzz@proxy:3128
  k3s_args: [agent, --token=argT0kenZZ]
network:
  interfaces: [{name: eth0, addresses: [10.0.0.2/24]}]
  wifi: [{name: two, passphrase: 'wif1passZZ'}]
`, "\t", "  ")

// leaks returns the secret that a text holds a piece of.
func leaks(text string) string {
	for _, s := range hidden {
		if strings.Contains(text, s[:6]) || strings.Contains(text, s[len(s)-6:]) {
			return s
		}
	}
	return ""
}

// Malformed files: whatever mistake is made, no secret of the file is in the messages.
func TestProblemsHoldNoSecrets(t *testing.T) {
	check := func(what, text string) {
		t.Helper()
		for _, format := range []Format{Native, UserData}[:1+len(text)%2] {
			l, problems := ParseAs(format, "f.yaml", []byte(text))
			c, more := Merge(l)
			problems = append(append(problems, more...), Check(c, Facts{Role: "worker"})...)
			for _, p := range problems {
				if s := leaks(p.String()); s != "" {
					t.Errorf("%s: %s is in: %s\n%s", what, s, p, text)
				}
			}
			if _, err := Import("f.yaml", []byte(text), nil, make([]byte, 16)); err != nil && leaks(err.Error()) != "" {
				t.Errorf("%s: Import: %v", what, err)
			}
		}
	}
	check("nothing", whole)
	check("a comma", strings.Replace(whole, "passphrase: 'wif1passZZ'", "passphrase:, 'wif1passZZ'", 1))
	for n, slip := range []string{"'", `"`, "\t", "*", "&", "!", "%", "@", "`", "{", "}", "[", "]", ": ", "- ", "#", "|\n", ">\n", "\n", "\n  ", "\x01", "\xff", "<<: ", "? ", "---\n", ","} {
		for i := n % 29; i < len(whole); i += 29 { // every mistake somewhere in every line
			check(fmt.Sprintf("%q at %d", slip, i), whole[:i]+slip+whole[i:])
		}
	}
	for i := 0; i < len(whole); i += 7 {
		check(fmt.Sprintf("without byte %d", i), whole[:i]+whole[i+1:])
	}
	lines := strings.SplitAfter(whole, "\n")
	for i := range lines {
		check("a line less", strings.Join(lines[:i], "")+strings.Join(lines[i+1:], ""))
		check("deeper", strings.Join(lines[:i], "")+"  "+strings.Join(lines[i:], ""))
		check("not so deep", strings.Join(lines[:i], "")+strings.TrimPrefix(lines[i], "  ")+strings.Join(lines[i+1:], ""))
		check("joined", strings.Join(lines[:i], "")+strings.TrimSuffix(lines[i], "\n")+strings.Join(lines[i+1:], ""))
		check("folded", strings.Join(lines[:i], "")+strings.TrimSuffix(lines[i], "\n")+" >\n"+strings.Join(lines[i+1:], ""))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		text := whole
		for range 1 + r.IntN(4) {
			i := r.IntN(len(text))
			j := min(len(text), i+r.IntN(6))
			text = text[:i] + []string{"", "'", ":", "\n", " ", "{", "- "}[r.IntN(7)] + text[j:]
		}
		check("at random", text)
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"": `""`, "eth0": `"eth0"`, "eth 0": `"eth..."`, "a\n token: x": `"a..."`, "https://u:p@h/": "the address", "K10aabbccddeeff": "the value", "A=secret": `"A=..."`, "192.168.1.300": `"192.168.1.300"`,
		"me:pw@h": "the value", "deadbeefdeadbeefdeadbeefdeadbeef": "the value", "/etc/motd": `"/etc/motd"`, "a\x1b[2J": "the value",
	} {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"k3os.token:hunter2": "k3os.token...", "k3os.environment.TOKEN=x": "k3os.environment.TOKEN...", "k3os.labels.node.kubernetes.io/x": "k3os.labels.node.kubernetes.io/x", "network.wifi[0].name": "network.wifi[0].name",
		"k3os.K10aabbccddeeffaabb": "k3os....", "hostnam": "hostnam",
	} {
		if got := shownPath(in); got != want {
			t.Errorf("shownPath(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestSecretsOfConfig(t *testing.T) {
	l, _ := Parse("f.yaml", []byte(whole))
	c, _ := Merge(l)
	s := mask.New(c.Secrets())
	for _, h := range hidden {
		if out := string(s.Text([]byte("before " + h + " after"))); strings.Contains(out, h) {
			t.Errorf("%s is not among the secrets", h)
		}
	}
}

// A secret that is in the place of something else as well is not shown there either.
func TestMisplacedSecrets(t *testing.T) {
	for _, s := range []string{"s3cr3t/with/slash", "swordfish", "correct horse", "a.b-c_d9"} {
		text := "k3os:\n  token: " + s + "\n  dns_nameservers: ['" + s + "']\n  modules: ['" + s + ";']\n  labels: {a: '" + s + "/'}\nnetwork:\n  interfaces: [{name: '" + s + "/x'}]\n" +
			"backup: {to: 'x', keep: 0}\ndata: {device: '" + s + "'}\nhostname: '" + s + "_'\n"
		l, problems := Parse("f.yaml", []byte(text))
		c, more := Merge(l)
		problems = append(append(problems, more...), Check(c, Facts{Role: "server"})...)
		if len(problems) < 5 {
			t.Errorf("%s: only %v", s, problems)
		}
		for _, p := range problems {
			for _, w := range strings.Fields(s) {
				if strings.Contains(p.Message+p.Fix, w) && w != "correct" {
					t.Errorf("%s is in: %s", w, p)
				}
			}
		}
	}
}
