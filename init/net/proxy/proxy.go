// Package proxy makes the HTTP client that goes through the proxies of the configuration.
package proxy

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"imgbuild/init/contract/mask"
)

// Client makes an HTTP client that goes through the proxies that the environment
// (k3os.environment) names at the time of a request.
func Client(env func() map[string]string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:                 func(r *http.Request) (*url.URL, error) { return For(env(), r.URL) },
		TLSHandshakeTimeout:   30 * time.Second,
		ResponseHeaderTimeout: 60 * time.Second,
		DisableKeepAlives:     true,
	}}
}

// For returns the proxy for a URL, nil for none, by the variables that everybody knows: HTTP_PROXY,
// HTTPS_PROXY and NO_PROXY, whose items are *, hosts, domains with or without a leading dot,
// addresses and networks.
func For(env map[string]string, target *url.URL) (*url.URL, error) {
	get := func(name string) string {
		if v := env[name]; v != "" {
			return v
		}
		return env[strings.ToLower(name)]
	}
	name := target.Hostname()
	ip, _ := netip.ParseAddr(name)
	for item := range strings.SplitSeq(get("NO_PROXY"), ",") {
		item = strings.TrimSpace(item)
		network, err := netip.ParsePrefix(item)
		domain := strings.TrimPrefix(item, ".")
		switch {
		case item == "":
		case item == "*", err == nil && network.Contains(ip), strings.EqualFold(name, domain),
			strings.HasSuffix(strings.ToLower(name), "."+strings.ToLower(domain)):
			return nil, nil
		}
	}
	address := get(strings.ToUpper(target.Scheme) + "_PROXY")
	if address == "" {
		return nil, nil
	}
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	return u, mask.URLError(err) // a proxy's password is in the address
}
