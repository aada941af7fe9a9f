package sources

import "path/filepath"

// onlyOnBoot returns a file of BOOT that the node has no copy of, by the name that it has there;
// nil for none. That is one which cannot be read as a whole: it is not imported, but the keys that
// can be read in it are all that a new node has to let anybody in.
func onlyOnBoot(root, name string) []byte {
	if filepath.IsAbs(name) { // of the data partition
		return nil
	}
	data, err := readSome(filepath.Join(root, Boot, name))
	if err != nil {
		return nil
	}
	return data
}
