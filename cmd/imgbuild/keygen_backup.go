package main

import (
	"fmt"
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
	if err := p.Write(file); err != nil {
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
