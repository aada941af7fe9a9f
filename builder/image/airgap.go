package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"imgbuild/init/contract/ext4"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/userfile"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// AirGap is an archive of container images that is written to the data partition, for a node that
// cannot or should not fetch them. The node shows it to k3s, which imports it (k3s' documentation,
// air-gap and import images).
type AirGap struct {
	Name string // without directories
	Size int64
	path string
}

// airGapDir is where the node looks for them, on the data partition.
const airGapDir = "k3os/data/var/lib/shelf/images"

type airGapKind struct {
	end   string
	magic []byte
}

// airGapKinds are the ends of names, each with the first bytes of its content; a plain tar has its
// magic further in.
var airGapKinds = []airGapKind{
	{".tar", nil},
	{".tar.gz", []byte{0x1f, 0x8b}},
	{".tgz", []byte{0x1f, 0x8b}},
	{".tar.zst", []byte{0x28, 0xb5, 0x2f, 0xfd}},
}

// A name that k3s imports and that no shell stumbles over.
var airGapName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,199}$`)

// smallJSON is how large a file may be to be looked at for the processor that an image is made for.
const smallJSON = 1 << 20

// OpenAirGap looks at archives and reads them to their end, so that one that is damaged, or made
// for another processor than arch (as Debian names it), costs nothing more. Errors are of kind
// Input.
func OpenAirGap(files []string, arch string) (list []AirGap, err error) {
	for _, file := range files {
		a := AirGap{Name: filepath.Base(file), path: file}
		if slices.ContainsFunc(list, func(b AirGap) bool { return b.Name == a.Name }) {
			return nil, fault.New(fault.Input, "rename one of them", "two archives of images are named %s", a.Name)
		}
		f, err := userfile.Open("images", file)
		if err != nil {
			return nil, err
		}
		err = a.check(f, arch)
		f.Close()
		if err != nil {
			return nil, fault.Wrap(err, fault.Input, "", "images=%s", file)
		}
		list = append(list, a)
	}
	return list, nil
}

func (a *AirGap) check(f *os.File, arch string) error {
	kind := slices.IndexFunc(airGapKinds, func(k airGapKind) bool { return strings.HasSuffix(a.Name, k.end) })
	if kind < 0 || !airGapName.MatchString(a.Name) {
		return fault.New(fault.Input, "name it like k3s-airgap-images-arm64.tar.zst", "k3s imports archives that end in .tar, .tar.gz, .tgz or .tar.zst, of letters, digits and ._+-")
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fault.New(fault.Input, "give an archive", "it is not a file")
	}
	a.Size = info.Size()
	in := bufio.NewReaderSize(f, 1<<20)
	if head, _ := in.Peek(4); !bytes.HasPrefix(head, airGapKinds[kind].magic) {
		return fault.New(fault.Input, "fetch it again, or give it the name of what it is", "it is no %s archive", airGapKinds[kind].end)
	}
	content, done, err := unpacked(in, airGapKinds[kind].end)
	if err == nil {
		err = scanImages(content, arch)
		done()
	}
	var f2 *fault.Error
	if err != nil && !errors.As(err, &f2) {
		return fault.Wrap(err, fault.Input, "fetch it again and compare its sha256", "it cannot be read to its end")
	}
	return err
}

// unpacked returns the tar in an archive.
func unpacked(r io.Reader, end string) (io.Reader, func(), error) {
	switch end {
	case ".tar.zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	case ".tar.gz", ".tgz":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, err
		}
		return z, func() { z.Close() }, nil
	}
	return r, func() {}, nil
}

// goArch is what image configurations call Debian's architectures.
var goArch = map[string]string{"arm64": "arm64", "armhf": "arm", "amd64": "amd64"}

// scanImages reads a tar of images to its end: the archive's list (manifest.json of docker save;
// index.json of an OCI layout) has to be there, and one configuration for the processor where any
// names what it is for.
func scanImages(r io.Reader, arch string) error {
	listed, seen := false, map[string]bool{}
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name := path.Clean(h.Name)
		listed = listed || name == "manifest.json" || name == "index.json"
		if h.Typeflag != tar.TypeReg || h.Size > smallJSON || h.Size == 0 {
			continue
		}
		text, err := io.ReadAll(t)
		if err != nil {
			return err
		}
		var config struct {
			Architecture string          `json:"architecture"`
			RootFS       json.RawMessage `json:"rootfs"`
		}
		if text[0] == '{' && json.Unmarshal(text, &config) == nil && config.RootFS != nil && config.Architecture != "" {
			seen[config.Architecture] = true
		}
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // the checksum of a compressed archive follows the tar
		return err
	}
	if !listed {
		return fault.New(fault.Input, "give k3s' air-gap archive, or one that `docker save` or `skopeo copy` wrote", "it holds no container images: neither manifest.json nor index.json is in it")
	}
	if len(seen) > 0 && !seen[goArch[arch]] {
		var others []string
		for a := range seen {
			others = append(others, a)
		}
		slices.Sort(others)
		return fault.New(fault.Input, "fetch the one for "+goArch[arch], "its images are for %s, and the board has %s", strings.Join(others, " and "), goArch[arch])
	}
	return nil
}

// airGapEntries returns what is written to the data partition, with the directories above that
// others has not.
func airGapEntries(list []AirGap, others []ext4.Entry, date uint32) (out []ext4.Entry) {
	if len(list) == 0 {
		return nil
	}
	there := map[string]bool{".": true}
	for _, e := range others {
		there[e.Path] = true
	}
	var missing []string
	for dir := airGapDir; !there[dir]; dir = path.Dir(dir) {
		missing = append(missing, dir)
	}
	for _, dir := range slices.Backward(missing) {
		mode, ok := modes[dir]
		if !ok {
			mode = 0o755
		}
		out = append(out, ext4.Entry{Path: dir, Kind: ext4.Dir, Mode: mode, Time: date})
	}
	for _, a := range list {
		out = append(out, ext4.Entry{Path: airGapDir + "/" + a.Name, Kind: ext4.File, Mode: 0o644, Size: a.Size, Time: date, Open: func() (io.ReadCloser, error) {
			f, err := os.Open(a.path)
			if err != nil {
				return nil, err
			}
			return f, nil // a size that has changed meanwhile is ext4's to refuse
		}})
	}
	return out
}
