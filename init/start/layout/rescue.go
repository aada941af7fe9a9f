package layout

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fatfile"
	"imgbuild/init/contract/fault"
)

// RescueAsked reads config.RescueFile on a FAT volume. No such file is a no.
func RescueAsked(boot io.ReaderAt) (bool, error) {
	text, err := fatfile.ReadFile(boot, config.RescueFile)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", config.RescueFile, err)
	}
	return config.RescueAsked(text), nil
}

// SetRescue writes the answer into config.RescueFile in place; the caller flushes. A file that is
// not there, or too short for the word, cannot be repaired here: the node never changes the
// directories of BOOT.
func SetRescue(boot fatfile.ReadWriterAt, on bool) error {
	word := "no"
	if on {
		word = "yes"
	}
	_, size, err := fatfile.Locate(boot, config.RescueFile)
	if err != nil || size < int64(len(word)) {
		return fault.New(fault.Input, "write the file "+config.RescueFile+" on the boot partition with any computer, with the word "+word+" in it",
			"the boot partition has no file %s that could hold the answer", config.RescueFile)
	}
	text := word + config.RescueText[len("no"):]
	return fatfile.Overwrite(boot, config.RescueFile, []byte(text[:min(int64(len(text)), size)]), ' ')
}
