package verify

import (
	"encoding/xml"
	"time"
)

// The elements of JUnit's report that all readers of it know.
type (
	suites struct {
		XMLName xml.Name `xml:"testsuites"`
		Suites  []suite  `xml:"testsuite"`
	}
	suite struct {
		Name      string     `xml:"name,attr"`
		Tests     int        `xml:"tests,attr"`
		Failures  int        `xml:"failures,attr"`
		Skipped   int        `xml:"skipped,attr"`
		Errors    int        `xml:"errors,attr"`
		Seconds   float64    `xml:"time,attr"`
		Timestamp string     `xml:"timestamp,attr"`
		Cases     []testcase `xml:"testcase"`
	}
	testcase struct {
		Class   string  `xml:"classname,attr"`
		Name    string  `xml:"name,attr"`
		Seconds float64 `xml:"time,attr"`
		Failure *said   `xml:"failure"`
		Skipped *said   `xml:"skipped"`
	}
	said struct {
		Message string `xml:"message,attr"`
	}
)

// junit writes the results in the XML of JUnit.
func junit(all []Result, began time.Time) ([]byte, error) {
	s := suite{Name: "kubectl tombolo verify", Tests: len(all), Seconds: time.Since(began).Seconds(), Timestamp: began.UTC().Format("2006-01-02T15:04:05")}
	for _, r := range all {
		c := testcase{Class: "tombolo.verify", Name: r.name(), Seconds: r.Seconds}
		switch r.Outcome {
		case failed:
			s.Failures++
			c.Failure = &said{r.Message}
		case skipped:
			s.Skipped++
			c.Skipped = &said{r.Message}
		}
		s.Cases = append(s.Cases, c)
	}
	text, err := xml.MarshalIndent(suites{Suites: []suite{s}}, "", "  ")
	return append([]byte(xml.Header), append(text, '\n')...), err
}
