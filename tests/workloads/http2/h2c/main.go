// An HTTP/2 server on Go's net/http that tells the truth: `h2c PORT`; each request that it answered,
// as a line of JSON. It speaks HTTP/2 at once, and by the upgrade that HTTP/1.1 had. Query
// parameters choose the answer: status, size, delay (milliseconds).
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"io/ioutil"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

var out sync.Mutex

func answer(writer http.ResponseWriter, request *http.Request) {
	received, _ := io.Copy(ioutil.Discard, request.Body)
	number := func(key string, otherwise int) int {
		if value, err := strconv.Atoi(request.URL.Query().Get(key)); err == nil {
			return value
		}
		return otherwise
	}
	time.Sleep(time.Duration(number("delay", 0)) * time.Millisecond)
	status, size := number("status", 200), number("size", 5)
	if status == 204 || status == 304 || request.Method == "HEAD" {
		size = 0
	}
	line, _ := json.Marshal(map[string]interface{}{
		"method": request.Method, "target": request.URL.RequestURI(), "status": status,
		"request_body": received, "response_body": size,
	})
	writer.WriteHeader(status)
	_, _ = io.WriteString(writer, strings.Repeat("x", size))
	out.Lock()
	defer out.Unlock()
	fmt.Println(string(line))
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		panic(err)
	}
	fmt.Println("listening")
	err = http.Serve(listener, h2c.NewHandler(http.HandlerFunc(answer), &http2.Server{}))
	panic(err)
}
