// A gRPC client on grpc-go that tells the truth: `go-client PORT [AUTHORITY_CERTIFICATE]`, see
// shapes.proto. All calls share one channel, and so one connection.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
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

func tell(rpc string, err error, requests, responses int) {
	names := strings.Fields(`OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND
		ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED
		OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED`)
	code := codes.OK
	if err != nil && err.Error() != "EOF" {
		code = status.Code(err)
	}
	line, _ := json.Marshal(map[string]interface{}{
		"rpc": rpc, "status": names[code], "requests": requests, "responses": responses,
	})
	out.Lock()
	defer out.Unlock()
	fmt.Println(string(line))
}

type words map[string]string

func (w words) number(key string, otherwise int) int {
	if value, err := strconv.Atoi(w[key]); err == nil {
		return value
	}
	return otherwise
}

func (w words) message() []byte {
	if w["method"] != "" {
		return nil
	}
	var plan []string
	for key, value := range w {
		switch key {
		case "count", "reply", "delay", "code":
			plan = append(plan, key+"="+value+" ")
		}
	}
	sort.Strings(plan)
	text := strings.Join(plan, "")
	if missing := w.number("size", 10) - len(text); missing > 0 {
		text += strings.Repeat(".", missing)
	}
	return []byte(text)
}

func one(channel *grpc.ClientConn, shape string, words words) {
	rpc := "wirespan.test.Shapes/" + shape
	if words["method"] != "" {
		rpc = words["method"]
	}
	limit := time.Duration(words.number("deadline", 20_000)) * time.Millisecond
	context, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if meta := words.number("meta", 0); meta > 0 {
		context = metadata.AppendToOutgoingContext(context, "x-meta", strings.Repeat("m", meta))
	}
	message := words.message()
	var reply []byte
	if shape == "Unary" {
		err := channel.Invoke(context, "/"+rpc, &message, &reply)
		responses := 0
		if err == nil {
			responses = 1
		}
		tell(rpc, err, 1, responses)
		return
	}
	desc := &grpc.StreamDesc{
		ClientStreams: shape != "ServerStream",
		ServerStreams: shape != "ClientStream",
	}
	stream, err := channel.NewStream(context, desc, "/"+rpc)
	send := 1
	if shape != "ServerStream" {
		send = words.number("send", 1)
	}
	for n := 0; n < send && err == nil; n++ {
		err = stream.SendMsg(&message)
	}
	responses := 0
	if err == nil {
		err = stream.CloseSend()
	}
	for err == nil {
		if err = stream.RecvMsg(&reply); err != nil {
			break
		}
		responses++
		if responses == words.number("cancel", -1) {
			cancel()
		}
		if shape == "ClientStream" {
			break
		}
	}
	tell(rpc, err, send, responses)
}

func main() {
	encoding.RegisterCodec(raw{})
	target, security := "127.0.0.1:"+os.Args[1], grpc.WithInsecure()
	if len(os.Args) > 2 {
		tls, err := credentials.NewClientTLSFromFile(os.Args[2], "localhost")
		if err != nil {
			panic(err)
		}
		target, security = "localhost:"+os.Args[1], grpc.WithTransportCredentials(tls)
	}
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	var channel *grpc.ClientConn
	for lines.Scan() {
		// Other libraries connect when they have to; this one at once.
		if channel == nil {
			var err error
			if channel, err = grpc.Dial(target, security); err != nil {
				panic(err)
			}
		}
		parts := strings.Fields(lines.Text())
		words := words{}
		for _, part := range parts[1:] {
			key, value, _ := strings.Cut(part, "=")
			words[key] = value
		}
		for n := 0; n < words.number("repeat", 1); n++ {
			var calls sync.WaitGroup
			for m := 0; m < words.number("parallel", 1); m++ {
				calls.Add(1)
				go func() {
					defer calls.Done()
					one(channel, parts[0], words)
				}()
			}
			calls.Wait()
		}
	}
	if channel != nil {
		channel.Close()
	}
	fmt.Println("done")
}
