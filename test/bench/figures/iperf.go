package figures

import (
	"encoding/json"
	"fmt"
)

// Received is the throughput in Mbit/s that a report of `iperf3 -J` gives, of one TCP stream, as
// the receiver counts. The error says that it is not such a report.
func Received(iperf3 string) (float64, error) {
	var report struct {
		End struct {
			Received struct {
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(iperf3), &report); err != nil {
		return 0, fmt.Errorf("parsing iperf3's report: %w", err)
	}
	return report.End.Received.BitsPerSecond / 1e6, nil
}
