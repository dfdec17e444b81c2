// Package nft speaks netlink with nf_tables, for what the program nft is too slow for: to see whether anything has
// changed, to list the elements of large maps, and to write them. It knows no table; whose they are is its callers'
// business. The format is that of include/uapi/linux/netfilter/nf_tables.h.
package nft
