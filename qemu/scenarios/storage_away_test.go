package scenarios

import (
	"testing"
	"time"
)

// Limits for a client whose NFS server is gone: the longest that an answer of it may take, and its
// way down to the reboot.
const (
	answerLimit = 2 * time.Second
	rebootLimit = 90 * time.Second
)

// away stops the node while the client has a share mounted and writes to it: the client answers as
// before, the copy is whole when the node is back, and the client reboots while it is gone again.
func (r *storageRig) away(t *testing.T) {
	c := r.from
	c.until("shelf services | grep '^node-exporter '", "ready")
	asks := []string{"shelf status >/dev/null || true", "shelf services >/dev/null", "busybox wget -q -O /dev/null http://10.0.2.15:9100/metrics"}
	// The shortest of ten: the machine has other work, too.
	quick := func(ask string) time.Duration {
		least := patience
		for range 10 {
			began := time.Now()
			c.run(ask)
			least = min(least, time.Since(began))
		}
		return least
	}
	for _, ask := range asks {
		t.Logf("with the node: %s took %v", ask, quick(ask))
	}
	done := r.slowly("away")
	freeze(r.node)
	// One that asks for the share hangs; it is left alone.
	c.run("(sudo sh -c 'echo $$ >/tmp/hangs; exec stat -f /mnt/nfs') </dev/null >/dev/null 2>&1 &")
	c.until("grep State: /proc/$(cat /tmp/hangs)/status", "D (disk sleep)")
	for _, ask := range asks {
		if took := quick(ask); took > answerLimit {
			t.Errorf("without the node: %s took %v, want at most %v", ask, took, answerLimit)
		} else {
			t.Logf("without the node: %s took %v", ask, took)
		}
	}
	thaw(r.node)
	done(t)
	freeze(r.node)
	c.run("(sudo -u ann sh -c 'cat /tmp/file >/mnt/nfs/lost') </dev/null >/dev/null 2>&1 &")
	began := time.Now()
	c.try("sudo shelf reboot")
	r.client.see(`reboot now`)
	if took := time.Since(began); took > rebootLimit {
		t.Errorf("the client was down after %v, want at most %v", took, rebootLimit)
	} else {
		t.Logf("the client was down after %v", took)
	}
	thaw(r.node)
}
