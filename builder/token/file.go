package token

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/userfile"
)

// DefaultFile is where a new token is kept if no file is named.
const DefaultFile = "k3s-token"

// File reads the new token of a file, or makes one and the file. It is on the disk before any node
// knows it. An empty name is DefaultFile, which must not exist; used is the file's name.
func File(name string) (word, used string, err error) {
	given := name != ""
	if !given {
		name = DefaultFile
	}
	data, err := userfile.Read("new", name)
	switch {
	case err == nil && !given:
		return "", "", fault.New(fault.Usage, "give new="+name+" to go on with that token, or move the file away", "%s exists: an earlier run may not have come to its end", name)
	case err == nil:
		word := strings.TrimSpace(string(data))
		if word == "" {
			return "", "", fault.New(fault.Input, "remove the file, and a token is made", "%s is empty", name)
		}
		return word, name, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", "", err
	}
	word = New()
	f, err := atomicfile.Create(filepath.Dir(name), 0o600)
	if err != nil {
		return "", "", fault.Wrap(err, fault.Input, "name another file with new=FILE", "keeping the new token")
	}
	defer f.Close()
	if _, err := f.WriteString(word + "\n"); err != nil {
		return "", "", fault.Wrap(err, fault.Device, "", "writing %s", name)
	}
	return word, name, fault.Wrap(f.CommitNew(name), fault.Device, "", "writing %s", name)
}
