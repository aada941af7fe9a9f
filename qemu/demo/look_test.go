package main

import (
	"fmt"
	"reflect"
	"testing"
)

// A node is found when all run, and is up when its line comes again, however the bytes are cut.
func TestFinder(t *testing.T) {
	const first = "1 of 3  fetching packages   0.4 s\n2 nodes run on virt, in the network 10.77.0.0/24\n" +
		"once k3s is up: imgbuild kubeconfig 127.0.0.1:36257 address=127.0.0.1:34583 name=node1\n" +
		"node1  10.77.0.1   ssh rancher@127.0.0.1 -p 36257         Ctrl-C ends all\nnode2  10.77.0.2   ssh rancher@127.0.0.1 -p 33505         Ctrl-C ends all\n"
	const second = "node2  10.77.0.2   ssh rancher@127.0.0.1 -p 33505         Ctrl-C ends all\n"
	const third = "node1  10.77.0.1   ssh rancher@127.0.0.1 -p 36257         Ctrl-C ends all\n"
	up := func(f *finder) bool {
		select {
		case <-f.up:
			return true
		default:
			return false
		}
	}
	for _, size := range []int{1, 7, 1000} {
		f := newFinder(2)
		for i, text := range []string{first, second, second, third} {
			for at := 0; at < len(text); at += size {
				fmt.Fprint(f, text[at:min(at+size, len(text))])
			}
			if got, want := up(f), i == 3; got != want {
				t.Errorf("by %d bytes, after part %d: got up %v, want %v", size, i, got, want)
			}
		}
		if got, want := f.nodes(), []node{{"node1", "36257"}, {"node2", "33505"}}; !reflect.DeepEqual(got, want) {
			t.Errorf("by %d bytes: got %v, want %v", size, got, want)
		}
	}
}
