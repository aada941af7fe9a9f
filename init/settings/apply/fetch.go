package apply

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mask"
)

// hosts are where a user's keys are: %s is the user's name.
var hosts = map[string]string{"github": "https://github.com/%s.keys", "gitlab": "https://gitlab.com/%s.keys", "launchpad": "https://launchpad.net/~%s/+sshkeys"}

// fetchTries and fetchPause are as in k3OS: 10 tries, a second apart.
const (
	fetchTries = 10
	fetchPause = time.Second
	fetchLimit = 1 << 20
)

// Fetch returns the keys of the remote entries among keys. Those that are not available are an
// error of kind Network; the others are given all the same.
func Fetch(ctx context.Context, client *http.Client, keys []string) ([]string, error) {
	var out []string
	var errs []error
	for _, k := range keys {
		if k = strings.TrimSpace(k); !Remote(k) {
			continue
		}
		got, err := fetch(ctx, client, address(k))
		if err != nil {
			errs = append(errs, fault.Wrap(err, fault.Network, "look at the node's network, or put the keys themselves into the configuration", "the ssh keys of %s cannot be fetched", shown(k)))
		}
		out = append(out, got...)
	}
	return out, errors.Join(errs...)
}

// shown is an entry for people: an address without what may be a secret in it.
func shown(key string) string {
	if strings.Contains(key, "://") {
		return mask.URL(key)
	}
	return key
}

func address(key string) string {
	host, user, _ := strings.Cut(key, ":")
	if form, ok := hosts[strings.ToLower(host)]; ok {
		return fmt.Sprintf(form, url.PathEscape(user))
	}
	return key
}

func fetch(ctx context.Context, client *http.Client, address string) (keys []string, err error) {
	for try := 0; try < fetchTries; try++ {
		if try > 0 {
			select {
			case <-ctx.Done():
				return nil, errors.Join(err, ctx.Err())
			case <-time.After(fetchPause):
			}
		}
		if keys, err = get(ctx, client, address); err == nil {
			return keys, nil
		}
	}
	return nil, err
}

func get(ctx context.Context, client *http.Client, address string) ([]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, mask.URLError(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, mask.URLError(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return nil, errors.New(shown(address) + ": " + resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, fetchLimit))
	if err != nil {
		return nil, err
	}
	keys := ParseKeys(data)
	if len(keys) == 0 {
		return nil, errors.New(shown(address) + ": no ssh key in the answer")
	}
	return keys, nil
}
