//! Scalers on real brokers, through what the daemon itself uses of them: `parse` and `Poller`.

mod nats;
mod rabbitmq;
mod reader;
mod redis;
