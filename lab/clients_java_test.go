package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/lab/internal/java"
)

// javaClient is Kafka's own producer, in a program and on the console, and Jedis.
func javaClient(ctx context.Context, t *testing.T, p *page) client {
	t.Helper()
	jvm, err := java.Open(ctx, p.module, java.JDK, func() { t.Log("fetching the jars of lab/kafka/pom.xml") })
	if err != nil {
		t.Fatal(err)
	}
	console := jvm.Command(ctx, "org.apache.kafka.tools.ConsoleProducer").Args
	p.write(t, "kafka-console-producer.sh", fmt.Sprintf("#!/bin/sh\nexec '%s' \"$@\"\n", strings.Join(console, "' '")))
	producer := jvm.Command(ctx, p.fill(t, "Producer.java")).Args
	return client{
		writes: []write{
			{"java-producer", func(ctx context.Context, t *testing.T, at *application) {
				at.run(ctx, t, "java-producer", producer...)
			}, []written{{key: "orders:51", value: "paid"}}},
			{"console-producer", func(ctx context.Context, t *testing.T, at *application) {
				at.example(ctx, t, p, "console-producer")
			}, []written{{key: "orders:49", value: "paid", lives: time.Hour}}},
		},
		reader: "java-reader", name: "Jedis", program: jvm.Command(ctx, p.fill(t, "Reader.java")).Args,
	}
}
