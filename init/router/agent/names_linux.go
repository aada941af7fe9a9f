package agent

import (
	"os"

	"imgbuild/init/contract/atomicfile"
	"imgbuild/init/router/blocklist"
)

// names keeps the files of the name server, and looks at what became of the lists.
func (a *Agent) names() {
	n := a.Settings.Names
	if !n.Enabled {
		return
	}
	if len(n.Lists) > 0 {
		s, err := blocklist.Load(blocklist.Dir)
		a.attempt("looking at the blocklists", err)
		if err == nil {
			a.lists = s
		}
	}
	if a.Settings.Mode != ProxyARP { // dnsmasq has the leases itself, and the node never asks it
		return
	}
	resolv, err := os.ReadFile("/etc/resolv.conf")
	if err == nil {
		own, err := addresses()
		a.attempt("the addresses of this node", err)
		err = a.keep(ResolvFile, upstreams(string(resolv), own, a.gw))
		a.attempt("the name servers of the uplink", err)
	}
}

// keep writes a file unless it has this text already.
func (a *Agent) keep(file, text string) error {
	if old, ok := a.kept[file]; ok && old == text {
		return nil
	}
	err := atomicfile.Write(file, []byte(text), 0o644)
	if err == nil {
		a.kept[file] = text
	}
	return err
}
