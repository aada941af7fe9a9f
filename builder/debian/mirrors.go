package debian

import (
	"bytes"
	"errors"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mask"
)

// Mirrors are the base addresses of the archives, without a slash at the end: dists/ and pool/ are
// below each. The others are asked in their order for what the first does not have or has wrong.
type Mirrors struct {
	Main, Security           string
	OtherMain, OtherSecurity []string
}

// bases returns the addresses of the archive called name, "debian" or "debian-security": at least
// one.
func (m Mirrors) bases(archive string) ([]string, error) {
	switch {
	case archive == "debian" && m.Main != "":
		return append([]string{m.Main}, m.OtherMain...), nil
	case archive == "debian-security" && m.Security != "":
		return append([]string{m.Security}, m.OtherSecurity...), nil
	}
	return nil, fault.New(fault.Input, "name one with mirror=URL", "no address is known of the archive %q", archive)
}

// ParseMirror reads the value of mirror=: MAIN or MAIN,SECURITY. Without SECURITY it is MAIN's
// sibling debian-security.
func ParseMirror(value string) (Mirrors, error) {
	main, security, given := strings.Cut(value, ",")
	m := Mirrors{}
	var err error
	if m.Main, err = baseURL(main); err != nil {
		return Mirrors{}, fault.Wrap(err, fault.Usage, "give the base of an archive, as in mirror=http://mirror.example/debian",
			"mirror=%s", shown(main))
	}
	if !given {
		m.Security = sibling(m.Main)
		return m, nil
	}
	if m.Security, err = baseURL(security); err != nil {
		return Mirrors{}, fault.Wrap(err, fault.Usage, "give both archives, as in mirror=http://mirror.example/debian,http://mirror.example/debian-security",
			"mirror=%s,%s", shown(main), shown(security))
	}
	return m, nil
}

// shown gives addresses for messages: what is in the place of a password does not belong there.
func shown(bases ...string) string {
	var list []string
	for _, b := range bases {
		list = append(list, mask.URL(strings.TrimSpace(b)))
	}
	return strings.Join(list, ", ")
}

// baseURL checks an http(s) address and takes the slash at its end off.
func baseURL(s string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil {
		return "", mask.URLError(err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("it is not an http:// or https:// address")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u.String(), nil
}

// sibling returns the address of debian-security next to the archive base.
func sibling(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	u.Path = path.Join(path.Dir("/"+strings.TrimPrefix(u.Path, "/")), "debian-security")
	return u.String()
}

// HostMirrors reads the archives of this machine out of etcApt, its /etc/apt: sources.list and
// sources.list.d, in deb822 and in one-line form (sources.list(5)). Only those of Debian count:
// entries with a Signed-By that names debian-archive keys, or, without any Signed-By, those whose
// path ends in debian or debian-security and which have the component main. The suites do not
// matter. Where there is no entry for security it is the main archive's sibling.
//
// A machine without Debian's archive gives an error of the kind Input that asks for mirror=.
func HostMirrors(etcApt fs.FS) (Mirrors, error) {
	var m, guess bases // guess: entries that only look like Debian's
	for _, name := range sourceFiles(etcApt) {
		data, err := fs.ReadFile(etcApt, name)
		if err != nil {
			continue // as apt does with what it may not read
		}
		for _, s := range parseSources(name, data) {
			sure, ok := s.debian()
			if !ok {
				continue
			}
			to := &guess
			if sure {
				to = &m
			}
			for _, u := range s.uris {
				base, err := baseURL(u)
				if err != nil {
					continue // cdrom:, file:, mirror+http: and the like
				}
				if s.security(base) {
					to.security = with(to.security, base)
				} else {
					to.main = with(to.main, base)
				}
			}
		}
	}
	if m.main == nil {
		m.main = guess.main
	}
	if m.security == nil {
		m.security = guess.security
	}
	if m.main == nil {
		return Mirrors{}, fault.New(fault.Input, "name a Debian archive, as in mirror=http://mirror.example/debian",
			"the apt sources of this machine name no Debian archive")
	}
	if m.security == nil {
		m.security = []string{sibling(m.main[0])}
	}
	return Mirrors{m.main[0], m.security[0], m.main[1:], m.security[1:]}, nil
}

// bases are addresses in the order in which they were found, each once.
type bases struct{ main, security []string }

func with(list []string, base string) []string {
	if slices.Contains(list, base) {
		return list
	}
	return append(list, base)
}

// sourceFiles lists the files in the order in which apt reads them.
func sourceFiles(etcApt fs.FS) []string {
	out := []string{"sources.list"}
	list, _ := fs.ReadDir(etcApt, "sources.list.d") // sorted by name
	for _, e := range list {
		if ext := path.Ext(e.Name()); ext == ".list" || ext == ".sources" {
			out = append(out, path.Join("sources.list.d", e.Name()))
		}
	}
	return out
}

// source is one entry of a sources file.
type source struct {
	uris, suites, components []string
	signedBy                 string
}

// debian reports whether the entry is for Debian's own archive, and whether that is sure.
func (s source) debian() (sure, ok bool) {
	if s.signedBy != "" {
		// A path of a keyring. A key in the file itself, or a fingerprint, is somebody's choice:
		// not Debian's default.
		sure = strings.HasPrefix(s.signedBy, "/") && strings.Contains(path.Base(s.signedBy), "debian-archive")
		return sure, sure
	}
	if !slices.Contains(s.components, "main") {
		return false, false
	}
	for _, u := range s.uris {
		switch path.Base(strings.TrimRight(u, "/")) {
		case "debian", "debian-security":
		default:
			return false, false
		}
	}
	return false, true
}

// security reports whether the entry is for the security archive.
func (s source) security(base string) bool {
	if strings.HasSuffix(base, "/debian-security") {
		return true
	}
	for _, suite := range s.suites {
		if strings.HasSuffix(suite, "-security") || strings.HasSuffix(suite, "/updates") {
			return true
		}
	}
	return false
}

// parseSources reads a sources file. Lines that are not understood are left out: apt complains
// about them, we only read.
func parseSources(name string, data []byte) []source {
	if strings.HasSuffix(name, ".sources") {
		return parseDeb822(data)
	}
	var out []source
	for line := range strings.SplitSeq(string(data), "\n") {
		if s, ok := parseOneLine(line); ok {
			out = append(out, s)
		}
	}
	return out
}

// parseOneLine reads "deb [option=value ...] URI SUITE COMPONENT...".
func parseOneLine(line string) (s source, ok bool) {
	line, _, _ = strings.Cut(line, "#")
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb")
	if !ok || rest == "" || rest[0] != ' ' && rest[0] != '\t' && rest[0] != '[' {
		return source{}, false // deb-src and everything else
	}
	rest = strings.TrimSpace(rest)
	if strings.HasPrefix(rest, "[") {
		options, after, closed := strings.Cut(rest[1:], "]")
		if !closed {
			return source{}, false
		}
		for _, o := range strings.Fields(options) {
			if k, v, _ := strings.Cut(o, "="); strings.EqualFold(k, "signed-by") {
				s.signedBy, _, _ = strings.Cut(v, ",")
			}
		}
		rest = after
	}
	words := strings.Fields(rest)
	if len(words) < 2 {
		return source{}, false
	}
	s.uris, s.suites, s.components = words[:1], words[1:2], words[2:]
	return s, true
}

func parseDeb822(data []byte) []source {
	var out []source
	r := newStanzaReader(bytes.NewReader(data))
	for {
		fields, err := r.next()
		if err != nil {
			return out
		}
		var s source
		binary, enabled := false, true
		for _, f := range fields {
			words := strings.Fields(string(f.value))
			switch string(f.name) {
			case "types":
				binary = slices.Contains(words, "deb")
			case "uris":
				s.uris = words
			case "suites":
				s.suites = words
			case "components":
				s.components = words
			case "enabled":
				v := strings.ToLower(string(f.value))
				enabled = v != "no" && v != "false" && v != "0" && v != "off" && v != "without" && v != "disable"
			case "signed-by":
				if len(words) > 0 {
					s.signedBy = words[0]
				}
			}
		}
		if binary && enabled {
			out = append(out, s)
		}
	}
}
