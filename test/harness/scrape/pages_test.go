package scrape

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const page = `# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{code="200",verb="PUT"} 40
requests_total{verb="GET",code="200"} 1e+03
# TYPE requests_total_seconds histogram
requests_total_seconds_bucket{le="1"} 2
requests_total_seconds_bucket{le="+Inf"} 3
requests_total_seconds_sum 4.5
requests_total_seconds_count 3
`

func TestMetrics(t *testing.T) {
	all, err := Metrics([]byte(page), "requests_total")
	got := map[string]float64{}
	for _, m := range all {
		got[Label(m, "verb")+Label(m, "nothing")] = m.GetCounter().GetValue()
	}
	if diff := cmp.Diff(map[string]float64{"PUT": 40, "GET": 1000}, got); err != nil || diff != "" {
		t.Errorf("%v; counters (-want +got)\n%s", err, diff)
	}
	all, err = Metrics([]byte(page), "requests_total_seconds")
	if err != nil || len(all) != 1 || all[0].GetHistogram().GetSampleSum() != 4.5 {
		t.Errorf("%v, %v; want one histogram with the sum 4.5", all, err)
	}
	if all, err := Metrics([]byte(page), "requests"); err != nil || len(all) != 0 {
		t.Errorf("%v, %v; want none of a name that others only begin with", all, err)
	}
	for _, broken := range []string{"requests_total many\n", "requests_total{verb=PUT} 1\n", "<html>\n"} {
		if _, err := Metrics([]byte(page+broken), "requests_total"); err == nil {
			t.Errorf("%q was taken for a metric", broken)
		}
	}
}

// What a program says when it is not well is in the error; and every connection begins inside.
func TestGet(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.Error(w, "not in step", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(page))
	}))
	defer server.Close()
	entered := 0
	client := Client(func(f func()) { entered++; f() })
	if got, err := Get(t.Context(), client, server.URL+"/metrics"); err != nil || string(got) != page {
		t.Errorf("%q, %v; want the page", got, err)
	}
	if got, err := Get(t.Context(), client, server.URL+"/readyz"); err == nil || got != nil || !strings.Contains(err.Error(), "503") || !strings.HasSuffix(err.Error(), "not in step") {
		t.Errorf("%q, %v; want an error with the answer", got, err)
	}
	if entered != 2 {
		t.Errorf("entered %d times for 2 requests", entered)
	}
}
