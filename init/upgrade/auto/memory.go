package auto

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/fault"
)

// Path is where a node keeps its memory.
const Path = "/var/lib/shelf/upgrade/auto.json"

// Load reads the memory at path. One that is missing is empty; one that cannot be read is too, with
// an error.
func Load(path string) (m Memory, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return Memory{}, fault.Wrap(err, fault.Device, "remove the file", "what automatic upgrades remember, %s", path)
	}
	return m, nil
}

// Save writes it, so that it is there whole, old or new, at every moment.
func (m Memory) Save(path string) error {
	text, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fault.Wrap(err, fault.Device, "look whether the data partition is full", "what automatic upgrades remember")
	}
	err = atomicfile.Write(path, append(text, '\n'), 0o600)
	return fault.Wrap(err, fault.Device, "look whether the data partition is full", "what automatic upgrades remember")
}
