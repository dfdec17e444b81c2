// Package nft speaks netlink with nf_tables, for what the program nft is too slow for: seeing
// whether anything has changed, listing the elements of large maps, and writing them. It owns no
// table: its callers do. The format is that of include/uapi/linux/netfilter/nf_tables.h.
package nft
