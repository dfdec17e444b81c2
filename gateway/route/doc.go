// Package route makes this node's routes to the remote clusters match a Config: a rule per IP family and the routes of
// one table. It owns what carries both Table and Protocol, and nothing else: no links, no addresses, no other table.
package route
