package debian

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/klauspost/compress/zstd"

	"imgbuild/builder/blockcache"
)

// archive is a small signed archive made by the test, and the server that offers it.
type archive struct {
	t     *testing.T
	key   *openpgp.Entity
	files map[string][]byte // by URL path
	debs  map[string][]string

	mu   sync.Mutex
	hits map[string]int
	hook func(w http.ResponseWriter, r *http.Request, file []byte) bool // true: it answered
	srv  *httptest.Server
}

// testKey is made once: making keys is slow.
var testKey = sync.OnceValue(func() *openpgp.Entity { return newKey("archive") })

func newKey(name string) *openpgp.Entity {
	e, err := openpgp.NewEntity(name, "", name+"@mirror.example", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		panic(err)
	}
	return e
}

func newArchive(t *testing.T) *archive {
	a := &archive{t: t, key: testKey(), files: map[string][]byte{}, debs: map[string][]string{}, hits: map[string]int{}}
	a.srv = httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(a.srv.Close)
	return a
}

func (a *archive) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.hits[r.URL.Path]++
	file, ok := a.files[r.URL.Path]
	hook := a.hook
	a.mu.Unlock()
	if hook != nil && hook(w, r, file) {
		return
	}
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
}

func (a *archive) set(path string, data []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.files[path] = data
}

func (a *archive) remove(path string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.files, path)
}

func (a *archive) hit(path string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.hits[path]
}

func (a *archive) intercept(hook func(w http.ResponseWriter, r *http.Request, file []byte) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hook = hook
}

// add puts a package into a suite ("debian/trixie"); control are further fields, files its content
// by path.
func (a *archive) add(suite, name, version, control string, scripts, files map[string]string) Locked {
	text := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: arm64\n", name, version)
	if control != "" {
		text += strings.TrimSpace(control) + "\n"
	}
	deb := makeDeb(a.t, text, scripts, files, "gz")
	archiveName, _, _ := strings.Cut(suite, "/")
	pool := fmt.Sprintf("pool/main/%s/%s_%s_arm64.deb", name, name, strings.ReplaceAll(version, ":", "%3a"))
	a.set("/"+archiveName+"/"+pool, deb)
	sum := sha256.Sum256(deb)
	a.debs[suite] = append(a.debs[suite], text+fmt.Sprintf("Installed-Size: 7\nFilename: %s\nSize: %d\nSHA256: %x\n", pool, len(deb), sum))
	return Locked{Name: name, Version: version, Arch: "arm64", Archive: archiveName, Pool: pool, Size: int64(len(deb)),
		SHA256: fmt.Sprintf("%x", sum), InstalledSize: 7}
}

// releaseOptions change what publish writes.
type releaseOptions struct {
	date, until time.Time
	key         *openpgp.Entity
	edit        func(release string) string // before it is signed
}

var archiveDate = time.Date(2026, 9, 12, 8, 0, 0, 0, time.UTC)

// publish writes the signed index of a suite.
func (a *archive) publish(suite string, o releaseOptions) {
	_, name, _ := strings.Cut(suite, "/")
	packages := []byte(strings.Join(a.debs[suite], "\n"))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(packages)
	z.Close()
	dir := "/" + strings.Split(suite, "/")[0] + "/dists/" + name + "/"
	index := "main/binary-arm64/Packages"
	sum := sha256.Sum256(packed.Bytes())
	a.set(dir+index+".gz", packed.Bytes())
	a.set(dir+fmt.Sprintf("main/binary-arm64/by-hash/SHA256/%x", sum), packed.Bytes())
	if o.date.IsZero() {
		o.date = archiveDate
	}
	if o.key == nil {
		o.key = a.key
	}
	text := fmt.Sprintf("Origin: Test\nSuite: stable\nCodename: %s\nDate: %s\nAcquire-By-Hash: yes\nArchitectures: all arm64\nComponents: main\n",
		name, o.date.Format(time.RFC1123))
	if !o.until.IsZero() {
		text += "Valid-Until: " + o.until.Format(time.RFC1123) + "\n"
	}
	text += fmt.Sprintf("SHA256:\n %x %d %s\n %x %d %s\n", sum, packed.Len(), index+".gz", sha256.Sum256(packages), len(packages), index)
	if o.edit != nil {
		text = o.edit(text)
	}
	a.set(dir+"InRelease", sign(a.t, o.key, text))
}

func sign(t *testing.T, key *openpgp.Entity, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := clearsign.Encode(&out, key.PrivateKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(text))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// client makes a client of the archive with an empty cache.
func (a *archive) client() *Client {
	cache, err := blockcache.Open(filepath.Join(a.t.TempDir(), "cache"))
	if err != nil {
		a.t.Fatal(err)
	}
	return NewClient(Options{Cache: cache, Keyring: Keyring{a.key}, Backoff: time.Millisecond, Stall: 20 * time.Second,
		Mirrors: Mirrors{Main: a.srv.URL + "/debian", Security: a.srv.URL + "/debian-security"}})
}

var trixie = []Suite{{Archive: "debian", Name: "trixie", Components: []string{"main"}}}

func (a *archive) index(c *Client) (*Index, error) {
	return c.Index(context.Background(), "arm64", trixie)
}

// makeDeb writes a .deb whose members are packed with compression: gz, zst or "".
func makeDeb(t testing.TB, control string, scripts, files map[string]string, compression string) []byte {
	t.Helper()
	inner := map[string]string{"./control": control}
	for name, text := range scripts {
		inner["./"+name] = text
	}
	var out bytes.Buffer
	out.WriteString("!<arch>\n")
	member(&out, "debian-binary", []byte("2.0\n"))
	ext := ""
	if compression != "" {
		ext = "." + compression
	}
	member(&out, "control.tar"+ext, pack(t, makeTar(t, inner), compression))
	data := map[string]string{}
	for name, text := range files {
		data["./"+name] = text
	}
	member(&out, "data.tar"+ext, pack(t, makeTar(t, data), compression))
	return out.Bytes()
}

func member(out *bytes.Buffer, name string, data []byte) {
	fmt.Fprintf(out, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", name, 0, 0, 0, "100644", len(data))
	out.Write(data)
	if len(data)%2 == 1 {
		out.WriteByte('\n')
	}
}

func makeTar(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	for _, name := range sorted(names) {
		h := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name])), Typeflag: tar.TypeReg}
		if strings.HasSuffix(name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(files[name]))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func pack(t testing.TB, data []byte, compression string) []byte {
	t.Helper()
	var out bytes.Buffer
	switch compression {
	case "":
		return data
	case "gz":
		z := gzip.NewWriter(&out)
		z.Write(data)
		z.Close()
	case "zst":
		z, err := zstd.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		z.Write(data)
		z.Close()
	default:
		t.Fatalf("compression %q", compression)
	}
	return out.Bytes()
}
