package serve

import (
	"fmt"
	"strings"
	"testing"

	"imgbuild/init/contract/config"
	"imgbuild/init/storage/shares"
)

// What is announced is what is declared, and no more.
func TestAnnounced(t *testing.T) {
	disk := []config.StorageDisk{{Name: "data", Device: "auto"}}
	for name, c := range map[string]struct {
		shares map[string]config.Share
		want   string
	}{
		"nothing": {nil, ""},
		"ftp":     {map[string]config.Share{"a": {Via: []string{"ftp"}}}, ""},
		"smb":     {map[string]config.Share{"a": {Via: []string{"smb"}}, "b": {Via: []string{"smb"}}}, "_smb._tcp:445"},
		"nfs": {map[string]config.Share{"a": {Via: []string{"nfs"}, Networks: []string{"10.0.0.0/8"}}, "b": {Via: []string{"nfs"}, Networks: []string{"10.0.0.0/8"}, Path: "x/y"}},
			"_nfs._tcp:2049 a path=/srv/data/a; _nfs._tcp:2049 b path=/srv/data/x/y"},
		"Time Machine": {map[string]config.Share{"a": {Via: []string{"smb"}, TimeMachine: true}, "b": {Via: []string{"nfs"}, Networks: []string{"10.0.0.0/8"}, TimeMachine: true}, "c": {Via: []string{"smb"}, TimeMachine: true}},
			"_smb._tcp:445; _nfs._tcp:2049 b path=/srv/data/b; _adisk._tcp:9 sys=waMa=0,adVF=0x100 dk0=adVN=a,adVF=0x82 dk1=adVN=c,adVF=0x82"},
	} {
		var got []string
		for _, s := range announced(shares.Make(serverOf(config.Storage{Disks: disk, Shares: c.shares}).Config().Storage)) {
			got = append(got, strings.Join(strings.Fields(fmt.Sprintf("%s:%d %s %s", s.Type, s.Port, s.Name, strings.Join(s.Text, " "))), " "))
		}
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("%s: got %s, want %s", name, text, c.want)
		}
	}
}
