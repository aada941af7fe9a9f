package main

import (
	"context"
	"fmt"
	"os"

	"imgbuild/builder/order"
	"imgbuild/builder/recipe"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/terminal"
)

var lock = line.Verb{
	Name:    "lock",
	Summary: "Lock the newest packages of a board and role into a file, and show what changes in it.",
	Keys: []line.Key{boardKey, roleKey, extraKey, withoutKey, {Name: "file", Value: "FILE", Doc: "Where the lock goes; default " + recipe.LocalLock + "."},
		{Name: "pin", Value: "PACKAGE=VERSION[,...]", Doc: "Versions to lock instead of the newest ones, of those that the archive still has."},
		{Name: "k3s", Value: "stable|latest|VERSION", Doc: "The release of k3s to lock, by the sums that it publishes; default the one that the file has, else none."}, mirrorKey, cacheKey},
	Examples: []string{"imgbuild lock board=rpi4 role=worker", "imgbuild lock board=rpi4 role=worker file=node.lock", "imgbuild lock board=rpi4 role=worker k3s=stable",
		"imgbuild lock board=rpi4 role=worker pin=openssl=3.5.7-1,libssl3t64=3.5.7-1"},
	Run: doLock,
}

func doLock(ctx context.Context, a *line.Args) error {
	s := newScreen(os.Stderr)
	r, err := order.Lock(ctx, order.LockOrder{Plan: planOf(a), Pins: list(a.Values["pin"]), K3s: a.Values["k3s"], File: a.Values["file"]}, s)
	s.Done()
	if err != nil {
		return err
	}
	if k := r.Lock.K3s; k != nil {
		fmt.Printf("k3s %s, %d bytes, sha256 %s\n", k.Version, k.Size, k.SHA256)
	}
	for _, c := range r.Changes {
		fmt.Println(terminal.Text(c.String()))
		for _, l := range c.Scripts {
			fmt.Println(terminal.Text("      " + l))
		}
	}
	for _, w := range r.Warnings() {
		s.Warn(w...)
	}
	fmt.Printf("%s: %d packages, %d changes, dated %s\n", r.File, len(r.Lock.Packages), len(r.Changes), r.Lock.Date)
	return nil
}
