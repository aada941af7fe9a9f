package blockcache

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
)

// Decoded opens the data of key, made once by produce. key names the input and the way
// of decoding, for example "deb-data 1 " and the sha256 of a package; a change of the decoder must
// change the key. The file is read-only by convention, checked, and at offset 0. Goroutines that
// ask for the same key wait for one another; processes may do the work twice, with the same result.
// Errors of produce pass as they are; those of the disk are of the kind Device.
func (c *Cache) Decoded(key string, produce func(io.Writer) error) (*os.File, error) {
	defer c.hold(key)()
	name := c.path("decoded", sha256.Sum256([]byte(key)))
	if text, err := os.ReadFile(name + ".sum"); err == nil {
		if crc, size, ok := parseSum(text); ok {
			if f, ok := opened(name, crc32.New(castagnoli), size, crc); ok {
				return f, nil
			}
		}
	}
	h := crc32.New(castagnoli)
	var size int64
	err := c.store(h, produce, func(n int64) string {
		size = n
		return name
	})
	if err != nil {
		return nil, err
	}
	if err := c.write(name+".sum", fmt.Appendf(nil, "%08x %d\n", h.Sum32(), size)); err != nil {
		return nil, deviceFault(err, c.dir)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, deviceFault(err, c.dir)
	}
	return f, nil
}

// Note returns what PutNote kept for a key. A damaged note is none.
func (c *Cache) Note(key string) ([]byte, bool) {
	data, err := os.ReadFile(c.path("decoded", sha256.Sum256([]byte("note "+key))))
	if err != nil || len(data) < sha256.Size || sha256.Sum256(data[sha256.Size:]) != [sha256.Size]byte(data[:sha256.Size]) {
		return nil, false
	}
	return data[sha256.Size:], true
}

// PutNote keeps a few bytes for a key, in the place of what was there.
func (c *Cache) PutNote(key string, data []byte) error {
	sum := sha256.Sum256(data)
	return deviceFault(c.write(c.path("decoded", sha256.Sum256([]byte("note "+key))), sum[:], data), c.dir)
}

// hold waits for the key and returns the function that lets it go.
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

// parseSum reads "CRC32C SIZE".
func parseSum(text []byte) (crc []byte, size int64, ok bool) {
	word, rest, _ := strings.Cut(strings.TrimSuffix(string(text), "\n"), " ")
	crc, err := hex.DecodeString(word)
	size, err2 := strconv.ParseInt(rest, 10, 64)
	return crc, size, err == nil && err2 == nil && size >= 0
}
