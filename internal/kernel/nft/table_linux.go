package nft

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// TableExists reports whether there is an inet table of that name. It costs one netlink request.
func TableExists(name string) (bool, error) {
	const kind = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETTABLE
	_, err := ask(kind, 0, unix.NFPROTO_INET, AppendText(nil, unix.NFTA_TABLE_NAME, name))
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for table %s: %w", name, err)
	}
	return true, nil
}
