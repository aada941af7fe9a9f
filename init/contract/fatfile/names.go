package fatfile

import (
	"io"
	"strings"
)

// maxFiles is how many files Names lists, maxDepth how deep it looks.
const (
	maxFiles = 4096
	maxDepth = 16
)

// Names returns the paths of all files of a volume, with slashes, in the order of its directories.
func Names(r io.ReaderAt) ([]string, error) {
	v, err := open(r)
	if err != nil {
		return nil, err
	}
	type dir struct {
		first uint32
		path  string
		depth int
	}
	var names []string
	queue, seen := []dir{{first: v.rootFirst}}, map[uint32]bool{v.rootFirst: true}
	for n := 0; n < len(queue); n++ {
		d := queue[n]
		var long longName
		var bad error
		err := v.list(d.first, n == 0, func(b []byte) (done bool) {
			switch {
			case b[0] == 0:
				return true
			case b[0] == 0xE5 || b[0] == '.':
				long.reset()
			case b[11]&0x3F == attrLong:
				long.add(b)
			case b[11]&attrLabel != 0:
				long.reset()
			default:
				name, valid := long.name(b[:11])
				if !valid {
					name = cased(b)
				}
				long.reset()
				first := v.first(b)
				switch {
				case b[11]&attrDir == 0:
					names = append(names, d.path+name)
				case !seen[first] && d.depth < maxDepth:
					seen[first] = true
					queue = append(queue, dir{first, d.path + name + "/", d.depth + 1})
				}
				if len(names)+len(queue) > maxFiles {
					bad = damaged("it has more than %d files", maxFiles)
				}
			}
			return bad != nil
		})
		if err == nil {
			err = bad
		}
		if err != nil {
			return nil, err
		}
	}
	return names, nil
}

// cased is a short name with the letters that Windows and Linux mean: two bits of its entry note
// that the base or the extension is in small letters.
func cased(b []byte) string {
	base, ext, dot := strings.Cut(short(b), ".")
	if b[12]&0x08 != 0 {
		base = strings.ToLower(base)
	}
	if b[12]&0x10 != 0 {
		ext = strings.ToLower(ext)
	}
	if dot {
		base += "."
	}
	return base + ext
}
