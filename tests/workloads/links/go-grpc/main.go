// A gRPC service on grpc-go that calls another one for each call that it serves, in the shape that
// the method names, the service that is called, and who calls the first. What is called for the sake
// of a call carries its id, the first part of the method's full name.
//
//	go-grpc front PORT BACK_PORT
//	go-grpc back PORT
//	go-grpc drive PORT SHAPE CALLS AT_ONCE
package main

import (
	"context"
	"fmt"
	"math/rand"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
)

// GIVE_UP gives up every so many calls of the front after a few milliseconds.
var (
	giveUp int
	calls  int64
)

// Messages as they are.
type raw struct{}

func (raw) Name() string                          { return "raw" }
func (raw) Marshal(v interface{}) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v interface{}) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func nap(max time.Duration) {
	time.Sleep(time.Duration(rand.Int63n(int64(max))))
}

// No TLS: the name of what does that is not the same in all versions.
type clear struct{ credentials.AuthInfo }

func (clear) AuthType() string { return "clear" }

func (c clear) ClientHandshake(_ context.Context, _ string, connection net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return connection, c, nil
}

func (c clear) ServerHandshake(connection net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return connection, c, nil
}

func (clear) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "clear"}
}

func (c clear) Clone() credentials.TransportCredentials { return c }

func (clear) OverrideServerName(string) error { return nil }

func dial(port string) *grpc.ClientConn {
	connection, err := grpc.Dial("127.0.0.1:"+port, grpc.WithTransportCredentials(clear{}))
	if err != nil {
		panic(err)
	}
	return connection
}

func call(ctx context.Context, connection *grpc.ClientConn, id, what string) {
	number := atomic.AddInt64(&calls, 1)
	if giveUp != 0 && number%int64(giveUp) == 0 {
		bounded, cancel := context.WithTimeout(ctx, 2*time.Millisecond)
		defer cancel()
		ctx = bounded
	}
	in, out := []byte("in"), []byte(nil)
	err := connection.Invoke(ctx, "/"+id+".Links/"+what, &in, &out, grpc.CallContentSubtype("raw"))
	if err != nil && ctx.Err() == nil {
		fmt.Println("failed", err)
	}
}

func serve(port string, handle func(id, what string)) error {
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ interface{}, stream grpc.ServerStream) error {
		var message []byte
		if err := stream.RecvMsg(&message); err != nil {
			return err
		}
		method, _ := grpc.MethodFromServerStream(stream)
		service, what, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
		id, _, _ := strings.Cut(service, ".")
		handle(id, what)
		return stream.SendMsg(&message)
	}))
	fmt.Println("listening")
	return server.Serve(listener)
}

func front(back *grpc.ClientConn, id, shape string) {
	background := context.Background()
	nap(3 * time.Millisecond)
	switch shape {
	case "direct":
		call(background, back, id, "direct")
		call(background, back, id, "again")
	case "fan":
		var all sync.WaitGroup
		for branch := 0; branch < 3; branch++ {
			all.Add(1)
			go func(branch int) {
				defer all.Done()
				nap(3 * time.Millisecond)
				call(background, back, id, "fan"+strconv.Itoa(branch))
			}(branch)
		}
		all.Wait()
	case "nested":
		done := make(chan bool)
		go func() {
			go func() {
				nap(2 * time.Millisecond)
				call(background, back, id, "nested")
				done <- true
			}()
		}()
		<-done
	case "pool":
		done := make(chan bool)
		jobs <- func() {
			call(background, back, id, "pool")
			done <- true
		}
		<-done
	}
	nap(2 * time.Millisecond)
}

// Workers that were there before the first request.
var jobs = make(chan func())

func work() {
	for job := range jobs {
		job()
	}
}

func drive(front *grpc.ClientConn, shape string, calls, atOnce int) {
	var all sync.WaitGroup
	next := int64(-1)
	for worker := 0; worker < atOnce; worker++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for number := atomic.AddInt64(&next, 1); number < int64(calls); number = atomic.AddInt64(&next, 1) {
				call(context.Background(), front, "r"+strconv.FormatInt(number, 10), shape)
			}
		}()
	}
	all.Wait()
	fmt.Println("driven")
}

func main() {
	encoding.RegisterCodec(raw{})
	var err error
	switch os.Args[1] {
	case "front":
		giveUp, _ = strconv.Atoi(os.Getenv("GIVE_UP"))
		for worker := 0; worker < 8; worker++ {
			go work()
		}
		// The first request makes the connection, and what serves it goes on for all others.
		var once sync.Once
		var back *grpc.ClientConn
		err = serve(os.Args[2], func(id, shape string) {
			once.Do(func() { back = dial(os.Args[3]) })
			front(back, id, shape)
		})
	case "back":
		err = serve(os.Args[2], func(string, string) { nap(8 * time.Millisecond) })
	case "drive":
		calls, _ := strconv.Atoi(os.Args[4])
		atOnce, _ := strconv.Atoi(os.Args[5])
		drive(dial(os.Args[2]), os.Args[3], calls, atOnce)
		return
	}
	fmt.Println(err)
	os.Exit(1)
}
