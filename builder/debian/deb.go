package debian

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	maxDeb     = 4 << 30  // bytes of a .deb
	maxControl = 32 << 20 // bytes of control.tar, unpacked
	maxData    = 16 << 30 // bytes of data.tar, unpacked
)

// scriptNames are the programs that dpkg would run.
var scriptNames = map[string]bool{"preinst": true, "postinst": true, "prerm": true, "postrm": true, "config": true, "triggers": true}

// Deb is a binary package (deb(5), format 2.0), open at its data.
type Deb struct {
	Control map[string]string // fields of the control file, names in lower case
	Scripts map[string][]byte // maintainer scripts that there are: preinst, postinst, prerm, postrm, config, triggers

	ar   *arReader
	name string // of the data member
}

// OpenDeb reads a package from r up to its data. It reads r in order, and no further than asked.
func OpenDeb(r io.Reader) (*Deb, error) {
	ar := &arReader{r: r}
	if err := ar.begin(); err != nil {
		return nil, err
	}
	name, err := ar.next()
	if err != nil {
		return nil, fmt.Errorf("not a Debian package: %w", err)
	}
	if name != "debian-binary" {
		return nil, fmt.Errorf("not a Debian package: its first member is %.20q, not debian-binary", name)
	}
	version, err := readAll(ar, 64, name)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(version, []byte("2.")) {
		return nil, fmt.Errorf("package format %.20q is not known (2.0 is)", version)
	}
	d := &Deb{Scripts: map[string][]byte{}, ar: ar}
	for {
		name, err := ar.next()
		if err == io.EOF {
			return nil, fmt.Errorf("the package ends before its data: %w", io.ErrUnexpectedEOF)
		}
		if err != nil {
			return nil, err
		}
		switch {
		case strings.HasPrefix(name, "_"): // deb(5): such members are to be ignored
		case strings.HasPrefix(name, "control.tar") && d.Control == nil:
			if err := d.readControl(name); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		case strings.HasPrefix(name, "data.tar") && d.Control != nil:
			d.name = name
			return d, nil
		default:
			return nil, fmt.Errorf("unexpected member %.20q of the package", name)
		}
	}
}

// readControl reads control.tar.
func (d *Deb) readControl(name string) error {
	plain, release, err := decompress(name, d.ar)
	if err != nil {
		return err
	}
	defer release()
	t := tar.NewReader(&bounded{plain, maxControl, name})
	for {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		switch file := cleanName(h.Name); {
		case h.Typeflag != tar.TypeReg:
		case file == "control":
			s := newStanzaReader(t)
			fields, err := s.next()
			if err != nil {
				return fmt.Errorf("control: %w", noEOF(err))
			}
			d.Control = make(map[string]string, len(fields))
			for _, f := range fields {
				d.Control[string(f.name)] = string(f.value)
			}
		case scriptNames[file]:
			if d.Scripts[file], err = io.ReadAll(t); err != nil {
				return err
			}
		}
	}
	if d.Control == nil {
		return errors.New("there is no control file in it")
	}
	return nil
}

// Data returns the plain tar stream of the package's files; it is available once. The stream ends
// with an error when the package is truncated or altered. release frees the decoder.
func (d *Deb) Data() (plain io.Reader, release func(), err error) {
	plain, release, err = decompress(d.name, d.ar)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", d.name, err)
	}
	return &bounded{plain, maxData, d.name}, release, nil
}

// cleanName takes the "./" in front and the "/" at the end off a name in a tar.
func cleanName(name string) string {
	return strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
}

// noEOF makes an end where there should be more an unexpected one.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// arReader reads the members of an ar archive in the common format (ar(5)); names have at most 16
// bytes in a .deb.
type arReader struct {
	r    io.Reader
	left int64 // bytes of the member that are not read
	pad  int64 // 1 when a padding byte follows
}

func (a *arReader) begin() error {
	var magic [8]byte
	if _, err := io.ReadFull(a.r, magic[:]); err != nil {
		return fmt.Errorf("not a Debian package: %w", noEOF(err))
	}
	if string(magic[:]) != "!<arch>\n" {
		return fmt.Errorf("not a Debian package: it does not begin like an ar archive")
	}
	return nil
}

// next goes to the next member and returns its name.
func (a *arReader) next() (string, error) {
	if n, err := io.CopyN(io.Discard, a.r, a.left+a.pad); err != nil && !(err == io.EOF && n >= a.left) {
		return "", noEOF(err)
	}
	a.left, a.pad = 0, 0
	var h [60]byte
	if n, err := io.ReadFull(a.r, h[:]); err != nil {
		if n == 0 && err == io.EOF {
			return "", io.EOF
		}
		return "", fmt.Errorf("header of a member: %w", noEOF(err))
	}
	if h[58] != '`' || h[59] != '\n' {
		return "", errors.New("the header of a member is damaged")
	}
	size, err := strconv.ParseUint(strings.TrimRight(string(h[48:58]), " "), 10, 63)
	if err != nil || size > maxDeb {
		return "", fmt.Errorf("the size of a member is damaged: %.10q", h[48:58])
	}
	a.left, a.pad = int64(size), int64(size&1)
	return strings.TrimSuffix(strings.TrimRight(string(h[:16]), " "), "/"), nil
}

// Read reads the member.
func (a *arReader) Read(p []byte) (int, error) {
	if a.left == 0 {
		return 0, io.EOF
	}
	n, err := a.r.Read(p[:min(int64(len(p)), a.left)])
	a.left -= int64(n)
	if err == io.EOF {
		if a.left > 0 {
			return n, io.ErrUnexpectedEOF
		}
		err = nil
	}
	return n, err
}
