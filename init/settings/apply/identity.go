package apply

import (
	"errors"
	"strings"

	"imgbuild/init/contract/config"
	"imgbuild/init/settings/identity"
)

// nodePassword is by what k3s' server knows the node again.
const nodePassword = "/var/lib/rancher/k3os/node/password"

// Identity takes the ssh host key and the password of k3s from the configuration, so that a node on
// a new card is the one that it was. What the node has already is kept: others know it by that.
func (m Machine) Identity(s config.Shelf) error {
	var errs []error
	if s.SSHHostKey != "" {
		errs = append(errs, identity.TakeHostKey(m.path(KeyDir), []byte(s.SSHHostKey)))
	}
	if word := strings.TrimSpace(s.NodePassword); word != "" && len(strings.Fields(word)) == 1 {
		errs = append(errs, identity.Take(m.path(nodePassword), []byte(word+"\n"), 0o600))
	}
	return errors.Join(errs...)
}
