// Package route makes this node's routes to the remote clusters match a Config: a rule per IP family, the
// routes of one table, and the rules that let the tunnels themselves by. It owns the routes that carry both Table and
// Protocol and the rules that carry Protocol and one of its priorities, and nothing else: no links, no addresses, no
// other table.
package route
