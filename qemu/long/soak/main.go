// Command soak runs misbehaving services on nodes and judges, over ssh, whether the nodes bear
// them:
//
//	make soak [minutes=TOTAL] [n=NODES] [seed=SEED] [only=NAME]
//
// Each node is a fresh boot whose numbers the seed draws. It prints date, commit, seed, counts and
// failures. A run that was interrupted goes on with the next node when it is started again.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"

	"imgbuild/init/contract/fault"
	"imgbuild/qemu/long/longrun"
	"imgbuild/qemu/long/soak/judge"
	"imgbuild/qemu/tool"
	"imgbuild/qemu/vm"
)

// patience is for one event on a busy machine.
const patience = 5 * time.Minute

var command = longrun.Command{
	Name: "soak", Only: "NAME", Seed: "SEED", N: "NODES", Minutes: "TOTAL", Default: longrun.Options{Minutes: 30, N: 3, Seed: 1}, Do: run,
}

func main() { command.Main() }

// result is how one node did.
type result struct {
	Seed     uint64
	Looks    int
	Failures []string
}

func run(ctx context.Context, r *longrun.Run) error {
	kinds := len(judge.Rogues(r.Seed, r.Only))
	if kinds == 0 {
		return fault.New(fault.Usage, "see qemu/long/soak/judge", "no service has %q in its name", r.Only)
	}
	r.Head("%d nodes with %d services that misbehave, %g minutes", r.N, kinds, r.Minutes)
	notes, err := longrun.Resume[result](r, fmt.Sprintf("%d-%d-%g-%s", r.Seed, r.N, r.Minutes, r.Only))
	if err != nil {
		return err
	}
	defer notes.Close()
	for i, one := range notes.Done {
		report(r, i, one)
	}
	temp, err := tool.Scratch("soak")
	if err != nil {
		return err
	}
	defer temp.Remove()
	dir := temp.Path
	b, err := prepare(ctx, dir)
	if err != nil {
		return err
	}
	for i := len(notes.Done); i < r.N; i++ {
		one, err := b.node(ctx, r, i)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			one.Failures = append(one.Failures, err.Error())
		}
		report(r, i, one)
		if err := notes.Add(one); err != nil {
			return err
		}
	}
	looks, failed := 0, 0
	for _, one := range notes.Done {
		looks += one.Looks
		if len(one.Failures) > 0 {
			failed++
		}
	}
	if err := notes.Over(); err != nil {
		return err
	}
	return r.End(failed, "nodes %d, looks %d", len(notes.Done), looks)
}

func report(r *longrun.Run, i int, one result) {
	r.Say("node %d: seed %d, %d looks, %d failures", i, one.Seed, one.Looks, len(one.Failures))
	for _, f := range one.Failures {
		r.Say("  %s", f)
	}
}

// bench is what all nodes share.
type bench struct {
	dir, image string
	key        ssh.Signer
	rogue      []byte
}

// prepare builds the image and the program.
func prepare(ctx context.Context, dir string) (*bench, error) {
	b := &bench{dir: dir}
	key, line, err := vm.NewKey()
	if err != nil {
		return nil, err
	}
	b.key = key
	if b.rogue, err = vm.Program(ctx, "imgbuild/qemu/fixtures/rogue", filepath.Join(dir, "rogue")); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, []byte("ssh_authorized_keys:\n- "+line+"\n"), 0o600); err != nil {
		return nil, err
	}
	build := exec.CommandContext(ctx, "bin/imgbuild", "board=qemu-arm64", "role=worker", "k3s=none", "config="+config, "output=json", "pack=no", "out="+filepath.Join(dir, "image"))
	build.Stderr = os.Stderr
	out, err := build.Output()
	if err != nil {
		return nil, fmt.Errorf("bin/imgbuild: %w", err)
	}
	var im struct{ Image string }
	if err := json.Unmarshal(out, &im); err != nil {
		return nil, err
	}
	b.image = im.Image
	return b, nil
}

// node boots and judges the ith node.
func (b *bench) node(ctx context.Context, run *longrun.Run, i int) (result, error) {
	r := result{Seed: run.Seed + uint64(i)}
	dir := filepath.Join(b.dir, fmt.Sprint("node", i))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	g, err := vm.Start(ctx, vm.Options{Image: b.image, Dir: dir, Direct: true, Size: 4 << 30})
	if err != nil {
		return r, err
	}
	defer g.Stop()
	if _, err := g.Expect(ctx, `shelf: ready`, patience); err != nil {
		return r, err
	}
	c := judge.Case{VM: g, Key: b.key, Rogue: b.rogue, Units: judge.Rogues(r.Seed, run.Only), Seed: r.Seed, Patient: patience,
		Bear: time.Duration(run.Minutes / float64(run.N) * float64(time.Minute)), Say: run.Say}
	r.Failures, err = c.Run(ctx)
	r.Looks = c.Looks()
	return r, err
}
