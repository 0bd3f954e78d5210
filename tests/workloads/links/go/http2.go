//go:build go1.24

package main

import "net/http"

// HTTP/2 by prior knowledge, beside HTTP/1.1.
func acceptHTTP2(server *http.Server) {
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(true)
	server.Protocols.SetUnencryptedHTTP2(true)
}

// HTTP/2 by prior knowledge.
func askHTTP2(transport *http.Transport) {
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetUnencryptedHTTP2(true)
}
