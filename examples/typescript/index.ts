// The program of a team that takes the components from redis-wal: a Redis of its own, filled from a log of its own. The stacks dc and dr are the two clusters.
import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { Site } from "@comptech-lab/redis-wal";

const config = new pulumi.Config();
const here = config.require("site");

const cluster = new kubernetes.Provider(here, {
    context: here,
    clusterIdentifier: `shop/${here}`,
    enableSecretMutable: true, // see "Secrets" in docs/importing.md
    enableConfigMapMutable: true,
});

// Every field that is not said has its default.
const carts = new Site("carts", {
    name: here,
    peer: config.require("peer"),
    namespace: { name: "shop", create: true },
    kafka: { namespace: "kafka", cluster: `kafka-${here}`, ca: config.require("kafkaCA") },
    peerKafka: { bootstrap: [config.require("peerKafka")], ca: [config.require("peerKafkaCA")] },
    log: { topic: "carts-writes", partitions: 12, retention: "72h", firstWriter: "dc" },
    redis: { name: "carts", storage: { size: "16Gi" } },
    applier: { image: "ghcr.io/comptech-lab/redis-applier:0.1.0" },
    producers: [{ name: "checkout" }],
    secrets: {
        redis: config.requireSecret("redisPassword"),
        reader: config.requireSecret("readerPassword"),
        signing: config.requireSecret("signingKey"), // the same at both sites
        applier: config.requireSecret("applierPassword"),
        check: config.requireSecret("checkPassword"),
        mirrorTarget: config.requireSecret("mirrorTargetPassword"),
        mirrorSource: config.requireSecret("mirrorSourcePassword"),
        peerMirrorSource: config.requireSecret("peerMirrorSourcePassword"), // the peer's mirrorSourcePassword
        producers: { checkout: config.requireSecret("checkoutPassword") },
    },
}, { providers: [cluster] });

export const sentinel = carts.sentinel;
export const log = carts.log;
