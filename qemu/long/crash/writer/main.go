// Command writer runs on a node and keeps writing files as careful programs do, next to others that
// do not care. Whenever the kernel has reported that something is durable, it notes so in a block
// of the same disk that nothing else uses: in the log of the disk's writes, what is acknowledged
// then is in its place among them.
//
//	writer DISK OPERATIONS FILE...
//
// FILES are the node's own: they are acknowledged as they are, since they were written to stay.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"unsafe"
)

const (
	dir   = "/var/lib/crash"
	area  = 200 << 20 // in the space reserved for the second BOOT
	block = 4096
	names = 8
)

// mark is what is acknowledged: crash/marks.go reads it.
type mark struct {
	File   string `json:"file"`
	Seq    int    `json:"seq,omitempty"`    // of the content, or a later one
	SHA256 string `json:"sha256,omitempty"` // of the content
	Size   int64  `json:"size,omitempty"`   // at least so long
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "writer:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: writer DISK OPERATIONS FILE")
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	disk, err := os.OpenFile(args[0], os.O_RDWR|syscall.O_DIRECT, 0)
	if err != nil {
		return err
	}
	defer disk.Close()
	for _, path := range args[2:] {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		if err := note(disk, mark{File: path, SHA256: hex.EncodeToString(sum[:])}); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	first := next()
	journal, err := os.OpenFile(dir+"/journal", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer journal.Close()
	if err := syncDir(dir); err != nil {
		return err
	}
	for seq := first; seq < first+n; seq++ {
		random := rand.New(rand.NewPCG(uint64(seq), 1))
		careless(seq, random)
		if seq%3 == 0 { // appended and synced
			if _, err := fmt.Fprintf(journal, "%0255d\n", seq); err != nil {
				return err
			}
			if err := journal.Sync(); err != nil {
				return err
			}
			st, err := journal.Stat()
			if err != nil {
				return err
			}
			if err := note(disk, mark{File: dir + "/journal", Size: st.Size()}); err != nil {
				return err
			}
			continue
		}
		path := fmt.Sprintf("%s/file%d", dir, seq%names)
		if err := replace(path, content(seq, random.IntN(60_000))); err != nil {
			return err
		}
		if err := note(disk, mark{File: path, Seq: seq}); err != nil {
			return err
		}
	}
	return nil
}

// next is the number after the highest that an earlier run left.
func next() int {
	highest := 0
	for i := range names {
		f, err := os.Open(fmt.Sprintf("%s/file%d", dir, i))
		if err != nil {
			continue
		}
		var seq int
		if _, err := fmt.Fscanf(f, "seq %d", &seq); err == nil {
			highest = max(highest, seq)
		}
		f.Close()
	}
	return highest + 1
}

// content describes itself: a line with number and sum, and size bytes.
func content(seq, size int) []byte {
	random := rand.NewChaCha8([32]byte{byte(seq), byte(seq >> 8), byte(seq >> 16)})
	body := make([]byte, size)
	random.Read(body)
	sum := sha256.Sum256(body)
	return append(fmt.Appendf(nil, "seq %d sha256 %x\n", seq, sum), body...)
}

// replace is how a file is replaced durably.
func replace(path string, data []byte) error {
	tmp, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(tmp, bytes.NewReader(data))
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	return err
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// careless does what nothing is promised for: files that are never synced, made longer, cut,
// renamed, linked and removed.
func careless(seq int, random *rand.Rand) {
	sub := fmt.Sprintf("%s/careless/%d", dir, random.IntN(20))
	_ = os.MkdirAll(sub, 0o755)
	path := fmt.Sprintf("%s/%d", sub, random.IntN(6))
	switch random.IntN(6) {
	case 0:
		_ = os.RemoveAll(sub)
	case 1:
		_ = os.Rename(path, fmt.Sprintf("%s/careless/moved%d", dir, random.IntN(10)))
	case 2:
		_ = os.Truncate(path, int64(random.IntN(4000)))
	case 3:
		_ = os.Link(path, fmt.Sprintf("%s/link%d", sub, seq))
	default:
		if f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644); err == nil {
			_, _ = f.Write(content(seq, random.IntN(100_000)))
			f.Close()
		}
	}
}

// note writes the mark past all caches. It is not flushed: its place in the log is what counts.
func note(disk *os.File, m mark) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	raw := make([]byte, 2*block)
	shift := block - int(uintptr(unsafe.Pointer(&raw[0]))%block)
	b := raw[shift : shift+block]
	if copy(b, text) < len(text) {
		return fmt.Errorf("%s does not fit into a mark", m.File)
	}
	_, err = disk.WriteAt(b, area)
	return err
}
