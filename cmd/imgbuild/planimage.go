package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"imgbuild/builder/image"
	"imgbuild/builder/planimage"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/terminal"
)

// doPlanImage makes the container image with which a Plan upgrades nodes to the bundles given.
func doPlanImage(ctx context.Context, a *line.Args) error {
	for _, other := range []string{"from", "floor", "expires", "channel", "sign", "out"} {
		if a.Values[other] != "" {
			return fault.New(fault.Usage, "make the bundle first", "oci= and %s= do not go together", other)
		}
	}
	if len(a.Operands) == 0 {
		return fault.New(fault.Usage, "see `imgbuild help bundle`", "oci= wants the bundles that nodes are to run")
	}
	made, err := planimage.Make(a.Operands, func(arch string) ([]byte, error) {
		p, err := image.ProgramsOf(arch)
		return p.Shelf, err
	})
	if err != nil {
		return err
	}
	to, err := made.Target(a.Values["oci"])
	if err != nil {
		return err
	}
	if err := made.Write(ctx, to); err != nil {
		return err
	}
	digest, err := made.Digest()
	if err != nil {
		return err
	}
	if a.JSON() {
		return printJSON(map[string]any{"image": to.Name(), "digest": digest, "file": to.File, "bundles": made.Bundles})
	}
	if to.File != "" {
		fmt.Printf("%s, for `k3s ctr images import`, as ", to.File)
	}
	fmt.Printf("%s\n  %s\n", to.Name(), digest)
	for _, m := range made.Bundles {
		fmt.Printf("  %s, %s: %s\n", m.Family, strings.Join(m.Roles, ", "), terminal.Text(m.Version))
		if m.K3s != nil && m.K3s.Source == "firstboot" {
			fmt.Fprintf(os.Stderr, "%s needs k3s %s, which is in the image if k3s-%s-%s is next to the bundle\n", terminal.Text(m.Version), m.K3s.Version, m.K3s.Version, m.Arch)
		}
	}
	return nil
}
