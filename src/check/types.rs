//! The types of triggers that KEDA has, so that one that this version does not have yet is not taken for a slip.

/// All of them, by name, as the schema that KEDA publishes of its scalers lists them.
#[rustfmt::skip]
pub const TYPES: [&str; 78] = [
    "activemq", "apache-kafka", "arangodb", "artemis-queue", "aws-cloudwatch", "aws-dynamodb", "aws-dynamodb-streams", "aws-kinesis-stream",
    "aws-sqs-queue", "azure-app-insights", "azure-blob", "azure-data-explorer", "azure-eventhub", "azure-log-analytics", "azure-monitor",
    "azure-pipelines", "azure-queue", "azure-servicebus", "beanstalkd", "cassandra", "clickhouse", "couchdb", "cpu", "cron", "datadog", "dynatrace",
    "elastic-forecast", "elasticsearch", "etcd", "external", "external-push", "forgejo-runner", "gcp-cloudtasks", "gcp-pubsub", "gcp-spanner",
    "gcp-stackdriver", "gcp-storage", "github-runner", "graphite", "huawei-cloudeye", "ibmmq", "influxdb", "kafka", "kubernetes-resource",
    "kubernetes-workload", "liiklus", "loki", "memory", "metrics-api", "mongodb", "mssql", "mysql", "nats-jetstream", "new-relic", "nsq",
    "opensearch", "openstack-metric", "openstack-swift", "postgresql", "predictkube", "prometheus", "pulsar", "rabbitmq", "redis", "redis-cluster",
    "redis-cluster-streams", "redis-sentinel", "redis-sentinel-streams", "redis-streams", "selenium-grid", "solace-direct-messaging",
    "solace-event-queue", "solarwinds", "solr", "splunk", "splunk-observability", "sumologic", "temporal",
];

/// Whether KEDA has it.
pub fn is_type(name: &str) -> bool {
    TYPES.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{TYPES, is_type};

    #[test]
    fn types_are_in_order_and_those_that_are_served_are_among_them() {
        assert!(TYPES.is_sorted());
        assert!(springtide_scalers::KINDS.iter().all(|kind| is_type(kind.name)));
    }
}
