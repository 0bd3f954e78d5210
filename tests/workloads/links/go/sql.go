package main

import (
	"bufio"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// A database whose queries are targets of HTTP/1.1: the pool, and the goroutines that open
// connections and watch contexts, are those of database/sql.
var database *sql.DB

// Fewer connections than requests at a time, and fewer idle ones, so that some are opened by the
// pool's own goroutine, for whoever comes.
func open(back string) *sql.DB {
	sql.Register("links", links{})
	_, address, _ := strings.Cut(back, "://")
	database, err := sql.Open("links", address)
	if err != nil {
		panic(err)
	}
	database.SetMaxOpenConns(8)
	database.SetMaxIdleConns(4)
	return database
}

// One call for the request with that id.
func query(ctx context.Context, id, what string) {
	rows, err := database.QueryContext(ctx, "/"+id+"/"+what)
	if err != nil {
		fmt.Println("failed", err)
		return
	}
	rows.Close()
}

type links struct{}

func (links) Open(address string) (driver.Conn, error) {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &opened{connection, bufio.NewReader(connection)}, nil
}

type opened struct {
	connection net.Conn
	reader     *bufio.Reader
}

func (o *opened) Close() error { return o.connection.Close() }

func (o *opened) Begin() (driver.Tx, error) { return nil, errors.New("no transactions") }

func (o *opened) Prepare(string) (driver.Stmt, error) { return nil, errors.New("no statements") }

func (o *opened) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	request, err := http.NewRequest("GET", "http://database"+query, nil)
	if err != nil {
		return nil, err
	}
	if err := request.Write(o.connection); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(o.reader, request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return nothing{}, err
}

type nothing struct{}

func (nothing) Columns() []string         { return nil }
func (nothing) Close() error              { return nil }
func (nothing) Next([]driver.Value) error { return io.EOF }
