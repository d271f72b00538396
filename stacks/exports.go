package stacks

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/site"
)

// The names of the stack's outputs.
const (
	ExportSite        = "site"           // the site's name
	ExportPeer        = "peer"           // the other site's
	ExportLog         = "log"            // the topic to append to
	ExportBootstrap   = "bootstrap"      // the address of this site's Kafka
	ExportProducers   = "producers"      // Kafka users by the producer's name
	ExportFirstWriter = "firstWriter"    // the site proposed as the active one of a new log; empty = both write
	ExportSentinel    = "sentinel"       // the address of the Sentinels
	ExportMaster      = "sentinelMaster" // the primary's name at the Sentinels
	ExportReader      = "readerSecret"   // the Secret with username and password of applications that read
	ExportNamespace   = "namespace"      // where Redis and that Secret are
	ExportMetrics     = "metrics"        // the address of the appliers' metrics
)

func export(ctx *pulumi.Context, cfg Config, s *site.Site) {
	ctx.Export(ExportSite, pulumi.String(cfg.Name))
	ctx.Export(ExportPeer, pulumi.String(cfg.Peer))
	ctx.Export(ExportLog, s.Log)
	ctx.Export(ExportBootstrap, s.Bootstrap)
	ctx.Export(ExportProducers, s.Producers)
	ctx.Export(ExportFirstWriter, pulumi.String(cfg.Log.FirstWriter))
	ctx.Export(ExportSentinel, s.Sentinel)
	ctx.Export(ExportMaster, s.Master)
	ctx.Export(ExportReader, s.Reader)
	ctx.Export(ExportNamespace, pulumi.String(cfg.Namespace.Name))
	ctx.Export(ExportMetrics, s.Metrics)
}
