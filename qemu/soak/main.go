// Command soak runs misbehaving services on nodes and judges, over ssh, whether the nodes bear them:
//
//	make soak [minutes=TOTAL] [n=NODES] [seed=SEED] [only=NAME]
//
// Each node is a fresh boot whose numbers the seed draws. It prints date, commit, seed, counts and failures. What is done is
// noted in out/soak-SEED-N-MINUTES.json, so that a run that was interrupted goes on with the next node when it is started again.
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"imgbuild/qemu/soak/judge"
	"imgbuild/qemu/vm"
)

// patience is for one event on a busy machine.
const patience = 5 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// options are the words of the command line.
type options struct {
	minutes float64
	n       int
	seed    uint64
	only    string
}

func parse(words []string) (o options, err error) {
	o = options{minutes: 30, n: 3, seed: 1}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "minutes":
			o.minutes, err = strconv.ParseFloat(value, 64)
		case "n":
			o.n, err = strconv.Atoi(value)
		case "seed":
			o.seed, err = strconv.ParseUint(value, 10, 64)
		case "only":
			o.only = value
		default:
			return o, fmt.Errorf("%s is none of minutes=TOTAL, n=NODES, seed=SEED, only=NAME", w)
		}
		if err != nil || o.minutes <= 0 || o.n < 1 {
			return o, fmt.Errorf("%s is no number that makes sense", w)
		}
	}
	if len(judge.Rogues(o.seed, o.only)) == 0 {
		return o, fmt.Errorf("no service has %q in its name", o.only)
	}
	return o, nil
}

// done is what a run leaves behind for the next one.
type done struct {
	Commit string
	Nodes  []result
}

// result is how one node did.
type result struct {
	Seed     uint64
	Looks    int
	Failures []string
}

func run(ctx context.Context, words []string) error {
	o, err := parse(words)
	if err != nil {
		return err
	}
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		commit = []byte("unknown\n")
	}
	d := done{Commit: strings.TrimSpace(string(commit))}
	notes := filepath.Join("out", fmt.Sprintf("soak-%d-%d-%g%s.json", o.seed, o.n, o.minutes, o.only))
	if err := d.load(notes); err != nil {
		return err
	}
	fmt.Printf("date %s, commit %s, seed %d, %d nodes, %g minutes\n", time.Now().UTC().Format(time.DateOnly), d.Commit, o.seed, o.n, o.minutes)
	dir, err := os.MkdirTemp("", "imgbuild-soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := prepare(ctx, dir)
	if err != nil {
		return err
	}
	for i, r := range d.Nodes {
		fmt.Printf("node %d: done before, %d looks, %d failures\n", i, r.Looks, len(r.Failures))
	}
	for i := len(d.Nodes); i < o.n; i++ {
		r, err := b.node(ctx, o, i)
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted; the same command goes on with node %d", i)
		}
		if err != nil {
			r.Failures = append(r.Failures, err.Error())
		}
		fmt.Printf("node %d: seed %d, %d looks, %d failures\n", i, r.Seed, r.Looks, len(r.Failures))
		for _, f := range r.Failures {
			fmt.Println("  ", f)
		}
		d.Nodes = append(d.Nodes, r)
		if err := d.save(notes); err != nil {
			return err
		}
	}
	looks, failed := 0, 0
	for _, r := range d.Nodes {
		looks += r.Looks
		if len(r.Failures) > 0 {
			failed++
		}
	}
	fmt.Printf("%d nodes, %d looks, %d nodes failed\n", len(d.Nodes), looks, failed)
	if err := os.Remove(notes); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d nodes failed", failed)
	}
	return nil
}

// load reads what an earlier run of the same commit did.
func (d *done) load(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var old done
	if err := json.Unmarshal(data, &old); err != nil {
		return fmt.Errorf("%s: %w; remove it", path, err)
	}
	if old.Commit == d.Commit {
		d.Nodes = old.Nodes
	}
	return nil
}

func (d *done) save(path string) error {
	data, err := json.MarshalIndent(d, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
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
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	if b.key, err = ssh.NewSignerFromSigner(private); err != nil {
		return nil, err
	}
	rogue := filepath.Join(dir, "rogue")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", rogue, "./qemu/rogue")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	if b.rogue, err = os.ReadFile(rogue); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, append([]byte("ssh_authorized_keys:\n- "), ssh.MarshalAuthorizedKey(b.key.PublicKey())...), 0o600); err != nil {
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
func (b *bench) node(ctx context.Context, o options, i int) (result, error) {
	r := result{Seed: o.seed + uint64(i)}
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
	c := judge.Case{VM: g, Key: b.key, Rogue: b.rogue, Units: judge.Rogues(r.Seed, o.only), Seed: r.Seed, Patient: patience,
		Bear: time.Duration(o.minutes / float64(o.n) * float64(time.Minute)),
		Say:  func(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }}
	r.Failures, err = c.Run(ctx)
	r.Looks = c.Looks()
	return r, err
}
