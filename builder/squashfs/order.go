package squashfs

import (
	"path"
	"sort"
	"strings"
)

// orderFiles returns the inodes of files in the order in which their contents go into the image:
// those of one Group are stored together, since they are read together; the rest by kind, since
// fragments of like files compress better.
func orderFiles(inodes []*inode) []*inode {
	var files []*inode
	kinds := make(map[*inode]string)
	for _, in := range inodes {
		if in.entry.Kind == File {
			files = append(files, in)
			kinds[in] = fileKind(in.entry.Path)
		}
	}
	sort.Slice(files, func(a, b int) bool {
		if ga, gb := files[a].entry.Group, files[b].entry.Group; ga != gb {
			return ga < gb
		}
		if ka, kb := kinds[files[a]], kinds[files[b]]; ka != kb {
			return ka < kb
		}
		return files[a].entry.Path < files[b].entry.Path
	})
	return files
}

// fileKind guesses what a file holds from its name alone, so that nothing is opened twice.
func fileKind(p string) string {
	dir, name := path.Split(p)
	if i := strings.Index(name, ".so"); i > 0 && (len(name) == i+3 || name[i+3] == '.') {
		return ".so"
	}
	if ext := path.Ext(name); ext != "" && len(ext) < 8 {
		return ext
	}
	return dir
}
