package main

import "testing"

// Profiles show what is in memory, tokens too.
func TestValidateProfileAddress(t *testing.T) {
	for address, want := range map[string]bool{
		"": true, "127.0.0.1:6060": true, "[::1]:6060": true,
		":6060": false, "0.0.0.0:6060": false, "10.0.0.1:6060": false, "127.0.0.1": false, "localhost:6060": false,
	} {
		if err := validateProfileAddress(address); (err == nil) != want {
			t.Errorf("%q: got error %v, want valid %v", address, err, want)
		}
	}
}
