package config

import (
	"net"
	"net/netip"
	"path"
	"strconv"
	"strings"

	"imgbuild/init/contract/fault"
)

// monitoringPort is where node-exporter listens if the configuration names no other port.
const monitoringPort = 9100

// ListenAddress takes monitoring.listen apart: HOST:PORT, HOST, PORT or nothing. host is an address
// or the name of an interface, or empty.
func (m Monitoring) ListenAddress() (host, port string, err error) {
	s := m.Listen
	bad := fault.New(fault.Input, "write an address and a port such as 192.168.1.10:9100", "%s is not an address to listen on", quote(s))
	host, port = s, ""
	switch _, nerr := strconv.Atoi(s); {
	case s == "":
	case nerr == nil:
		host, port = "", s
	case strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]"):
		host = s[1 : len(s)-1]
	case strings.Contains(s, ":"):
		if _, err := netip.ParseAddr(s); err == nil {
			break // an IPv6 address alone
		}
		if host, port, err = net.SplitHostPort(s); err != nil {
			return "", "", bad
		}
	}
	if port == "" {
		port = strconv.Itoa(monitoringPort)
	}
	if !isPort(port) || strings.ContainsAny(host, " /[]") {
		return "", "", bad
	}
	return host, port, nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// checkStart reports what would keep a service from starting, or from ever being ready.
func (k *checker) checkStart(s Service, here string) {
	if _, port, err := net.SplitHostPort(s.Ready.TCP); s.Ready.TCP != "" && (err != nil || !isPort(port)) {
		k.report(Error, here+".ready.tcp", "write it like 127.0.0.1:8080", "%s is not an address and a port; the service would never be ready", quote(s.Ready.TCP))
	}
	for _, p := range [][2]string{{".ready.file", s.Ready.File}, {".directory", s.Directory}} {
		if p[1] != "" && !path.IsAbs(p[1]) {
			k.report(Error, here+p[0], "begin it with /", "%s is not an absolute path", quote(p[1]))
		}
	}
	for _, name := range sortedNames(s.Environment) {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(s.Environment[name], "\x00") {
			k.report(Error, here+".environment."+name, "use letters, digits and _ in the name, and text as the value", "this cannot be passed to a program")
		}
	}
}
