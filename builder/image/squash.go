package image

import (
	"context"
	"io"
	"sort"
	"strings"

	"imgbuild/builder/squashfs"
	"imgbuild/builder/tree"
)

var kinds = map[tree.Kind]squashfs.Kind{tree.Dir: squashfs.Dir, tree.File: squashfs.File, tree.Symlink: squashfs.Symlink,
	tree.Block: squashfs.Block, tree.Char: squashfs.Char, tree.Fifo: squashfs.Fifo, tree.Socket: squashfs.Socket}

// squashfs writes the root file system.
func (b *build) squashfs(ctx context.Context) error {
	f, err := b.create(squashed)
	if err != nil {
		return err
	}
	defer f.Close()
	entries := Entries(b.usr)
	for i, e := range entries {
		if open := e.Open; open != nil {
			entries[i].Open = func() (io.ReadCloser, error) {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				return open()
			}
		}
	}
	total := b.usr.Size()
	b.result.RootRaw = total
	stats, err := squashfs.Write(f, entries, squashfs.Options{
		BlockSize: blockSize, Workers: b.Workers, ModTime: b.date(), Cache: b.Cache.Blocks(),
		Progress: func(done int64) { b.progress("squashfs", done, total) },
	})
	if err != nil {
		return err
	}
	b.result.Root = stats.Size
	return f.Close()
}

// Entries returns a tree in the form that the squashfs writer reads, hard links after their files.
func Entries(t *tree.Tree) []squashfs.Entry {
	var entries, links []squashfs.Entry
	for _, n := range t.Nodes() {
		e := squashfs.Entry{Path: n.Path, Kind: kinds[n.Kind], Mode: n.Mode, UID: n.UID, GID: n.GID, MTime: n.MTime, Target: n.Target,
			Major: n.Major, Minor: n.Minor, Size: n.Content.Size, Open: n.Content.Open, HardLink: n.HardLink}
		if strings.HasPrefix(n.Path, "share/etc/") || strings.HasPrefix(n.Path, "share/factory/") {
			e.Group = "templates" // every boot reads all of them
		}
		for name, value := range n.Xattrs {
			e.Xattrs = append(e.Xattrs, squashfs.Xattr{Name: name, Value: value})
		}
		sort.Slice(e.Xattrs, func(i, j int) bool { return e.Xattrs[i].Name < e.Xattrs[j].Name })
		if n.HardLink != "" {
			links = append(links, e)
			continue
		}
		entries = append(entries, e)
	}
	return append(entries, links...)
}
