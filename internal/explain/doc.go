// Package explain follows one name of the clusterset, hop by hop, from its export to an endpoint, and
// says which hop fails first. It is pure: the command line gathers the facts.
package explain
