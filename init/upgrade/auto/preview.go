package auto

import "context"

// Preview is the decision as it would be now. Nothing is done, asked for or kept; a server hears
// what the node wants.
func (n Node) Preview(ctx context.Context) (Decision, error) {
	f, err := n.Facts(ctx)
	if err != nil {
		return Decision{}, err
	}
	m, err := n.Load()
	if err != nil {
		return Decision{}, err
	}
	n.Save = func(Memory) error { return nil }
	m.Holding = nil // its report is for Look
	n.channel(ctx, &f, &m)
	if f.Locked {
		f.Away = n.look(ctx, &f, &m)
	}
	return f.Decide(), nil
}
