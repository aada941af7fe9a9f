#!/usr/bin/env bash
# github.com/diskfs/go-diskfs v1.9.4, partition/mbr.
#
# A partition table that it writes has the disk signature 0 (bytes 440 to 443), and Table has no field that sets it. The kernel and
# U-Boot name the partitions of an MBR disk by that signature (block/partitions/msdos.c, disk/part_dos.c: %08x-%02x), so the first
# partition of every disk made this way is PARTUUID=00000000-01: with two such disks attached, root=PARTUUID= takes either.
#
# What follows: write the four bytes yourself after Partition, or write the table yourself.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
cat > go.mod <<'MOD'
module finding
go 1.24
MOD
cat > main.go <<'GO'
package main

import (
	"fmt"
	"log"
	"os"

	diskfs "github.com/diskfs/go-diskfs"
	"github.com/diskfs/go-diskfs/partition/mbr"
)

func main() {
	d, err := diskfs.Create("disk.img", 16<<20, diskfs.SectorSizeDefault)
	if err != nil {
		log.Fatal(err)
	}
	table := &mbr.Table{LogicalSectorSize: 512, PhysicalSectorSize: 512,
		Partitions: []*mbr.Partition{{Index: 1, Type: mbr.Linux, Start: 2048, Size: 8192}}}
	if err := d.Partition(table); err != nil {
		log.Fatal(err)
	}
	sector := make([]byte, 512)
	f, err := os.Open("disk.img")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := f.ReadAt(sector, 0); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("entry type %#x, signature % x, boot mark % x\n", sector[450], sector[440:444], sector[510:])
}
GO
go get github.com/diskfs/go-diskfs@v1.9.4 2>/dev/null
got=$(go run .)
want='entry type 0x83, signature 00 00 00 00, boot mark 55 aa'
echo "$got"
[ "$got" = "$want" ] || { echo "the behaviour has changed; it was:"; echo "$want"; exit 1; }
