package bundle

import (
	"aead.dev/minisign"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/channel"
	"imgbuild/init/contract/fault"
)

// WriteChannel writes a channel that names the systems of some bundles, and its signature next to
// it. issued is now, in seconds since 1970: nodes take no channel that is older than one they have
// seen.
func WriteChannel(file string, bundles []string, key minisign.PrivateKey, issued int64) (*channel.Channel, error) {
	c := &channel.Channel{Format: channel.Format, Issued: issued}
	for _, name := range bundles {
		m, _, err := Kept(name)
		if err != nil {
			return nil, err
		}
		if m == nil {
			return nil, fault.New(fault.Input, "make one of the image with `imgbuild bundle`", "%s is no bundle", name)
		}
		c.Systems = append(c.Systems, channel.Of(m, name))
	}
	text, err := c.Marshal()
	if err != nil {
		return nil, err
	}
	signature := bundle.Sign(key, text, "channel")
	// A node that fetches between the two finds a signature that does not fit, and looks again.
	for _, f := range []struct {
		name string
		text []byte
	}{{file + channel.Suffix, signature}, {file, text}} {
		if err := atomicfile.Write(f.name, f.text, 0o644); err != nil {
			return nil, fault.Wrap(err, fault.Device, "name another file with channel=FILE", "writing the channel")
		}
	}
	return c, nil
}
