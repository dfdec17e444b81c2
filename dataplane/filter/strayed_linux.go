package filter

import (
	"encoding/binary"
	"net/netip"

	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

// Untracked is how many packets connection tracking should have seen and has not, since the table was
// made.
func Untracked() (uint64, error) {
	counters, err := nft.Counters(firewall.FilterTable)
	return counters[untracked].Packets, err
}

// Strayed are the indexes of the devices by which packets of other clusters came in the last two minutes
// though no answer would leave there, with the source of one of them.
func Strayed() (map[int]netip.Addr, error) {
	if exists, err := nft.TableExists(firewall.FilterTable); err != nil || !exists {
		return nil, err
	}
	keys, err := nft.Keys(firewall.FilterTable, strayed)
	if err != nil {
		return nil, err
	}
	devices := map[int]netip.Addr{}
	for _, key := range keys {
		if source, ok := netip.AddrFromSlice([]byte(key[min(4, len(key)):])); ok {
			devices[int(binary.NativeEndian.Uint32([]byte(key)))] = source
		}
	}
	return devices, nil
}
