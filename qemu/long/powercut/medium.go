package powercut

// pageSectors is how many sectors an erase area has.
const pageSectors = Area / Sector

// A medium is what each sector of a disk holds. Areas that were never touched take no memory and
// read as zeros.
type medium struct{ areas []*[pageSectors]id }

func (m *medium) get(sector int64) id {
	if a := int(sector / pageSectors); a < len(m.areas) && m.areas[a] != nil {
		return m.areas[a][sector%pageSectors]
	}
	return zeros
}

func (m *medium) put(sector int64, n id) {
	a := int(sector / pageSectors)
	for a >= len(m.areas) {
		m.areas = append(m.areas, nil)
	}
	if m.areas[a] == nil {
		if n == zeros {
			return
		}
		m.areas[a] = new([pageSectors]id)
	}
	m.areas[a][sector%pageSectors] = n
}

func (m *medium) clone() medium {
	c := medium{make([]*[pageSectors]id, len(m.areas))}
	for i, a := range m.areas {
		if a != nil {
			b := *a
			c.areas[i] = &b
		}
	}
	return c
}
