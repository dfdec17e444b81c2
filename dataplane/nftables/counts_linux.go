package nftables

import (
	"context"
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/dataplane/internal/nft"
)

// Count is what one service got.
type Count struct {
	// Flows is how many new flows there were, those that were refused as well. It begins at zero when the service
	// comes, and again when its number of slots changes.
	Flows uint64
}

// Counts are the counts of all services. They are empty if Config.Counters was not asked for, or there is no table.
func (t *Table) Counts(ctx context.Context) (map[Key]Count, error) {
	counts := map[Key]Count{}
	if exists, err := tableExists(); err != nil || !exists {
		return counts, err
	}
	for _, f := range families {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		messages, err := nft.Elements(TableName, "services"+f.suffix)
		if err != nil {
			return nil, explain(err)
		}
		for _, message := range messages {
			for _, attrs := range nft.Attributes(nft.Attribute(message, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
				key, _, ok := parseKey(parseElement("", attrs).key, f)
				packets := nft.Attribute(attrs, unix.NFTA_SET_ELEM_EXPR, unix.NFTA_EXPR_DATA, unix.NFTA_COUNTER_PACKETS)
				if ok && len(packets) == 8 {
					counts[key] = Count{Flows: binary.BigEndian.Uint64(packets)} // the first packet of each
				}
			}
		}
	}
	return counts, nil
}
