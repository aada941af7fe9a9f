package upgrade

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

// errNoKey means that a node trusts no key yet.
var errNoKey = errors.New("the node trusts no upgrade key")

// trusted looks whether a node would take the bundle's signature, before it is asked to.
func (r *run) trusted(n *node) error {
	keys, err := bundle.ParseKeys(strings.Join(n.hello.Keys, "\n"))
	if err != nil {
		return fault.Wrap(err, fault.Network, "", "the keys of %s", n.name())
	}
	if len(keys) == 0 {
		return errNoKey
	}
	_, err = keys.Verify(n.offer.Text, n.offer.Signature)
	return fault.Wrap(err, fault.Verify, "", "%s", n.offer.Name)
}

// enrol sends the laptop's key that signed the bundle to a node that trusts no key, if the user
// agrees.
func (r *run) enrol(ctx context.Context, n *node) error {
	if len(r.Keys) == 0 {
		return fault.New(fault.Verify, "give it the maker's key with `shelf key add`", "it trusts no upgrade key, and this laptop has none that it could be given")
	}
	key, err := r.Keys.Verify(n.offer.Text, n.offer.Signature)
	if err != nil {
		return fault.Wrap(err, fault.Verify, "", "it trusts no upgrade key, and %s is not signed by the key of this laptop", n.offer.Name)
	}
	if r.Ask == nil || !r.Ask(fmt.Sprintf("%s trusts no upgrade key yet. Shall it trust yours, %s?", n.name(), keyID(key))) {
		return fault.New(fault.Verify, "answer yes, or run `ssh "+n.host+" sudo shelf key add "+key.String()+"`", "it trusts no upgrade key")
	}
	if _, err := n.conn.Output(ctx, "sudo shelf key add "+terminal.Quote(key.String()), nil); err != nil {
		return err
	}
	r.say("%s: trusts the key %s from now on", n.name(), keyID(key))
	return nil
}
