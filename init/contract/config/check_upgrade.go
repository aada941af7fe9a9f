package config

import (
	"net/url"

	"imgbuild/init/contract/window"
)

// UpgradeWindow is when the node may upgrade itself. What is wrong with it was reported when the
// configuration was read; the default holds then.
func (c *Config) UpgradeWindow() window.Window {
	if w, err := window.Parse(c.Upgrade.Window); err == nil {
		return w
	}
	w, _ := window.Parse(window.Default)
	return w
}

// checkUpgradeAuto looks at automatic upgrades.
func (k *checker) checkUpgradeAuto() {
	u := k.c.Upgrade
	if u.Auto && u.Channel == "" {
		k.report(Error, "upgrade.auto", "set upgrade.channel to the address of the file that `imgbuild bundle channel=FILE` writes", "nothing names the version that the node is to upgrade itself to")
	}
	for path, text := range map[string]string{"upgrade.channel": u.Channel, "upgrade.source": u.Source} {
		if text != "" && !isWeb(text) {
			k.report(Error, path, "write it as https://HOST/PATH", "%s is not that of a file or directory on a web server", quote(text))
		}
	}
	if u.Window != "" {
		if _, err := window.Parse(u.Window); err != nil {
			k.report(Error, "upgrade.window", "write it as 02:00-05:00, with days in front if you like, or always", "%v", err)
		}
	}
	if u.Lock == "cluster" && (k.role == "storage" || k.role == "router") {
		k.report(Warning, "upgrade.lock", "take it out", "a node of the role %s is in no cluster: it asks nobody", k.role)
	}
}

func isWeb(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.Fragment == "" && u.RawQuery == ""
}
