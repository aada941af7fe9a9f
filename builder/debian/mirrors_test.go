package debian

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"imgbuild/init/contract/fault"
)

func TestHostMirrors(t *testing.T) {
	for dir, want := range map[string]Mirrors{
		"deb822":        {Main: "http://mirror.example/debian", Security: "http://mirror.example/debian-security", OtherMain: []string{"http://other.example/debian"}},
		"oneline":       {Main: "https://mirror.example:8080/pub/debian", Security: "https://security.example/debian-security"},
		"thirdparty":    {Main: "http://mirror.example/debian", Security: "http://mirror.example/debian-security"},
		"raspi":         {Main: "http://mirror.example/debian", Security: "http://mirror.example/debian-security"},
		"signedby":      {Main: "https://cache.example/acng/deb.any", Security: "https://cache.example/acng/debian-security"},
		"several":       {Main: "http://one.example/debian", Security: "http://one.example/debian-security", OtherMain: []string{"http://two.example/debian"}},
		"security-host": {Main: "http://mirror.example/debian", Security: "http://mirror.example/debian-security"},
	} {
		got, err := HostMirrors(os.DirFS("testdata/apt/" + dir))
		if len(got.OtherMain) == 0 {
			got.OtherMain = nil
		}
		if len(got.OtherSecurity) == 0 {
			got.OtherSecurity = nil
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v %v, want %v", dir, got, err, want)
		}
	}
}

func TestHostWithoutDebianAsksForAMirror(t *testing.T) {
	for _, dir := range []string{"ubuntu", "absent", "no-such-directory"} {
		_, err := HostMirrors(os.DirFS("testdata/apt/" + dir))
		if fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), "mirror=") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestParseMirror(t *testing.T) {
	for value, want := range map[string]Mirrors{
		"http://mirror.example/debian":                        {Main: "http://mirror.example/debian", Security: "http://mirror.example/debian-security"},
		"https://mirror.example:8443/pub/linux/debian/":       {Main: "https://mirror.example:8443/pub/linux/debian", Security: "https://mirror.example:8443/pub/linux/debian-security"},
		"http://mirror.example":                               {Main: "http://mirror.example", Security: "http://mirror.example/debian-security"},
		"http://a.example/debian,https://b.example/security/": {Main: "http://a.example/debian", Security: "https://b.example/security"},
	} {
		if got, err := ParseMirror(value); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v %v", value, got, err)
		}
	}
	for _, bad := range []string{"", "mirror.example/debian", "ftp://mirror.example/debian", "file:///srv/debian", "http://", "http://a.example/debian,",
		"http://a.example/debian,b", "http://a.example/debian?x=y", "http://[::1/debian"} {
		if got, err := ParseMirror(bad); fault.Code(err) != int(fault.Usage) {
			t.Errorf("%q: %v %v", bad, got, err)
		}
	}
}

func FuzzHostMirrors(f *testing.F) {
	for _, dir := range []string{"deb822/sources.list.d/debian.sources", "oneline/sources.list", "thirdparty/sources.list.d/b-vendor.sources", "security-host/sources.list"} {
		text, err := os.ReadFile("testdata/apt/" + dir)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, name := range []string{"sources.list", "sources.list.d/a.sources"} {
			m, err := HostMirrors(fstest.MapFS{name: {Data: text}})
			if (m.Main == "") != (err != nil) {
				t.Fatal(m, err)
			}
			for _, u := range []string{m.Main, m.Security} {
				if u != "" && (!strings.HasPrefix(u, "http://") && !strings.HasPrefix(u, "https://") || strings.HasSuffix(u, "/")) {
					t.Fatalf("%q", u)
				}
			}
		}
	})
}
