package command

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"imgbuild/init/boot/upgrades"
	"imgbuild/init/contract/bundle"
	"imgbuild/init/contract/dialogue"
	"imgbuild/init/contract/fault"
	"imgbuild/init/contract/firmware"
	"imgbuild/init/status"
	"imgbuild/init/status/control"
	"imgbuild/init/status/health"
	"imgbuild/init/upgrade/bootcopy"
	"imgbuild/init/upgrade/install"
	"imgbuild/init/upgrade/keys"
	"imgbuild/init/upgrade/medium"
	"imgbuild/init/upgrade/source"
)

// FirmwareCost is what a firmware upgrade that does not boot costs.
const FirmwareCost = "if the node does not come back, its card has to come out: `imgbuild firmware DEVICE` on a laptop makes the old firmware boot again"

// FirmwareState is the firmware of a node.
type FirmwareState struct {
	Board  string `json:"board,omitempty"`
	Boot   string `json:"boot"`             // which of the two places boots: first, second
	Waits  bool   `json:"waits,omitempty"`  // it boots from the next boot on
	EEPROM string `json:"eeprom,omitempty"` // of a Raspberry Pi: version and date of its bootloader
}

// Firmware reports on the firmware. It is for root.
func Firmware() (FirmwareState, error) {
	return here.firmware("/sys/firmware/devicetree/base", "/sys/class/block")
}

func (p place) firmware(tree, blocks string) (s FirmwareState, err error) {
	var f install.Facts
	if err := control.Call(p.socket, control.Request{Verb: upgrades.Facts}, &f); err != nil {
		return s, err
	}
	d, err := medium.OpenDisk(f.Disk)
	if err != nil {
		return s, err
	}
	defer d.Close()
	at, err := bootcopy.Booted(d)
	if err != nil {
		return s, err
	}
	return FirmwareState{Board: f.Board, Boot: at.String(), Waits: !used(blocks, f.Running, at), EEPROM: eeprom(tree)}, nil
}

// used reports whether the kernel has partition 1 at a place: it has read the table at the boot.
// slot is the device of another partition of the disk.
func used(blocks, slot string, at firmware.Place) bool {
	name := strings.TrimRight(filepath.Base(slot), "0123456789") + "1"
	text, err := os.ReadFile(filepath.Join(blocks, name, "start"))
	start, perr := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return err != nil || perr != nil || start*512 == int64(at)
}

// eeprom is the version of a Raspberry Pi's bootloader, as its firmware leaves it in the device
// tree below chosen/bootloader: version, a text, and build-timestamp, 32 bits of big endian. Empty
// where there is none.
func eeprom(tree string) string {
	at := func(name string) []byte {
		b, _ := os.ReadFile(filepath.Join(tree, "chosen/bootloader", name))
		return b
	}
	version := strings.TrimRight(string(at("version")), "\x00\n ")
	if b := at("build-timestamp"); len(b) == 4 {
		day := time.Unix(int64(binary.BigEndian.Uint32(b)), 0).UTC().Format(time.DateOnly)
		if version == "" {
			return day
		}
		return version + " of " + day
	}
	return version
}

// UpgradeFirmware upgrades the firmware of this node from what name names, and reboots. It is for
// root.
func UpgradeFirmware(ctx context.Context, name string, o Options) (*dialogue.Done, error) {
	done, err := here.upgradeFirmware(ctx, nil, o, func(s source.Options) (source.Source, string, error) { return source.Open(ctx, name, s) })
	if err != nil {
		return nil, err
	}
	return done, here.rebootInto(done)
}

// ServeFirmware upgrades the firmware from a laptop at the other end of in and out.
func ServeFirmware(ctx context.Context, in io.Reader, out io.Writer, o Options) error {
	return here.serveFirmware(ctx, in, out, o)
}

func (p place) serveFirmware(ctx context.Context, in io.Reader, out io.Writer, o Options) error {
	n := dialogue.NewNode(in, out)
	o.Note = func(text string) { _ = n.Say(dialogue.Message{Note: text}) }
	o.Progress = func(now dialogue.Progress) { _ = n.Say(dialogue.Message{Progress: &now}) }
	done, err := p.upgradeFirmware(ctx, n, o, func(source.Options) (source.Source, string, error) { return source.SSH{Node: n}, source.FromSSH, nil })
	if err != nil {
		_ = n.Say(dialogue.Message{Error: dialogue.ErrorOf(err)}) // the laptop may be gone
		return err
	}
	return errors.Join(n.Say(dialogue.Message{Done: done}), p.rebootInto(done)) // in this order: the connection ends with the reboot
}

// rebootInto orders the reboot, if something was changed.
func (p place) rebootInto(done *dialogue.Done) error {
	if !done.Reboot {
		return nil
	}
	return control.Call(p.socket, control.Request{Verb: "reboot", Reason: "firmware"}, nil)
}

// sound reports why the firmware must not be changed now. The running system has to be committed
// and healthy: what it would fall back on is behind the same firmware.
func sound(f install.Facts, s status.Status) error {
	if err := f.Ready(); err != nil {
		return err
	}
	switch {
	case f.Armed:
		return fault.New(fault.Unhealthy, "reboot into it, or take it back with shelf rollback", "an upgrade waits for the next boot")
	case s.Health != health.Good:
		return fault.New(fault.Unhealthy, "see shelf status", "the node is not healthy (%s): the firmware is changed only under a system that is", cmp.Or(strings.Join(s.Why, ", "), string(s.Health)))
	case f.Disk == "":
		return fault.New(fault.Device, "", "the disk of this node was not found")
	}
	return nil
}

// ready gathers what is known of the node, and reports why its firmware must not be changed now.
func (p place) ready() (f install.Facts, err error) {
	var s status.Status
	if err = control.Call(p.socket, control.Request{Verb: upgrades.Facts}, &f); err == nil {
		err = control.Call(p.socket, control.Request{Verb: "status"}, &s)
	}
	if err == nil {
		err = sound(f, s)
	}
	return f, err
}

func (p place) upgradeFirmware(ctx context.Context, n *dialogue.Node, o Options, open func(source.Options) (source.Source, string, error)) (*dialogue.Done, error) {
	unlock, err := lock(p.lock)
	if err != nil {
		return nil, err
	}
	defer unlock()
	Frugal()
	f, err := p.ready()
	if err != nil {
		return nil, err
	}
	trusted, err := keys.Load(p.keys, o.Config.Upgrade.Keys)
	if err != nil {
		return nil, err
	}
	d, err := medium.OpenDisk(f.Disk)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	src, kind, err := open(sources(o, f, trusted, bundle.MaxSlot))
	if err != nil {
		return nil, err
	}
	defer src.Close()
	if n != nil {
		if err := n.Say(dialogue.Message{Hello: hello(f, &install.Job{Space: bundle.MaxSlot}, trusted)}); err != nil {
			return nil, err
		}
	}
	b, err := bundle.Open(ctx, src, trusted)
	if err != nil {
		return nil, err
	}
	notes, err := install.Judge(b.Manifest, kind, f, bundle.MaxSlot, o.Force, time.Now())
	if err != nil {
		return nil, err
	}
	for _, text := range append(notes, FirmwareCost) {
		o.note(text)
	}
	r, err := bootcopy.Upgrade(ctx, d, b, f.Board, func(done, total int64) {
		if o.Progress != nil {
			o.Progress(dialogue.Progress{Phase: "firmware", Done: done, Total: total})
		}
	})
	if err != nil {
		return nil, err
	}
	if len(r.Dropped) > 0 {
		o.note("not taken over to the new BOOT: " + strings.Join(r.Dropped, ", "))
	}
	done := firmwareDone(r)
	done.Version, done.Bundle = b.Manifest.Version, b.Manifest.Slot.Manifest
	return done, nil
}

func firmwareDone(r bootcopy.Result) *dialogue.Done {
	if r.Same {
		return &dialogue.Done{Result: dialogue.Same, Slot: r.At.String()}
	}
	return &dialogue.Done{Result: dialogue.Armed, Slot: r.At.String(), Reboot: true}
}

// FirmwareBack makes the firmware before boot again, and reboots. It is for root.
func FirmwareBack(ctx context.Context) (*dialogue.Done, error) { return here.firmwareBack(ctx) }

func (p place) firmwareBack(ctx context.Context) (*dialogue.Done, error) {
	unlock, err := lock(p.lock)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var f install.Facts
	if err := control.Call(p.socket, control.Request{Verb: upgrades.Facts}, &f); err != nil {
		return nil, err
	}
	if f.Armed || f.Trial || f.Booting {
		return nil, fault.New(fault.Unhealthy, "wait for its end", "an upgrade is under way")
	}
	d, err := medium.OpenDisk(f.Disk)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	r, err := bootcopy.Back(ctx, d)
	if err != nil {
		return nil, err
	}
	done := firmwareDone(r)
	return done, p.rebootInto(done)
}

func (o Options) note(text string) {
	if o.Note != nil {
		o.Note(text)
	}
}

// String is the state in a line.
func (s FirmwareState) String() string {
	text := fmt.Sprintf("board %s, BOOT is in the %s place", cmp.Or(s.Board, "unknown"), s.Boot)
	if s.Waits {
		text += " from the next boot on"
	}
	if s.EEPROM != "" {
		text += ", EEPROM " + s.EEPROM
	}
	return text
}
