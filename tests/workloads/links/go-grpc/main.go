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
	"google.golang.org/grpc/encoding"
)

// Messages as they are, under the name of the usual codec.
type raw struct{}

func (raw) Name() string                          { return "proto" }
func (raw) Marshal(v interface{}) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v interface{}) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func nap(max time.Duration) {
	time.Sleep(time.Duration(rand.Int63n(int64(max))))
}

func dial(port string) *grpc.ClientConn {
	connection, err := grpc.Dial("127.0.0.1:"+port, grpc.WithInsecure())
	if err != nil {
		panic(err)
	}
	return connection
}

func call(ctx context.Context, connection *grpc.ClientConn, id, what string) {
	in, out := []byte("in"), []byte(nil)
	if err := connection.Invoke(ctx, "/"+id+".Links/"+what, &in, &out); err != nil {
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
	}
	nap(2 * time.Millisecond)
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
		back := dial(os.Args[3])
		err = serve(os.Args[2], func(id, shape string) { front(back, id, shape) })
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
