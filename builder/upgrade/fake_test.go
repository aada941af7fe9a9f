package upgrade

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"aead.dev/minisign"
	"golang.org/x/crypto/ssh"

	format "imgbuild/init/contract/bundle"
	"imgbuild/init/contract/delta"
	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/fault"
	"imgbuild/qemu/fixtures/sshd"
)

// memory is a partition.
type memory struct{ data []byte }

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(m.data)) {
		copy(p, m.data[off:])
	}
	return len(p), nil
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if end := int(off) + len(p); end > len(m.data) {
		m.data = append(m.data, make([]byte, end-len(m.data))...)
	}
	return copy(m.data[off:], p), nil
}

// versions are two slots and their bundles, made once for all tests.
type versions struct {
	dir      string // with both bundles
	old, new []byte
	oldSum   [32]byte
	newSum   [32]byte
	bundle   string // of the new one
	key      minisign.PublicKey
}

// journal is what happened to all nodes of a test, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, a ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, a...))
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, ", ")
}

// fake is as much of a node as an upgrade talks to.
type fake struct {
	*sshd.Server
	t    *testing.T
	v    versions
	j    *journal
	name string
	role string

	mu       sync.Mutex
	runs     [32]byte
	slot     memory       // that does not run
	res      delta.Result // of the last one that came to its end
	cuts     []int64      // bytes after which a dialogue is cut off, one for each
	keys     []string
	refuse   error  // why it takes no bundle
	health   string // "" = good
	result   string // of the trial; "" = committed
	armed    bool   // reboots, and answers after some questions
	asked    int    // questions since
	ended    bool
	members  []Member // what kubectl prints here
	stuck    string   // a node that cannot be drained
	drainHit func()   // called by a drain
	reboots  int      // statuses that it is starting for, after each cut
	booting  int      // such statuses left
	onEnd    func(*fake)
	boot     string // the place of BOOT that boots
	noBoot   error  // why it takes no firmware
	lost     bool   // it does not boot with it
	looks    int    // at its firmware
	named    string // the version of what it runs at first; "" = old
	orders   bool   // is armed and answers before its reboot: no trial is reported
}

func (n *fake) answer(ch ssh.Channel, command string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch word := strings.TrimPrefix(command, "sudo "); {
	case word == "shelf upgrade --serve":
		return n.serve(ch)
	case word == "shelf firmware upgrade --serve":
		return n.serveFirmware(ch)
	case word == "shelf firmware -o json":
		n.looks++
		json.NewEncoder(ch).Encode(map[string]any{"boot": n.boot, "waits": n.lost || n.looks < 3})
	case word == "shelf status -o json":
		health := n.health
		if health == "" {
			health = "good"
		}
		if n.booting > 0 {
			if n.booting, health = n.booting-1, "starting"; n.booting == 1 {
				fmt.Fprintln(ch.Stderr(), "shelf: the init program does not answer: i/o timeout")
				return int(fault.Unhealthy)
			}
		}
		version := cmp.Or(n.named, "old")
		if n.runs == n.v.newSum {
			version = n.newVersion()
		}
		answer := map[string]any{"hostname": n.name, "role": n.role, "version": version, "health": health, "why": []string{"k3s is down"}}
		if n.armed {
			state := "trial"
			if n.orders {
				state = "armed"
			}
			answer["upgrade"] = map[string]any{"state": state, "bundle": fmt.Sprintf("%x", n.v.newSum), "version": n.newVersion(), "from": "old"}
		}
		json.NewEncoder(ch).Encode(answer)
		if health != "good" {
			return int(fault.Unhealthy)
		}
	case word == "shelf history -o json":
		n.history(ch)
	case strings.HasPrefix(word, "shelf key add "):
		n.keys = append(n.keys, strings.Trim(strings.TrimPrefix(word, "shelf key add "), "'"))
		n.j.add("%s: key", n.name)
	case strings.HasPrefix(word, "k3s kubectl "):
		return n.kubectl(ch, strings.Fields(strings.TrimPrefix(word, "k3s kubectl ")))
	default:
		fmt.Fprintf(ch.Stderr(), "shelf: there is no command %s\n", word)
		return int(fault.Usage)
	}
	return 0
}

func (n *fake) newVersion() string { return "v401025" }

func (n *fake) history(ch ssh.Channel) {
	a := map[string]any{"bundle": fmt.Sprintf("%x", n.v.newSum), "version": n.newVersion()}
	h := map[string]any{}
	if n.armed {
		n.asked++
		if n.asked < 3 {
			h["attempt"] = a
		} else {
			n.armed, n.ended = false, true
			if n.result == "" {
				n.runs = n.v.newSum
				n.j.add("%s: committed", n.name)
			}
		}
	}
	if n.ended {
		a["result"] = "committed"
		if n.result != "" {
			a["result"], a["reason"], a["blame"] = "rolled back", n.result, "own"
		}
		h["history"] = []any{a}
	}
	if n.ended && n.onEnd != nil {
		n.onEnd(n)
		n.onEnd, n.ended, n.asked = nil, false, 0
	}
	json.NewEncoder(ch).Encode(h)
}

func (n *fake) kubectl(ch ssh.Channel, words []string) int {
	switch {
	case words[0] == "get":
		var items []any
		for _, m := range n.members {
			labels := map[string]string{}
			if m.Server {
				labels["node-role.kubernetes.io/control-plane"] = "true"
			}
			ready := map[bool]string{true: "True", false: "Unknown"}[m.Ready]
			items = append(items, map[string]any{"metadata": map[string]any{"name": m.Name, "labels": labels}, "spec": map[string]any{"unschedulable": m.Cordoned},
				"status": map[string]any{"conditions": []any{map[string]string{"type": "Ready", "status": ready}}}})
		}
		json.NewEncoder(ch).Encode(map[string]any{"items": items})
	case words[0] == "drain":
		n.j.add("drain %s", words[1])
		if n.drainHit != nil {
			n.drainHit()
		}
		if n.stuck == words[1] {
			fmt.Fprintf(ch.Stderr(), "node/x cordoned\nerror when evicting pods/\"web-0\" -n \"default\": global timeout reached\n")
			return 1
		}
	default:
		n.j.add("%s %s", words[0], words[1])
	}
	return 0
}

// limit reads until so many bytes have come, and then fails.
type limit struct {
	ssh.Channel
	left int64
}

var errCut = errors.New("cut off")

func (l *limit) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errCut
	}
	k, err := l.Channel.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(k)
	return k, err
}

func (n *fake) serve(ch ssh.Channel) int {
	in := &limit{ch, 1 << 40}
	if len(n.cuts) > 0 {
		in.left, n.cuts = n.cuts[0], n.cuts[1:]
	}
	talk := dialogue.NewNode(in, ch)
	done, err := n.upgrade(talk)
	if in.left <= 0 {
		n.j.add("%s: cut", n.name)
		n.booting = n.reboots
		return -1
	}
	m := dialogue.Message{Done: done}
	if err != nil {
		m = dialogue.Message{Error: dialogue.ErrorOf(err)}
	}
	_ = talk.Say(m) // the laptop may have hung up
	return fault.Code(err)
}

func (n *fake) upgrade(talk *dialogue.Node) (*dialogue.Done, error) {
	ctx := n.t.Context()
	err := talk.Say(dialogue.Message{Hello: &dialogue.Hello{Protocol: dialogue.Version, Hostname: n.name, Family: "rpi64", Arch: "arm64", Role: n.role,
		Version: "old", Slot: "a", Running: fmt.Sprintf("%x", n.runs), Keys: n.keys, Space: format.MaxSlot}})
	if err != nil {
		return nil, err
	}
	keys, err := format.ParseKeys(strings.Join(n.keys, "\n"))
	if err != nil {
		return nil, err
	}
	b, err := format.Open(ctx, talk, keys)
	if err != nil {
		return nil, err
	}
	done := &dialogue.Done{Bundle: b.Manifest.Slot.Manifest, Version: b.Manifest.Version, Slot: "b", Seconds: 1}
	if b.Manifest.SlotSum() == n.runs {
		done.Result = dialogue.Same
		return done, nil
	}
	if n.refuse != nil {
		return nil, n.refuse
	}
	if n.booting > 0 {
		return nil, fault.New(fault.Unhealthy, "", "the node is still booting")
	}
	for _, step := range []string{dialogue.StepWrite, dialogue.StepArm, dialogue.StepReboot} {
		if err := talk.Ask(ctx, step); err != nil {
			done.Result, done.Stopped = dialogue.Stopped, step
			if fault.Code(err) == int(fault.Network) {
				return nil, err
			}
			return done, nil
		}
		n.j.add("%s: %s", n.name, step)
		if step == dialogue.StepWrite {
			old := n.v.old
			if n.res, err = delta.Apply(ctx, delta.Options{Bundle: b, Old: &memory{old}, OldSum: n.runs, New: &n.slot, Resume: true}); err != nil {
				return nil, err
			}
			done.Fetched, done.Delta = n.res.Fetched, n.res.Delta
			for _, p := range []dialogue.Progress{{Phase: "write", Done: 1, Total: 2}, {Phase: "write", Done: 2, Total: 2}, {Phase: "write", Done: 2, Total: 2}, {Phase: "read back", Done: 2, Total: 2}} {
				if err := talk.Say(dialogue.Message{Progress: &p}); err != nil {
					return nil, err
				}
			}
		}
	}
	done.Result, done.Reboot, n.armed = dialogue.Armed, true, true
	return done, nil
}

func (n *fake) whole() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	got := slices.Clone(n.slot.data)
	copy(got, n.res.First[:])
	want := make([]byte, len(got))
	(&memory{n.v.new}).ReadAt(want, 0)
	return len(got) > 1<<20 && bytes.Equal(got, want)
}

// serveFirmware takes the firmware of a bundle.
func (n *fake) serveFirmware(ch ssh.Channel) int {
	talk := dialogue.NewNode(ch, ch)
	m := dialogue.Message{}
	if done, err := n.firmware(talk); err != nil {
		m.Error = dialogue.ErrorOf(err)
	} else {
		m.Done = done
	}
	_ = talk.Say(m) // the laptop may have hung up
	return fault.Code(n.noBoot)
}

func (n *fake) firmware(talk *dialogue.Node) (*dialogue.Done, error) {
	if err := talk.Say(dialogue.Message{Hello: &dialogue.Hello{Protocol: dialogue.Version, Hostname: n.name, Family: "rpi64", Arch: "arm64", Role: n.role, Keys: n.keys, Space: format.MaxSlot}}); err != nil {
		return nil, err
	}
	keys, err := format.ParseKeys(strings.Join(n.keys, "\n"))
	if err != nil {
		return nil, err
	}
	b, err := format.Open(n.t.Context(), talk, keys)
	if err != nil {
		return nil, err
	}
	if n.noBoot != nil {
		return nil, n.noBoot
	}
	done := &dialogue.Done{Result: dialogue.Same, Version: b.Manifest.Version, Slot: "second"}
	if n.boot != "second" {
		n.j.add("%s: firmware", n.name)
		n.boot, n.looks, done.Result, done.Reboot = "second", 0, dialogue.Armed, true
	}
	return done, nil
}
