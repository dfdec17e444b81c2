package nft

import (
	"errors"

	"golang.org/x/sys/unix"
)

// readings is how often a table is read that others remove and make meanwhile.
const readings = 10

// Whole calls read, which takes several requests for one table and begins by asking whether there is
// one. If the table goes in between, as when another process cleans up, the kernel says ENOENT: then it
// is called again, ten times at most. The error is that of its last call.
func Whole(read func() error) (err error) {
	for range readings {
		if err = read(); !errors.Is(err, unix.ENOENT) {
			break
		}
	}
	return err
}
