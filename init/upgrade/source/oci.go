package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mask"
)

// titleKey is the annotation that names the file a layer is, as oras and others write it.
const titleKey = "org.opencontainers.image.title"

// OpenOCI opens a bundle in a registry: REF is HOST/NAME:TAG or HOST/NAME@sha256:... of an artifact
// that has the bundle as a layer, called NAME.upgrade, or as its only layer. Nobody logs in. The
// blob is read as a file on a web server is; its content is trusted by its signature only.
func OpenOCI(ctx context.Context, ref string, o HTTPOptions) (*HTTP, error) {
	bad := func(err error, kind fault.Kind, fix string) error {
		return fault.Wrap(err, kind, fix, "%s", mask.String("oci://"+ref))
	}
	r, err := name.ParseReference(ref, name.StrictValidation)
	if err != nil {
		// The library's error quotes all of it.
		return nil, bad(errors.New("this names no artifact"), fault.Usage, "write it as oci://HOST/NAME:TAG")
	}
	base := http.DefaultTransport
	if o.Client != nil && o.Client.Transport != nil {
		base = o.Client.Transport
	}
	desc, err := remote.Get(r, remote.WithContext(ctx), remote.WithTransport(base), remote.WithAuth(authn.Anonymous))
	if err != nil {
		return nil, bad(bare(err), fault.Network, "check the reference and the network")
	}
	image, err := desc.Image()
	if err != nil {
		return nil, bad(err, fault.Input, "name the artifact itself, not an index of several")
	}
	m, err := image.Manifest()
	if err != nil {
		return nil, bad(err, fault.Input, "push the bundle again")
	}
	layer, err := bundleLayer(m.Layers)
	if err != nil {
		return nil, bad(err, fault.Input, "push the bundle as a file of its own")
	}
	repo := r.Context()
	signed, err := transport.NewWithContext(ctx, repo.Registry, authn.Anonymous, base, []string{repo.Scope(transport.PullScope)})
	if err != nil {
		return nil, bad(bare(err), fault.Network, "check the reference and the network")
	}
	client := *http.DefaultClient
	if o.Client != nil {
		client = *o.Client
	}
	client.Transport = signed
	o.Client = &client
	u := url.URL{Scheme: repo.Registry.Scheme(), Host: repo.RegistryStr(), Path: fmt.Sprintf("/v2/%s/blobs/%s", repo.RepositoryStr(), layer.Digest)}
	h, err := NewHTTP(u.String(), o)
	if err == nil {
		h.alone = true
	}
	return h, err
}

// bundleLayer finds the layer that is the bundle.
func bundleLayer(layers []v1.Descriptor) (v1.Descriptor, error) {
	for _, l := range layers {
		if strings.HasSuffix(l.Annotations[titleKey], bundle.Suffix) {
			return l, nil
		}
	}
	if len(layers) == 1 {
		return layers[0], nil
	}
	return v1.Descriptor{}, errors.New("it has no layer called *" + bundle.Suffix)
}
