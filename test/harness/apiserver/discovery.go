package apiserver

import (
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// discovery says which kinds there are, in the older of the two forms that clients ask for.
func (s *Server) discovery() {
	groups := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{}}
	var core []string
	lists := map[string]*metav1.APIResourceList{}
	for _, k := range s.kinds {
		if lists[k.base()] == nil {
			version := k.GroupVersion().String()
			lists[k.base()] = &metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: version}
			if k.Group == "" {
				core = append(core, k.Version)
			} else {
				groups.Groups = withVersion(groups.Groups, k)
			}
		}
		lists[k.base()].APIResources = append(lists[k.base()].APIResources, metav1.APIResource{Name: k.Plural,
			SingularName: strings.ToLower(k.Kind), Namespaced: k.Namespaced, Kind: k.Kind, Verbs: metav1.Verbs{"get", "list", "watch"}})
	}
	s.answerWith("/api", &metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: core})
	s.answerWith("/apis", &groups)
	for i := range groups.Groups {
		s.answerWith("/apis/"+groups.Groups[i].Name, &groups.Groups[i])
	}
	for path, list := range lists {
		s.answerWith(path, list)
	}
}

func (s *Server) answerWith(path string, body any) {
	s.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { answer(w, body) })
}

// withVersion adds the group and version of a kind; the first version of a group is the one to
// prefer.
func withVersion(groups []metav1.APIGroup, k Kind) []metav1.APIGroup {
	version := metav1.GroupVersionForDiscovery{GroupVersion: k.GroupVersion().String(), Version: k.Version}
	i := slices.IndexFunc(groups, func(g metav1.APIGroup) bool { return g.Name == k.Group })
	if i < 0 {
		return append(groups, metav1.APIGroup{TypeMeta: metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}, Name: k.Group,
			Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version})
	}
	groups[i].Versions = append(groups[i].Versions, version)
	return groups
}
