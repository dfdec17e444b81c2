package firewall

import (
	"fmt"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

// writeElements writes by netlink, all of it or nothing: the program nft takes a hundred times as
// long.
func (t *Table) writeElements(changes []SetChange) error {
	batch := nft.NewBatch(t.name)
	element := func(key string) func([]byte) []byte {
		return func(b []byte) []byte { return nft.AppendElementKey(b, []byte(key)) }
	}
	for _, c := range changes {
		for _, key := range c.Delete {
			batch.Delete(c.Set, element(key))
		}
	}
	for _, c := range changes {
		for _, key := range c.Add {
			batch.Add(c.Set, element(key))
		}
	}
	if batch.Size() == 0 {
		return nil
	}
	if err := t.conn.Commit(batch); err != nil {
		return fmt.Errorf("changing elements of table %s: %w", t.name, err)
	}
	t.seen.Wrote()
	return nil
}
