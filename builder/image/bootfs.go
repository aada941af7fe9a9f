package image

import (
	"bytes"
	"fmt"
	"strings"

	"imgbuild/builder/bootscript"
	"imgbuild/builder/tree"
	"imgbuild/builder/ubootscript"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fat"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/firmware"
	"imgbuild/init/contract/yamltext"
)

// bootVolume makes BOOT: the board's firmware and bootloader, boot.scr, and the files for people.
// It is the only place where an image holds configuration, and it is written last, so that one slot
// serves many configurations.
func (b *build) bootVolume(p *prepared) (*fat.Volume, error) {
	r := b.Recipe
	files := map[string]tree.Content{}
	for _, c := range r.Family.Boot {
		from := bootSource(c.From, p.About.DTBDir)
		n := p.boot[from]
		if n == nil {
			return nil, fmt.Errorf("%s has no %s for BOOT: correct boards/families/%s.yaml", c.Package, from, r.Family.Name)
		}
		files[c.To] = n.Content
	}
	for name, text := range r.Family.BootText {
		files[name] = tree.Bytes([]byte(text))
	}
	s := r.Family.Script
	packing := bootscript.ZImage
	if r.Family.Kernel.Gzip {
		packing = bootscript.ImageGz
	}
	script, err := bootscript.Script(bootscript.Params{Board: r.Board.Name, Kernel: packing, Console: s.Console, Args: s.Args, DTB: s.DTB,
		Addr: bootscript.Addresses{Kernel: s.Kernel, Packed: s.Packed, Initrd: s.Initrd, DTB: s.DTBAddr}})
	if err != nil {
		return nil, err
	}
	files["boot.scr"] = tree.Bytes(ubootscript.Image(script, b.date()))
	if e := r.Family.UBootEnv; e != nil {
		env, err := ubootscript.Environment(bootscript.PiEnv(), e.Size)
		if err != nil {
			return nil, err
		}
		files[e.File] = tree.Bytes(env)
	}
	files["report.txt"] = tree.Bytes(emptyReport())
	files[config.RescueFile] = tree.Bytes([]byte(config.RescueText))
	files["README.txt"] = tree.Bytes([]byte(bootReadme(b.version)))
	files["config.d/00-image.yaml"] = tree.Bytes([]byte(fmt.Sprintf("# What this image was built as.\nshelf:\n  board: %s\n  role: %s\n", r.Board.Name, r.Role.Name)))
	own := b.Config
	if b.Node != nil {
		for name, text := range b.Node.Parts {
			files["config.d/"+name] = tree.Bytes(text)
		}
		if own == nil {
			own = b.Node.Config
		}
	}
	if own == nil {
		own = configTemplate(r.Role.Name)
	}
	files["config.yaml"] = tree.Bytes(config.WithSpace(own))
	var names []string
	for name := range files {
		names = append(names, name)
	}
	list := make([]fat.File, 0, len(names))
	for _, name := range names {
		c := files[name]
		list = append(list, fat.File{Path: name, Size: c.Size, Open: c.Open})
	}
	v := firmware.Volume(list, b.fatID("boot"), bootStart, bootSize)
	if _, err := v.Plan(); err != nil {
		return nil, fault.Wrap(err, fault.Input, "", "planning BOOT")
	}
	return v, nil
}

// emptyReport is the space into which the node writes its report in place, sector by sector.
func emptyReport() []byte {
	text := []byte("This node has not reported yet.\n")
	return append(text, append(bytes.Repeat([]byte{' '}, reportSize-len(text)-1), '\n')...)
}

func bootReadme(version string) string {
	return strings.ReplaceAll(fmt.Sprintf(`ShelfOS %s

config.yaml   how this node is configured; edit it here, on any computer, and
              boot the node: it takes over what has changed. Secrets are moved
              to the node's data partition and blanked here.
config.d/     parts of the configuration, one file each
report.txt    what went wrong at the last boot, and how to fix it
rescue.txt    write yes to start without data and services, for repairs

Words for the kernel's command line go into the first line of a file of your
own, usercmdline.txt.

Everything else is the bootloader's.
`, version), "\n", "\r\n")
}

// KeyConfig is the configuration of an image that was given ssh keys and nothing else: lines of
// authorized_keys.
func KeyConfig(role string, keys []string) ([]byte, error) {
	text, err := yamltext.Marshal(map[string][]string{"ssh_authorized_keys": keys})
	if err != nil {
		return nil, err
	}
	return append(configTemplate(role), text...), nil
}

// configTemplate is BOOT's config.yaml where nothing is configured.
func configTemplate(role string) []byte {
	text := `# How this node is configured. The keys are k3OS's; see docs/config.md.
#
# hostname: node1
# ssh_authorized_keys:
# - ssh-ed25519 AAAA... you@laptop
# - github:yourname
`
	if role == "worker" {
		text += `#
# k3os:
#   server_url: https://server:6443
#   token: the server's token
`
	}
	return []byte(text)
}
