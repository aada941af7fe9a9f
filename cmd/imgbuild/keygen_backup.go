package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"imgbuild/cmd/line"
	"imgbuild/init/contract/backupkey"
	"imgbuild/init/contract/fault"
)

// backupIdentity is the identity's file next to the key that signs upgrades.
const backupIdentity = "backup-identity"

// backupKeys makes what reads backups on servers, and what a node needs to write them.
func backupKeys(a *line.Args) error {
	file := a.Values["key"]
	if file == "" {
		dir, err := os.UserConfigDir()
		if err != nil {
			return fault.Wrap(err, fault.Input, "name the file with key=FILE, or set HOME", "no directory for the key")
		}
		file = filepath.Join(dir, "imgbuild", backupIdentity)
	}
	p, err := backupkey.New()
	if err != nil {
		return err
	}
	if err := writeNew(file, p.File); err != nil {
		return err
	}
	if a.JSON() {
		return printJSON(map[string]string{"identity": file, "recipient": p.Recipient, "signing_key": p.SigningKey})
	}
	fmt.Printf(`%s
  it reads the backups: keep a copy of it elsewhere. Without it nobody can restore them

For the configuration of the storage node:
  storage:
    backup:
      to:
        NAME:
          url: sftp://USER@HOST/DIRECTORY
          recipients: [%s]
          signing_key: %s
`, file, p.Recipient, p.SigningKey)
	return nil
}

// writeNew writes a file for its owner alone, which must not exist.
func writeNew(file, text string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Input, "keep it: backups need it; or give key=FILE for another one", "%s exists", file)
	} else if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(file)
	}
	return err
}
