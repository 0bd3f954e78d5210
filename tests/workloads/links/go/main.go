// A service that calls another one for each request that it serves, in the shape that the path
// names, and the service that is called. What is called for the sake of a request carries its id,
// the first segment of the path.
//
//	links front PORT BACK [CERT KEY]     BACK is the base of URLs, such as http://127.0.0.1:81
//	links back PORT [CERT KEY]
//
// With certificate and key they serve over TLS, and then HTTP/2 too; without, HTTP/2 by prior
// knowledge where this Go has that. The front's transport is set by its environment: HTTP2=1 asks
// over HTTP/2, MAX_CONNS and MAX_IDLE are its bounds, TRUSTED names the certificate to trust.
// GIVE_UP gives up every so many calls after a few milliseconds.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var (
	client http.Client
	back   string
	giveUp int
	calls  int64
)

func nap(max time.Duration) {
	time.Sleep(time.Duration(rand.Int63n(int64(max))))
}

func setting(name string) int {
	value, _ := strconv.Atoi(os.Getenv(name))
	return value
}

// One call for the request with that id.
func call(ctx context.Context, id, what string) {
	number := atomic.AddInt64(&calls, 1)
	if giveUp != 0 && number%int64(giveUp) == 0 {
		bounded, cancel := context.WithTimeout(ctx, 2*time.Millisecond)
		defer cancel()
		ctx = bounded
	}
	request, err := http.NewRequestWithContext(ctx, "GET", back+"/"+id+"/"+what, nil)
	if err != nil {
		panic(err)
	}
	response, err := client.Do(request)
	if err != nil {
		if ctx.Err() == nil {
			fmt.Println("failed", err)
		}
		return
	}
	defer response.Body.Close()
	io.Copy(io.Discard, response.Body)
}

type job struct {
	ctx      context.Context
	id, what string
	done     chan bool
}

// How many goroutines may call at a time, of those that wait for that.
var limit = make(chan bool, 8)

// Workers that were there before the first request.
var jobs = make(chan job)

func work() {
	for job := range jobs {
		call(job.ctx, job.id, job.what)
		job.done <- true
	}
}

// Workers that are made by whoever finds none idle, and stay.
type pool struct {
	lock sync.Mutex
	idle []chan job
}

var lazy pool

func (p *pool) do(todo job) {
	p.lock.Lock()
	defer p.lock.Unlock()
	if last := len(p.idle) - 1; last >= 0 {
		p.idle[last] <- todo
		p.idle = p.idle[:last]
		return
	}
	todos := make(chan job, 1)
	todos <- todo
	go func() {
		for job := range todos {
			call(job.ctx, job.id, job.what)
			p.lock.Lock()
			p.idle = append(p.idle, todos)
			p.lock.Unlock()
			job.done <- true
		}
	}()
}

func front(writer http.ResponseWriter, request *http.Request) {
	parts := strings.Split(request.URL.Path, "/")
	if len(parts) != 3 {
		http.NotFound(writer, request)
		return
	}
	id, shape := parts[1], parts[2]
	background, ctx := context.Background(), request.Context()
	// As little as there can be, for who measures.
	if shape == "hello" {
		call(background, id, "hello")
		fmt.Fprintln(writer, "served")
		return
	}
	nap(3 * time.Millisecond)
	done := make(chan bool, 1)
	switch shape {
	case "direct":
		call(background, id, "direct")
		nap(2 * time.Millisecond)
		call(background, id, "again")
	case "fan":
		var all sync.WaitGroup
		for branch := 0; branch < 3; branch++ {
			all.Add(1)
			go func(branch int) {
				defer all.Done()
				nap(3 * time.Millisecond)
				call(background, id, "fan-"+strconv.Itoa(branch))
			}(branch)
		}
		all.Wait()
	case "nested":
		go func() {
			go func() {
				go func() {
					go func() {
						nap(2 * time.Millisecond)
						call(background, id, "nested")
						done <- true
					}()
				}()
			}()
		}()
		<-done
	case "context":
		bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
		call(bounded, id, "context")
		cancel()
	case "limited":
		var all sync.WaitGroup
		for branch := 0; branch < 3; branch++ {
			all.Add(1)
			go func(branch int) {
				defer all.Done()
				limit <- true
				call(background, id, "limited-"+strconv.Itoa(branch))
				<-limit
			}(branch)
		}
		all.Wait()
	case "many":
		var all sync.WaitGroup
		begin := make(chan bool)
		for branch := 0; branch < 100_000; branch++ {
			all.Add(1)
			go func(branch int) {
				defer all.Done()
				<-begin
				if branch%33_333 == 0 {
					call(background, id, "many-"+strconv.Itoa(branch))
				}
			}(branch)
		}
		close(begin)
		all.Wait()
	case "sql":
		query(ctx, id, "first")
		query(ctx, id, "second")
	case "pool":
		jobs <- job{ctx, id, "pool", done}
		<-done
	case "lazy":
		lazy.do(job{background, id, "lazy", done})
		<-done
	case "late":
		go func() {
			nap(60 * time.Millisecond)
			call(background, id, "late")
		}()
	case "after":
		go func() {
			time.Sleep(200 * time.Millisecond)
			call(background, id, "after")
		}()
	}
	nap(2 * time.Millisecond)
	fmt.Fprintln(writer, "served")
}

func answer(writer http.ResponseWriter, _ *http.Request) {
	nap(8 * time.Millisecond)
	fmt.Fprintln(writer, "answered")
}

func serve(handler http.HandlerFunc, arguments []string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:"+arguments[0])
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler}
	acceptHTTP2(server)
	fmt.Println("listening")
	if len(arguments) == 3 {
		return server.ServeTLS(listener, arguments[1], arguments[2])
	}
	return server.Serve(listener)
}

func transport() *http.Transport {
	transport := &http.Transport{
		MaxConnsPerHost:     setting("MAX_CONNS"),
		MaxIdleConnsPerHost: 100,
		ForceAttemptHTTP2:   setting("HTTP2") != 0,
	}
	if max := setting("MAX_IDLE"); max != 0 {
		transport.MaxIdleConnsPerHost = max
	}
	if file := os.Getenv("TRUSTED"); file != "" {
		trusted, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(trusted)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	} else if setting("HTTP2") != 0 {
		askHTTP2(transport)
	}
	return transport
}

func main() {
	var err error
	switch os.Args[1] {
	case "front":
		back, giveUp = os.Args[3], setting("GIVE_UP")
		client.Transport = transport()
		database = open(back)
		for worker := 0; worker < 8; worker++ {
			go work()
		}
		err = serve(front, append(os.Args[2:3:3], os.Args[4:]...))
	case "back":
		err = serve(answer, os.Args[2:])
	}
	fmt.Println(err)
	os.Exit(1)
}
