// An HTTPS server and an HTTPS client on Go's crypto/tls, in one program; both tell the truth, a
// line of JSON for each exchange.
//
//	truth serve PORT CERT KEY
//	truth call
//
// The server's answer is chosen by query parameters: status, size, chunked. The client reads
// requests from standard input, METHOD URL BODY_BYTES, and trusts the certificate that TRUSTED
// names. If PROXY is the URL of one, it goes through that. Both speak HTTP/1.1. SILENT=1 keeps the
// truth back, which takes more than to serve does.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
)

var telling sync.Mutex
var silent = os.Getenv("SILENT") != ""

func tell(method, target string, status int, request, response int64) {
	if silent {
		return
	}
	line, _ := json.Marshal(map[string]interface{}{
		"method": method, "target": target, "status": status,
		"request_body": request, "response_body": response,
	})
	telling.Lock()
	defer telling.Unlock()
	fmt.Println(string(line))
}

func number(request *http.Request, name string, otherwise int) int {
	value, err := strconv.Atoi(request.URL.Query().Get(name))
	if err != nil {
		return otherwise
	}
	return value
}

func answer(writer http.ResponseWriter, request *http.Request) {
	received, _ := io.Copy(io.Discard, request.Body)
	status, size := number(request, "status", 200), number(request, "size", 5)
	bodiless := status == 204 || status == 304
	sent := size
	if bodiless || request.Method == "HEAD" {
		sent = 0
	}
	chunked := number(request, "chunked", 0) != 0
	if !bodiless && !chunked {
		writer.Header().Set("Content-Length", strconv.Itoa(size))
	}
	writer.WriteHeader(status)
	if chunked {
		writer.(http.Flusher).Flush()
	}
	writer.Write(bytes.Repeat([]byte("x"), sent))
	tell(request.Method, request.RequestURI, status, received, int64(sent))
}

func serve(port, certificate, key string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	// Not nil: no HTTP/2.
	upgrades := map[string]func(*http.Server, *tls.Conn, http.Handler){}
	server := http.Server{Handler: http.HandlerFunc(answer), TLSNextProto: upgrades}
	return server.ServeTLS(listener, certificate, key)
}

func call() error {
	trusted, err := os.ReadFile(os.Getenv("TRUSTED"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trusted)
	var proxy func(*http.Request) (*url.URL, error)
	if named := os.Getenv("PROXY"); named != "" {
		to, err := url.Parse(named)
		if err != nil {
			return err
		}
		proxy = http.ProxyURL(to)
	}
	client := http.Client{Transport: &http.Transport{
		Proxy:              proxy,
		TLSClientConfig:    &tls.Config{RootCAs: pool},
		DisableCompression: true,
	}}
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		size, _ := strconv.Atoi(words[2])
		var body io.Reader
		if size > 0 {
			body = strings.NewReader(strings.Repeat("y", size))
		}
		request, err := http.NewRequest(words[0], words[1], body)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		received, err := io.Copy(io.Discard, response.Body)
		if err != nil {
			return err
		}
		response.Body.Close()
		tell(words[0], request.URL.RequestURI(), response.StatusCode, int64(size), received)
	}
	return nil
}

func main() {
	var err error
	if os.Args[1] == "serve" {
		err = serve(os.Args[2], os.Args[3], os.Args[4])
	} else {
		err = call()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
