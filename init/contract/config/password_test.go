package config

import (
	"fmt"
	"strings"
	"testing"
)

// The vectors of the specification ("Unix crypt using SHA-256 and SHA-512", section test vectors).
func TestSHA512Crypt(t *testing.T) {
	for _, c := range []struct {
		salt   string
		rounds int
		key    string
		want   string
	}{
		{"saltstring", 0, "Hello world!", "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"},
		{"saltstringsaltstring", 10000, "Hello world!", "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v."},
		{"toolongsaltstring", 5000, "This is just a test", "$6$rounds=5000$toolongsaltstrin$lQ8jolhgVRVhY4b5pZKaysCLi0QBxGoNeKQzQ3glMhwllF7oGDZxUhx1yxdYcz/e1JSbq3y6JMxxl8audkUEm0"},
		{"anotherlongsaltstring", 1400, "a very much longer text to encrypt.  This one even stretches over morethan one line.", "$6$rounds=1400$anotherlongsalts$POfYwTEok97VWcjxIiSOjiykti.o/pQs.wPvMxQ6Fm7I6IoYN3CmLs66x9t0oSwbtEW7o7UmJEiDwGqd8p4ur1"},
		{"short", 77777, "we have a short salt string but not a short password", "$6$rounds=77777$short$WuQyW2YR.hBNpjjRhpYD/ifIw05xdfeEyQoMxIXbkvr0gge1a1x3yRULJ5CCaUeOxFmtlcGZelFl5CxtgfiAc0"},
		{"asaltof16chars..", 123456, "a short string", "$6$rounds=123456$asaltof16chars..$BtCwjqMJGx5hrJhZywWvt0RLE8uZ4oPwcelCjmw2kSYu.Ec6ycULevoBK25fs2xXgMNrCzIMVcgEJAstJeonj1"},
		{"roundstoolow", 10, "the minimum number is still observed", "$6$rounds=1000$roundstoolow$kUMsbe306n21p9R.FRkW3IGn.S9NPN0x50YhH1xhLsPuWGsUSklZt58jaTfF4ZEQpyUNGc0dqbpBYYBaHHrsX."},
	} {
		if got := sha512Crypt([]byte(c.key), []byte(c.salt), c.rounds); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.salt, got, c.want)
		}
	}
}

func TestHashPassword(t *testing.T) {
	h := HashPassword("secret", []byte{0, 1, 2, 255})
	if h != HashPassword("secret", []byte{0, 1, 2, 255}) || h == HashPassword("secret", []byte{1, 1, 2, 255}) {
		t.Error("the hash is not a function of password and salt")
	}
	if !Hashed(h) || Hashed("secret") || Hashed("$1") || Hashed("$1$salt") || Hashed("") {
		t.Errorf("Hashed misjudges %q or its beginnings", h)
	}
	for _, known := range []string{
		"$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7",
		"$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
		"$1$salt$qJH7.N4xYta3aEG/dfqo/0", "!", "*",
	} {
		if !Hashed(known) {
			t.Errorf("%s is not recognised", known)
		}
	}
}

// A password that the console cannot check is reported before anybody needs it.
func TestConsoleHash(t *testing.T) {
	sha := HashPassword("secret", []byte("0123456789abcdef"))
	yescrypt := "$y$j9T$abc$" + strings.Repeat("a", 43)
	for hash, want := range map[string]bool{sha: true, yescrypt: false, "clear": false, "": false} {
		if ConsoleHash(hash) != want {
			t.Errorf("%q: %v", hash, !want)
		}
	}
	for hash, want := range map[string]bool{sha: false, yescrypt: true, "!": false, "*": false} {
		l, _ := ParseAs(UserData, "user-data", []byte("ssh_authorized_keys: ['github:me']\nusers: [{name: rancher, lock_passwd: false, passwd: '"+hash+"'}]\n"))
		c, _ := Merge(l)
		if got := strings.Contains(fmt.Sprint(Check(c, Facts{})), "does not know this form of hash"); got != want {
			t.Errorf("%q: reported %v", hash, got)
		}
	}
}

// The hashes are those that MS-NLMP 4.2.2.1.2 and Samba's own documentation give.
func TestNTHash(t *testing.T) {
	for password, want := range map[string]string{"": "31D6CFE0D16AE931B73C59D7E0C089C0", "Password": "A4F49C406510BDCAB6824EE7C30FD852", "password": "8846F7EAEE8FB117AD06BDD830B7586C"} {
		if got := NTHash(password); got != want {
			t.Errorf("%q: got %s, want %s", password, got, want)
		}
	}
	if a, b := NTHash("ä€😀"), NTHash("a"); len(a) != 32 || a == b {
		t.Errorf("got %s and %s", a, b)
	}
}
