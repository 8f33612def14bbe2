//! Scalers on real brokers, through what the daemon itself uses of them: `parse` and `Poller`.

mod azure_queue;
mod kafka;
mod nats;
mod prometheus;
mod rabbitmq;
mod reader;
mod redis;
mod sql;
mod sqs;
