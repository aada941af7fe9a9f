package bundle

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"

	"aead.dev/minisign"
	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/scrypt"
)

// hard is the cost of the key derivation of new keys, minisign's own: 1 GiB of memory and seconds.
const hard = 1 << 20

// lockKey returns the text of a private key encrypted with a passphrase, in the form of minisign
// (https://jedisct1.github.io/minisign/, "Secret key format"). cost is scrypt's N with r = 8 and
// p = 1, a power of two from 1024 on: the derivation, here and in every program that opens the key,
// takes 1024 bytes of memory for each. minisign.EncryptKey has one cost only.
func lockKey(passphrase string, key minisign.PrivateKey, cost int) ([]byte, error) {
	open, err := key.MarshalText()
	if err != nil {
		return nil, err
	}
	comment, text, _ := bytes.Cut(open, []byte("\n"))
	// Algorithm, derivation and checksum, 2 bytes each, salt, 2 limits of libsodium, then number,
	// key and checksum, which are encrypted.
	b, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		return nil, err
	}
	const salt, ops, mem, secret, sum = 6, 38, 46, 54, 126
	copy(b[2:], "Sc")
	if _, err := rand.Read(b[salt:ops]); err != nil {
		return nil, err
	}
	// The limits for which libsodium chooses this cost.
	binary.LittleEndian.PutUint64(b[ops:], uint64(cost)*32)
	binary.LittleEndian.PutUint64(b[mem:], uint64(cost)*1024)
	check := blake2b.Sum256(append(append([]byte(nil), b[:2]...), b[secret:sum]...))
	copy(b[sum:], check[:])
	stream, err := scrypt.Key([]byte(passphrase), b[salt:ops], cost, 8, 1, len(b)-secret)
	if err != nil {
		return nil, err
	}
	for i := range stream {
		b[secret+i] ^= stream[i]
	}
	return append(append(comment, '\n'), base64.StdEncoding.EncodeToString(b)...), nil
}
