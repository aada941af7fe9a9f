package blockcache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
)

// Decoded opens the data that key stands for, made once by produce. key names the input and the way of decoding, for
// example "deb-data 1 " and the sha256 of a package; who changes the decoder changes the key. The file is read-only
// by convention, verified, and at offset 0. Goroutines that ask for the same key wait for one another; processes may
// do the work twice, with the same result. Errors of produce pass as they are; those of the disk are of the kind Device.
func (c *Cache) Decoded(key string, produce func(io.Writer) error) (*os.File, error) {
	defer c.hold(key)()
	entry := c.path("decoded", sha256.Sum256([]byte(key)))
	if text, err := os.ReadFile(entry); err == nil {
		if sum, size, ok := parseEntry(text); ok {
			if f, ok := c.verified(c.path("data", sum), sum); ok {
				if info, err := f.Stat(); err == nil && info.Size() == size {
					return f, nil
				}
				f.Close()
			}
		}
	}
	sum, size, err := c.store("data", produce)
	if err != nil {
		return nil, err
	}
	if err := c.write(entry, fmt.Appendf(nil, "%x %d\n", sum, size)); err != nil {
		return nil, deviceFault(err, c.dir)
	}
	f, err := os.Open(c.path("data", sum))
	if err != nil {
		return nil, deviceFault(err, c.dir)
	}
	return f, nil
}

// hold waits for the key and gives the function that lets it go.
func (c *Cache) hold(key string) func() {
	c.mu.Lock()
	m := c.busy[key]
	if m == nil {
		m = &sync.Mutex{}
		c.busy[key] = m
	}
	c.mu.Unlock()
	m.Lock()
	return m.Unlock
}

func parseEntry(text []byte) (sum [32]byte, size int64, ok bool) {
	name, rest, found := bytes.Cut(bytes.TrimSuffix(text, []byte("\n")), []byte(" "))
	if !found || len(name) != 64 {
		return sum, 0, false
	}
	if _, err := hex.Decode(sum[:], name); err != nil {
		return sum, 0, false
	}
	size, err := strconv.ParseInt(string(rest), 10, 64)
	return sum, size, err == nil && size >= 0
}
