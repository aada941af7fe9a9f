package fatfile

import (
	"encoding/binary"
	"testing"
)

// handmade makes a FAT12 (or, with other numbers, 16 or 32) volume of a few sectors by hand: a file
// that is in two pieces and a directory with another one under a long name. Small, so that the
// fuzzer hits what matters.
func handmade(bits int) []byte {
	b := make([]byte, 64*sector)
	le := binary.LittleEndian
	le.PutUint16(b[11:], sector)
	b[13], b[14], b[16] = 1, 1, 1 // cluster, reserved, FATs
	le.PutUint16(b[19:], 64)
	b[510], b[511] = 0x55, 0xAA
	root, data := 2*sector, 3*sector
	if bits == 32 {
		b[36], b[44] = 1, 7
		data = 2 * sector
		root = data + 5*sector
	} else {
		b[17], b[22] = 16, 1
	}
	fat := b[sector:]
	set := func(cluster, next int) {
		if bits == 12 {
			at := cluster * 3 / 2
			old := le.Uint16(fat[at:])
			if cluster&1 != 0 {
				le.PutUint16(fat[at:], old&0xF|uint16(next)<<4)
			} else {
				le.PutUint16(fat[at:], old&0xF000|uint16(next)&0xFFF)
			}
			return
		}
		le.PutUint32(fat[4*cluster:], uint32(next)&0x0FFFFFFF)
	}
	set(2, 5)
	set(5, -1)
	set(3, -1)
	set(4, -1)
	set(7, -1)
	put := func(at int, name string, attr byte, first, size int) {
		copy(b[at:], name)
		b[at+11] = attr
		le.PutUint16(b[at+26:], uint16(first))
		le.PutUint32(b[at+28:], uint32(size))
	}
	put(root, "BOOT       ", attrLabel, 0, 0)
	put(root+32, "A       TXT", 0, 2, 700)
	put(root+64, "DIR        ", attrDir, 3, 0)
	long := b[data+sector:]
	long[0], long[11] = 0x41, attrLong
	var sum byte
	for _, c := range []byte("LONGNA~1TXT") {
		sum = sum<<7 | sum>>1
		sum += c
	}
	long[13] = sum
	for i, at := range []int{1, 3, 5, 7, 9, 14, 16} {
		le.PutUint16(long[at:], uint16("l.n.n.m"[i]))
	}
	put(data+sector+32, "LONGNA~1TXT", 0, 4, 512)
	return b
}

func TestHandmade(t *testing.T) {
	for _, bits := range []int{12, 32} {
		d := &disk{t: t, b: handmade(bits)}
		for path, want := range map[string]int{"a.txt": 700, "dir/L.N.N.M": 512, "dir/longna~1.txt": 512} {
			if b, err := ReadFile(d, path); err != nil || len(b) != want {
				t.Errorf("FAT%d %s: %d bytes, %v, want %v", bits, path, len(b), err, want)
			}
		}
		if list, _, err := Locate(d, "a.txt"); err != nil || len(list) != 2 {
			t.Errorf("FAT%d: %v, %v, want length 2", bits, list, err)
		}
	}
}

// FuzzDamaged damages a volume in three places and cuts it: no panic, no end of memory, no write
// outside the volume, and the same answer when asked again.
func FuzzDamaged(f *testing.F) {
	f.Add(uint8(12), uint16(600), byte(3), uint16(1060), byte(0xff), uint16(13), byte(2), uint16(0))
	f.Add(uint8(32), uint16(520), byte(2), uint16(532), byte(2), uint16(40), byte(0x80), uint16(9))
	f.Add(uint8(12), uint16(515), byte(0x20), uint16(1084), byte(0xff), uint16(1085), byte(0xff), uint16(60*512))
	f.Add(uint8(32), uint16(36), byte(0xff), uint16(39), byte(0xff), uint16(14), byte(0xff), uint16(0))
	f.Add(uint8(32), uint16(520), byte(7), uint16(532), byte(36), uint16(40), byte(81), uint16(9)) // the file runs into the root
	f.Fuzz(func(t *testing.T, bits uint8, at1 uint16, to1 byte, at2 uint16, to2 byte, at3 uint16, to3 byte, cut uint16) {
		kind := 12
		if bits >= 32 {
			kind = 32
		}
		b := handmade(kind)
		for at, to := range map[uint16]byte{at1: to1, at2: to2, at3: to3} {
			b[int(at)%len(b)] = to
		}
		ask(t, b[:len(b)-int(cut)%len(b)])
	})
}

// FuzzVolume takes any bytes for a volume.
func FuzzVolume(f *testing.F) {
	f.Add(handmade(12))
	f.Add(handmade(32))
	f.Fuzz(ask)
}

func ask(t *testing.T, b []byte) {
	d := &disk{t: t, b: b}
	if label, err := Label(d); err == nil && len(label) > 11 {
		t.Errorf("label %q", label)
	}
	for _, path := range []string{"a.txt", "dir/l.n.n.m"} {
		list, size, err := Locate(d, path)
		if err != nil {
			continue
		}
		sum := int64(0)
		for _, e := range list {
			if e.Offset < 0 || e.Size <= 0 || e.Offset%sector != 0 {
				t.Fatalf("%v", list)
			}
			sum += e.Size
		}
		if sum != size {
			t.Fatalf("%v make %d bytes, not %d", list, sum, size)
		}
		if err := Overwrite(d, path, []byte("report\n"), ' '); err != nil {
			continue
		}
		again, err := ReadFile(d, path)
		if err != nil && size <= maxRead {
			t.Fatalf("readable no more: %v", err)
		}
		if size >= 7 && err == nil && string(again[:7]) != "report\n" {
			t.Fatalf("%q", again)
		}
	}
}
