package slot

import (
	"context"
	"crypto/sha256"
	"errors"
)

// WriteBytes brings what is in memory, whole sectors, to an area by the rules of Write.
func WriteBytes(ctx context.Context, d Device, a Area, data []byte) error {
	if len(data) < Sector || len(data)%Sector != 0 {
		return errors.New("not whole sectors")
	}
	s := System{Size: int64(len(data)), SHA256: sha256.Sum256(data)}
	s.Fill = func(ctx context.Context, p Partition, _ bool) (first [Sector]byte, err error) {
		copy(first[:], data)
		for at := Sector; at < len(data); {
			if ctx.Err() != nil {
				return first, context.Cause(ctx)
			}
			end := min(at/chunk*chunk+chunk, len(data))
			if _, err := p.WriteAt(data[at:end], int64(at)); err != nil {
				return first, err
			}
			at = end
		}
		return first, nil
	}
	return Write(ctx, d, a, s, nil)
}
