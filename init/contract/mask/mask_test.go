package mask

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"unicode"
)

// canary is a secret; the texts are output of programs with the secret in it.
var said = []string{
	"K3S_TOKEN=%s", "export TOKEN='%s'", `token: %s`, `  token: "%s"`, "- token: %s", "token:\n  %s", "token: |\n  %s\nnext: 1", "token: >-\n    %s\n    more\n", "token: !!str %s", "token: &a %s",
	"{name: a, passphrase: %s, hidden: true}", `{"password": "%s", "user": "x"}`, `{"password":"%s"}`, "curl -u me:%s https://host/", "curl -u 'me:%s' https://host/", `["curl", "-u", "me:%s"]`,
	"curl --user me:%s https://host", "curl -u \\\n  me:%s x", "k3s agent -t %s", "k3s agent -t=%s", "k3s server --token %s", "k3s server --token=%s", "k3s agent --token \\\n    %s", "[k3s, --token, %s]",
	`["agent", "--token", "%s"]`, "fetching https://me:%s@host/x failed", "http://me:a@b%s@proxy:3128", "http://me:a/%s@proxy:3128 x", "http://%s@host/", "https://h/x?token=%s&y=z", "https://h/x?y=z&sig=%s",
	"Authorization: Bearer %s", `-H "Authorization: Basic %s"`, "authorization: token %s", "Cookie: session=%s; x=y", "X-Auth-Token: %s", "password=%s failed", "user=me,pass=%s", "PrivateKey = %s", "psk=%s", `psk="%s"`,
	"sae_password=\"%s\"", "aws_secret_access_key = %s", "api-key: %s", "sshpass -p %s ssh host", "mysql -u root -p%s db", "smbclient -U me%%%s //nas/x", "echo root:%s | chpasswd", "chpasswd <<< 'root:%s'",
	"-----BEGIN RSA PRIVATE KEY-----\n%s\n-----END RSA PRIVATE KEY-----", "K10aa55aa55aa55aa55aa55aa55::server:%s", "K10aa55aa55aa\n55aa55aa55aa55::server:%s", "AGE-SECRET-KEY-1%s", "ghp_%s",
	"the text \"k3os.token: %s\"", "client-key-data: %s", "password: %s # mine",
}

const canary = "C4N4RYC4N4RYC4N4RYC4N4"

func TestText(t *testing.T) {
	for _, form := range said {
		for _, around := range []string{"%s", "before\n%s\nafter", "2026-01-01 run_cmd[0]: %s", "%s\n%[1]s"} {
			in := fmt.Sprintf(around, fmt.Sprintf(form, canary))
			out := String(in)
			if strings.Contains(out, canary) || !strings.Contains(out, Stars) {
				t.Errorf("%q\nstays %q", in, out)
			}
			if again := String(out); again != out {
				t.Errorf("%q\na second time: %q", out, again)
			}
		}
	}
}

// Secrets with white space in them.
func TestTextWithSpaces(t *testing.T) {
	for _, in := range []string{"passphrase: correct horse battery", "  - {name: home, passphrase: correct horse battery, hidden: true}", `{"passphrase":"correct horse battery"}`, "passphrase: 'correct ''s horse battery'",
		"curl -u \"me:correct horse battery\"", "curl -u 'me:correct horse battery' x", "passphrase: |\n  correct\n  horse\n\n  battery\nnext: x", `password: "correct \" horse battery"`} {
		if out := String(in); strings.Contains(out, "horse") || strings.Contains(out, "battery") {
			t.Errorf("%q\nstays %q", in, out)
		}
	}
}

// What is not a secret keeps its form.
func TestTextKeeps(t *testing.T) {
	for _, in := range []string{
		"", "the password of the user is wrong; --token-file /etc/token is fine", "step config ok 0.12s", "mount -t ext4 /dev/sda1 /mnt", "mount -t nfs4 nas:/x /mnt", "tail -u", "http://host:8080/path/user@x y", "ssh://root@host",
		"sftp://backup@nas/shelf", "docker run -u 1000:1000 x", "k3os:\n  token:\n  server_url: https://x:6443", "the key k3os.token is missing", "token: missing; put it into config.yaml", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIrm8bZbX3kcyvSGUjqqGlKVvPCuPTrVK2hHJKv1yDyN me@laptop",
		"a token: \"\"", "PasswordAuthentication no", "pass /etc/shadow", "$1 and $2", "keys: [a, b]", "secret=/run/secrets/x", "12:34:56 basic authentication", "http://[::1]:6443/readyz", "https://charts.example/x?version=1",
		"k3os.token: " + Stars, "https://me:" + Stars + "@host/", "curl -u me:" + Stars + " x", "k3s -t " + Stars,
	} {
		if out := String(in); out != in {
			t.Errorf("%q\nbecomes %q", in, out)
		}
	}
}

// Sentences of ours name keys.
func TestProse(t *testing.T) {
	for in, want := range map[string]string{
		"config.yaml:3:5: warning: k3os.token: the token has white space in it": "config.yaml:3:5: warning: k3os.token: the token has white space in it",
		"k3os.password: it begins with $ but is not a crypt(5) hash":            "k3os.password: it begins with $ but is not a crypt(5) hash",
		"fetching https://me:abcdef@h/: 404 Not Found":                          "fetching https://me:" + Stars + "@h/: 404 Not Found",
		"run_cmd[0] failed: login --password abcdef: exit status 1":             "run_cmd[0] failed: login --password " + Stars + ": exit status 1",
		`this is "token: abcdef" and TOKEN=abcdef and "token": "abcdef"`:        `this is "token: abcdef" and TOKEN=` + Stars + ` and "token": "` + Stars + `"`,
	} {
		if got := Prose(in); got != want {
			t.Errorf("%q\nbecomes %q\nwant    %q", in, got, want)
		}
	}
}

func TestName(t *testing.T) {
	for name, want := range map[string]bool{"K3S_TOKEN": true, "token": true, "MYSQL_PASSWORD": true, "passphrase": true, "API_KEY": true, "apiKey": true, "AWS_SECRET_ACCESS_KEY": true, "PGPASS": true, "SMTP_PWD": true,
		"HTTP_PROXY": false, "LANG": false, "KEY": false, "TOKEN_FILE": false, "tokens": false, "": false} {
		if got := Name(name); got != want {
			t.Errorf("Name(%q) = %v", name, got)
		}
	}
}

func TestScrubber(t *testing.T) {
	const token = "K10secret-of-the-cluster"
	s := New([]string{token, "pa'ss$w\"ord", "abc", "xxxxxxxx", "", Stars})
	for _, in := range []string{token, "joining with " + token + " now", "SzEwc2VjcmV0LW9mLXRoZS1jbHVzdGVy", "K10secret-of-\nthe-cluster", "K10secret-of-\\\n    the-cluster", "K10 secret-of\r\n -the-cluster\n",
		`'pa'\''ss$w"ord'`, `"pa'ss$w\"ord"`, "pa%27ss%24w%22ord", "pa''ss$w\"ord"} {
		out := shown(s, in)
		if strings.Contains(out, "secret-of") || strings.Contains(out, "the-cluster") || strings.Contains(out, "ord") || strings.Contains(out, "SzEwc2") || !strings.Contains(out, Stars) {
			t.Errorf("%q stays %q", in, out)
		}
		if again := shown(s, out); again != out {
			t.Errorf("%q a second time: %q", out, again)
		}
	}
	for _, in := range []string{"abc is short", "xxxxxxxx is blank", "K10secret"} {
		if out := shown(s, in); out != in {
			t.Errorf("%q becomes %q", in, out)
		}
	}
	var none *Scrubber
	if out := shown(none, "token="+canary); strings.Contains(out, canary) {
		t.Errorf("no words: %q", out)
	}
}

func TestSecrets(t *testing.T) {
	for in, want := range map[string]string{"curl -u me:abcdef x": "abcdef", "https://u:p@w@h/": "p@w", "k3s -t abcdef": "abcdef", "TOKEN=abcdef": "abcdef", "token=" + Stars: ""} {
		if got := strings.Join(Secrets(in), ","); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// A secret without white space and quotes is found in every form, and a text that was masked stays
// as it is.
func FuzzText(f *testing.F) {
	for i := range said {
		f.Add(i, canary)
	}
	f.Add(0, "a@b:c/d?e&f=g")
	f.Add(13, "a,b;token=c")
	f.Fuzz(func(t *testing.T, which int, secret string) {
		form := said[uint(which)%uint(len(said))]
		bad := func(r rune) bool {
			return r > 126 || !unicode.IsPrint(r) || strings.ContainsRune(" \"'`\\,;&|#%{}[]()!~*/<>=:@?$", r)
		}
		in := fmt.Sprintf(form, secret)
		out := String(in)
		if again := String(out); strings.IndexFunc(secret, bad) < 0 && again != out {
			t.Errorf("%q\nbecomes %q\nand then %q", in, out, again)
		}
		if strings.IndexFunc(secret, bad) >= 0 || len(secret) < 16 || strings.Contains(form, secret) || isNothing(secret) || strings.Trim(secret, "x") == "" {
			return
		}
		if strings.Contains(out, secret) {
			t.Errorf("%q\nstays %q", in, out)
		}
	})
}

// Known secrets are found whatever they are made of and whatever is around them, in base64 too.
func FuzzScrubber(f *testing.F) {
	f.Add("swordfish-12", "a", "b")
	f.Add("pa ss\nword", "token=", "")
	f.Add("x*x*x*y", "password: ", "&c")
	f.Add(Stars, "", "")
	f.Add("a b\nc d e f g h", "x", "\\\n")
	f.Fuzz(func(t *testing.T, secret, before, after string) {
		secret = strings.TrimSpace(secret)
		s := New([]string{secret})
		out := shown(s, before+secret+after)
		if len(secret) < shortest || strings.Trim(secret, "x*") == "" {
			return
		}
		if strings.Contains(out, secret) && !strings.Contains(Stars, secret) && !strings.Contains(before+Stars+after, secret) {
			t.Errorf("%q stays in %q", secret, out)
		}
		s64 := base64.StdEncoding.EncodeToString([]byte(secret))
		if strings.Contains(shown(s, " "+s64+" "), s64) {
			t.Errorf("%q stays in base64", secret)
		}
	})
}

func TestURL(t *testing.T) {
	for in, want := range map[string]string{"https://me:pw@h:1/x?token=a#b": "https://h:1/x", "https://tok@h/": "https://h/", "http://me:p w@h": "an address", "http://me:pw/x@h/": "an address", "": "an address", "https://h/x": "https://h/x"} {
		if got := URL(in); got != want {
			t.Errorf("URL(%q) = %q, want %q", in, got, want)
		}
	}
	for _, in := range []string{"http://me:C4N4RY/x@h/", "http://me:C4N4RY%zz@h/", "http://me:C4N4RY\x01@h/", "://C4N4RY"} {
		if _, err := url.Parse(in); err == nil || strings.Contains(URLError(err).Error(), "C4N4RY") {
			t.Errorf("%q: %v", in, URLError(err))
		}
	}
	_, err := (&http.Client{}).Get("http://me:C4N4RY@127.0.0.1:1/x?token=C4N4RY")
	if err == nil || strings.Contains(URLError(err).Error(), "C4N4RY") || !errors.Is(URLError(err), syscall.ECONNREFUSED) {
		t.Errorf("%v", URLError(err))
	}
	if err := errors.New("x"); URLError(err) != err || URLError(nil) != nil {
		t.Error("another error is changed")
	}
}

// shown is Text for a string.
func shown(s *Scrubber, in string) string { return string(s.Text([]byte(in))) }
