package recipe

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"imgbuild/builder/blockcache"
	"imgbuild/builder/debian"
	"imgbuild/init/contract/fault"
)

// release serves one release of k3s over https, with an authority of the test's, named as k3s names
// its files.
func release(t *testing.T, version string) (*Releases, map[string]string) {
	t.Helper()
	files := map[string][]byte{}
	sums := map[string]string{}
	for _, a := range []struct{ list, binary, archive string }{
		{"sha256sum-amd64.txt", "k3s", "k3s-airgap-images-amd64.tar.zst"},
		{"sha256sum-arm64.txt", "k3s-arm64", "k3s-airgap-images-arm64.tar.zst"},
		{"sha256sum-arm.txt", "k3s-armhf", "k3s-airgap-images-arm.tar.zst"},
	} {
		data := []byte("the binary " + a.binary + " of " + version)
		sum := sha256.Sum256(data)
		sums[a.binary] = hex.EncodeToString(sum[:])
		files[a.binary] = data
		files[a.list] = fmt.Appendf(nil, "%064x  %s\n%s  %s\n", 1, a.archive, sums[a.binary], a.binary)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/download/", func(w http.ResponseWriter, r *http.Request) {
		at, name := filepath.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/download/"))
		data, ok := files[name]
		if at != strings.ReplaceAll(version, "+", "%2B")+"/" || !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		if r.Method != http.MethodHead {
			w.Write(data)
		}
	})
	mux.HandleFunc("/channels/", func(w http.ResponseWriter, r *http.Request) {
		switch filepath.Base(r.URL.Path) {
		case "stable", "v1.36":
			w.Header().Set("Location", "https://elsewhere.example/k3s/releases/tag/"+strings.ReplaceAll(version, "+", "%2B"))
			w.WriteHeader(http.StatusFound)
		case "astray":
			http.Redirect(w, r, "/login", http.StatusFound)
		case "broken":
			http.Error(w, "later", http.StatusServiceUnavailable)
		default:
			http.NotFound(w, r)
		}
	})
	s := httptest.NewTLSServer(mux)
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	return &Releases{s.URL + "/download/", s.URL + "/channels/", client}, sums
}

func TestReleaseVersion(t *testing.T) {
	const version = "v1.36.1+k3s1"
	r, _ := release(t, version)
	for word, want := range map[string]string{"stable": version, "v1.36": version, "v1.33.7-rc1+k3s2": "v1.33.7-rc1+k3s2", "v1.2.3+k3s4": "v1.2.3+k3s4"} {
		if got, err := r.Version(t.Context(), word); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", word, got, err, want)
		}
	}
	for word, kind := range map[string]fault.Kind{"nightly": fault.Usage, "astray": fault.Network, "broken": fault.Network, "": fault.Usage, "../x": fault.Usage} {
		if got, err := r.Version(t.Context(), word); fault.Code(err) != int(kind) {
			t.Errorf("%q: got %q, %v, want the kind %v", word, got, err, kind)
		}
	}
}

func TestReleaseLock(t *testing.T) {
	const version = "v1.36.1+k3s1"
	r, sums := release(t, version)
	for arch, binary := range map[string]string{"amd64": "k3s", "arm64": "k3s-arm64", "armhf": "k3s-armhf"} {
		k, err := r.Lock(t.Context(), version, arch)
		if err != nil || k.SHA256 != sums[binary] || k.Version != version || k.Size != int64(len("the binary  of ")+len(binary)+len(version)) {
			t.Errorf("%s: got %+v, %v, want %s", arch, k, err, sums[binary])
		}
	}
	if k, err := r.Lock(t.Context(), "v1.99.0+k3s1", "arm64"); fault.Code(err) != int(fault.Usage) {
		t.Errorf("no such release: got %+v, %v", k, err)
	}
	if k, err := r.Lock(t.Context(), version, "riscv64"); fault.Code(err) != int(fault.Usage) {
		t.Errorf("no such architecture: got %+v, %v", k, err)
	}
	// A server that cannot prove who it is, or does not have to, is not believed.
	stranger := *r
	stranger.Client = http.DefaultClient
	if k, err := stranger.Lock(t.Context(), version, "arm64"); fault.Code(err) != int(fault.Network) {
		t.Errorf("an unknown authority: got %+v, %v", k, err)
	}
	plain := *r
	plain.Base = strings.Replace(r.Base, "https:", "http:", 1)
	if k, err := plain.Lock(t.Context(), version, "arm64"); fault.Code(err) != int(fault.Usage) {
		t.Errorf("over http: got %+v, %v", k, err)
	}
}

func TestSumOf(t *testing.T) {
	good := strings.Repeat("0A", 32)
	for text, want := range map[string]string{
		good + "  k3s-arm64\n":                          strings.ToLower(good),
		good + " *k3s-arm64\n":                          strings.ToLower(good),
		good + "  k3s\n" + good + "  other/k3s-arm64\n": "",
		"123  k3s-arm64\n":                              "",
		"<html>please log in</html>":                    "",
		"":                                              "",
		strings.Repeat("x", 1<<17) + "\n" + good + "  k3s-arm64": "",
	} {
		if got, err := sumOf(strings.NewReader(text), "k3s-arm64"); got != want || (err == nil) != (want != "") {
			t.Errorf("%.80q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

// Any release is embedded with the sum that it gives itself, which the lock keeps: the next build
// asks nobody.
func TestAnyRelease(t *testing.T) {
	const version = "v1.36.1+k3s1"
	from, sums := release(t, version)
	cache, err := blockcache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	decide := func(from *Releases, option string, with func(*Locked)) (*Ready, error) {
		t.Helper()
		l, miss, err := asks(t, "rpi4", "worker", Choice{Releases: from}).TakeLock("")
		if err != nil || l == nil {
			t.Fatal(miss, err)
		}
		with(l)
		return l.Decide(t.Context(), option, Carried{}, cache, nil)
	}
	asLocked := func(*Locked) {}
	r, err := decide(from, version, asLocked)
	if err != nil {
		t.Fatal(err)
	}
	if r.K3s.SHA256 != sums["k3s-arm64"] || r.K3s.Source != Embedded || r.K3s.Size == 0 || !r.Grew() {
		t.Errorf("got %+v, a new lock: %v", r.K3s, r.Grew())
	}
	file := filepath.Join(t.TempDir(), "imgbuild.lock")
	if err := WriteLock(file, r.Lock); err != nil {
		t.Fatal(err)
	}
	l, err := readLock(file)
	if want := (debian.LockedK3s{Version: version, Size: r.K3s.Size, SHA256: sums["k3s-arm64"]}); err != nil || l.K3s == nil || *l.K3s != want {
		t.Fatalf("the lock keeps %+v, %v, want %+v", l, err, want)
	}
	nobody := &Releases{"https://127.0.0.1:1/", "https://127.0.0.1:1/", http.DefaultClient}
	for _, option := range []string{version, "auto", FirstBoot} {
		again, err := decide(nobody, option, func(with *Locked) { with.Lock = l })
		if err != nil || again.K3s.SHA256 != sums["k3s-arm64"] || again.K3s.Version != version || again.K3s.Size != r.K3s.Size || again.Grew() {
			t.Errorf("k3s=%s with that lock: got %+v, %v", option, again, err)
		}
	}
	if got, err := decide(from, version, func(l *Locked) { l.strict = true }); fault.Code(err) != int(fault.Usage) {
		t.Errorf("a lock that was named gets nothing: got %+v, %v", got, err)
	}
	if got, err := decide(nobody, version, asLocked); fault.Code(err) != int(fault.Network) {
		t.Errorf("without a network: got %+v, %v", got, err)
	}
}

// A new lock is compared with the one in its file, which keeps its release of k3s.
func TestReplaces(t *testing.T) {
	k := &debian.LockedK3s{Version: "v1.36.1+k3s1", Size: 5, SHA256: strings.Repeat("0a", 32)}
	p := debian.Locked{Name: "a", Version: "1", Arch: "arm64", Archive: "debian", Pool: "pool/a.deb", Size: 1, SHA256: strings.Repeat("0a", 32)}
	file := filepath.Join(t.TempDir(), "lock")
	if err := WriteLock(file, &debian.Lock{Date: "20261130", Arch: "arm64", K3s: k, Packages: []debian.Locked{p}}); err != nil {
		t.Fatal(err)
	}
	for board, want := range map[string]bool{"rpi4": true, "qemu-arm": false} {
		a := asks(t, board, "worker", Choice{})
		if got := a.before(file); (got != nil) != want || want && (got.K3s == nil || *got.K3s != *k) {
			t.Errorf("%s: got %+v, want the lock in the file: %v", board, got, want)
		}
		if got := a.before(file + ".none"); got != nil {
			t.Errorf("%s: got %+v from a file that does not exist", board, got)
		}
	}
}
