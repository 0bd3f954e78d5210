//go:build !go1.24

package main

import "net/http"

// This Go has HTTP/2 over TLS only.
func acceptHTTP2(*http.Server) {}

func askHTTP2(*http.Transport) {
	panic("this Go has HTTP/2 over TLS only")
}
