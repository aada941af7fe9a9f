package config

// Root is the section that holds the top-level keys. The caller must not change it.
func Root() *Key { return root() }

// Name is the last part of the key's path.
func (k *Key) Name() string { return k.name }

// Child returns the key below k that a name means, in any of its spellings; nil if there is none.
func (k *Key) Child(name string) *Key { return k.find(name) }

// Item is a list's item, or an entry of named sections, as a section.
func (k *Key) Item() *Key {
	section := *k
	section.Type = Section
	return &section
}

// Nearest returns the path of the key that an unknown name below k most likely means, or "".
func (k *Key) Nearest(name string) string { return nearest(k, name) }
