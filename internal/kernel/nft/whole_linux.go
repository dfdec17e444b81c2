package nft

import (
	"errors"

	"golang.org/x/sys/unix"
)

// readings is how often a table is read that others remove and make meanwhile.
const readings = 10

// Whole returns what read returns. Read takes several requests for one table, and asks first whether
// there is one. If the table goes in between, as when another process cleans up, the kernel says
// ENOENT. Then read is called again, ten times at most.
func Whole[T any](read func() (T, error)) (got T, err error) {
	for range readings {
		if got, err = read(); !errors.Is(err, unix.ENOENT) {
			break
		}
	}
	return got, err
}
