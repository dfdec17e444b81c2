package rtnl

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// DeleteLink deletes a link. One that is gone already counts as deleted.
func DeleteLink(link netlink.Link) error {
	if err := netlink.LinkDel(link); err != nil && !IsLinkNotFound(err) {
		return err
	}
	return nil
}

// Links maps names of links to indexes and back. It asks the kernel once for each. The zero value
// is ready to use. A Links is for one Read or one Apply: it does not see what changes later.
type Links struct {
	names   map[int]string
	indexes map[string]int
}

// Name of the link with that index; empty if there is no such link.
func (l *Links) Name(index int) (string, error) {
	if name, known := l.names[index]; known {
		return name, nil
	}
	link, err := netlink.LinkByIndex(index)
	if err != nil && !IsLinkNotFound(err) {
		return "", fmt.Errorf("reading link %d: %w", index, err)
	}
	var name string
	if err == nil {
		name = link.Attrs().Name
	}
	if l.names == nil {
		l.names = map[int]string{}
	}
	l.names[index] = name
	return name, nil
}

// Index of the link with that name. IsLinkNotFound knows the error if there is no such link.
func (l *Links) Index(name string) (int, error) {
	if index, known := l.indexes[name]; known {
		return index, nil
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("finding link %s: %w", name, err)
	}
	if l.indexes == nil {
		l.indexes = map[string]int{}
	}
	l.indexes[name] = link.Attrs().Index
	return link.Attrs().Index, nil
}
