#!/usr/bin/env bash
# github.com/klauspost/compress v1.20.3, package zstd.
#
# An encoder that is given an old file as a raw dictionary (WithEncoderDictRaw) is expected to find any part of it. How far back it
# looks depends on the level, not on the window: at the default level a run of bytes 3 MiB before the end of the dictionary
# is not found, with a window of 8 MiB, and 64 KiB of it cost 64 KiB; the best level finds it and needs a few bytes. No error and no
# option is for that, and the output decodes either way.
#
# What follows: a patch against a file of several MiB needs the best level and its memory, or another method.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
cat > go.mod <<'MOD'
module finding
go 1.24
MOD
cat > main.go <<'GO'
package main

import (
	"bytes"
	"fmt"
	"log"
	"math/rand"

	"github.com/klauspost/compress/zstd"
)

func main() {
	old := make([]byte, 4<<20)
	rand.New(rand.NewSource(1)).Read(old)
	for _, level := range []zstd.EncoderLevel{zstd.SpeedDefault, zstd.SpeedBestCompression} {
		for _, back := range []int{512 << 10, 3 << 20} {
			run := old[len(old)-back:][:64<<10]
			e, err := zstd.NewWriter(nil, zstd.WithEncoderDictRaw(0, old), zstd.WithEncoderLevel(level), zstd.WithWindowSize(8<<20))
			if err != nil {
				log.Fatal(err)
			}
			packed := e.EncodeAll(run, nil)
			d, err := zstd.NewReader(nil, zstd.WithDecoderDictRaw(0, old))
			if err != nil {
				log.Fatal(err)
			}
			if plain, err := d.DecodeAll(packed, nil); err != nil || !bytes.Equal(plain, run) {
				log.Fatal("does not decode: ", err)
			}
			found := "found"
			if len(packed) > len(run)/2 {
				found = "not found"
			}
			fmt.Printf("%s, %d KiB back: %s\n", level, back>>10, found)
		}
	}
}
GO
go get github.com/klauspost/compress@v1.20.3 2>/dev/null
got=$(go run .)
want='default, 512 KiB back: found
default, 3072 KiB back: not found
best, 512 KiB back: found
best, 3072 KiB back: found'
echo "$got"
[ "$got" = "$want" ] || { echo "the behaviour has changed; it was:"; echo "$want"; exit 1; }
