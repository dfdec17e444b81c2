package probe

// maxIndex is the largest Member.spec.index.
const maxIndex = 4095

// Members is a set of members of the clusterset, by their Member.spec.index.
type Members [(maxIndex + 1) / 8]byte

// Add adds the member with that index; one out of range is left out.
func (m *Members) Add(index int32) {
	if index >= 0 && index <= maxIndex {
		m[index/8] |= 1 << (index % 8)
	}
}

// Has reports whether the member with that index is in the set.
func (m *Members) Has(index int32) bool {
	return index >= 0 && index <= maxIndex && m[index/8]&(1<<(index%8)) != 0
}
