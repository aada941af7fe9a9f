package recipe

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"imgbuild/builder/debian"
	"imgbuild/init/contract/fault"
)

// Releases is where releases of k3s and their channels are.
type Releases struct {
	Base     string // TAG/ASSET is below
	Channels string // CHANNEL is below, and answers with a redirect to the version
	Client   *http.Client
}

// Official are k3s' own.
func Official() *Releases {
	return &Releases{
		Base: "https://github.com/k3s-io/k3s/releases/download/", Channels: "https://update.k3s.io/v1-release/channels/",
		Client: &http.Client{Timeout: time.Minute},
	}
}

// k3sSumFiles are the lists of sums of a release, by Debian architecture.
var k3sSumFiles = map[string]string{"amd64": "sha256sum-amd64.txt", "arm64": "sha256sum-arm64.txt", "armhf": "sha256sum-arm.txt"}

// asset is the address of a file of a release.
func (r *Releases) asset(version, name string) string {
	return strings.TrimSuffix(r.Base, "/") + "/" + strings.ReplaceAll(version, "+", "%2B") + "/" + name
}

// Version returns the version that a word means: itself, or that of a channel, such as stable,
// latest or v1.35.
func (r *Releases) Version(ctx context.Context, word string) (string, error) {
	if debian.ValidK3s(word) {
		return word, nil
	}
	if word == "" || strings.ContainsAny(word, "/?#%+ ") {
		return "", fault.New(fault.Usage, "give stable, latest, a channel such as v1.35, or a version such as "+K3sDefault, "%q is not a version of k3s", word)
	}
	client := *r.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the address is the answer
	resp, err := request(ctx, &client, http.MethodGet, strings.TrimSuffix(r.Channels, "/")+"/"+word)
	if err != nil {
		return "", fault.Wrap(err, fault.Network, "give the version itself", "asking for k3s' channel %s", word)
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return "", fault.New(fault.Usage, "there are stable, latest and one of each minor version, such as v1.35", "k3s has no channel %q", word)
	}
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.StatusCode/100 != 3 || !debian.ValidK3s(path.Base(to.Path)) {
		return "", fault.New(fault.Network, "give the version itself", "k3s' channel %s answers %s and leads to %.100q, which is not a version", word, resp.Status, resp.Header.Get("Location"))
	}
	return path.Base(to.Path), nil
}

// Lock asks a release for the sum and the size of its binary for a Debian architecture.
func (r *Releases) Lock(ctx context.Context, version, arch string) (*debian.LockedK3s, error) {
	const fix = "check the version, or give the binary itself as k3s=FILE"
	if !strings.HasPrefix(r.Base, "https://") {
		return nil, fault.New(fault.Usage, "give an https address", "sums of k3s are taken over https only, not from %s", r.Base)
	}
	list, name := k3sSumFiles[arch], k3sAssets[arch]
	if list == "" {
		return nil, fault.New(fault.Usage, "", "k3s has no release for %s", arch)
	}
	resp, err := request(ctx, r.Client, http.MethodGet, r.asset(version, list))
	if err != nil {
		return nil, fault.Wrap(err, fault.Network, fix, "asking for the sums of k3s %s", version)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return nil, fault.New(fault.Usage, fix, "there is no release %s of k3s for %s", version, arch)
	case resp.StatusCode != http.StatusOK:
		return nil, fault.New(fault.Network, fix, "asking for the sums of k3s %s: the server answers %s", version, resp.Status)
	}
	sum, err := sumOf(io.LimitReader(resp.Body, 1<<20), name)
	if err != nil {
		return nil, fault.Wrap(err, fault.Verify, fix, "%s of k3s %s", list, version)
	}
	head, err := request(ctx, r.Client, http.MethodHead, r.asset(version, name))
	if err != nil {
		return nil, fault.Wrap(err, fault.Network, fix, "asking for the size of k3s %s", version)
	}
	head.Body.Close()
	if head.StatusCode != http.StatusOK || head.ContentLength <= 0 {
		return nil, fault.New(fault.Network, fix, "asking for the size of k3s %s: the server answers %s, %d bytes", version, head.Status, head.ContentLength)
	}
	return &debian.LockedK3s{Version: version, Size: head.ContentLength, SHA256: sum}, nil
}

// sumOf finds the sum of a file in a list as sha256sum(1) writes it.
func sumOf(list io.Reader, name string) (string, error) {
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) != 2 || strings.TrimPrefix(f[1], "*") != name {
			continue
		}
		if sum, err := hex.DecodeString(f[0]); err != nil || len(sum) != 32 {
			return "", fmt.Errorf("the sum of %s is %.80q", name, f[0])
		}
		return strings.ToLower(f[0]), nil
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	return "", fmt.Errorf("it does not list %s", name)
}

func request(ctx context.Context, client *http.Client, method, address string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	return client.Do(req)
}
