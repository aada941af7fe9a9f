package config

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"strings"

	"aead.dev/minisign"
)

// DataSource is an item of k3os.data_sources: another place that has a cloud-config.
type DataSource struct {
	Volume bool   // a disk or stick that is called CIDATA
	Path   string // a file on the node
	URL    string // without the fragment
	// The answer of a URL must have this hash, or a minisign signature of this key at URL.minisig.
	SHA256 []byte
	Key    *minisign.PublicKey
}

// clouds are the sources of k3OS that no board has.
var clouds = []string{"aws", "gcp", "hetzner", "openstack", "scaleway", "vultr", "digitalocean", "packet"}

// ParseDataSource reads an item: nocloud, cidata or cdrom; file=PATH; URL#sha256=HEX;
// URL#minisign=KEY.
func ParseDataSource(text string) (s DataSource, err error) {
	text = strings.TrimSpace(text)
	lower := strings.ToLower(text)
	switch {
	case lower == "nocloud", lower == "cidata", lower == "cdrom":
		s.Volume = true
		return s, nil
	case strings.HasPrefix(lower, "file="):
		if s.Path = path.Clean(text[len("file="):]); !path.IsAbs(s.Path) || s.Path == "/" {
			return s, fmt.Errorf("%s is not an absolute path", quote(text))
		}
		return s, nil
	case strings.HasPrefix(lower, "http://"), strings.HasPrefix(lower, "https://"):
		return urlSource(text)
	case contains(clouds, lower):
		return s, fmt.Errorf("a board is not in a cloud; %s does not apply", lower)
	}
	if near := NearestWord(text, []string{"nocloud", "cidata", "cdrom"}); near != "" {
		return s, fmt.Errorf("%s is not a source, %s is", quote(text), near)
	}
	return s, fmt.Errorf("%s is not a source of cloud-config", quote(text))
}

func urlSource(text string) (s DataSource, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return s, fmt.Errorf("%s is not a URL", quote(text))
	}
	how, what, _ := strings.Cut(u.Fragment, "=")
	u.Fragment, u.RawFragment = "", ""
	s.URL = u.String()
	switch how {
	case "sha256":
		if s.SHA256, err = hex.DecodeString(what); err != nil || len(s.SHA256) != 32 {
			return s, fmt.Errorf("what follows #sha256= is not 64 hex digits")
		}
	case "minisign":
		s.Key = &minisign.PublicKey{}
		if err := s.Key.UnmarshalText([]byte(what)); err != nil {
			return s, fmt.Errorf("what follows #minisign= is not a public key of minisign")
		}
	default:
		return s, fmt.Errorf("there is no hash or key for the content of this address")
	}
	return s, nil
}

// checkUpgradeKeys looks at the keys that upgrades are signed with.
func (k *checker) checkUpgradeKeys() {
	for i, text := range k.c.Upgrade.Keys {
		var key minisign.PublicKey
		if err := key.UnmarshalText([]byte(text)); err != nil || key.String() != text {
			k.report(Error, index("upgrade.keys", i), "write the line of minisign.pub, or of `imgbuild keygen`, that begins with RW", "%s is not a public key of minisign", quote(text))
		}
	}
}

func (k *checker) checkDataSources() {
	for i, text := range k.c.K3OS.DataSources {
		here := index("k3os.data_sources", i)
		s, err := ParseDataSource(text)
		switch {
		case err != nil && contains(clouds, strings.ToLower(text)):
			k.report(Warning, here, "remove it", "%v", err)
		case err != nil && s.URL != "":
			k.report(Error, here, "put #sha256=HEX after the address, or #minisign=KEY and the signature next to it as .minisig", "%v", err)
		case err != nil:
			k.report(Error, here, "write cidata, file=PATH or https://HOST/PATH#sha256=HEX", "%v", err)
		}
	}
}
