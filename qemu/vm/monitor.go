package vm

// Monitor gives QEMU a line of its human monitor, such as device_add, and returns what it prints: nothing when all is well.
func (v *VM) Monitor(line string) (string, error) {
	var out string
	err := v.qmp.do("human-monitor-command", map[string]any{"command-line": line}, &out)
	return out, err
}
