package delta

import (
	"errors"

	"imgbuild/init/contract/bundle"
)

// Order gives the order in which an applier asks for the parts of the streams: for each its stream. Parts that it never asks
// for are not in it. units are all that the plan speaks of.
func Order(content [Streams][][]byte, units []bundle.Unit) ([]int, error) {
	var order []int
	s := &streams{next: func(id int, _ []byte) ([]byte, error) {
		if len(content[id]) == 0 {
			return nil, errors.New("a stream ends too early")
		}
		b := content[id][0]
		content[id] = content[id][1:]
		order = append(order, id)
		return b, nil
	}}
	d, err := parsePlan(s, len(units))
	if err != nil {
		return nil, err
	}
	p := &patcher{s: s}
	for _, step := range d.Steps {
		for _, u := range units[:step.Count] {
			if step.Do != Blocks && step.Do != Old {
				continue
			}
			if err := p.run(nil, nil, step.Do == Old, u.Raw); err != nil {
				return nil, err
			}
		}
		units = units[step.Count:]
	}
	return order, nil
}
