package scenarios

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"imgbuild/qemu/vm"
)

// cni is a bridge with address translation, as flannel's and Docker's.
const cni = `{"cniVersion": "1.0.0", "name": "test", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true,
 "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
`

// TestContainer runs a real container on a node that has Debian's containerd and runc next to its
// own programs: kernel modules, control groups, overlay, network namespaces, bridge and address
// translation are what k3s would use.
func TestContainer(t *testing.T) {
	t.Parallel()
	im := build(t, cloudConfig("shelf-container", ""), "board=qemu-arm64", "role=worker", "packages=containerd,runc,containernetworking-plugins", "k3s=none")
	page, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close()
	go http.Serve(page, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the page of the host") }))
	_, port, _ := net.SplitHostPort(page.Addr().String())

	g := boot(t, vm.Options{Image: im.Image, Name: "container", Size: 4 << 30, Memory: 1536})[0]
	g.up()
	s := g.login()
	for name, data := range map[string][]byte{"answer.tar": archive(t, static(t, "arm64", "../fixtures/answer")), "test.conflist": []byte(cni)} {
		if _, err := s.RunInput(t.Context(), "cat >/home/rancher/"+name, data); err != nil {
			t.Fatal(err)
		}
	}
	s.run(`sudo sh -ec '
mkdir -p /opt/cni /etc/cni/net.d
ln -sfn /usr/lib/cni /opt/cni/bin
mv /home/rancher/test.conflist /etc/cni/net.d/10-test.conflist
echo 1 >/proc/sys/net/ipv4/ip_forward
mkdir /sys/fs/cgroup/containerd
setsid sh -c "echo 0 >/sys/fs/cgroup/containerd/cgroup.procs; exec containerd" >/var/log/containerd.log 2>&1 </dev/null &'`)
	t.Cleanup(func() {
		if t.Failed() {
			log, err := s.Run(context.Background(), "sudo tail -60 /var/log/containerd.log")
			t.Logf("containerd's log: %s %v", log, err)
		}
	})
	s.until("sudo ctr version", "Server:")
	s.run("sudo ctr image import /home/rancher/answer.tar")
	s.run("sudo ctr run -d --cni --memory-limit 67108864 docker.io/library/answer:test one /answer http://" + vm.Host + ":" + port + "/")
	state := s.run("sudo ctr task ls")
	if !strings.Contains(state, "RUNNING") {
		t.Errorf("the container does not run:\n%s", state)
	}
	answer := s.until("wget -qO- http://10.88.0.2:8080/", "fetched")
	if !strings.Contains(answer, "pid 1 ") || !strings.Contains(answer, "fetched the page of the host") {
		t.Errorf("the container prints %q", answer)
	}
	if limit := s.run("cat $(sudo find /sys/fs/cgroup -path '*one*' -name memory.max | head -1)"); limit != "67108864" {
		t.Errorf("its memory limit is %q, want %q", limit, "67108864")
	}
	if nat := s.run("sudo iptables-save -t nat"); !strings.Contains(nat, "MASQUERADE") {
		t.Errorf("no address translation:\n%s", nat)
	}
	s.run("sudo ctr task kill -s SIGKILL one")
	s.until("sudo ctr task ls", "STOPPED")
	s.off()
	ref(t, "e2fsck", "-fn", dataFS(g.Disk))
}

// archive packs a static program into an OCI image layout, as k3s' air-gap archives carry them.
func archive(t *testing.T, program string) []byte {
	t.Helper()
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	if err := w.WriteHeader(&tar.Header{Name: "answer", Mode: 0o755, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	w.Write(data)
	w.Close()
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	id, err := layer.DiffID()
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{Architecture: "arm64", OS: "linux", Config: v1.Config{Entrypoint: []string{"/answer"}}})
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.AppendLayers(img, layer); err != nil {
		t.Fatal(err)
	}
	if c, err := img.ConfigFile(); err != nil || len(c.RootFS.DiffIDs) != 1 || c.RootFS.DiffIDs[0] != id {
		t.Fatalf("the image's config: %+v %v", c, err)
	}
	// The layout: a marker, an index, and the three blobs by their hash (opencontainers/image-spec,
	// image-layout.md).
	manifest, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	r, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	packed, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	sum := func(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }
	index := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","digest":"sha256:%s","size":%d,`+
		`"annotations":{"io.containerd.image.name":"docker.io/library/answer:test","org.opencontainers.image.ref.name":"test"}}]}`, sum(manifest), len(manifest))
	var out bytes.Buffer
	w = tar.NewWriter(&out)
	for _, f := range []struct {
		name string
		data []byte
	}{
		{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)}, {"index.json", []byte(index)},
		{"blobs/sha256/" + sum(manifest), manifest}, {"blobs/sha256/" + sum(config), config}, {"blobs/sha256/" + sum(packed), packed},
	} {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		w.Write(f.data)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
