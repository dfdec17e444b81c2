package nftables

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

// Full are the families, "IPv4" and "IPv6", of which no more clients fit into the map of
// affinities: a new client of a service with affinity gets any endpoint with each flow, until
// others' time is over. It lists the map of a family that has such services in want, which takes 1
// µs for each client; others are not looked at. Without a table no map is full.
func (t *Table) Full(ctx context.Context, want Config) (full []string, err error) {
	sticky := map[family]bool{}
	for key, service := range want.Services {
		if service.Affinity > 0 {
			sticky[familyOf(key.Address)] = true
		}
	}
	if exists, err := tableExists(); err != nil || !exists {
		return nil, err
	}
	for _, f := range families {
		if !sticky[f] || ctx.Err() != nil {
			continue
		}
		messages, err := nft.Elements(TableName, "affinity"+f.suffix)
		if err != nil {
			return nil, fmt.Errorf("listing the clients with affinity: %w", explain(err))
		}
		clients := 0
		for _, message := range messages {
			for range nft.Attributes(nft.Attribute(message, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
				clients++
			}
		}
		if clients >= MaxAffinities {
			full = append(full, f.ipName())
		}
	}
	return full, ctx.Err()
}

func (f family) ipName() string {
	if f.is4 {
		return "IPv4"
	}
	return "IPv6"
}
