package mcs

import (
	"maps"
	"strings"
)

// reserved are the domains whose labels and annotations steer programs: Kubernetes' own, tombolo's,
// and those of what deploys from Git.
var reserved = [...]string{"kubernetes.io", "k8s.io", "tombolo.dev", "argoproj.io", "fluxcd.io"}

// carried are those exported labels or annotations that another cluster takes over: all but those of
// reserved domains and their subdomains. What a namespace's owner in one cluster writes must not
// steer the controllers of another. It is the map itself if all are.
func carried(all map[string]string) map[string]string {
	kept := all
	for key := range all {
		if !isReserved(key) {
			continue
		}
		if len(kept) == len(all) {
			kept = maps.Clone(all)
		}
		delete(kept, key)
	}
	return kept
}

func isReserved(key string) bool {
	domain, _, hasDomain := strings.Cut(key, "/")
	if !hasDomain {
		return false
	}
	for _, r := range reserved {
		if domain == r || strings.HasSuffix(domain, "."+r) {
			return true
		}
	}
	return false
}
