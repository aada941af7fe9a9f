package delta

import (
	"errors"

	"imgbuild/init/contract/bundle"
)

// Order returns the order in which an applier asks for the parts of the streams: for each its
// stream. Parts that it never asks for are not in it. units are all that the plan speaks of.
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
	err = d.each(units, func(do int, u bundle.Unit, _ int64) error {
		if do != Blocks && do != Old {
			return nil
		}
		return p.run(nil, nil, do == Old, u.Raw)
	})
	if err != nil {
		return nil, err
	}
	return order, nil
}
