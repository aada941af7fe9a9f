package bundle

import (
	"testing"

	"imgbuild/init/contract/codec"
	"imgbuild/init/contract/manifest"
	"imgbuild/init/contract/pieces"
)

// FuzzCut cuts slots with damage in them: there is an error, or pieces without gaps.
func FuzzCut(f *testing.F) {
	good := makeSlot(f, first)
	s := open(f, good)
	root := s.Slot.Manifest.File(manifest.RootName)
	f.Add(uint32(root.Offset+64), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add(uint32(root.Offset+16), []byte{0xff, 0xff, 0xff, 0x7f})
	f.Add(uint32(root.Offset+12), []byte{0, 0, 0, 0})
	f.Add(uint32(root.Offset+root.Size-4096), []byte{1, 2, 3})
	f.Add(uint32(11), []byte{0, 0})
	for _, p := range s.Pieces {
		if p.Kind == codec.Meta {
			f.Add(uint32(p.Off), []byte{0, 0x80})
			f.Add(uint32(p.Off+40), []byte{0x55})
		}
	}
	bad := &disk{fail: -1}
	f.Fuzz(func(t *testing.T, at uint32, data []byte) {
		if int64(at)+int64(len(data)) > int64(len(good.data)) {
			return
		}
		bad.data = append(bad.data[:0], good.data...)
		copy(bad.data[at:], data)
		got, err := pieces.Cut(bad)
		if err != nil {
			return
		}
		end := int64(0)
		for _, p := range got.Pieces {
			if p.Off != end || p.Size <= 0 || p.Raw < 0 {
				t.Fatalf("a piece %+v after %d", p, end)
			}
			end += p.Size
		}
		if end != got.Size {
			t.Errorf("the pieces end at %d, the slot at %d", end, got.Size)
		}
	})
}
