package filter

import (
	"encoding/binary"
	"net/netip"

	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

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
