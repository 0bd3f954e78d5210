// A gRPC server on grpc-go that tells the truth: `go-server PORT [CERTIFICATE KEY]`, see
// shapes.proto. A call whose client went away is told as CANCELLED, one whose time was over as
// DEADLINE_EXCEEDED, which is what grpc-go makes of a handler that returns its context's error.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
)

// Messages as they are. It takes the name of the usual codec, so that content types stay usual.
type raw struct{}

func (raw) Name() string                          { return "proto" }
func (raw) Marshal(v interface{}) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v interface{}) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

var out sync.Mutex

type call struct {
	rpc                 string
	context             context.Context
	plan                map[string]int
	requests, responses int
}

func (c *call) read(message []byte) {
	if c.requests == 0 {
		c.plan = map[string]int{}
		for _, word := range strings.Split(string(message), " ") {
			if key, value, found := strings.Cut(word, "="); found {
				c.plan[key], _ = strconv.Atoi(value)
			}
		}
	}
	c.requests++
}

func (c *call) number(key string, otherwise int) int {
	if value, found := c.plan[key]; found {
		return value
	}
	return otherwise
}

func (c *call) reply() *[]byte {
	c.responses++
	message := []byte(strings.Repeat("x", c.number("reply", 10)))
	return &message
}

// Waits as long as asked, or until the client went, and tells.
func (c *call) end() error {
	code := codes.Code(c.number("code", 0))
	select {
	case <-c.context.Done():
		code = status.FromContextError(c.context.Err()).Code()
	case <-time.After(time.Duration(c.number("delay", 0)) * time.Millisecond):
	}
	// A message that comes with the end was not yet sent.
	responses := c.responses
	if strings.HasSuffix(c.rpc, "/Unary") || strings.HasSuffix(c.rpc, "/ClientStream") {
		responses = 0
		if code == codes.OK {
			responses = 1
		}
	}
	tell(c.rpc, code, c.requests, responses)
	return status.Error(code, "as told")
}

func tell(rpc string, code codes.Code, requests, responses int) {
	names := strings.Fields(`OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND
		ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED
		OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED`)
	line, _ := json.Marshal(map[string]interface{}{
		"rpc": rpc, "status": names[code], "requests": requests, "responses": responses,
	})
	out.Lock()
	defer out.Unlock()
	fmt.Println(string(line))
}

func unary(_ interface{}, context context.Context, decode func(interface{}) error,
	_ grpc.UnaryServerInterceptor) (interface{}, error) {
	call := &call{rpc: "wirespan.test.Shapes/Unary", context: context}
	var message []byte
	if err := decode(&message); err != nil {
		return nil, err
	}
	call.read(message)
	if err := call.end(); err != nil {
		return nil, err
	}
	return call.reply(), nil
}

func stream(shape string) grpc.StreamHandler {
	return func(_ interface{}, stream grpc.ServerStream) error {
		call := &call{rpc: "wirespan.test.Shapes/" + shape, context: stream.Context()}
		for {
			var message []byte
			if err := stream.RecvMsg(&message); err == io.EOF {
				break
			} else if err != nil {
				return err
			}
			call.read(message)
			if shape == "Bidi" {
				if err := stream.SendMsg(call.reply()); err != nil {
					return err
				}
			}
		}
		if shape == "ServerStream" {
			for n := call.number("count", 1); n > 0; n-- {
				if err := stream.SendMsg(call.reply()); err != nil {
					return err
				}
			}
		}
		if err := call.end(); err != nil {
			return err
		}
		if shape == "ClientStream" {
			return stream.SendMsg(call.reply())
		}
		return nil
	}
}

func health(_ interface{}, _ context.Context, decode func(interface{}) error,
	_ grpc.UnaryServerInterceptor) (interface{}, error) {
	var message []byte
	if err := decode(&message); err != nil {
		return nil, err
	}
	tell("grpc.health.v1.Health/Check", codes.OK, 1, 1)
	return &[]byte{8, 1}, nil
}

func main() {
	encoding.RegisterCodec(raw{})
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		panic(err)
	}
	var options []grpc.ServerOption
	if len(os.Args) > 2 {
		tls, err := credentials.NewServerTLSFromFile(os.Args[2], os.Args[3])
		if err != nil {
			panic(err)
		}
		options = append(options, grpc.Creds(tls))
	}
	server := grpc.NewServer(options...)
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "wirespan.test.Shapes",
		HandlerType: (*interface{})(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: unary}},
		Streams: []grpc.StreamDesc{
			{StreamName: "ServerStream", Handler: stream("ServerStream"), ServerStreams: true},
			{StreamName: "ClientStream", Handler: stream("ClientStream"), ClientStreams: true},
			{StreamName: "Bidi", Handler: stream("Bidi"), ServerStreams: true, ClientStreams: true},
		},
	}, nil)
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "grpc.health.v1.Health",
		HandlerType: (*interface{})(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Check", Handler: health}},
	}, nil)
	fmt.Println("listening")
	if err := server.Serve(listener); err != nil {
		panic(err)
	}
}
