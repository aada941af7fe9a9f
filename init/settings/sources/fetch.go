package sources

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"

	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mask"

	"aead.dev/minisign"
)

// Fetch returns what a URL answers, if it has the hash or the signature that the configuration asks
// for. Without either nothing is ever taken.
func Fetch(ctx context.Context, client *http.Client, s config.DataSource) ([]byte, error) {
	data, err := get(ctx, client, s.URL)
	if err != nil {
		return nil, fault.Wrap(err, fault.Network, "look at the node's network and at the address in k3os.data_sources", "the configuration cannot be fetched")
	}
	const fix = "correct k3os.data_sources, or put the right file there; what the node had before stays"
	switch {
	case s.SHA256 != nil:
		if sum := sha256.Sum256(data); !bytes.Equal(sum[:], s.SHA256) {
			return nil, fault.New(fault.Verify, fix, "%s has the sha256 %x, not the one in k3os.data_sources", mask.URL(s.URL), sum)
		}
	case s.Key != nil:
		sig, err := get(ctx, client, s.URL+".minisig")
		if err != nil {
			return nil, fault.Wrap(err, fault.Network, "put it next to the file, as minisign -S makes it", "the signature of a configuration cannot be fetched")
		}
		if !verify(*s.Key, data, sig) {
			return nil, fault.New(fault.Verify, fix, "the signature of %s is not by the key in k3os.data_sources", mask.URL(s.URL))
		}
	default:
		return nil, fault.New(fault.Verify, fix, "there is no hash or key for the content of %s", mask.URL(s.URL))
	}
	return data, nil
}

// verify takes both kinds of minisign's signatures; a malformed one is none.
func verify(key minisign.PublicKey, data, sig []byte) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return minisign.Verify(key, data, sig)
}

func get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	shown := mask.URL(address)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, mask.URLError(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shown, mask.URLError(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", shown, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(data) > maxAnswer {
		err = fmt.Errorf("%s: more than %d bytes", shown, maxAnswer)
	}
	return data, err
}
