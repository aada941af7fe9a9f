package proxy

import (
	"net/url"
	"testing"
)

func TestProxy(t *testing.T) {
	env := map[string]string{"HTTPS_PROXY": "proxy:3128", "http_proxy": "http://user:pw@p2:8080", "NO_PROXY": "localhost, .lan,10.0.0.0/8,192.168.1.5"}
	for target, want := range map[string]string{
		"https://github.com/x":    "http://proxy:3128",
		"http://github.com/x":     "http://user:pw@p2:8080",
		"https://nas.lan/x":       "",
		"https://lan/x":           "",
		"https://vlan/x":          "http://proxy:3128",
		"https://10.9.8.7:8443/x": "",
		"https://192.168.1.5/":    "",
		"https://192.168.1.50/":   "http://proxy:3128",
	} {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		p, err := For(env, u)
		got := ""
		if p != nil {
			got = p.String()
		}
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v", target, got, err)
		}
	}
	u, _ := url.Parse("https://x/")
	if p, err := For(map[string]string{"NO_PROXY": "*", "HTTPS_PROXY": "p"}, u); p != nil || err != nil {
		t.Errorf("%v, %v, want nil", p, err)
	}
}
