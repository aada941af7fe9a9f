package squashfs

import (
	"bytes"
	"maps"
	"sync"
	"testing"
)

type mapCache struct {
	sync.Mutex
	m map[[32]byte][]byte
}

func (c *mapCache) Get(key [32]byte) ([]byte, bool) {
	c.Lock()
	defer c.Unlock()
	b, ok := c.m[key]
	return b, ok
}

func (c *mapCache) Put(key [32]byte, data []byte) {
	c.Lock()
	defer c.Unlock()
	c.m[key] = bytes.Clone(data)
}

func TestCache(t *testing.T) {
	list := everything()
	want, plain := write(t, list, Options{})
	cache := &mapCache{m: map[[32]byte][]byte{}}
	cold, st := write(t, list, Options{Cache: cache})
	if !bytes.Equal(cold, want) || st.CacheHits != 0 || st.EncodedBytes != plain.EncodedBytes {
		t.Errorf("an empty cache changes the image: %+v", st)
	}
	warm, st := write(t, list, Options{Cache: cache, Workers: 3})
	if !bytes.Equal(warm, want) || st.CacheHits != st.Blocks+st.Fragments || st.EncodedBytes != 0 {
		t.Errorf("a full cache changes the image or is not used: %+v", st)
	}
	keys := maps.Clone(cache.m)
	other, _ := write(t, list, Options{Cache: cache, BlockSize: 128 << 10})
	if without, _ := write(t, list, Options{BlockSize: 128 << 10}); !bytes.Equal(other, without) {
		t.Error("blocks of another block size came out of the cache")
	}
	// An entry that cannot have come from here is not believed.
	for key := range keys {
		cache.m[key] = make([]byte, 1<<20)
	}
	if again, st := write(t, list, Options{Cache: cache}); !bytes.Equal(again, want) || st.CacheHits != 0 {
		t.Error("cached data longer than the block was used")
	}
}
