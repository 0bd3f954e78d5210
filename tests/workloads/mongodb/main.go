// A server of MongoDB's protocol over SQLite: FerretDB, on the address and with the directory for its
// files that its arguments name. It says "ready" once it is made.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	f, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: os.Args[1]},
		Handler:   "sqlite",
		SQLiteURL: "file:" + os.Args[2] + "/",
	})
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	f.Run(context.Background())
}
