// Package route makes the routes and rules of one Owner match a Config, in the network namespace of
// the caller.
//
// An Owner owns the routes that carry its protocol number in one of its tables, and the rules that
// carry its protocol number and do one of its lookups. The package touches nothing else: no links,
// no addresses, no other table. The devices that routes lead to belong to package vxlan and to the
// gateway's package wireguard.
package route
