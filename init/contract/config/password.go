package config

import (
	"crypto/rand"
	"crypto/sha512"
	"slices"
	"strconv"
)

// cryptForm matches crypt(5) hashes of the methods Debian's libxcrypt knows: MD5, bcrypt, SHA-256,
// SHA-512, scrypt, yescrypt and gost-yescrypt. A mere beginning of one, which a template tool left
// over of it, does not match.
var cryptForm = pattern{text: `^\$(?:1\$[^$:\n]{0,8}\$[./0-9A-Za-z]{22}|2[abxy]\$\d\d\$[./0-9A-Za-z]{53}|5\$(?:rounds=\d+\$)?[^$:\n]{0,16}\$[./0-9A-Za-z]{43}|6\$(?:rounds=\d+\$)?[^$:\n]{0,16}\$[./0-9A-Za-z]{86}|7\$[./0-9A-Za-z]{11,97}\$[./0-9A-Za-z]{43}|g?y\$[./0-9A-Za-z]+\$[./0-9A-Za-z]{0,86}\$[./0-9A-Za-z]{43})$`}

// Hashed reports whether k3os.password is a crypt(5) hash and not clear text. A locked account (!
// or *) counts as hashed.
func Hashed(password string) bool {
	return password == "!" || password == "*" || cryptForm.MatchString(password)
}

// saltLetters are the letters of crypt(5) in the order of their values.
const saltLetters = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// defaultRounds is what SHA-crypt does when the hash names no number.
const defaultRounds = 5000

// HashesOf returns the hashes of a password that storage.users takes: password_hash with a new
// salt, and smb_nt_hash.
func HashesOf(password string) (crypt, nt string) {
	var salt [16]byte
	_, _ = rand.Read(salt[:]) // never fails
	return HashPassword(password, salt[:]), NTHash(password)
}

// HashPassword returns the crypt(5) hash, method 6 (SHA-512), of a clear-text password, with 5000
// rounds. Only the first 16 bytes of salt count, and of each only the lower six bits, so that
// random bytes are a good salt. The same password and salt give the same hash. yescrypt, Debian's
// own choice, exists in C only.
func HashPassword(password string, salt []byte) string {
	return sha512Crypt([]byte(password), saltOf(salt), 0)
}

// HashSecret is HashPassword for one that is random and long, which nobody can guess: with the
// fewest rounds, because a server that checks it often has to repeat them.
func HashSecret(secret string, salt []byte) string {
	return sha512Crypt([]byte(secret), saltOf(salt), 1000)
}

func saltOf(salt []byte) []byte {
	letters := make([]byte, 0, 16)
	for _, b := range salt[:min(len(salt), 16)] {
		letters = append(letters, saltLetters[b&63])
	}
	return letters
}

// sha512Crypt is the algorithm of Ulrich Drepper's "Unix crypt using SHA-256 and SHA-512", version
// 0.6; the numbers are the steps of that text. rounds 0 means the default, which is not named in
// the hash.
func sha512Crypt(key, salt []byte, rounds int) string {
	prefix := "$6$"
	if rounds > 0 {
		rounds = min(max(rounds, 1000), 999999999)
		prefix += "rounds=" + strconv.Itoa(rounds) + "$"
	} else {
		rounds = defaultRounds
	}
	salt = salt[:min(len(salt), 16)]

	b := sha512.Sum512(slices.Concat(key, salt, key)) // 4-8
	a := sha512.New()                                 // 1-3
	a.Write(key)
	a.Write(salt)
	a.Write(repeat(b[:], len(key)))     // 9-10
	for n := len(key); n > 0; n >>= 1 { // 11
		if n&1 == 1 {
			a.Write(b[:])
		} else {
			a.Write(key)
		}
	}
	sum := a.Sum(nil) // 12

	dp := sha512.New() // 13-15
	for range key {
		dp.Write(key)
	}
	p := repeat(dp.Sum(nil), len(key)) // 16
	ds := sha512.New()                 // 17-19
	for range 16 + int(sum[0]) {
		ds.Write(salt)
	}
	s := repeat(ds.Sum(nil), len(salt)) // 20

	c := sha512.New()
	for i := range rounds { // 21
		c.Reset()
		first, last := sum, p
		if i%2 == 1 {
			first, last = p, sum
		}
		c.Write(first)
		if i%3 != 0 {
			c.Write(s)
		}
		if i%7 != 0 {
			c.Write(p)
		}
		c.Write(last)
		sum = c.Sum(sum[:0:0])
	}
	return prefix + string(salt) + "$" + cryptLetters(sum)
}

// repeat returns n bytes of sum over and over.
func repeat(sum []byte, n int) []byte {
	out := make([]byte, 0, n+len(sum))
	for len(out) < n {
		out = append(out, sum...)
	}
	return out[:n]
}

// cryptLetters writes the 64 bytes in the order of step 22: three bytes, 21 apart and turned on by
// one each time, make four letters, the lowest six bits first.
func cryptLetters(sum []byte) string {
	out := make([]byte, 0, 86)
	put := func(v uint, letters int) {
		for range letters {
			out = append(out, saltLetters[v&63])
			v >>= 6
		}
	}
	x, y, z := 0, 21, 42
	for range 21 {
		put(uint(sum[x])<<16|uint(sum[y])<<8|uint(sum[z]), 4)
		x, y, z = y+1, z+1, x+1
	}
	put(uint(sum[63]), 2)
	return string(out)
}
