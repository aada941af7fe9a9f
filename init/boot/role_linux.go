package boot

import "imgbuild/init/service"

// role gives the units of the node's role.
func (n *Node) role() []service.Unit { return nil }
