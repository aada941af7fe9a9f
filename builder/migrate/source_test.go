package migrate

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/mbr"
)

func TestSeveral(t *testing.T) {
	t.Parallel()
	at := func(label, host string) string {
		return fileSystem(t, label, with(server(t), files{"k3os/system/config.yaml": "hostname: " + host + "\n"}))
	}
	both := func(a, b string) string {
		x, err := os.ReadFile(a)
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.ReadFile(b)
		if err != nil {
			t.Fatal(err)
		}
		table := mbr.Table{Signature: 7, Partitions: [4]mbr.Partition{{Start: 2048, Sectors: uint32(len(x) / 512), Type: mbr.Linux}, {Start: 2048 + uint32(len(x)/512), Sectors: uint32(len(y) / 512), Type: mbr.Linux}}}
		first, err := table.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		card := filepath.Join(t.TempDir(), "card.img")
		if err := os.WriteFile(card, slices.Concat(first[:], make([]byte, 2047*512), x, y), 0o600); err != nil {
			t.Fatal(err)
		}
		return card
	}
	r, err := run(t, Options{Source: both(at("old", "wrong"), at("K3OS_STATE", "right")), Mode: Fresh})
	if err != nil || r.Hostname != "right" || !strings.Contains(strings.Join(r.Warnings, "\n"), "several systems") {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := run(t, Options{Source: both(at("a", "one"), at("b", "other")), Mode: Fresh}); fault.Code(err) != int(fault.Input) || !strings.Contains(err.Error(), `partition 2 ("b")`) {
		t.Errorf("%v", err)
	}
}
