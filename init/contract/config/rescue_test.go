package config

import "testing"

func TestRescueAsked(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "yes": true, "YES\r\n": true, "please": true, "\xef\xbb\xbfyes": true, "\xff\xfey\x00e\x00s\x00": true, " \n ": true,
		"no": false, "No.\r\n\r\nWrite yes": false, "off": false, "\xff\xfen\x00o\x00\r\x00": false, "\xef\xbb\xbfno": false, "0": false,
		RescueText: false, "yes" + RescueText[2:]: true,
	} {
		if got := RescueAsked([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
