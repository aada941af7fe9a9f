package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"imgbuild/builder/image"
	"imgbuild/builder/recipe"
	"imgbuild/cmd/line"
	"imgbuild/init/contract/fault"
)

var build = line.Verb{
	Name:    "build",
	Summary: "Build an image. The default when no verb is given.",
	Keys: []line.Key{boardKey, roleKey,
		{Name: "config", Value: "FILE", Doc: "cloud-config for this node, laid on the BOOT partition; the image then holds your secrets."},
		lenientKey,
		{Name: "import", Value: "FILE", Doc: "A node that `imgbuild migrate` took off its old card, laid on the data partition."},
		{Name: "restore", Value: "FILE", Doc: "A server's backup, laid on the data partition."},
		k3sKey,
		{Name: "images", Value: "FILE[,FILE]", Doc: "Archives of container images (tar, tar.gz, tar.zst) for k3s, laid on the data partition: the node need not fetch them."},
		{Name: "blobs", Value: "DIR|skip", Doc: "Boot blobs of ODROID boards: a directory that has them, or skip. Default: fetch them."},
		extraKey, withoutKey, lockKey, mirrorKey,
		{Name: "out", Value: "DIR", Doc: "Where the image goes; default out."},
		{Name: "pack", Value: "yes|no", Doc: "no leaves .img.zst and SHA256SUMS out, for an image that is only tried. Default yes."},
		cacheKey, line.Output},
	Examples: []string{
		"imgbuild board=rpi4 role=worker",
		"imgbuild board=rpi4 role=server config=node1.yaml k3s=v1.35.0+k3s1",
		"imgbuild board=odroid-xu4 role=worker blobs=skip",
		"imgbuild board=rpi4 role=server import=node1.tar",
		"imgbuild board=rpi4 role=server images=k3s-airgap-images-arm64.tar.zst",
	},
	Run: doBuild,
}

func doBuild(ctx context.Context, a *line.Args) error {
	began := time.Now()
	s, err := open(a)
	if err != nil {
		return err
	}
	lenient, err := a.Bool("lenient", false)
	if err != nil {
		return err
	}
	var config []byte
	if name := a.Values["config"]; name != "" {
		if config, err = os.ReadFile(name); err != nil {
			return fault.Wrap(err, fault.Input, "give a cloud-config file", "reading config=%s", name)
		}
	}
	out := a.Values["out"]
	if out == "" {
		out = "out"
	}
	pack, err := a.Bool("pack", true)
	if err != nil {
		return err
	}
	blobs := image.Blobs{Skip: a.Values["blobs"] == "skip"}
	if !blobs.Skip {
		blobs.Dir = a.Values["blobs"]
	}
	if err := blobs.Check(s.recipe.Family.Raw); err != nil {
		return err
	}
	if err := image.CheckOut(out); err != nil {
		return err
	}
	node, moved, err := openNode(a, s.recipe, config, out)
	if err != nil {
		return err
	}
	defer node.Close()
	var warnings []string
	if config != nil {
		warnings, err = image.CheckConfig(a.Values["config"], s.recipe, lenient, append([]image.Source{{Name: a.Values["config"], Data: config}}, node.Sources()...)...)
	} else {
		if warnings, err = image.CheckConfig("it", s.recipe, true, node.Sources()...); err != nil && node != nil {
			err = fmt.Errorf("the configuration in %s: %w; give a corrected copy as config=FILE", filepath.Base(node.Name()), err)
		}
	}
	if err != nil {
		return err
	}
	warnings = append(warnings, moved...)
	airGap, err := openAirGap(a, s.recipe)
	if err != nil {
		return err
	}
	relock, err := s.recipe.Fetch(ctx, s.client, a.Values["lock"])
	if err != nil {
		return err
	}
	if p := s.recipe.Passed; p != "" {
		warnings = append(warnings, p)
	}
	s.screen.warn(s.relocked(relock)...)
	if err := s.recipe.DecideK3s(ctx, a.Values["k3s"], s.cache, func(done, total int64) { s.screen.progress("k3s", done, total) }); err != nil {
		return err
	}
	switch {
	case s.recipe.Locked && s.recipe.Passed != "": // that file is another recipe's
		warnings = append(warnings, fmt.Sprintf("k3s %s was taken with the sum that its release publishes, which no lock keeps; run `imgbuild lock k3s=%s file=FILE`", s.recipe.K3s.Version, s.recipe.K3s.Version))
	case s.recipe.Locked:
		if err := recipe.WriteLock(recipe.LocalLock, s.recipe.Lock); err != nil {
			return err
		}
		warnings = append(warnings, fmt.Sprintf("k3s %s was locked with the sum that its release publishes, in ./%s", s.recipe.K3s.Version, recipe.LocalLock))
	}
	if w := s.recipe.K3s.Warning; w != "" {
		warnings = append(warnings, w)
	}
	if node != nil {
		w, err := node.CheckK3s(s.recipe.K3s.Version)
		if err != nil {
			return err
		}
		if w != "" {
			warnings = append(warnings, w)
		}
	}
	for _, w := range warnings {
		s.screen.warn(strings.Split(strings.TrimPrefix(w, "warning: "), "\n")...)
	}
	res, err := image.Build(ctx, image.Options{
		Recipe: s.recipe, Client: s.client, Cache: s.cache, Config: config, Node: node, AirGap: airGap, Out: out, Progress: s.screen.progress, ImageOnly: !pack,
		Blobs:    blobs,
		Warnings: append(warnings, s.relocked(relock)...),
	})
	s.screen.done()
	if err != nil {
		return err
	}
	if _, err := s.cache.Trim(cacheLimit); err != nil {
		s.screen.warn(err.Error())
	}
	for _, w := range res.Warnings[len(warnings)+len(s.relocked(relock)):] { // those before were told before the build
		s.screen.warn(w)
	}
	if a.JSON() {
		return printJSON(res)
	}
	summary(a, res, s.recipe, time.Since(began))
	return nil
}

// openAirGap opens the archives that images= names.
func openAirGap(a *line.Args, r *recipe.Recipe) ([]image.AirGap, error) {
	given := a.Values["images"]
	if given == "" {
		return nil, nil
	}
	if a.Values["k3s"] == recipe.NoK3s {
		return nil, fault.New(fault.Usage, "leave one of them out", "images= are for k3s, and k3s=none leaves it out")
	}
	return image.OpenAirGap(strings.Split(given, ","), r.Family.Arch)
}

func summary(a *line.Args, res *image.Result, r *recipe.Recipe, took time.Duration) {
	packed := ""
	if res.Packed > 0 {
		packed = fmt.Sprintf(" (%s on disk, %s packed)", size(res.Used), size(res.Packed))
	}
	try := fmt.Sprintf("%s run board=%s role=%s", os.Args[0], r.Board.Name, r.Role.Name)
	if out := a.Values["out"]; out != "" {
		try += " out=" + out
	}
	k3s := r.K3s.Source
	if r.K3s.Version != "" {
		k3s = r.K3s.Version + ", " + k3s
	}
	fmt.Printf(`%s
  %s as %s, version %s
  %d packages, %d kernel modules, kernel %s, k3s: %s
  image %s%s; root %s, initramfs %s, slot %d %% full
  built in %.1f s

Next:
  write it to a card     sudo dd if=%s of=/dev/DEVICE bs=4M conv=fsync status=progress
  or try it in QEMU      %s
`, res.Image, r.Board.Title, r.Role.Title, res.Version, res.Packages, res.Modules, res.Manifest.Kernel, k3s,
		size(res.Size), packed, size(res.Root), size(res.Initrd), res.SlotPercent(), took.Seconds(), res.Image, try)
}
