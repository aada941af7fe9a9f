package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// agent joins and keeps telling the server that it is there. A server that is away or says no is asked again for ever, as k3s does;
// READY=1 comes only after the first yes.
func (n *node) agent(ctx context.Context) error {
	token, err := n.token()
	if err != nil {
		return err
	}
	own, err := n.nodePassword()
	if err != nil {
		return err
	}
	ready, wait := false, n.pause
	for {
		err := n.join(ctx, token, own)
		switch {
		case err != nil:
			say("error", "Waiting to retrieve agent configuration; server is not ready: "+err.Error())
		case !ready:
			ready, wait = true, 5*n.pause
			say("info", "k3s agent is up and running")
			if err := notify("READY=1"); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// join fetches the server's root, compares it with the token's hash if that has one, and then asks with the token.
func (n *node) join(ctx context.Context, token, own string) error {
	password, hash := secretOf(token)
	base := strings.TrimSuffix(n.get("server"), "/")
	if !strings.HasPrefix(base, "https://") {
		return fmt.Errorf("server %q is no https:// address", base)
	}
	ctx, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	ca, err := fetch(ctx, &tls.Config{InsecureSkipVerify: true}, base+"/cacerts", nil) // the token's hash is what makes it trusted
	if err != nil {
		return err
	}
	if hash != "" && hash != hashOf(ca) {
		return fmt.Errorf("token CA hash does not match the Cluster CA certificate hash: %s != %s", hash, hashOf(ca))
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return errors.New("the server's /cacerts has no certificate")
	}
	_, err = fetch(ctx, &tls.Config{RootCAs: roots}, base+"/v1-k3s/config", func(r *http.Request) {
		r.SetBasicAuth("node", password)
		r.Header.Set("k3s-Node-Name", n.name())
		r.Header.Set("k3s-Node-Password", own)
	})
	if err != nil {
		return err
	}
	return writeFile(n.path("agent/server-ca.crt"), ca, 0o644)
}

func fetch(ctx context.Context, config *tls.Config, url string, edit func(*http.Request)) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if edit != nil {
		edit(r)
	}
	t := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: t}).Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, resp.Status, strings.TrimSpace(string(data)))
	}
	return data, err
}
