package nft

import "golang.org/x/sys/unix"

// AppendElementKey appends the attribute that is the key of an element.
func AppendElementKey(b, key []byte) []byte {
	return AppendNest(b, unix.NFTA_SET_ELEM_KEY, func(b []byte) []byte {
		return AppendAttribute(b, unix.NFTA_DATA_VALUE, key...)
	})
}
