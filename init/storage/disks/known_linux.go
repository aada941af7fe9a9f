package disks

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"imgbuild/init/base/mount"
	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

// note records the disk as the one that this entry uses from now on, on the disk first. What a
// record has of halves that were written apart is kept, on a node that is new to the disk too.
func (d *Disks) note(spec config.StorageDisk, u use) error {
	here, err := readKnown(knownFile(spec.Name))
	if err != nil {
		return err
	}
	there, _ := readKnown(filepath.Join(MountPoint(spec.Name), marker))
	k := Known{UUID: strings.ToLower(u.FS.UUID), Serial: u.Serial(), Node: d.Host}
	for _, old := range []*Known{there, here} {
		if old != nil && old.UUID == k.UUID {
			k.Alone, k.Consent, k.Repairing = old.Alone, old.Consent, old.Repairing
			for m, serial := range old.Members {
				k.member(m, serial)
			}
			if u.FS.Devices > 1 && old.Serial != "" {
				k.Serial = old.Serial // whichever of them is first today
			}
		}
	}
	if u.FS.Devices > 1 {
		for _, p := range u.parts {
			k.member(p.FS.Member, p.Serial())
		}
	}
	if u.mode == Repair {
		if k.Repairing = true; len(k.Alone) == 0 {
			k.Alone = newest(u.parts)
		}
	}
	return d.record(spec.Name, k)
}

func (k *Known) member(uuid, serial string) {
	if k.Members == nil {
		k.Members = map[string]string{}
	}
	k.Members[uuid] = serial
}

// record writes what is known of a disk in use: on the disk, then on the node. What is there
// already is not written again.
func (d *Disks) record(name string, k Known) error {
	at := MountPoint(name)
	if have, _ := readKnown(filepath.Join(at, marker)); have == nil || !have.same(k) {
		if err := mount.Do(mount.Dir{Path: filepath.Join(at, Own), Mode: 0o700}); err != nil {
			return err
		}
		if err := writeKnown(filepath.Join(at, marker), k); err != nil {
			return err
		}
	}
	if have, _ := readKnown(knownFile(name)); have != nil && have.same(k) {
		return nil
	}
	if err := os.MkdirAll(KnownDir, 0o700); err != nil {
		return err
	}
	return writeKnown(knownFile(name), k)
}

func knownFile(name string) string { return filepath.Join(KnownDir, name+".json") }

// Forget returns up the disk that an entry used: the next one that fits is taken.
func Forget(name string) error {
	if err := os.Remove(knownFile(name)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fault.New(fault.Usage, "run `shelf storage`", "no disk is known by the name %q", name)
		}
		return err
	}
	return atomicfile.SyncDir(KnownDir)
}

// readKnown returns nil for a file that is not there. One that cannot be read is no reason to take
// another disk.
func readKnown(path string) (*Known, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var k Known
	if err == nil {
		err = json.Unmarshal(data, &k)
	}
	if err == nil && k.UUID == "" {
		err = errors.New("it has no UUID")
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Device, "if you know that the disk is the right one, remove that file", "%s cannot be read", path)
	}
	return &k, nil
}

func writeKnown(path string, k Known) error {
	data, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(data, '\n'), 0o600)
}
