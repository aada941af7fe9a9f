// Package bootstate is the record by which U-Boot and the node agree on the slot to boot.
//
// The record is a U-Boot environment block of one 512-byte sector: a CRC32 (IEEE, little endian)
// over the rest, then NAME=VALUE strings that each end in NUL, an empty string, and zeros. U-Boot
// imports it with `env import -c` and writes it with `env export -c -s 0x200`, so both sides use
// code that is older than this project. Two copies are in different 4 MiB areas of the disk,
// because an SD card that loses power may lose a whole erase block.
//
// Only Linux raises seq. U-Boot takes the valid copy with the higher one (copy 0 if they are
// equal), lowers left and rewrites that copy in place; so while a slot is under trial the other
// copy still holds the state before it. A copy that is lost is written first, so that two power
// cuts in a row do not lose the record.
package bootstate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"imgbuild/init/contract/diskmap"
)

// Where the copies are, in bytes from the start of the disk, and how large one is.
const (
	Copy0 = diskmap.Record0
	Copy1 = diskmap.Record1
	Size  = 512
)

// Version is the only value of v that this program and its boot script read.
const Version = 1

// MaxLeft is the number of attempts that a slot gets before the other one's turn.
const MaxLeft = 3

// MaxSeq bounds seq: U-Boot compares with the machine's long, which has 32 bits on the XU4.
const MaxSeq = 1<<31 - 1

// The two slots.
const (
	A = "a"
	B = "b"
)

// The state of a slot. Empty also means a slot that is written and has never been healthy.
const (
	Good  = "good"
	Bad   = "bad"
	Empty = "empty"
)

// ErrNone means that neither copy holds a valid record.
var ErrNone = errors.New("no valid boot record")

// Record is one boot state.
type Record struct {
	V      int    // format, Version
	Seq    uint64 // 1..MaxSeq; raised by Linux with every change
	Active string // the committed slot
	Trial  string // the slot under trial, or ""
	Left   int    // attempts left for the slot that is chosen: Trial if there is one, else Active; 0..MaxLeft
	A, B   string // Good, Bad or Empty
	Last   string // why the last boot ended: a word of [a-z0-9.-], at most 64 bytes, or ""
}

// Fresh is the record of a disk that was just written, or whose record is lost: active is good, of
// the other slot nothing is known.
func Fresh(active string) Record {
	r := Record{V: Version, Seq: 1, Active: active, Left: MaxLeft, A: Empty, B: Empty}
	r.set(active, Good)
	return r
}

// Slot is the slot that the next boot tries first.
func (r Record) Slot() string {
	if r.Trial != "" {
		return r.Trial
	}
	return r.Active
}

// State is the record's state of a slot.
func (r Record) State(slot string) string {
	if slot == A {
		return r.A
	}
	return r.B
}

func (r *Record) set(slot, state string) {
	if slot == A {
		r.A = state
	} else {
		r.B = state
	}
}

// Other is the slot that slot is not.
func Other(slot string) string {
	if slot == A {
		return B
	}
	return A
}

// Check returns what is wrong with a record. The boot script applies the same rules.
func (r Record) Check() error {
	slot := func(s string) bool { return s == A || s == B }
	state := func(s string) bool { return s == Good || s == Bad || s == Empty }
	switch {
	case r.V != Version:
		return fmt.Errorf("boot record: v is %d, this program reads %d", r.V, Version)
	case r.Seq < 1 || r.Seq > MaxSeq:
		return fmt.Errorf("boot record: seq %d is not in 1..%d", r.Seq, MaxSeq)
	case !slot(r.Active):
		return fmt.Errorf("boot record: active is %q, not a or b", r.Active)
	case r.Trial != "" && (!slot(r.Trial) || r.Trial == r.Active):
		return fmt.Errorf("boot record: trial is %q while active is %q", r.Trial, r.Active)
	case r.Left < 0 || r.Left > MaxLeft:
		return fmt.Errorf("boot record: left %d is not in 0..%d", r.Left, MaxLeft)
	case !state(r.A) || !state(r.B):
		return fmt.Errorf("boot record: slot states %q and %q are not good, bad or empty", r.A, r.B)
	case r.Last != Reason(r.Last):
		return fmt.Errorf("boot record: last %q is not a word of [a-z0-9.-]", r.Last)
	}
	return nil
}

// Reason makes a word for Last out of any text: it passes through U-Boot's shell and the kernel's
// command line, where spaces and quotes have meanings.
func Reason(text string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(text) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.':
			b.WriteRune(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() == 64 {
			break
		}
	}
	return strings.Trim(b.String(), "-")
}

// Marshal returns the sector, byte for byte as U-Boot's own export would write it: names sorted,
// empty values left out.
func (r Record) Marshal() ([Size]byte, error) {
	var sector [Size]byte
	if err := r.Check(); err != nil {
		return sector, err
	}
	at := 4
	for _, v := range [...][2]string{
		{"a", r.A}, {"active", r.Active}, {"b", r.B}, {"last", r.Last}, {"left", strconv.Itoa(r.Left)},
		{"seq", strconv.FormatUint(r.Seq, 10)}, {"trial", r.Trial}, {"v", strconv.Itoa(r.V)},
	} {
		if v[1] != "" {
			at += copy(sector[at:], v[0]+"="+v[1]) + 1
		}
	}
	binary.LittleEndian.PutUint32(sector[:], crc32.ChecksumIEEE(sector[4:]))
	return sector, nil
}

// Parse reads one sector. Variables that it does not know are ignored, of several with one name the
// last counts, and an empty value means that there is none, all as in U-Boot's import.
func Parse(sector []byte) (Record, error) {
	if len(sector) != Size {
		return Record{}, fmt.Errorf("boot record: %d bytes instead of %d", len(sector), Size)
	}
	if want, have := binary.LittleEndian.Uint32(sector), crc32.ChecksumIEEE(sector[4:]); want != have {
		return Record{}, fmt.Errorf("boot record: checksum %08x instead of %08x", have, want)
	}
	vars := map[string]string{}
	for rest := string(sector[4:]); rest != ""; {
		var line string
		if line, rest, _ = strings.Cut(rest, "\x00"); line == "" {
			break
		}
		name, value, _ := strings.Cut(line, "=")
		vars[name] = value
	}
	r := Record{Active: vars["active"], Trial: vars["trial"], A: vars["a"], B: vars["b"], Last: vars["last"]}
	v, err1 := number(vars, "v", Version)
	seq, err2 := number(vars, "seq", MaxSeq)
	left, err3 := number(vars, "left", MaxLeft)
	if err := errors.Join(err1, err2, err3); err != nil {
		return Record{}, err
	}
	r.V, r.Seq, r.Left = int(v), seq, int(left)
	if err := r.Check(); err != nil {
		return Record{}, err
	}
	return r, nil
}

// number reads a decimal number without leading zeros, which U-Boot would take for octal.
func number(vars map[string]string, name string, most uint64) (uint64, error) {
	s := vars[name]
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != s || n > most {
		return 0, fmt.Errorf("boot record: %s=%q is not a decimal number up to %d", name, s, most)
	}
	return n, nil
}

// Choose returns the record that holds and the number of its copy: the valid one with the higher
// seq, copy 0 if they are equal. Without any the error wraps ErrNone and names what is wrong with
// each.
func Choose(copy0, copy1 []byte) (r Record, newer int, err error) {
	r0, err0 := Parse(copy0)
	r1, err1 := Parse(copy1)
	switch {
	case err0 != nil && err1 != nil:
		return Record{}, 0, fmt.Errorf("%w: at 4 MiB: %v; at 12 MiB: %v", ErrNone, err0, err1)
	case err0 != nil, err1 == nil && r1.Seq > r0.Seq:
		return r1, 1, nil
	}
	return r0, 0, nil
}
