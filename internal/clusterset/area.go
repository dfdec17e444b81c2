package clusterset

// Area is where a cluster is, as its Member says: Member.spec.region and Member.spec.zoneDomain.
type Area struct {
	Region, ZoneDomain string
}

// SameZones tells whether zones of equal name are the same zone in both areas: region and zone
// domain are equal, and known.
func (a Area) SameZones(other Area) bool {
	return a == other && a.Region != "" && a.ZoneDomain != ""
}
