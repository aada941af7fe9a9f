package sources

import (
	"bytes"
	"os"
	"path/filepath"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

// Fits returns why a new main file cannot be written to BOOT too; see Keep.
func (im Importer) Fits(text []byte) error {
	_, _, err := im.forBoot(text)
	return err
}

// Keep makes text, which has its secrets, the imported main file. Where it fits it takes the place
// of the one on BOOT too, with its secrets blanked, so that a node that loses its data comes up
// with the settings that it had, and who edits the file there edits these. A power cut on the way
// leaves the node with text and BOOT to be finished by Run. stale is why BOOT stayed as it is.
func (im Importer) Keep(text []byte) (stale, err error) {
	if err := os.MkdirAll(im.Store, 0o700); err != nil {
		return nil, err
	}
	path := im.stored(mainBoot)
	if err := atomicfile.Write(path, text, 0o600); err != nil {
		return nil, err
	}
	want, now, err := im.forBoot(text)
	if err != nil {
		return err, nil
	}
	if err := atomicfile.Write(path+pending, want, 0o600); err != nil {
		return err, nil
	}
	if bytes.Equal(want, now) {
		return im.settle(mainBoot, path, want, now), nil
	}
	return fault.Wrap(im.settle(mainBoot, path, want, now), fault.Device, "look after the card", "the boot partition keeps the settings from before"), nil
}

// forBoot returns the text for BOOT, and what is there now.
func (im Importer) forBoot(text []byte) (want, now []byte, err error) {
	if im.Overwrite == nil {
		return nil, nil, fault.New(fault.Device, "write it to config.yaml on the boot partition, on any computer, to keep it", "the data partition is not in use, and the change is gone with the next boot")
	}
	now, err = os.ReadFile(filepath.Join(im.Boot, mainBoot))
	was, err2 := os.ReadFile(im.stored(mainBoot) + seen)
	if err != nil || err2 != nil || !bytes.Equal(now, was) {
		err = fault.New(fault.Input, "", "config.yaml on the boot partition is not the one that the node took over, and is left alone")
	} else {
		want, err = config.ForBoot(text, len(now))
	}
	return want, now, fault.Wrap(err, fault.Input, "", "should the data partition ever be lost, the node comes up with the settings from before")
}
