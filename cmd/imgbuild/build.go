package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"imgbuild/builder/image"
	"imgbuild/builder/order"
	"imgbuild/builder/recipe"
	"imgbuild/builder/sshkey"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/terminal"
)

var build = line.Verb{
	Name:     "build",
	Operands: "[NODE... | all]",
	Words:    "all",
	Summary:  "Build an image. The default when no verb is given. NODE and all: those of ./cluster.yaml, one image for each board and role; flash writes the configuration.",
	Keys: []line.Key{boardKey, roleKey,
		{Name: "config", Value: "FILE", Doc: "cloud-config for this node, written to the BOOT partition; the image then holds your secrets."},
		loginKey, lenientKey,
		{Name: "import", Value: "FILE", Doc: "A node that `imgbuild migrate` took off its old card, written to the data partition."},
		{Name: "restore", Value: "FILE", Doc: "A server's backup, written to the data partition."},
		k3sKey,
		{Name: "images", Value: "FILE[,FILE]", Doc: "Archives of container images (tar, tar.gz, tar.zst) for k3s, written to the data partition: the node need not fetch them."},
		{Name: "blobs", Value: "DIR|skip", Doc: "Boot blobs of ODROID boards: a directory that has them, or skip. Default: fetch them."},
		extraKey, withoutKey, lockKey, mirrorKey,
		{Name: "out", Value: "DIR", Doc: "Where the image goes; default out."},
		{Name: "pack", Value: "yes|no", Doc: "no leaves .img.zst, .upgrade and SHA256SUMS out, for an image that is only tried. Default yes."},
		signKey, cacheKey, line.Output},
	Examples: []string{
		"imgbuild board=rpi4 role=worker",
		"imgbuild board=rpi4 role=worker key=~/.ssh/id_ed25519.pub",
		"imgbuild board=rpi4 role=server config=node1.yaml k3s=v1.35.0+k3s1",
		"imgbuild board=odroid-xu4 role=worker blobs=skip",
		"imgbuild board=rpi4 role=server import=node1.tar",
		"imgbuild board=rpi4 role=server images=k3s-airgap-images-arm64.tar.zst",
		"imgbuild build all",
	},
	Run: doBuild,
}

func doBuild(ctx context.Context, a *line.Args) error {
	began := time.Now()
	o := order.Order{Plan: planOf(a), Config: a.Values["config"], Import: a.Values["import"], Restore: a.Values["restore"], K3s: a.Values["k3s"],
		Images: list(a.Values["images"]), Blobs: a.Values["blobs"], Lock: a.Values["lock"], Out: a.Values["out"]}
	var err error
	if o.Lenient, err = a.Bool("lenient", false); err != nil {
		return err
	}
	if o.Pack, err = a.Bool("pack", true); err != nil {
		return err
	}
	if len(a.Operands) > 0 {
		return buildNodes(ctx, a, o)
	}
	if o.Login, err = loginKeys(ctx, a); err != nil {
		return err
	}
	if o.Sign, err = signingKey(a.Values["sign"]); err != nil {
		return err
	}
	s := newScreen(os.Stderr)
	s.hold, s.phases = true, phases(o)
	ready, res, err := order.Build(ctx, o, s)
	s.Done()
	defer s.warnings()
	if err != nil {
		return err
	}
	if a.JSON() {
		return printJSON(res)
	}
	summary(res, ready.Recipe, o.Login, time.Since(began))
	return nil
}

// phases are the long steps of a build.
func phases(o order.Order) []string {
	all := []string{"packages", "unpack", "squashfs"}
	if o.Pack {
		all = append(all, "pack")
	}
	return all
}

func summary(res *image.Result, r *recipe.Ready, keys []sshkey.Key, took time.Duration) {
	packed := ""
	if res.Packed > 0 {
		packed = fmt.Sprintf(" (%s on disk, %s packed)", size(res.Used), size(res.Packed))
	}
	k3s := r.K3s.Source
	if r.K3s.Version != "" {
		k3s = r.K3s.Version + ", " + k3s
	}
	login := ""
	for _, k := range keys {
		login += "  login as rancher with " + strings.TrimSpace(terminal.Line(k.Comment)+" "+k.Fingerprint) + "\n"
	}
	fmt.Printf(`%s
  %s as %s, version %s
  %d packages, %d kernel modules, kernel %s, k3s: %s
  image %s%s
  root %s, initramfs %s, slot %d %% full
%s  built in %.1f s

Next:
  write it to a card     sudo imgbuild flash %s
  or try it in QEMU      imgbuild run board=%s role=%s \
                           image=%s
`, res.Image, r.Board.Title, r.Role.Title, res.Version, res.Packages, res.Modules, res.Manifest.Kernel, k3s,
		size(res.Size), packed, size(res.Root), size(res.Initrd), res.SlotPercent(), login, took.Seconds(),
		terminal.Quote(res.Image), r.Board.Name, r.Role.Name, terminal.Quote(res.Image))
}
