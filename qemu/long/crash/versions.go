package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"

	"imgbuild/builder/bundle"
	format "imgbuild/init/contract/bundle"
	"imgbuild/qemu/fixtures/nodeflags"
)

// A version is a system that nodes are upgraded to.
type version struct {
	image, bundle string // files
	name          string
	size          int64 // of the slot
	sum           [sha256.Size]byte
}

// in reports whether a slot holds the version, every byte of it.
func (v version) in(slot io.ReaderAt) (bool, error) {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(slot, 0, v.size)); err != nil {
		return false, err
	}
	return bytes.Equal(h.Sum(nil), v.sum[:]), nil
}

// laptop is where imgbuild upgrade runs: its home directory, with a key that nodes let in.
type laptop struct {
	program, home string
	key           ssh.Signer
}

// newLaptop makes the home directory.
func newLaptop(program, home string) (l laptop, public string, err error) {
	l = laptop{program: program, home: home}
	dir := filepath.Join(home, ".ssh")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return l, "", err
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return l, "", err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return l, "", err
	}
	if l.key, err = ssh.NewSignerFromSigner(private); err != nil {
		return l, "", err
	}
	err = os.WriteFile(filepath.Join(dir, "id_ed25519"), pem.EncodeToMemory(block), 0o600)
	return l, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(l.key.PublicKey()))), err
}

// imgbuild is a command of the laptop.
func (l laptop) imgbuild(ctx context.Context, words ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, l.program, words...)
	cmd.Env = append(os.Environ(), "HOME="+l.home, "SSH_AUTH_SOCK=")
	return cmd
}

// Three versions: a slot always holds another one than the one that it is to get next, so that each
// upgrade writes. The second has a k3s in its slot, the stand-in, which moves everything after it.
var versionNames = [3]string{"one", "two", "three"}

// buildVersions builds them and signs their bundles; a login key of the laptop is in all.
func buildVersions(ctx context.Context, l laptop, dir, public string) (all [3]version, err error) {
	config := filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf("hostname: shelf-upgrade\nssh_authorized_keys:\n- %s\nservices:\n  chatter:\n    command: \"while sleep 1; do seq 100000 101000; done\"\n", public)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return all, err
	}
	key := filepath.Join(dir, "key")
	standin := filepath.Join(dir, "standin")
	if err := program(ctx, nil, standin, "arm64", "imgbuild/qemu/fixtures/standin"); err != nil {
		return all, err
	}
	run := func(program string, words ...string) ([]byte, error) {
		cmd := l.imgbuild(ctx, words...)
		cmd.Path = program
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("imgbuild %s: %w\n%s", strings.Join(words, " "), err, stderr.Bytes())
		}
		return stdout.Bytes(), nil
	}
	if _, err := run(l.program, "keygen", "key="+key, "passphrase=no"); err != nil {
		return all, err
	}
	for i, name := range versionNames {
		maker := l.program
		if i > 0 {
			if maker, err = otherImgbuild(ctx, dir, name); err != nil {
				return all, err
			}
		}
		k3s := "none"
		if i == 1 {
			k3s = standin
		}
		out := filepath.Join(dir, name)
		text, err := run(maker, "board=qemu-arm64", "role=worker", "k3s="+k3s, "pack=no", "output=json", "config="+config, "out="+out, "sign="+key)
		if err != nil {
			return all, err
		}
		var made struct{ Image string }
		if err := json.Unmarshal(text, &made); err != nil || made.Image == "" {
			return all, fmt.Errorf("imgbuild names no image: %v\n%.500s", err, text)
		}
		if _, err := run(l.program, "bundle", made.Image, "sign="+key); err != nil {
			return all, err
		}
		all[i] = version{image: made.Image, bundle: strings.TrimSuffix(made.Image, ".img") + format.Suffix}
		m, _, err := bundle.Kept(all[i].bundle)
		if err == nil && m == nil {
			err = errors.New("not a bundle")
		}
		if err != nil {
			return all, fmt.Errorf("%s: %w", all[i].bundle, err)
		}
		all[i].name, all[i].size = m.Version, m.Slot.Size
		if _, err := hex.Decode(all[i].sum[:], []byte(m.Slot.SHA256)); err != nil {
			return all, err
		}
		if i > 0 && (all[i].sum == all[i-1].sum || all[i].sum == all[0].sum) {
			return all, fmt.Errorf("version %s is the same as one before", name)
		}
	}
	return all, nil
}

// otherImgbuild builds an imgbuild whose images have an init of another version.
func otherImgbuild(ctx context.Context, dir, name string) (string, error) {
	const line = `const version = "unknown"`
	source, err := filepath.Abs("cmd/init/main.go")
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	if strings.Count(string(text), line) != 1 {
		return "", fmt.Errorf("%s has no line %q", source, line)
	}
	changed := filepath.Join(dir, "main-"+name+".go")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(text), line, fmt.Sprintf("const version = %q", name), 1)), 0o600); err != nil {
		return "", err
	}
	flags, err := nodeflags.Read("Makefile")
	if err != nil {
		return "", err
	}
	init := filepath.Join(dir, "init-"+name)
	if err := program(ctx, map[string]string{source: changed}, init, "arm64", "imgbuild/cmd/init", flags...); err != nil {
		return "", err
	}
	embedded, err := filepath.Abs("builder/image/programs/init-arm64")
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, "imgbuild-"+name)
	return out, program(ctx, map[string]string{embedded: init}, out, "", "imgbuild/cmd/imgbuild")
}

// program builds a program for arm64 nodes, or for this machine where goarch is empty, with some
// files in the place of others.
func program(ctx context.Context, replace map[string]string, out, goarch, pkg string, flags ...string) error {
	overlay := out + ".overlay"
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		return err
	}
	args := append([]string{"build"}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-overlay", overlay, "-o", out, pkg)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if goarch != "" {
		cmd.Env = append(cmd.Env, "GOOS=linux", "GOARCH="+goarch)
	}
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", pkg, err, text)
	}
	return nil
}
