package main

import "context"

var run = verb{
	name:    "run",
	summary: "Boot an image in QEMU.",
	do:      func(context.Context, *args) error { return nil },
}
