// Package firewall owns the nftables tables in which an agent has rules of its own beside those of
// a host firewall: it writes them, sees whether somebody changed them, and removes them. What the
// rules say is their agent's. It programs no table of others.
package firewall
