package filter

import (
	"net/netip"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// applyElements adds and deletes elements, all of them or none.
func (t *Table) applyElements(change Change) error {
	batch := nft.NewBatch(TableName)
	for _, p := range change.AddServed {
		batch.Add(servedSet(p), appendServed(p))
	}
	for _, a := range change.AddHairpin {
		batch.Add(hairpinSet(a), appendHairpin(a))
	}
	for _, p := range change.DeleteServed {
		batch.Delete(servedSet(p), appendServed(p))
	}
	for _, a := range change.DeleteHairpin {
		batch.Delete(hairpinSet(a), appendHairpin(a))
	}
	if err := batch.Commit(); err != nil || batch.Size() == 0 {
		return err
	}
	t.seen.Wrote()
	return nil
}

// appendServed is the key "address . protocol . port".
func appendServed(p serviceport.Key) func([]byte) []byte {
	return func(b []byte) []byte { return nft.AppendElementKey(b, nft.AppendService(nil, p)) }
}

// appendHairpin is the key "address . address".
func appendHairpin(a netip.Addr) func([]byte) []byte {
	return func(b []byte) []byte { return nft.AppendElementKey(b, append(a.AsSlice(), a.AsSlice()...)) }
}
