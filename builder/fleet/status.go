package fleet

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"imgbuild/builder/remote"
	"imgbuild/init/contract/config"
	"imgbuild/init/contract/fault"
)

// Row is how a node is. What is not known is left out.
type Row struct {
	Node        string          `json:"node"`
	Host        string          `json:"host"`
	Role        string          `json:"role,omitempty"`
	Board       string          `json:"board,omitempty"`
	Slot        string          `json:"slot,omitempty"`
	Version     string          `json:"version,omitempty"`
	Health      string          `json:"health"`            // good, starting, waiting, bad; silent: it did not answer
	Up          float64         `json:"up,omitempty"`      // seconds since the kernel started
	Temperature *float64        `json:"celsius,omitempty"` // of its hottest zone
	Free        *uint64         `json:"free,omitempty"`    // bytes of its data
	Wrong       []string        `json:"wrong"`             // one line each
	Differs     *bool           `json:"differs,omitempty"` // from the file
	Changes     []config.Change `json:"changes,omitempty"` // that `imgbuild apply` would make
}

// Silent is the health of a node that did not answer.
const Silent = "silent"

// nodeStatus is the part of `shelf status -o json` that is read here.
type nodeStatus struct {
	Hostname, Role, Board, Slot, Version, Health string
	Up                                           float64
	Why                                          []string
	Degraded                                     bool
	Disks                                        []struct {
		Path string
		Free uint64
	}
	Machine struct {
		Temperature []struct{ Celsius float64 }
	}
	Upgrade *struct{ State, Version, Reason string }
}

// Status asks all targets at once how they are. Login and questions have limit each, so that one
// that is silent does not keep the others. The rows are in the order of the targets.
func Status(ctx context.Context, targets []Target, login remote.Options, limit time.Duration) []Row {
	login = oneQuestion(login)
	rows := make([]Row, len(targets))
	each(targets, func(i int, t Target) {
		r := Row{Node: t.Name, Host: t.Host, Role: t.Role, Board: t.Board, Wrong: []string{}}
		err := run(ctx, t, login, limit, func(ctx context.Context, n *remote.Node) error { return r.ask(ctx, n, t) })
		if err != nil {
			what, _ := fault.Parts(err)
			if errors.Is(err, context.DeadlineExceeded) {
				what = fmt.Sprintf("it did not answer within %v", limit)
			}
			r.Health = cmp.Or(r.Health, Silent)
			r.Wrong = append(r.Wrong, what)
		}
		rows[i] = r
	})
	return rows
}

// ask fills the row in; the configuration is compared at the same time.
func (r *Row) ask(ctx context.Context, n *remote.Node, t Target) error {
	type compared struct {
		plan config.Plan
		err  error
	}
	file := make(chan compared, 1)
	if t.Config == nil {
		file <- compared{}
	} else {
		go func() {
			var c compared
			var out []byte
			if out, c.err = n.Output(ctx, "sudo shelf config check - output=json", bytes.NewReader(t.Config)); c.err == nil {
				c.err = json.Unmarshal(out, &c.plan)
			}
			file <- c
		}()
	}
	s, err := status(ctx, n)
	if err != nil {
		return err
	}
	r.of(s, t)
	c := <-file
	switch {
	case c.err != nil:
		what, _ := fault.Parts(c.err)
		r.Wrong = append(r.Wrong, "it was not compared with the file: "+what)
	case t.Config != nil:
		differs := len(c.plan.Changes) > 0
		r.Differs, r.Changes = &differs, c.plan.Changes
	}
	return nil
}

// status asks a node how it is; an unhealthy one answers too.
func status(ctx context.Context, n *remote.Node) (s nodeStatus, err error) {
	out, err := n.Output(ctx, "sudo shelf status -o json", nil)
	if err != nil && (fault.Code(err) != int(fault.Unhealthy) || len(out) == 0) {
		return s, err
	}
	if err := json.Unmarshal(out, &s); err != nil || s.Health == "" {
		return s, fault.New(fault.Network, "upgrade the node; its shelf may be too old", "%s returns no status", n.Host)
	}
	return s, nil
}

// of takes over what a node answered.
func (r *Row) of(s nodeStatus, t Target) {
	r.Role, r.Board, r.Slot, r.Version, r.Health, r.Up = s.Role, s.Board, s.Slot, s.Version, s.Health, s.Up
	for _, z := range s.Machine.Temperature {
		if r.Temperature == nil || z.Celsius > *r.Temperature {
			r.Temperature = &z.Celsius
		}
	}
	for _, d := range s.Disks {
		if d.Path == "/" {
			r.Free = &d.Free
		}
	}
	r.Wrong = append(r.Wrong, s.Why...)
	other := func(what, is, want string) {
		if want != "" && is != want {
			r.Wrong = append(r.Wrong, fmt.Sprintf("its %s is %s, and %s in the file", what, is, want))
		}
	}
	other("role", s.Role, t.Role)
	other("board", s.Board, t.Board)
	if t.Board != "" { // a node of the file
		other("name", s.Hostname, t.Name)
	}
	if s.Degraded && len(s.Why) == 0 {
		r.Wrong = append(r.Wrong, "nothing is kept: the data partition is not in use")
	}
	if u := s.Upgrade; u != nil && u.State == "rolled back" {
		r.Wrong = append(r.Wrong, strings.TrimSuffix("it rolled back "+u.Version+": "+u.Reason, ": "))
	}
}

// Unhealthy is an error of kind Unhealthy if a row is of a node that is bad or did not answer.
func Unhealthy(rows []Row) error {
	var bad []string
	for _, r := range rows {
		if r.Health == Silent || r.Health == "bad" {
			bad = append(bad, r.Node)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	slices.Sort(bad)
	return fault.New(fault.Unhealthy, "look closer with `imgbuild node "+bad[0]+" status`", "%d of %d nodes are bad or silent: %s", len(bad), len(rows), strings.Join(bad, ", "))
}
