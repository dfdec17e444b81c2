package figures

import "testing"

func TestReceived(t *testing.T) {
	got, err := Received(`{"end":{"sum_sent":{"bits_per_second":9e9},"sum_received":{"bits_per_second":2.5e8}}}`)
	if err != nil || got != 250 {
		t.Errorf("got %v, %v, want 250 Mbit/s", got, err)
	}
	if _, err := Received("iperf3: error"); err == nil {
		t.Error("text that is not a report was taken for one")
	}
}
