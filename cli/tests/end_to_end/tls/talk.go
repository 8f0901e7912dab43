// Serves, or asks, `https://ADDRESS/x` and, each fourth time, `/missing`.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
)

const clients = 8

func serve(address string) error {
	handler := func(answer http.ResponseWriter, request *http.Request) {
		if request.URL.Path == "/missing" {
			answer.WriteHeader(404)
		}
		fmt.Fprintln(answer, "hello")
	}
	// Without HTTP/2.
	next := map[string]func(*http.Server, *tls.Conn, http.Handler){}
	server := &http.Server{Addr: address, Handler: http.HandlerFunc(handler), TLSNextProto: next}
	return server.ListenAndServeTLS(os.Getenv("DIRECTORY")+"/cert.pem", os.Getenv("DIRECTORY")+"/key.pem")
}

func ask(client *http.Client, address string, count int) error {
	for i := 0; i < count; i++ {
		path := "/x"
		if i%4 == 0 {
			path = "/missing"
		}
		answer, err := client.Get("https://" + address + path)
		if err != nil {
			return err
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
	return nil
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	if os.Args[1] == "serve" {
		fail(serve(os.Args[2]))
	}
	count, err := strconv.Atoi(os.Args[3])
	fail(err)
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true},
		MaxIdleConnsPerHost: clients,
		TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
	client := &http.Client{Transport: transport}
	var all sync.WaitGroup
	for i := 0; i < clients; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			fail(ask(client, os.Args[2], count/clients))
		}()
	}
	all.Wait()
}
